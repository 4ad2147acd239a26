"""Why a field shows what it shows, and what an operation writes to bring a record back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from strategies import explain
from strategies.explain import conflicts_of, reason, restored, said_of, shown_of, shows_from
from strategies.kinds.kind import ABSENT
from strategies.paths import COUNTED, DELETED_AT, WHOLE, group_path
from strategies.view import view_of
from tests.strategies.rig import document_of, of, record, write

if TYPE_CHECKING:
    from crdt.records import NewField

GROUP = group_path(["total", "discount"])
DELETE = write(DELETED_AT, {"at": "noon", "saw": ["t1/op1", "t2/op2"]}, 9)


def codes(
    name: str, *writes: NewField, strategy: str = "last_write_wins", decided: tuple[str, ...] = ()
) -> list[str]:
    document = document_of(*writes)
    return list(reason(view_of("orders", "m", of(strategy), document), document, name, decided).codes)


@pytest.mark.parametrize(
    ("strategy", "name", "writes", "expected"),
    [
        ("last_write_wins", "a", [], ["unwritten"]),
        ("last_write_wins", "version", [], ["counted"]),
        ("last_write_wins", "a", [write(("a",), 1, 1)], ["only"]),
        ("last_write_wins", "a", [write(("a",), 1, 1), write(("a",), 1, 2)], ["agreed"]),
        ("last_write_wins", "a", [write(("a",), 1, 1), write(("a",), 2, 2)], ["latest"]),
        ("merge_changes", "a", [write(("a",), 1, 1), write(("a",), 2, 2)], ["latest"]),
        ("merge_non_conflicting", "a", [write(("a",), 1, 1), write(("a",), 2, 2)], ["first_written"]),
        ("manual_resolution", "a", [write(WHOLE, {"a": 1}, 1)], ["whole_entity", "only"]),
        (
            "manual_resolution",
            "a",
            [write(WHOLE, {"a": 1}, 1), write(WHOLE, {"a": 2}, 2)],
            ["whole_entity", "first_written"],
        ),
        (
            "last_write_wins",
            "status",
            [write(("status",), "paid", 1), write(("status",), "ready", 2)],
            ["most_advanced"],
        ),
        ("last_write_wins", "stock", [write(("stock",), 5, 1)], ["counter"]),
        ("last_write_wins", "items", [write(("items",), [], 1)], ["keyed_list"]),
        ("last_write_wins", "total", [write(GROUP, {"total": 1}, 1)], ["group", "only"]),
        ("last_write_wins", "total", [write(("total",), 1, 1), write(GROUP, {"total": 1}, 2)], ["group", "only"]),
        ("last_write_wins", "a", [write(COUNTED, {"a": 1}, 1)], ["unwritten"]),
        ("last_write_wins", "a", [write(("a",), 1, 1), write(("b",), 1, 2), DELETE], ["only", "deleted"]),
        ("last_write_wins", "a", [write(("a",), 1, 20), DELETE], ["only", "revived"]),
    ],
)
def test_the_rule_that_shows_a_value_is_named(
    strategy: str, name: str, writes: list[NewField], expected: list[str]
) -> None:
    assert codes(name, *writes, strategy=strategy) == expected


def test_a_decision_is_named_while_the_value_it_wrote_is_shown() -> None:
    assert codes("a", write(("a",), 1, 1), decided=("t1/op1",)) == ["only", "decided"]
    assert codes("a", write(("a",), 1, 1), decided=("t2/op2",)) == ["only"]
    contested = [write(("a",), 1, 1), write(("a",), 2, 2)]
    assert codes("a", *contested, decided=("t2/op2",)) == ["latest"]


def test_the_sentences_count_the_writes() -> None:
    document = document_of(*(write(("a",), n, n) for n in range(1, 4)))
    found = reason(view_of("orders", "m", of(), document), document, "a", ())
    assert found.pt == explain.LATEST.pt.replace("{n}", "3")
    assert found.en == "Of 3 concurrent writes the one with the latest effective time is shown."


@pytest.mark.parametrize(
    ("path", "value", "name", "said", "data"),
    [
        (("a",), 7, "a", 7, {"a": 7}),
        (WHOLE, {"a": 7, "b": 8}, "a", 7, {"a": 7, "b": 8}),
        (WHOLE, {"b": 8}, "a", ABSENT, {"b": 8}),
        (GROUP, {"total": 7, "discount": 1}, "total", 7, {"total": 7, "discount": 1}),
        (COUNTED, {"stock": -2}, "stock", {"moved": -2}, {"stock": {"$inc": 2}}),
        (COUNTED, {"stock": "-2.5"}, "stock", {"moved": -2.5}, {"stock": {"$inc": 2.5}}),
        (COUNTED, {"points": 1}, "stock", ABSENT, {}),
        (("items", "2"), ["V", {"id": "2"}], "items", {"id": "2"}, {"items": [{"id": "1"}, {"id": "2"}]}),
        (("items",), [1, 2], "items", [1, 2], {"items": [1, 2]}),
        (DELETED_AT, {"at": "noon", "saw": []}, "deleted_at", "noon", {"deleted_at": "noon"}),
    ],
)
def test_a_record_says_something_of_a_field_and_can_be_brought_back(
    path: tuple[str, ...], value: object, name: str, said: object, data: dict[str, object]
) -> None:
    shown = document_of(write(("items",), [], 1), write(("items", "1"), ["U", {"id": "1"}], 2))
    view = view_of("orders", "m", of(), shown)
    written = record(path, value, 3)
    assert said_of(written, name, of()) == said
    assert restored(written, name, view) == data


def test_an_element_that_is_brought_back_takes_the_place_of_the_present_one() -> None:
    shown = document_of(write(("items",), [], 1), write(("items", "1"), ["U", {"id": "1", "n": 2}], 2))
    view = view_of("orders", "m", of(), shown)
    assert restored(record(("items", "1"), ["U", {"id": "1", "n": 1}], 3), "items", view) == {
        "items": [{"id": "1", "n": 1}]
    }


def test_a_field_that_joined_a_group_is_shown_from_one_register_only() -> None:
    before, after = write(("total",), 5, 1), write(GROUP, {"total": 7}, 2)
    document = document_of(before, after)
    view = view_of("orders", "m", of(), document)
    assert view.fields["total"] == 7
    assert not shows_from(view, document, ("total",), "total")
    assert shows_from(view, document, GROUP, "total")


def test_a_field_that_the_group_does_not_hold_yet_is_shown_from_its_own_register() -> None:
    document = document_of(write(("total",), 5, 1), write(GROUP, {"discount": 7}, 2))
    view = view_of("orders", "m", of(), document)
    assert view.fields["total"] == 5
    assert shows_from(view, document, ("total",), "total")
    assert not shows_from(view, document, GROUP, "total")


def test_a_field_that_nobody_wrote_is_absent_from_its_group_and_not_from_its_own_register() -> None:
    document = document_of(write(GROUP, {"discount": 7}, 1))
    view = view_of("orders", "m", of(), document)
    assert shows_from(view, document, GROUP, "total")
    assert not shows_from(view, document, ("total",), "total")


def test_a_field_of_two_groups_is_shown_from_the_one_that_is_declared_now() -> None:
    earlier = group_path(["total", "tip"])
    document = document_of(write(GROUP, {"total": 7}, 1), write(earlier, {"total": 8}, 2))
    view = view_of("orders", "m", of(), document)
    assert view.fields["total"] == 7
    assert not shows_from(view, document, earlier, "total")


def test_a_group_of_an_earlier_configuration_shows_nothing() -> None:
    document = document_of(write(group_path(["a", "b"]), {"a": 7}, 1))
    view = view_of("orders", "m", of(), document)
    assert "a" not in view.fields
    assert not shows_from(view, document, group_path(["a", "b"]), "a")


def test_of_siblings_those_that_say_the_shown_value_are_shown() -> None:
    document = document_of(write(("a",), 1, 1), write(("a",), 2, 2), write(("a",), 2, 3))
    view = view_of("orders", "m", of(), document)
    assert [r.operation for r in shown_of(view, ("a",), document.siblings(("a",)))] == ["op2", "op3"]


def test_the_conflict_that_freezes_an_entity_concerns_each_of_its_fields() -> None:
    document = document_of(write(WHOLE, {"a": 1}, 1), write(WHOLE, {"a": 2}, 2))
    view = view_of("orders", "m", of("manual_resolution"), document)
    assert conflicts_of(view, "b") == [view.conflicts[WHOLE]]
    deleted = document_of(write(WHOLE, {"a": 1}, 1), write(DELETED_AT, {"at": "noon", "saw": []}, 2))
    view = view_of("orders", "m", of("manual_resolution"), deleted)
    assert conflicts_of(view, "b") == [view.conflicts[DELETED_AT]]
    fields = view_of("orders", "m", of(), document_of(write(("a",), 1, 1), write(("a",), 2, 2)))
    assert conflicts_of(fields, "a") == [fields.conflicts["a",]]
    assert conflicts_of(fields, "b") == []


def test_movements_of_a_counter_are_no_values_of_it() -> None:
    document = document_of(write(("stock",), 5, 1), write(COUNTED, {"stock": -2}, 2), counts=[{"stock": Decimal(-2)}])
    view = view_of("orders", "m", of(), document)
    assert view.fields["stock"] == 3
    assert reason(view, document, "stock", ()).codes == ("counter",)
