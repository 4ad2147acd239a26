"""Counters: what an absolute value means, what is shown, and the limits of both."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.counter import MOST_COUNTED, Counter, counter_amount
from strategies.kinds.kind import ABSENT, UnfitValue
from strategies.paths import COUNTED, SETTLEMENT
from tests.strategies.kinds.rig import Planned
from tests.strategies.rig import document_of, of, record, write

if TYPE_CHECKING:
    from crdt.document import Document

STOCK = ("stock",)
AMOUNTS = st.decimals(-1000, 1000, places=3)


def shown(document: Document) -> object:
    return Counter().show(document, of(), "stock")


def planned(value: object, **words: object) -> Planned:
    words.setdefault("document", document_of(write(STOCK, 12, 1)))
    plan = Planned(**words)  # type: ignore[arg-type]
    Counter().plan(plan, "stock", value)
    return plan


@given(st.lists(AMOUNTS, max_size=5), st.randoms(use_true_random=False))
def test_what_is_shown_is_the_opening_and_all_movements_in_any_order(amounts: list, random: object) -> None:
    def of_order() -> object:
        return shown(document_of(write(STOCK, 100, 1), counts=[{"stock": amount} for amount in amounts]))

    first = of_order()
    assert first == pytest.approx(float(100 + sum(amounts)))
    random.shuffle(amounts)  # type: ignore[attr-defined]
    assert of_order() == first


def test_movements_without_an_opening_are_shown() -> None:
    assert shown(document_of(counts=[{"stock": Decimal(3)}])) == 3
    assert shown(document_of()) is ABSENT


def test_an_opening_that_is_no_number_is_shown_as_it_is() -> None:
    assert shown(document_of(write(STOCK, "many", 1), counts=[{"stock": Decimal(3)}])) == "many"
    assert shown(document_of(write(STOCK, None, 1))) is None


def test_a_settlement_that_two_nodes_wrote_counts_once() -> None:
    settled = [write((SETTLEMENT, "op:7"), {"stock": 2}, at) for at in (2, 3)]
    assert shown(document_of(write(STOCK, 5, 1), *settled)) == 7
    assert counter_amount(document_of(*settled), of(), "stock") is None


def test_an_absolute_moves_the_counter_by_what_its_author_last_knew() -> None:
    assert planned(10, amount=Decimal(11)).counts == {"stock": Decimal(-1)}
    assert planned(10).counts == {"stock": Decimal(-2)}  # nothing is known: what is there
    assert planned(12).counts == {}
    assert planned(10).registers == {}


def test_the_first_value_is_the_opening() -> None:
    assert planned(10, document=document_of()).registers == {STOCK: 10}
    assert planned("many").registers == {STOCK: "many"}
    assert planned(10, document=document_of(write(STOCK, "many", 1))).registers == {STOCK: 10}


def test_two_nodes_that_create_one_product_do_not_add_up() -> None:
    plan = planned(10, create=True, unseen=frozenset({"op1"}))
    assert (plan.registers, plan.superseded, plan.counts) == ({STOCK: 10}, [], {})
    assert planned(10, create=True).counts == {"stock": Decimal(-2)}
    assert planned(10, unseen=frozenset({"op1"})).counts == {"stock": Decimal(-2)}


def test_what_is_written_afresh_is_shown_whatever_was_counted_before() -> None:
    document = document_of(write(STOCK, 12, 1), counts=[{"stock": Decimal(-5)}])
    assert planned(10, document=document, afresh=True).registers == {STOCK: 15}


def test_a_movement_is_added_to_what_the_operation_moved_already() -> None:
    plan = planned({"$inc": -2})
    Counter().plan(plan, "stock", {"$inc": -0.5})
    assert plan.counts == {"stock": Decimal("-2.5")}


@pytest.mark.parametrize("step", [None, "1", True, 10**15, -(10**15), 1e-10])
def test_a_movement_that_is_no_number_of_a_counter_is_refused(step: object) -> None:
    with pytest.raises(UnfitValue, match="below 10\\^15") as refused:
        planned({"$inc": step})
    assert refused.value.where == "stock.$inc"


def test_a_counter_stays_within_its_bound() -> None:
    almost = document_of(write(STOCK, 0, 1), counts=[{"stock": MOST_COUNTED - 5}])
    assert planned({"$inc": 4}, document=almost).counts == {"stock": Decimal(4)}
    with pytest.raises(UnfitValue, match="out of range") as refused:
        planned({"$inc": 5}, document=almost)
    assert refused.value.where == "stock"


def test_an_object_that_is_no_movement_is_an_opening() -> None:
    assert planned({"$inc": 1, "x": 2}).registers == {STOCK: {"$inc": 1, "x": 2}}


def test_a_resolution_writes_the_opening_that_shows_the_decided_amount() -> None:
    document = document_of(write(STOCK, 12, 1), write(STOCK, 20, 2), counts=[{"stock": Decimal(-5)}])
    chosen = record(STOCK, 12, 1)
    assert Counter().decided(document, of(), STOCK, chosen, {"stock": 10}) == 15
    assert Counter().decided(document, of(), STOCK, chosen, {}) == 12
    assert Counter().decided(document, of(), STOCK, chosen, {"stock": "many"}) == "many"


@pytest.mark.parametrize(
    ("data", "shown", "last", "own", "remembered"),
    [
        ({}, 5, 5, None, None),
        ({"price": 1}, None, None, None, None),
        ({}, 4, 5, None, (None, 4)),
        ({"stock": 5}, 5, 5, None, (5, 5)),
        ({"stock": {"$inc": -1}}, 4, 5, 7, (6, 4)),
        ({"stock": {"$inc": -1}}, 4, 5, None, (None, 4)),
        ({"stock": "many"}, "many", 5, 7, (None, "many")),
    ],
)
def test_of_a_row_the_absolute_that_its_author_has_in_mind_is_remembered(
    data: dict, shown: object, last: object, own: object, remembered: object
) -> None:
    assert Counter().remembered("stock", data, shown, last, lambda: own) == remembered


def test_a_movement_says_by_how_much_and_an_opening_its_value() -> None:
    assert Counter().said(record(COUNTED, {"stock": "0.25"}, 1), "stock") == {"moved": 0.25}
    assert Counter().said(record(STOCK, 12, 1), "stock") == 12
    assert Counter().side(record(STOCK, 12, 1)) == {"stock": 12}
    assert Counter().restored(record(STOCK, 12, 1), "stock", 9) == {"stock": 12}
    assert Counter().restored(record(COUNTED, {"stock": "0.25"}, 1), "stock", 9) == {"stock": {"$inc": -0.25}}


@pytest.mark.parametrize("moved", ["many", "", True, None, [1], 1.5, 2**70])
def test_a_movement_that_is_no_total_says_nothing(moved: object) -> None:
    odd = record(COUNTED, {"stock": moved}, 1)
    assert Counter().said(odd, "stock") is ABSENT
    assert Counter().restored(odd, "stock", None) == {}
