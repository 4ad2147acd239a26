"""What becomes of an operation that a terminal of this node sends: lock, version, document, strategy.

It is decided at once and ends as one row in the log's current group, together with the entity's new state, the
conflicts it raised or closed, and the answers that may leave once the group is durable.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from node.core.entities.field_writes import Authorship, Stamp
from node.core.entities.writes import RESERVED, Planner
from node.core.locks.lease import Held as LockHeld
from node.core.log.messages import current_message
from node.core.operations.record import Planned, confirm, record
from node.core.operations.refusals import refuse
from node.errors import ConflictResolutionFailed, EntityNotFound, InvalidMessage, LockTimeout
from storage.packed import content_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.entities.entity import Entity
    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.operations.subject import Subject
    from node.core.ports import Instant
    from node.wire.messages import Operation
    from storage.records import LogRow


def accept(replica: Replica, subject: Subject, now: Instant) -> None:
    """Decide a `data_sync`. Raises WireError where it is refused outright; everything else is in the group."""
    operation, author, policy, entities = subject.operation, subject.author, subject.policy, subject.entities
    if subject.row is not None:
        _repeated(replica, operation, author, subject.row)
        return
    if subject.archived:
        repeated_archived(replica, operation, author)
        return
    lock_status = locked(replica, entities, operation, author, now) if policy.requires_lock else "none"
    if lock_status is None:
        return
    if policy.strategy.freezes:
        blocked = next((c for e in entities if (c := e.view.frozen_by()) is not None), None)
        if blocked is not None:
            reason = f"{blocked.entity_type} {blocked.entity_id} has an open conflict {blocked.id}"
            details = {"conflict_id": blocked.id}
            refuse(replica, operation, author, entities, now, reason, ConflictResolutionFailed.code, details)
            return
    stamp, skew = stamped(replica, operation, author, now)
    try:
        plans = _plans(replica, operation, author, entities, stamp, now)
    except EntityNotFound as error:  # its author saw it deleted, and is shown again that it is
        refuse(replica, operation, author, entities, now, error.reason, error.code, {"where": error.where})
        return
    record(replica, operation, author, plans, stamp, lock_status, now, skew)


def _repeated(replica: Replica, operation: Operation, author: Author, row: LogRow) -> None:
    """Answer an operation whose id is in the log already. Raises InvalidMessage where it names another operation."""
    first = orjson.loads(row.operation)
    same = (
        row.terminal_id == author.terminal_id
        and first.get("entity_type") == operation.entity_type
        and first.get("entity_id") == operation.entity_id
        and first.get("operation") == operation.kind
        and first.get("data", {}) == operation.data
    )
    if not same:
        raise InvalidMessage(f"operation id {operation.id} already names another operation", "$.operation.id")
    replica.counts.duplicates += 1
    confirm(replica, author, row.operation_id, row.version, "duplicate", row.accepted, row.seq)
    if row.via:  # another node accepted it; here it may have been refused, and shown again by its author
        _show_current(replica, operation, author)


def repeated_archived(replica: Replica, operation: Operation, author: Author) -> None:
    """The same for an operation that is held without a row; what is left of it was fetched."""
    recalled = replica.held.recalled.get(operation.id)
    words = (operation.entity_type, operation.entity_id, operation.kind, operation.data)
    if recalled is None or recalled.operation.content != content_of(author.terminal_id, *words):
        raise InvalidMessage(f"operation id {operation.id} already names another operation", "$.operation.id")
    first = recalled.operation
    replica.counts.duplicates += 1
    confirm(replica, author, operation.id, first.version, "duplicate", first.accepted, 0)


def _show_current(replica: Replica, operation: Operation, author: Author) -> None:
    """Send an author the entities of its operation as they are."""
    node_id, at = replica.settings.node_id, hlc.iso(hlc.millis(replica.clock.hlc.last))
    for entity in (replica.residents.entity(write.key) for write in operation.writes):
        message = current_message(entity, node_id=node_id, at=at)
        replica.log.group.replies.append((author.recipient, message))
        # On its way like a row: what this terminal has written meanwhile is shown to it again after that.
        replica.knowledge.refusals[author.terminal_id, entity.policy.priority_class] = replica.log.head + 1


def locked(
    replica: Replica, entities: Sequence[Entity], operation: Operation, author: Author, now: Instant
) -> str | None:
    """The audit's lock status of a type that needs locks, or None when the write was refused and kept."""
    status = "unlocked"
    for entity in entities:
        verdict = replica.locks.check(entity.key, author.terminal_id, operation.lock_id, now)
        if isinstance(verdict, LockHeld):
            lease = verdict.lease
            after = " after your lock expired" if verdict.taken_over else ""
            details = {
                "locked_by": lease.terminal,
                "locked_until": hlc.iso(lease.expires_ms),
                "reason": f"Already locked by {lease.terminal}{after}",
            }
            error = "Could not acquire entity lock"
            refuse(replica, operation, author, entities, now, error, LockTimeout.code, details)
            return None
        status = verdict
    return status


def stamped(replica: Replica, operation: Operation, author: Author, now: Instant) -> tuple[Stamp, int]:
    """The operation's stamp, and by how many milliseconds its author's clock was clamped."""
    stamp, accepted, skew = replica.clock.stamp(operation.timestamp_us, now)
    return Stamp(author.terminal_id, operation.id, stamp, accepted), skew


def _plans(
    replica: Replica,
    operation: Operation,
    author: Author,
    entities: Sequence[Entity],
    stamp: Stamp,
    now: Instant,
) -> list[Planned]:
    """One plan an entity. Changes nothing."""
    plans = []
    writer = writer_of(replica, stamp, author)
    tried = None if author.tried is None else author.tried.head
    for entity, write in zip(entities, operation.writes, strict=True):
        data, version = write.data, write.version
        if operation.kind != "DELETE" and data.get("deleted_at") is not None:
            raise InvalidMessage("deleted_at is written by DELETE", "$.operation.data.deleted_at")
        acknowledged = replica.knowledge.acknowledged(author, entity)
        seen = entity.seen_by(author.terminal_id, acknowledged, version, tried)
        unseen = not all(map(seen, entity.document.records()))
        planner = Planner(entity, writer, seen, version, replica.settings.version_jump)
        if operation.kind == "DELETE":
            plans.append(Planned(entity, planner.delete(data, hlc.iso(now.wall_ms)), {}, unseen))
            continue
        plan = planner.write(data, create=operation.kind == "CREATE")
        written = {name: value for name, value in data.items() if name not in RESERVED}
        plans.append(Planned(entity, plan, written, unseen))
    return plans


def writer_of(replica: Replica, stamp: Stamp, author: Author) -> Authorship:
    """The author, as far as planning a write depends on it."""
    knowledge = replica.knowledge
    return Authorship(
        stamp, author.terminal_type, partial(knowledge.last_known, author), partial(knowledge.last_known_list, author)
    )
