"""Every message the node sends, as JSON bytes, fields in the order in which protocol.md shows them.

Each function is named after its message. Its docstring says to whom it goes and when; headings in quotation marks are
those of protocol.md. Keyword extras are additions that a client may ignore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_ERROR = 500
"""Characters of a `sync_error`'s text."""


def compact_json(value: object) -> bytes:
    """The JSON text of `value` in a buffer of exactly its length.

    orjson leaves each result in a buffer of 4 KB. What is kept by thousands, or waits in a slow terminal's outbox,
    cannot afford that.
    """
    return bytes(memoryview(orjson.dumps(value)))


def connection_established(terminal_id: str, server_time: str, session_id: str, **extra: object) -> bytes:
    """To a terminal, first of all ("connection_established")."""
    return compact_json(
        {
            "type": "connection_established",
            "terminal_id": terminal_id,
            "server_time": server_time,
            "session_id": session_id,
            **extra,
        }
    )


def pong(server_time: str) -> bytes:
    """To a terminal that sent a ping ("ping, pong")."""
    return compact_json({"type": "pong", "server_time": server_time})


def data_sync(operation: Mapping[str, object]) -> bytes:
    """To every terminal but its author, once an operation is durable ("Rows")."""
    return compact_json({"type": "data_sync", "operation": operation})


def sync_confirmation(
    operation_id: str, terminal_id: str, timestamp: str, version: int, status: str, **extra: object
) -> bytes:
    """To an operation's author, once it is durable. status: applied | merged | lost | conflict | duplicate."""
    return compact_json(
        {
            "type": "sync_confirmation",
            "operation_id": operation_id,
            "terminal_id": terminal_id,
            "timestamp": timestamp,
            "version": version,
            "status": status,
            **extra,
        }
    )


def sync_error(
    operation_id: str | None,
    error: str,
    entity_type: str | None,
    entity_id: str | None,
    terminal_id: str,
    code: int,
    **extra: object,
) -> bytes:
    """To the sender of something that was refused ("sync_error"), with the documented code.

    What is for people may quote anybody, so it is made printable; ids and types are checked where they came in.
    """
    for name in ("reason", "where"):
        if isinstance(text := extra.get(name), str):
            extra[name] = printable(text)
    return compact_json(
        {
            "type": "sync_error",
            "operation_id": operation_id,
            "error": printable(error, LONGEST_ERROR),
            "entity_type": entity_type,
            "entity_id": entity_id,
            "terminal_id": terminal_id,
            "code": code,
            **extra,
        }
    )


def sync_conflict(conflict: Mapping[str, object]) -> bytes:
    """To the authors in a conflict, to those who may decide it, and to monitors ("sync_conflict")."""
    return compact_json({"type": "sync_conflict", "conflict": conflict})


def conflict_closed(
    conflict_id: str,
    resolution: str,
    resolved_data: Mapping[str, object],
    terminal_id: str,
    operation_id: str,
    **by: object,
) -> bytes:
    """To those who were told of an open conflict: it is closed, and how. by: the person, and the reason given.

    An addition: a client that does not know `conflict_resolution` in this direction ignores it.
    """
    return compact_json(
        {
            "type": "conflict_resolution",
            "conflict_id": conflict_id,
            "resolution": resolution,
            "resolved_data": resolved_data,
            "terminal_id": terminal_id,
            "operation_id": operation_id,
            "state": "closed",
            **by,
        }
    )


def lock_acquired(
    lock_id: str, entity_type: str, entity_id: str, expires_at: str, token: Mapping[str, object], scope: str
) -> bytes:
    """To the terminal whose lease is granted or extended ("Locks"); token: the fencing token."""
    return compact_json(
        {
            "type": "lock_acquired",
            "lock_id": lock_id,
            "entity_type": entity_type,
            "entity_id": entity_id,
            "expires_at": expires_at,
            "token": token,
            "scope": scope,
        }
    )


def lock_failed(
    entity_type: str, entity_id: str, reason: str, locked_by: str, locked_until: str, lock_id: str | None
) -> bytes:
    """To a terminal that asked for a lock another holds ("Locks")."""
    return compact_json(
        {
            "type": "lock_failed",
            "entity_type": entity_type,
            "entity_id": entity_id,
            "reason": printable(reason),
            "locked_by": locked_by,
            "locked_until": locked_until,
            "lock_id": lock_id,
        }
    )


def lock_released(lock_id: str, entity_type: str, entity_id: str) -> bytes:
    """To the terminal that released its lock (an addition)."""
    return compact_json(
        {"type": "lock_released", "lock_id": lock_id, "entity_type": entity_type, "entity_id": entity_id}
    )


def terminal_status_update(terminals: Mapping[str, object], total_online: int, timestamp: str) -> bytes:
    """To monitors, at an interval and when a terminal comes or goes ("terminal_status_update")."""
    return compact_json(
        {
            "type": "terminal_status_update",
            "terminals": terminals,
            "total_online": total_online,
            "timestamp": timestamp,
        }
    )


def performance_metrics(terminal_id: str, metrics: Mapping[str, object], timestamp: str) -> bytes:
    """To monitors, one a connected terminal, at an interval ("performance_metrics")."""
    return compact_json(
        {"type": "performance_metrics", "terminal_id": terminal_id, "metrics": metrics, "timestamp": timestamp}
    )


def audit_log(entry: Mapping[str, object]) -> bytes:
    """To monitors, one an operation, once it is durable ("audit_log")."""
    return compact_json({"type": "audit_log", "entry": entry})
