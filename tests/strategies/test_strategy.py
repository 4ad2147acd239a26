"""Orders of siblings, and what a deletion had not seen: the same whatever the order in which the records came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.json_values import canonical
from strategies.paths import DELETED_AT, SETTLEMENT
from strategies.policy import STRATEGIES
from strategies.strategy import distinct, unseen_by
from tests.strategies.rig import record

if TYPE_CHECKING:
    from crdt.records import FieldRecord

PATH = ("name",)


@st.composite
def siblings(draw: st.DrawFn) -> list[FieldRecord]:
    """Records of one register, each by an operation of its own, with times that often collide."""
    count = draw(st.integers(1, 5))
    small = st.integers(0, 2)
    return [
        record(PATH, draw(small), draw(small), f"t{draw(small)}", operation=f"op{n}", rank=draw(small))
        for n in range(count)
    ]


@given(siblings(), st.sampled_from(sorted(STRATEGIES)), st.randoms(use_true_random=False))
def test_the_shown_sibling_does_not_depend_on_the_order_of_arrival(records: list, name: str, random: object) -> None:
    arrived = list(records)
    random.shuffle(arrived)  # type: ignore[attr-defined]
    ordered = STRATEGIES[name].ordered(records)
    assert ordered == STRATEGIES[name].ordered(arrived)
    assert sorted(map(id, ordered)) == sorted(map(id, records))


@given(siblings(), st.randoms(use_true_random=False))
def test_whether_siblings_differ_does_not_depend_on_their_order(records: list, random: object) -> None:
    arrived = list(records)
    random.shuffle(arrived)  # type: ignore[attr-defined]
    assert distinct(records) == distinct(arrived) == (len({canonical(r.value) for r in records}) > 1)


def test_copies_of_one_operation_are_one_value_and_two_contents_under_one_name_are_two() -> None:
    assert not distinct([record(PATH, 1, 1, "t", operation="op"), record(PATH, 1.0, 2, "t", operation="op")])
    assert distinct([record(PATH, 1, 1, "t", operation="op"), record(PATH, 2, 2, "t", operation="op")])


@pytest.mark.parametrize(
    ("strategy", "shown"),
    [("last_write_wins", 9), ("merge_changes", 9), ("merge_non_conflicting", 3), ("manual_resolution", 3)],
)
def test_two_strategies_show_the_latest_value_and_two_the_first(strategy: str, shown: int) -> None:
    first, latest = record(PATH, 3, 3), record(PATH, 9, 9)
    assert STRATEGIES[strategy].ordered([latest, first])[0].value == shown
    assert STRATEGIES[strategy].ordered([first, latest])[0].value == shown


def test_a_later_edit_keeps_the_rank_of_what_it_replaced() -> None:
    challenger, edited = record(PATH, "b", 2), record(PATH, "a2", 5, rank=1)
    assert STRATEGIES["merge_non_conflicting"].ordered([challenger, edited])[0] is edited


def test_a_write_to_a_contested_field_of_a_customer_leaves_the_challengers() -> None:
    shown, own, other = record(PATH, 1, 1, "x"), record(PATH, 2, 2, "me"), record(PATH, 3, 3, "y")
    every = [shown, own, other]
    assert STRATEGIES["merge_non_conflicting"].superseded(every, every, "me") == [shown, own]
    assert STRATEGIES["last_write_wins"].superseded(every, every, "me") == every


def test_a_write_to_a_field_that_is_agreed_on_replaces_all_that_was_seen() -> None:
    every = [record(PATH, 1, 1, "x"), record(PATH, 1, 3, "y")]
    assert STRATEGIES["merge_non_conflicting"].superseded(every, every, "me") == every


@pytest.mark.parametrize(
    ("strategy", "earlier", "later"),
    [
        ("last_write_wins", False, True),
        ("merge_changes", True, True),
        ("merge_non_conflicting", True, True),
        ("manual_resolution", True, True),
    ],
)
def test_only_orders_ask_whether_the_unseen_write_came_after_the_deletion(
    strategy: str, earlier: bool, later: bool
) -> None:
    deletion = record(DELETED_AT, {"at": "x", "saw": []}, 5)
    rule = STRATEGIES[strategy]
    assert rule.survives([deletion], [record(PATH, 1, 4)]) is earlier
    assert rule.survives([deletion], [record(PATH, 1, 6)]) is later
    assert rule.survives([deletion], []) is False


def test_a_deletion_has_seen_what_it_names_and_what_its_own_terminal_wrote_before() -> None:
    deletion = record(DELETED_AT, {"at": "x", "saw": ["t9/named"]}, 5, "me", operation="delete")
    seen = [
        record(PATH, 1, 9, operation="named"),
        record(PATH, 1, 4, "me"),
        record(("other",), 1, 5, "me", operation="delete"),
        record(DELETED_AT, {}, 9),
        record((SETTLEMENT, "op:7"), {}, 9),
    ]
    unseen = [record(PATH, 2, 6, "me"), record(PATH, 3, 1, "you")]
    unseen += [record(PATH, 1, 8, operation="named"), record(PATH, 1, 5, "you", operation="delete")]
    assert unseen_by(deletion, [*seen, *unseen]) == unseen


@pytest.mark.parametrize("value", [None, [], {"at": "x"}, {"saw": 7}, {"saw": None}])
def test_a_deletion_of_another_shape_has_seen_nothing(value: object) -> None:
    written = record(PATH, 1, 1, "you")
    assert unseen_by(record(DELETED_AT, value, 5, "me"), [written]) == [written]
