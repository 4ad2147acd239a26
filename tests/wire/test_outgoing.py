"""What the node sends, against the examples of the protocol document: same fields, same order, same values."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from node.wire import outgoing

AT = "2024-01-15T10:30:00.000Z"
TOKEN = {"authority": "hub", "epoch": "e1", "counter": 7}
CONFLICT = {
    "id": "conflict-456",
    "type": "version_conflict",
    "entity_type": "orders",
    "entity_id": "order-789",
    "local_data": {"status": "paid", "version": 3},
    "remote_data": {"status": "preparing", "version": 2},
    "local_version": 3,
    "remote_version": 2,
    "created_at": AT,
}
OPERATION = {"id": "op-123456", "entity_type": "orders", "entity_id": "order-789", "data": {"total": 25.5}}

CASES: list[tuple[bytes, dict[str, Any], dict[str, Any]]] = [
    (
        outgoing.connection_established("pos-001", AT, "550e8400-e29b-41d4-a716-446655440000"),
        {
            "type": "connection_established",
            "terminal_id": "pos-001",
            "server_time": AT,
            "session_id": "550e8400-e29b-41d4-a716-446655440000",
        },
        {},
    ),
    (outgoing.pong(AT), {"type": "pong", "server_time": AT}, {}),
    (outgoing.data_sync(OPERATION), {"type": "data_sync", "operation": OPERATION}, {}),
    (
        outgoing.sync_confirmation("op-123456", "kds-001", AT, 3, "merged"),
        {"type": "sync_confirmation", "operation_id": "op-123456", "terminal_id": "kds-001", "timestamp": AT},
        {"version": 3, "status": "merged"},
    ),
    (
        outgoing.sync_error(
            "op-123456", "Could not acquire entity lock", "orders", "order-789", "pos-001", 4009, locked_by="pos-002"
        ),
        {
            "type": "sync_error",
            "operation_id": "op-123456",
            "error": "Could not acquire entity lock",
            "entity_type": "orders",
            "entity_id": "order-789",
            "terminal_id": "pos-001",
        },
        {"code": 4009, "locked_by": "pos-002"},
    ),
    (outgoing.sync_conflict(CONFLICT), {"type": "sync_conflict", "conflict": CONFLICT}, {}),
    (
        outgoing.conflict_closed("conflict-456", "accept_remote", {"version": 4}, "pos-001", "op-9"),
        {
            "type": "conflict_resolution",
            "conflict_id": "conflict-456",
            "resolution": "accept_remote",
            "resolved_data": {"version": 4},
            "terminal_id": "pos-001",
        },
        {"operation_id": "op-9", "state": "closed"},
    ),
    (
        outgoing.lock_acquired("lock-123456", "orders", "order-789", AT, TOKEN, "local"),
        {
            "type": "lock_acquired",
            "lock_id": "lock-123456",
            "entity_type": "orders",
            "entity_id": "order-789",
            "expires_at": AT,
        },
        {"token": TOKEN, "scope": "local"},
    ),
    (
        outgoing.lock_failed("orders", "order-789", "Already locked by pos-002", "pos-002", AT, "lock-1"),
        {
            "type": "lock_failed",
            "entity_type": "orders",
            "entity_id": "order-789",
            "reason": "Already locked by pos-002",
            "locked_by": "pos-002",
            "locked_until": AT,
        },
        {"lock_id": "lock-1"},
    ),
    (
        outgoing.lock_released("lock-1", "orders", "order-789"),
        {"type": "lock_released", "lock_id": "lock-1", "entity_type": "orders", "entity_id": "order-789"},
        {},
    ),
    (
        outgoing.terminal_status_update({"pos-001": {"type": "pos", "status": "online"}}, 1, AT),
        {
            "type": "terminal_status_update",
            "terminals": {"pos-001": {"type": "pos", "status": "online"}},
            "total_online": 1,
            "timestamp": AT,
        },
        {},
    ),
    (
        outgoing.performance_metrics("pos-001", {"websocket_latency": 8}, AT),
        {
            "type": "performance_metrics",
            "terminal_id": "pos-001",
            "metrics": {"websocket_latency": 8},
            "timestamp": AT,
        },
        {},
    ),
    (outgoing.audit_log({"id": "audit-1"}), {"type": "audit_log", "entry": {"id": "audit-1"}}, {}),
]


@pytest.mark.parametrize(("sent", "documented", "added"), CASES, ids=[case[1]["type"] for case in CASES])
def test_a_message_has_the_documented_fields_first_and_additions_after(
    sent: bytes, documented: dict[str, Any], added: dict[str, Any]
) -> None:
    assert list(json.loads(sent).items()) == [*documented.items(), *added.items()]


def test_text_goes_out_as_utf8() -> None:
    sent = outgoing.data_sync({"data": {"name": "Pão ☕"}})
    assert "Pão ☕".encode() in sent


def test_an_error_about_nothing_in_particular_says_null() -> None:
    sent = orjson.loads(outgoing.sync_error(None, "not JSON", None, None, "pos-001", 4006))
    assert (sent["operation_id"], sent["entity_type"], sent["entity_id"]) == (None, None, None)
