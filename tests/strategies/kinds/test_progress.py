"""A ranked status: the most advanced of several is shown, and who may not take it back loses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.kinds.kind import FieldKind
from strategies.kinds.progress import Progress
from tests.strategies.kinds.rig import Planned
from tests.strategies.rig import RANKS, document_of, of, record, write

STATUS = ("status",)
KIND = Progress(FieldKind("progress", RANKS, ("pos",)))
VALUES = st.sampled_from([*RANKS, "?", None, 7])


@given(st.lists(st.tuples(VALUES, st.integers(1, 3)), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_no_sibling_is_more_advanced_than_the_shown_one(found: list, random: object) -> None:
    siblings = [record(STATUS, value, at, operation=f"op{n}") for n, (value, at) in enumerate(found)]
    ordered = KIND.ordered(siblings)
    ranks = [KIND.rank(r.value) for r in ordered]
    assert ranks == sorted(ranks, reverse=True)
    random.shuffle(siblings)  # type: ignore[attr-defined]
    assert KIND.ordered(siblings) == ordered


def test_of_two_equally_advanced_the_later_comes_first() -> None:
    early, late = record(STATUS, "?", 1), record(STATUS, "!", 2)
    assert KIND.ordered([early, late]) == [late, early]


@pytest.mark.parametrize(
    ("terminal_type", "afresh", "value", "replaced"),
    [
        ("kds", False, "ready", []),
        ("kds", False, "?", []),
        ("kds", False, "paid", ["op1"]),
        ("pos", False, "ready", ["op1"]),
        ("kds", True, "ready", []),
    ],
)
def test_a_lower_status_is_written_beside_the_higher_one_by_who_may_not_take_it_back(
    terminal_type: str, afresh: bool, value: str, replaced: list[str]
) -> None:
    document = document_of(write(STATUS, "paid", 1))
    plan = Planned(document=document, terminal_type=terminal_type, afresh=afresh)
    KIND.plan(plan, "status", value)
    assert plan.registers == {STATUS: value}
    assert plan.superseded == replaced


def test_the_most_advanced_is_shown_under_every_strategy() -> None:
    document = document_of(write(STATUS, "paid", 1), write(STATUS, "pending", 0), write(STATUS, "ready", 2))
    for strategy in ("last_write_wins", "merge_non_conflicting"):
        policy = of(strategy)
        assert policy.kinds.of("status").show(document, policy, "status") == "paid"
