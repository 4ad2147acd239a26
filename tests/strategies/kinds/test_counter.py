"""Counters: what an absolute value means, what is shown, and the limits of both."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.counter import MOST_COUNTED, Counter, count_from, count_of, stored
from strategies.kinds.kind import ABSENT, After, Count, UnfitValue
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


@pytest.mark.parametrize(
    ("opening", "moved", "found"),
    [
        (12, -5, 7),
        ([30, -5], -5, 30),  # counted when five had been taken
        ([30, -5], -7, 28),
        ([None, -5], -5, ABSENT),  # nobody has counted it since it was created again
        ([None, -5], -7, -2),
        (None, -5, None),
        ("many", -5, "many"),  # of a field that was no counter
    ],
)
def test_what_was_moved_before_an_opening_is_in_it(opening: object, moved: int, found: object) -> None:
    assert shown(document_of(write(STOCK, opening, 1), counts=[{"stock": Decimal(moved)}])) == found


def test_two_openings_that_come_to_the_same_are_one_value() -> None:
    one, other, third = (record(STOCK, value, 1) for value in (35, [30, -5], [29, -5]))
    assert (
        Counter().compared(one, document_of())
        == Counter().compared(other, document_of())
        != Counter().compared(third, document_of())
    )


def test_a_settlement_that_two_nodes_wrote_counts_once() -> None:
    settled = [write((SETTLEMENT, "op:7"), {"stock": 2}, at) for at in (2, 3)]
    assert shown(document_of(write(STOCK, 5, 1), *settled)) == 7
    assert count_of(document_of(*settled), of(), "stock") == Count(None, Decimal(2))


def test_an_absolute_moves_the_counter_by_what_its_author_last_knew() -> None:
    assert planned(10, known=Count(Decimal(11), Decimal(0))).counts == {"stock": Decimal(-1)}
    assert planned(10).counts == {"stock": Decimal(-2)}  # nothing is known: what is there
    assert planned(12).counts == {}
    assert planned(10).registers == planned(10).added == {}


def test_a_copy_of_the_number_that_is_shown_moves_nothing() -> None:
    exact = Decimal("899999999999998.500000001")  # of two nodes; no double holds it
    assert planned(899999999999998.5, known=Count(exact, Decimal(0))).counts == {}
    merged = document_of(write(STOCK, 899999999999998.5, 1), counts=[{"stock": Decimal("1E-9")}])
    assert planned(5, known=Count(exact, Decimal("1E-9")), document=merged).counts == {"stock": 5 - exact}


def test_the_first_value_is_the_opening() -> None:
    assert planned(10, document=document_of()).added == {STOCK: 10}
    assert planned(10, document=document_of(write(STOCK, "many", 1))).added == {STOCK: 10}


def test_what_was_moved_before_the_first_count_is_in_it() -> None:
    delivered = document_of(counts=[{"stock": Decimal(10)}])
    assert planned(3, document=delivered).counts == {"stock": Decimal(-7)}
    assert planned(10, document=delivered).counts == {}
    unseen = planned(3, document=delivered, create=True)
    assert (unseen.added, unseen.counts) == ({STOCK: 3}, {})


def test_null_closes_a_counter_and_the_next_count_opens_it_without_what_was_moved() -> None:
    sold = document_of(write(STOCK, 50, 1), counts=[{"stock": Decimal(-10)}])
    closed = planned(None, document=sold)
    assert (closed.added, closed.minds["stock"]) == ({STOCK: None}, Count(None, Decimal(-10), True))
    nothing = document_of(write(STOCK, None, 1), counts=[{"stock": Decimal(-10)}])
    assert planned(None, document=nothing).added == {}
    assert planned(200, document=nothing).added == {STOCK: [200, -10]}
    assert planned({"$inc": 5}, document=nothing).minds["stock"] == Count(None, Decimal(-5), True)


def test_a_count_includes_what_its_author_had_seen_moved() -> None:
    sold = document_of(write(STOCK, 50, 1), counts=[{"stock": Decimal(-10)}, {"stock": Decimal(-3)}])
    assert planned({"$set": 30}, document=sold).added == {STOCK: [30, -13]}
    before = Count(Decimal(40), Decimal(-10))
    assert planned({"$set": 30}, document=sold, known=before).added == {STOCK: [30, -10]}
    assert planned({"$set": 30}, document=sold, known=Count(Decimal(40), None)).added == {STOCK: [30, -10]}


def test_what_an_author_has_in_mind_includes_its_own_movements() -> None:
    known = Count(Decimal(100), Decimal(-4))
    assert planned({"$inc": -2}, known=known).minds["stock"] == Count(Decimal(98), Decimal(-6))
    assert planned(97, known=known).minds["stock"] == Count(Decimal(97), Decimal(-7))
    assert planned({"$set": 97}, known=known).minds["stock"] == Count(Decimal(97), Decimal(-4))
    assert planned({"$inc": 24}, document=document_of()).minds["stock"] == Count(Decimal(24), Decimal(24))


def test_two_nodes_that_create_one_product_do_not_add_up() -> None:
    plan = planned(10, create=True, unseen=frozenset({"op1"}))
    assert (plan.added, plan.superseded, plan.counts) == ({STOCK: 10}, [], {})
    assert planned(10, create=True).counts == {"stock": Decimal(-2)}
    assert planned(10, unseen=frozenset({"op1"})).counts == {"stock": Decimal(-2)}


def test_what_is_written_afresh_is_shown_whatever_was_counted_before() -> None:
    document = document_of(write(STOCK, 12, 1), counts=[{"stock": Decimal(-5)}])
    assert planned(10, document=document, afresh=True).added == {STOCK: [10, -5]}
    moved = planned({"$inc": 2}, document=document, afresh=True)
    assert (moved.registers, moved.minds["stock"]) == ({STOCK: [None, -5]}, Count(Decimal(2), Decimal(-3)))
    unnamed = Planned(document=document, afresh=True)
    Counter().unnamed(unnamed, "stock")
    assert unnamed.registers == {STOCK: [None, -5]}


def test_a_movement_is_added_to_what_the_operation_moved_already() -> None:
    plan = planned({"$inc": -2})
    Counter().plan(plan, "stock", {"$inc": -0.5})
    assert plan.counts == {"stock": Decimal("-2.5")}


NO_NUMBERS = [
    "9,5",
    "9",
    "",
    True,
    False,
    {},
    [],
    [30, -5],
    1e300,
    10**15,
    -(10**15),
    1e-10,
    {"inc": -1},
    {"$inc": 1, "x": 2},
    {"$inc": 1, "$set": 2},
    {"$add": 1},
]


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("words", [{}, {"create": True}, {"afresh": True}, {"document": document_of()}])
def test_what_is_no_number_of_a_counter_is_refused_by_name(value: object, words: dict) -> None:
    with pytest.raises(UnfitValue) as refused:
        planned(value, **words)
    assert refused.value.where == "stock"
    with pytest.raises(UnfitValue):
        Counter().decided(Planned(**words), STOCK, record(STOCK, 12, 1), {"stock": value})


@pytest.mark.parametrize("word", ["$inc", "$set"])
@pytest.mark.parametrize("step", [None, "1", True, 10**15, -(10**15), 1e-10, [], {}])
def test_a_movement_that_is_no_number_of_a_counter_is_refused(step: object, word: str) -> None:
    with pytest.raises(UnfitValue, match="below 10\\^15") as refused:
        planned({word: step})
    assert refused.value.where == f"stock.{word}"


@pytest.mark.parametrize(("there", "step"), [(899999999999998.5, 1e-9), (999999999999999, 1), (-999999999999999, -1)])
def test_a_sum_that_no_number_shows_exactly_is_refused(there: float, step: float) -> None:
    document = document_of(write(STOCK, there, 1))
    with pytest.raises(UnfitValue, match="exactly") as refused:
        planned({"$inc": step}, document=document)
    assert refused.value.where == "stock.$inc"
    assert planned({"$inc": -2 * step}, document=document_of(write(STOCK, 5, 1))).counts == {
        "stock": Decimal(repr(-2 * step))
    }


def test_a_counter_stays_within_its_bound() -> None:
    closed = document_of(write(STOCK, None, 1), counts=[{"stock": MOST_COUNTED - 5}])
    assert planned({"$inc": 4}, document=closed).counts == {"stock": Decimal(4)}
    with pytest.raises(UnfitValue, match="out of range") as refused:
        planned({"$inc": 5}, document=closed)
    assert refused.value.where == "stock.$inc"


def test_a_resolution_writes_the_opening_that_shows_the_decided_amount() -> None:
    document = document_of(write(STOCK, 12, 1), write(STOCK, 20, 2), counts=[{"stock": Decimal(-5)}])
    chosen = record(STOCK, 12, 1)
    plan = Planned(document=document)
    assert Counter().decided(plan, STOCK, chosen, {"stock": 10}) == [10, -5]
    assert Counter().decided(plan, STOCK, chosen, {"stock": None}) is None
    assert Counter().decided(plan, STOCK, chosen, {}) == 12
    assert Counter().decided(plan, STOCK, chosen, {"stock": {"$inc": 3}}) == 12
    assert plan.counts == {"stock": Decimal(3)}


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_a_record_that_another_node_wrote_has_to_be_an_opening(value: object) -> None:
    assert (Counter().misfit(value) is None) == (value == [30, -5])
    assert Counter().misfit(9.5) is Counter().misfit(None) is Counter().misfit([None, "0.5"]) is None


NINE = [9, 0, False]


@pytest.mark.parametrize(
    ("mind", "last", "remembered"),
    [
        (None, None, (None, NINE)),
        (None, NINE, None),
        (None, [10, 0, False], (None, NINE)),
        (Count(Decimal("7.5"), Decimal(-2)), NINE, (["7.5", -2, False], NINE)),
    ],
)
def test_of_a_row_what_its_author_has_in_mind_is_remembered(
    mind: Count | None, last: object, remembered: object
) -> None:
    document = document_of(write(STOCK, 9, 1))
    after = After(document, of(), {}, {} if mind is None else {"stock": mind}, {"stock": 9})
    assert Counter().remembered("stock", after, last) == remembered


@given(AMOUNTS | st.none(), AMOUNTS | st.none(), st.booleans())
def test_a_count_that_was_stored_is_found_again(amount: Decimal | None, moved: Decimal | None, closed: bool) -> None:
    count = Count(amount, moved, closed)
    assert count_from(orjson.loads(orjson.dumps(stored(count)))) == count
    assert count_from(None) is count_from([1, 2]) is count_from(["many", 0, False]) is None


def test_a_movement_says_by_how_much_and_an_opening_its_value() -> None:
    assert Counter().said(record(COUNTED, {"stock": "0.25"}, 1), "stock") == {"moved": 0.25}
    assert Counter().said(record(STOCK, 12, 1), "stock") == 12
    assert Counter().said(record(STOCK, [30, -5], 1), "stock") == 30
    assert Counter().said(record(STOCK, [None, -5], 1), "stock") is ABSENT
    assert Counter().side(record(STOCK, 12, 1)) == {"stock": 12}
    assert Counter().restored(record(STOCK, [30, -5], 1), "stock", 9) == {"stock": 30}
    assert Counter().restored(record(COUNTED, {"stock": "0.25"}, 1), "stock", 9) == {"stock": {"$inc": -0.25}}


@pytest.mark.parametrize("moved", ["many", "", True, None, [1], 1.5, 2**70])
def test_a_movement_that_is_no_total_says_nothing(moved: object) -> None:
    odd = record(COUNTED, {"stock": moved}, 1)
    assert Counter().said(odd, "stock") is ABSENT
    assert Counter().restored(odd, "stock", None) == {}
