"""What an accepted or refused operation becomes in the log, and what other terminals and links are sent of it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from crdt.decimals import total_of
from node.core.log.messages import current_message
from node.errors import NotStored
from node.wire import outgoing
from node.wire.messages import ConflictResolution, Operation
from storage.records import LogRow, key64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from crdt.edits import Edit
    from node.core.entities.difference import Difference
    from node.core.entities.entity import Entity, Key
    from node.core.operations.author import Author
    from node.core.ports import Instant
    from storage.records import ConflictRow
    from strategies.policy import EntityPolicy


def blank_row(
    kind: str, operation: bytes, operation_id: str, entity_type: str, entity_id: str | None, policy: EntityPolicy
) -> LogRow:
    """A log row still to be filled in and numbered. kind: operation | notice | refused."""
    return LogRow(
        seq=0,
        kind=kind,
        priority=policy.priority_class,
        entity_type=entity_type,
        entity_id=entity_id,
        operation_id=operation_id,
        terminal_id="",
        user_id=None,
        targets=(),
        monitors=False,
        stamp=0,
        accepted=0,
        version=0,
        status=kind,
        lock_status="none",
        echo=False,
        operation=operation,
        message=b"",
        changes=b"",
        updates=b"",
    )


def rendered(
    operation: Operation,
    author: Author,
    policy: EntityPolicy,
    entities: Sequence[Entity],
    changes: Sequence[Difference],
    version: int,
    at_ms: int,
    node_id: str,
) -> bytes:
    """The `data_sync` every other terminal gets: what the author sent, with the shown outcome as `data`.

    A BULK_UPDATE merges; entities that lose a field or are dead come before it whole, a message each: what carries
    the operation's id is the last, so that its confirmation stands for all.
    """
    messages = []
    shown = {
        **operation.raw,
        "terminal_id": author.terminal_id,
        "user_id": operation.user_id or author.user_id,
        "version": version,
    }
    if operation.timestamp is None:
        shown["timestamp"] = hlc.iso(at_ms)
    if operation.requires_lock is None:
        shown["requires_lock"] = policy.requires_lock
    if operation.priority is None:
        shown["priority"] = policy.priority
    if operation.kind == "BULK_UPDATE":
        items = list(zip(entities, changes, strict=True))
        shown["data"] = {"updates": [{"entity_id": e.key[1], "data": c.data} for e, c in items if c.merges]}
        at = hlc.iso(at_ms)
        messages = [
            current_message(
                policy,
                e.key,
                e.shown(),
                e.document.version,
                dead=not e.view.alive,
                node_id=node_id,
                at=at,
            )
            for e, c in items
            if not c.merges
        ]
    else:
        shown["operation"] = changes[0].kind
        shown["data"] = changes[0].data
    return b"\n".join((*messages, outgoing.data_sync(shown)))


def update_entry(key: Key, edit: Edit, counts: Mapping[str, Decimal]) -> list[object]:
    """What a link sends of one entity's update: [type, id, base64, before-vector, [writer, first, end]], and what it
    counts, if it does."""
    before = {str(writer): clock for writer, clock in edit.before.items()}
    counted = {name: total_of(amount) for name, amount in counts.items()}
    entry: list[object] = [*key, b64encode(edit.update).decode(), before, [edit.writer, *edit.span]]
    return [*entry, counted] if counted else entry


def changes_of(
    entities: Sequence[Entity], changes: Sequence[Difference], *, bulk: bool, skew: int
) -> dict[str, object]:
    """The audit's `changes`; of a BULK_UPDATE by entity id. A clamped clock is noted beside them."""
    if bulk:
        audit: dict[str, object] = {
            "before": {e.key[1]: c.before for e, c in zip(entities, changes, strict=True)},
            "after": {e.key[1]: c.after for e, c in zip(entities, changes, strict=True)},
        }
    else:
        audit = {"before": changes[0].before, "after": changes[0].after}
    if skew:
        audit["clock_skew_ms"] = skew
    return audit


def storage_error(operation: Operation, author: Author) -> bytes:
    """What an author is told when the commit of its operation failed."""
    return outgoing.sync_error(
        operation.id,
        "the node could not store this operation; send it again",
        operation.entity_type,
        operation.entity_id,
        author.terminal_id,
        NotStored.code,
        retry=True,
    )


def resolution_id(message: ConflictResolution) -> str:
    """The operation id of a resolution: its own `id`, or one of its content, so that a resend is a duplicate."""
    if message.id is not None:
        return message.id
    content = orjson.dumps(
        [message.conflict_id, message.resolution, message.resolved_data], option=orjson.OPT_SORT_KEYS
    )
    return f"resolution-{key64(content.decode()):016x}"


def resolution_operation(
    message: ConflictResolution, row: ConflictRow, operation_id: str, author: Author, now: Instant
) -> Operation:
    """A resolution as the operation it is in the log and for every other terminal."""
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
    }
    return Operation(
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
