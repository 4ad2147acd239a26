"""What is the same operation: by what it says, and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from storage.understood import content_of, understood

UPDATE: dict[str, Any] = {
    "id": "1",
    "entity_type": "orders",
    "entity_id": "o",
    "operation": "UPDATE",
    "data": {"a": 1},
}
ITEMS = [{"entity_id": "p", "data": {"stock": 1}}, {"entity_id": "q", "data": {"stock": 2}}]
BULK: dict[str, Any] = {"id": "1", "entity_type": "products", "operation": "BULK_UPDATE", "data": {"updates": ITEMS}}
DELETE: dict[str, Any] = {"id": "1", "entity_type": "orders", "entity_id": "o", "operation": "DELETE"}
DECISION = {**UPDATE, "resolves": "conflict-1", "resolution": "accept_local"}


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (UPDATE, {**UPDATE, "data": {"a": 1.0}}),
        (
            UPDATE,
            {**UPDATE, "timestamp": "2026-01-15T10:00:00.000Z", "user_id": "lia", "version": 3, "colour": "red"},
        ),
        (BULK, {**BULK, "entity_id": "p"}),
        (BULK, {**BULK, "data": {"updates": ITEMS[::-1]}}),
        (BULK, {**BULK, "data": {"updates": [{**item, "colour": "red"} for item in ITEMS]}}),
        (DELETE, {**DELETE, "data": None}),
        (DELETE, {**DELETE, "data": {}}),
    ],
)
def test_what_is_understood_alike_is_the_same(first: dict[str, Any], again: dict[str, Any]) -> None:
    assert understood(first) == understood(again)
    assert 0 <= content_of(understood(first)) < 2**23


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (UPDATE, {**UPDATE, "data": {"a": True}}),
        (UPDATE, {**UPDATE, "data": {"a": "1"}}),
        (UPDATE, {**UPDATE, "data": {"a": 1, "version": 2}}),
        (UPDATE, {**UPDATE, "entity_id": "p"}),
        (UPDATE, {**UPDATE, "entity_type": "products"}),
        (UPDATE, {**UPDATE, "operation": "CREATE"}),
        (UPDATE, DECISION),
        (DECISION, {**DECISION, "resolution": "accept_remote"}),
        (DECISION, {**DECISION, "resolves": "conflict-2"}),
        (BULK, {**BULK, "data": {"updates": ITEMS[:1]}}),
        (DELETE, {**DELETE, "data": {"deleted_at": "2026-01-15T10:00:00.000Z"}}),
    ],
)
def test_what_says_something_else_is_another_operation(first: dict[str, Any], other: dict[str, Any]) -> None:
    assert understood(first) != understood(other)
