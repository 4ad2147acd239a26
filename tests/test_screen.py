"""The plain client's screen: what each kind of operation does to it."""

from __future__ import annotations

from typing import Any

import pytest

from node.screen import Screen, without_version


def operation(kind: str, data: dict[str, Any], entity_type: str = "products", **more: Any) -> dict[str, Any]:
    return {"operation": kind, "entity_type": entity_type, "entity_id": "p", "data": data, **more}


@pytest.fixture
def screen() -> Screen:
    screen = Screen()
    screen.apply(operation("CREATE", {"price": 10, "stock": 4}))
    return screen


def test_create_replaces_the_whole_entity(screen: Screen) -> None:
    screen.apply(operation("CREATE", {"name": "pudim"}))
    assert screen == {("products", "p"): {"name": "pudim"}}


def test_update_merges_fields_and_begins_an_entity_that_is_not_there(screen: Screen) -> None:
    screen.apply(operation("UPDATE", {"price": 12}))
    screen.apply(operation("UPDATE", {"total": 1}, "orders"))
    assert screen["products", "p"] == {"price": 12, "stock": 4}
    assert screen["orders", "p"] == {"total": 1}


def test_delete_removes_an_entity_and_nothing_where_there_is_none(screen: Screen) -> None:
    screen.apply(operation("DELETE", {}))
    screen.apply(operation("DELETE", {}))
    assert screen == {}


def test_bulk_update_merges_each_of_its_items(screen: Screen) -> None:
    updates = [{"entity_id": "p", "data": {"price": 1}}, {"entity_id": "q", "data": {"price": 2}}]
    screen.apply({"operation": "BULK_UPDATE", "entity_type": "products", "data": {"updates": updates}})
    assert screen == {("products", "p"): {"price": 1, "stock": 4}, ("products", "q"): {"price": 2}}


def test_what_is_shown_is_a_copy_of_what_came(screen: Screen) -> None:
    came = operation("CREATE", {"price": 1})
    screen.apply(came)
    screen.apply(operation("UPDATE", {"price": 2}))
    assert came["data"] == {"price": 1}


def test_the_last_operation_applied_wins_whatever_its_version_or_seq(screen: Screen) -> None:
    screen.apply(operation("UPDATE", {"price": 20, "version": 9}, version=9, seq=7))
    screen.apply(operation("UPDATE", {"price": 30, "version": 2}, version=2, seq=3))
    assert screen["products", "p"]["price"] == 30


@pytest.mark.parametrize(("before", "step", "after"), [(4, -3, 1), (0.1, 0.2, 0.3), (1.5, 0.5, 2), ("few", 2, 2)])
def test_a_movement_of_a_counter_is_added_exactly(screen: Screen, before: Any, step: Any, after: Any) -> None:
    screen.apply(operation("UPDATE", {"stock": before}))
    screen.apply(operation("UPDATE", {"stock": {"$inc": step}}))
    assert screen["products", "p"]["stock"] == after


@pytest.mark.parametrize("before", [4, "few", None])
def test_a_count_replaces_what_was_there(screen: Screen, before: Any) -> None:
    screen.apply(operation("UPDATE", {"stock": before}))
    screen.apply(operation("UPDATE", {"stock": {"$set": 30}}))
    assert screen["products", "p"]["stock"] == 30


@pytest.mark.parametrize(
    "value",
    [
        {"$inc": "many"},
        {"$set": "many"},
        {"$inc": 1, "by": 2},
        {"$set": 1, "by": 2},
        {"$inc": 1, "$set": 2},
        {"$inc": None},
        {},
        None,
    ],
)
def test_what_is_no_movement_is_shown_as_it_came(screen: Screen, value: object) -> None:
    screen.apply(operation("UPDATE", {"stock": value}))
    assert screen["products", "p"]["stock"] == value


def test_a_movement_of_a_field_that_is_no_counter_is_an_ordinary_object(screen: Screen) -> None:
    screen.apply(operation("UPDATE", {"price": {"$inc": 1}}))
    assert screen["products", "p"]["price"] == {"$inc": 1}
    configured = Screen({"products": ["price"]})
    configured.apply(operation("UPDATE", {"price": {"$inc": 1}}))
    assert configured["products", "p"]["price"] == 1


def test_versions_are_left_out_of_what_is_compared(screen: Screen) -> None:
    screen.apply(operation("UPDATE", {"version": 3}))
    screen.apply(operation("CREATE", {"version": 1}, "orders"))
    assert screen.shown("products") == {"p": {"price": 10, "stock": 4}}
    assert screen.shown("orders") == {"p": {}}
    assert without_version({"p": {"version": 1, "a": 2}}) == {"p": {"a": 2}}
