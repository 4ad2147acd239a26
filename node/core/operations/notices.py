"""Telling people: conflicts raised and closed, and writes refused but kept.

All of it is rows of the log, so it reaches a terminal however late it comes back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson
from attrs import asdict

from crdt import hlc
from node.core.log.messages import current_message
from node.core.log.rows import blank_row, storage_error
from node.core.operations.conflicts import conflict_row
from node.wire import outgoing
from node.wire.json_text import kept
from strategies.paths import DELETED_AT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.entities.change import ConflictNews
    from node.core.entities.entity import Entity
    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.messages import ConflictResolution, Operation
    from storage.records import ConflictRow, LogRow
    from strategies.conflict import Conflict
    from strategies.policy import EntityPolicy


def tell(
    replica: Replica,
    news: ConflictNews,
    policy: EntityPolicy,
    operation_id: str,
    author: Author,
    accepted: int,
    resolution: ConflictResolution | None = None,
) -> None:
    """Conflicts raised and closed: their rows, and notices in the log for those who must know."""
    for conflict in news.restated:
        remember(replica, conflict_row(conflict, replica.head))
    for conflict in news.raised:
        notice = notice_row(policy, conflict.entity_id, operation_id, accepted)
        notice.message = outgoing.sync_conflict(conflict.body())
        notice.targets = conflict.losers() if conflict.state == "settled" else deciders(policy, conflict)
        notice.monitors = True
        replica.append(notice)
        remember(replica, conflict_row(conflict, notice.seq))
        replica.counts.conflicts += 1
    for conflict in news.gone:
        replaced = news.replacement(conflict)
        outcome = (
            {"replaced_by": replaced.id}
            if replaced is not None
            else {
                "resolution": resolution.resolution if resolution else "superseded",
                "operation_id": operation_id,
                "terminal_id": author.terminal_id,
            }
        )
        remember(replica, conflict_row(conflict, replica.head, closed_by=operation_id, outcome=orjson.dumps(outcome)))
        if replaced is None:
            replica.counts.conflicts_resolved += 1
            if conflict.state == "open":
                _tell_closed(replica, conflict, policy, operation_id, author, accepted, resolution)


def remember(replica: Replica, row: ConflictRow) -> None:
    """A conflict's row goes into the group, and is known from here on."""
    replica.group.commit.conflicts.append(row)
    replica.remember_conflict(row)


def _tell_closed(
    replica: Replica,
    conflict: Conflict,
    policy: EntityPolicy,
    operation_id: str,
    author: Author,
    accepted: int,
    resolution: ConflictResolution | None,
) -> None:
    notice = notice_row(policy, conflict.entity_id, operation_id, accepted)
    notice.targets, notice.monitors = deciders(policy, conflict), True
    shown = replica.entities[conflict.entity_type, conflict.entity_id].shown()
    if conflict.path not in (WHOLE, DELETED_AT):
        shown = {n: shown.get(n) for n in (conflict.path[0], "version")}
    notice.message = outgoing.conflict_closed(
        conflict.id,
        resolution.resolution if resolution else "superseded",
        shown,
        author.terminal_id,
        operation_id,
    )
    replica.append(notice)


def deciders(policy: EntityPolicy, conflict: Conflict) -> tuple[str, ...]:
    """Who is told of an open conflict: its authors, and every terminal that may write the entity type."""
    return (f"write:{policy.entity_type}", *conflict.authors())


def notice_row(policy: EntityPolicy, entity_id: str | None, operation_id: str, accepted: int) -> LogRow:
    row = blank_row("notice", b"", operation_id, policy.entity_type, entity_id, policy)
    row.accepted = row.stamp = accepted
    return row


def refuse(
    replica: Replica,
    operation: Operation,
    author: Author,
    entities: Sequence[Entity],
    now: Instant,
    error: str,
    code: int,
    details: Mapping[str, object],
) -> None:
    """Refuse a write without losing it: a log row keeps it, its author is told and shown what is."""
    policy = entities[0].policy
    accepted = replica.clock.tick(now.wall_ms)
    row = blank_row("refused", kept(operation.raw), operation.id, operation.entity_type, operation.entity_id, policy)
    row.terminal_id, row.user_id = author.terminal_id, operation.user_id or author.user_id
    row.accepted = row.stamp = accepted
    row.version = entities[0].document.version
    row.lock_status = "refused" if code == 4009 else "none"
    row.targets = (author.terminal_id,)
    messages = [
        outgoing.sync_error(
            operation.id,
            error,
            operation.entity_type,
            operation.entity_id,
            author.terminal_id,
            code,
            **{**details, "kept": True},
        )
    ]
    at, node_id = hlc.iso(now.wall_ms), replica.settings.node_id
    for entity in entities:
        messages.append(
            current_message(
                policy,
                entity.key,
                entity.shown(),
                entity.document.version,
                dead=not entity.view.alive,
                node_id=node_id,
                at=at,
                operation_id=f"current-{node_id}-{replica.head + 1}-{entity.key[1]}"[:128],
            )
        )
    row.message = b"\n".join(messages)
    tried = replica.trying(author, entities)
    replica.note_try(author.terminal_id, operation.id, tried)
    row.changes = kept({"before": {}, "after": {}, "tried": asdict(tried)})
    replica.append(row)
    replica.group.refusals.append((author.recipient, partial(storage_error, operation, author)))
    replica.refusals[author.terminal_id, policy.priority_class] = row.seq
    replica.counts.refused += 1
