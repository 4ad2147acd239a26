"""What a list changes over many stores is bounded, however many stores and changes there are."""

from __future__ import annotations

import pytest

from node.lists.planning import Entry, Plan, Refusal
from node.runtime.publishing import preview as module
from node.runtime.publishing.preview import LONG, Preview, short


def plan(price: object, before: object = 1, refused: int = 0) -> Plan:
    entry = Entry(2, "p-1", {"price": price}, {"price": before})
    return Plan(changed=[entry], refused=[Refusal(3 + line, "Preço", "x", "no number") for line in range(refused)])


def test_the_same_change_is_counted_and_another_one_stands_beside_it() -> None:
    told = Preview()
    for before in (1, 1, 2, 1.0, True, None):
        told.add(plan(3, before))
    found = [(one["before"], one["stores"]) for one in told.report()["changes"]]  # type: ignore[attr-defined]
    assert found == [(1, 3), (2, 1), (True, 1), (None, 1)]


def test_what_is_created_says_so() -> None:
    told = Preview()
    told.add(Plan(created=[Entry(2, "p-1", {"name": "x"}, None)]))
    told.add(Plan(changed=[Entry(2, "p-1", {"name": "x"}, {"name": None})]))
    changes: list[dict[str, object]] = told.report()["changes"]  # type: ignore[assignment]
    assert [(one["created"], one["stores"]) for one in changes] == [(True, 1), (False, 1)]


def test_so_many_are_kept_and_the_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 2)
    told = Preview()
    for before in (1, 2, 3, 1, 4):
        told.add(plan(9, before, refused=before))
    report = told.report()
    assert ([one["stores"] for one in report["changes"]], report["more"]) == ([2, 1], 2)  # type: ignore[attr-defined]
    assert (len(report["refusals"]), report["refused"]) == (2, 4)  # type: ignore[arg-type]
    assert (report["stores"], report["changed"]) == (5, 5)


@pytest.mark.parametrize("value", ["x" * 1000, ["x" * 1000], {"x": ["y" * 1000]}])
def test_of_a_long_value_its_beginning_is_kept(value: object) -> None:
    said = short(value)
    assert isinstance(said, str)
    assert len(said) <= LONG + 3


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", ["x"], {"x": 1}])
def test_a_short_value_stays_what_it_is(value: object) -> None:
    assert short(value) == value
