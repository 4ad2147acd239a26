"""Entities and log rows as the documented messages: the state of an entity, an audit entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from crdt.hlc import iso, millis
from node.wire import outgoing
from node.wire.messages import reason_of
from storage.records import EntityRow, LogRow, key64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.entities.entity import Entity
    from strategies.policy import EntityPolicy


def state_id(entity_type: str, entity_id: str, version: int) -> str:
    """The operation id under which an entity's state is sent. A client confirms it like any other."""
    return f"state-{key64(entity_type, entity_id):016x}-{version}"


def state_message(policy: EntityPolicy, row: EntityRow, *, node_id: str, at: str) -> bytes:
    """A stored entity as it is now, as one `data_sync` (first synchronisation)."""
    key = (row.entity_type, row.entity_id)
    return _whole(
        policy, key, orjson.loads(row.view), row.version, row.deleted, node_id, at, state_id(*key, row.version)
    )


def current_message(entity: Entity, *, node_id: str, at: str, operation_id: str | None = None) -> bytes:
    """A resident entity as it is now, as one `data_sync`."""
    version = entity.document.version
    name = operation_id or state_id(*entity.key, version)
    return _whole(entity.policy, entity.key, entity.shown(), version, not entity.view.alive, node_id, at, name)


def _whole(
    policy: EntityPolicy,
    key: tuple[str, str],
    view: Mapping[str, object],
    version: int,
    dead: bool,
    node_id: str,
    at: str,
    operation_id: str,
) -> bytes:
    """An entity whole: a CREATE that replaces it, or a DELETE. view: as `Entity.shown` has it."""
    return outgoing.data_sync(
        {
            "id": operation_id,
            "entity_type": key[0],
            "entity_id": key[1],
            "operation": "DELETE" if dead else "CREATE",
            "data": {"deleted_at": view.get("deleted_at"), "version": version} if dead else view,
            "version": version,
            "timestamp": at,
            "terminal_id": node_id,
            "user_id": None,
            "requires_lock": policy.requires_lock,
            "priority": policy.priority,
        }
    )


def user_of(row: LogRow, operation: Mapping[str, Any]) -> dict[str, object]:
    """Who was logged in on the connection that an operation came on, and whom the operation itself names instead.

    A claimed name is what a program wrote, and no more.
    """
    said = operation.get("user_id")
    found: dict[str, object] = {"user_id": said if row.user_id is None else row.user_id}
    return found if said is None or said == row.user_id else {**found, "claimed_user_id": said}


def _decision(operation: Mapping[str, Any]) -> dict[str, object]:
    """The conflict that a decision ended, and the reason given."""
    if "resolves" not in operation:
        return {}
    said, reason = {"resolves": operation["resolves"]}, reason_of(operation)
    return said if reason is None else {**said, "reason": reason}


def why_refused(row: LogRow) -> dict[str, object]:
    """Of a refused write, what its author was told: the code, the words, and what stood in the way."""
    told = orjson.loads(row.message.split(b"\n", 1)[0]) if row.message else {}
    names = ("code", "error", "reason", "conflict_id", "locked_by", "locked_until")
    return {name: told[name] for name in names if told.get(name) is not None}


def audit_entry(row: LogRow) -> dict[str, object]:
    """The audit entry of one log row (node/wire/protocol.md, "audit_log"), with additions."""
    operation = orjson.loads(row.operation) if row.operation else {}
    changes = orjson.loads(row.changes) if row.changes else {"before": {}, "after": {}}
    return {
        "id": f"audit-{row.seq}",
        "operation_id": row.operation_id,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "operation": operation.get("operation"),
        "terminal_id": row.terminal_id,
        **user_of(row, operation),
        "timestamp": operation.get("timestamp") or iso(millis(row.stamp)),
        "changes": changes,
        "sync_status": {"refused": "refused", "conflict": "conflict"}.get(row.status, "completed"),
        "conflict_resolved": row.status == "lost" or bool(operation.get("resolves")),
        **_decision(operation),
        "seq": row.seq,
        "status": row.status,
        "version": row.version,
        "lock_status": row.lock_status,
        "origin": row.origin,
        "via": row.via.partition(":")[0],
        "signed": row.signed or None,
        "accepted_at": iso(millis(row.accepted)),
        "effective_timestamp": iso(millis(row.stamp)),
    }
