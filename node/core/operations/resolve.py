"""What becomes of a terminal's `conflict_resolution`: an operation that supersedes what was in conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from crdt.records import name_of
from node.core.entities.size import check_size
from node.core.entities.writes import Planner
from node.core.operations.accept import locked, repeated, stamped, writer_of
from node.core.operations.conflicts import live_conflict
from node.core.operations.record import Planned, record
from node.core.operations.refusals import Objection, refuse
from node.errors import ConflictResolutionFailed, EntityNotFound, EntityTooLarge, PermissionDenied
from node.wire.messages import ConflictResolution, DataSync, Operation, tell_replaced

if TYPE_CHECKING:
    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from storage.records import ConflictRow


def resolve(replica: Replica, message: ConflictResolution, author: Author, now: Instant) -> None:
    """Decide a `conflict_resolution`. Raises EntityNotFound (unknown), ConflictResolutionFailed (closed)."""
    operation_id = message.operation_id(author.terminal_id)
    row = replica.conflicts.known.get(message.conflict_id)
    if row is None:
        raise EntityNotFound(f"unknown conflict {message.conflict_id}", "$.conflict_id")
    operation = resolution_operation(message, row, operation_id, author, now)
    name = name_of(author.terminal_id, operation_id)
    if replica.held.holds(name):
        repeated(replica, operation, author, name, "$.id")
        return
    entity = replica.residents.entity((row.entity_type, row.entity_id))
    conflict = live_conflict(entity.view, row)
    if conflict is None:
        raise ConflictResolutionFailed(
            f"conflict {message.conflict_id} is closed" + (f": {row.outcome.decode()}" if row.outcome else ""),
            "$.conflict_id",
            entity_type=row.entity_type,
            entity_id=row.entity_id,
        )
    if message.resolution == "merge" and not message.resolved_data:
        raise ConflictResolutionFailed(
            "merge needs resolved_data",
            "$.resolved_data",
            entity_type=row.entity_type,
            entity_id=row.entity_id,
        )
    needs_lock = entity.policy.requires_lock
    lock_status = locked(replica, [entity], operation, author, now) if needs_lock else "none"
    if isinstance(lock_status, Objection):
        refuse(replica, operation, author, [entity], now, lock_status)
        return
    stamp = stamped(replica, operation, author, now)
    reach = replica.knowledge.reach(author, entity, None)
    seen = entity.seen_by(author.terminal_id, reach)
    writer, jump = writer_of(replica, stamp, author, reach, entity), replica.settings.version_jump
    planner = Planner(entity, writer, seen, None, jump, "$.resolved_data")
    try:
        plan = planner.resolve(conflict, message.resolution, message.resolved_data, hlc.iso(now.wall_ms))
        check_size(entity, plan, message.size, replica.settings.entity_bytes, "$.resolved_data")
    except (EntityTooLarge, PermissionDenied) as error:
        details = {"conflict_id": message.conflict_id}
        if error.where is not None:
            details["where"] = error.where
        refuse(replica, operation, author, [entity], now, Objection(error.reason, error.code, details))
        return
    planned = Planned(entity, plan, {}, False, reach, None)
    record(replica, operation, author, [planned], stamp, lock_status, now, message)


def resolution_operation(
    message: ConflictResolution, row: ConflictRow, operation_id: str, author: Author, now: Instant
) -> Operation:
    """A resolution in the form of an operation, as the log keeps it and other terminals are sent it."""
    raw: dict[str, object] = {
        "id": operation_id,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "operation": "UPDATE",
        "data": message.resolved_data or {},
        "timestamp": hlc.iso(now.wall_ms),
        "terminal_id": author.terminal_id,
        "user_id": author.user_id,
        "resolves": message.conflict_id,
        "resolution": message.resolution,
        "conflict": {"path": orjson.loads(row.path), "operations": row.operations},
    }
    if message.reason:
        raw["reason"] = message.reason
    operation = Operation(
        id=operation_id,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        kind="UPDATE",
        data=message.resolved_data or {},
        version=None,
        timestamp=hlc.iso(now.wall_ms),
        timestamp_us=None,
        terminal_id=author.terminal_id,
        user_id=author.user_id,
        requires_lock=None,
        priority=None,
        lock_id=None,
        raw=raw,
    )
    tell_replaced(DataSync(operation), message.replaced)
    return operation
