"""Fields that are one register together: never one field of one writer with another field of the other."""

from __future__ import annotations

import pytest

from strategies.kinds.group import Group
from strategies.kinds.kind import ABSENT
from strategies.paths import group_path
from tests.strategies.kinds.rig import Planned
from tests.strategies.rig import document_of, of, record, write

PATH = group_path(["total", "discount"])
GROUP = Group(["total", "discount"])


def test_both_fields_are_shown_from_one_record() -> None:
    document = document_of(write(PATH, {"total": 1, "discount": 1}, 1), write(PATH, {"total": 2, "discount": 2}, 2))
    assert [GROUP.show(document, of(), name) for name in ("total", "discount")] == [2, 2]
    first = of("merge_non_conflicting")
    assert [GROUP.show(document, first, name) for name in ("total", "discount")] == [1, 1]


def test_a_field_that_the_record_does_not_hold_is_shown_from_its_own_register() -> None:
    document = document_of(write(PATH, {"total": 1}, 1), write(("discount",), 5, 2))
    assert GROUP.show(document, of(), "discount") == 5
    assert GROUP.show(document_of(write(PATH, {"total": 1}, 1)), of(), "discount") is ABSENT


def test_a_write_of_one_field_joins_the_register_of_all() -> None:
    plan = Planned()
    GROUP.plan(plan, "total", 3)
    GROUP.plan(plan, "discount", 1)
    assert (plan.joined, plan.registers) == ({PATH: {"total": 3, "discount": 1}}, {})


def test_a_resolution_changes_the_fields_that_it_names() -> None:
    chosen = record(PATH, {"total": 1, "discount": 1}, 1)
    assert GROUP.decided(Planned(), PATH, chosen, {"discount": 0}) == {"total": 1, "discount": 0}


@pytest.mark.parametrize("value", [None, 7, []])
def test_a_record_that_holds_no_object_says_nothing(value: object) -> None:
    odd = record(PATH, value, 1)
    assert GROUP.said(odd, "total") is ABSENT
    assert GROUP.side(odd) == {}
    assert GROUP.show(document_of(write(PATH, value, 1)), of(), "total") is ABSENT
