"""Refused writes. Each is kept as a row of its own, so that nothing anybody wrote is lost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from crdt import hlc
from crdt.classes import define
from node.core.entities.entity import Entity
from node.core.log.group import Refusal
from node.core.log.messages import current_message
from node.core.log.rows import refused_row
from node.core.operations.in_turns import OF_AN_ENTITY
from node.core.steps import at_once
from node.errors import LockTimeout, NotStored
from node.wire import outgoing
from node.wire.messages import DataSync, resolution_of, tell_replaced

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.messages import ConflictResolution, Operation


OF_A_VIEW = 16
"""Fields of an entity that are written in one step (node/core/steps.py)."""


@define
class Objection:
    """Why a write is refused. details: what its author is told beside it. about: of a BULK_UPDATE, the entity."""

    reason: str
    code: int
    details: Mapping[str, object]
    about: Entity | None = None


def refuse(
    replica: Replica,
    operation: Operation,
    author: Author,
    entities: Sequence[Entity],
    now: Instant,
    objection: Objection,
) -> None:
    """Refuse a write without losing it: a log row keeps it. Its author is told why and sent the current values."""
    at_once(refuse_in_steps(replica, operation, author, entities, now, objection))


def refuse_in_steps(
    replica: Replica,
    operation: Operation,
    author: Author,
    entities: Sequence[Entity],
    now: Instant,
    objection: Objection,
    *,
    pauses: bool = False,
) -> Generator[int, None, None]:
    """The same. pauses: whether others have their turns meanwhile. Then the row has its number already."""
    policy, log, node_id = entities[0].policy, replica.log, replica.settings.node_id
    seq = log.open_row if pauses else log.head + 1
    accepted, about, code = replica.clock.hlc.tick(now.wall_ms), objection.about, objection.code
    first = replica.knowledge.first_attempt(author, entities, seq - 1)
    replica.faults.changing = pauses
    if pauses:
        log.group.first_attempts[author.terminal_id, operation.id] = first
        yield 1
    messages = [
        outgoing.sync_error(
            operation.id,
            objection.reason,
            operation.entity_type,
            operation.entity_id if about is None else about.key[1],
            author.terminal_id,
            code,
            **{**about_conflict(operation), **objection.details, "kept": True},
        )
    ]
    for entity, write in zip(entities, operation.writes, strict=True):
        name = f"current-{node_id}-{seq}-{entity.key[1]}"[:128]
        messages.append(current_message(entity, node_id=node_id, at=hlc.iso(now.wall_ms), operation_id=name))
        reach = replica.knowledge.reach(author, entity, write.version)
        replica.knowledge.claimed(author, entity, write.version, reach)
        if pauses:
            yield OF_AN_ENTITY + len(entity.view.fields) // OF_A_VIEW
    replica.knowledge.refused(author.terminal_id, operation.id, first)
    row = refused_row(
        policy,
        operation,
        author.user_id,
        author.terminal_id,
        accepted=accepted,
        version=entities[0].document.version,
        lock_status="refused" if code == LockTimeout.code else "none",
        message=b"\n".join(messages),
        first_attempt=first.stored(),
    )
    if pauses:
        log.fill(row)
        log.close()
    else:
        log.append(row)
        log.group.refusals.append(not_stored(operation, author))
    replica.knowledge.refusals[author.terminal_id, policy.priority_class] = row.seq
    replica.counts.refused += 1
    replica.faults.changing = False


def not_decided(replica: Replica, operation: Operation, author: Author) -> None:
    """An operation could not be decided, and its author is to send it again: keep what the author knew."""
    policy = replica.registry.get(operation.entity_type)
    if policy is not None:
        first = replica.knowledge.first_attempt_of(author, policy.priority_class, replica.log.committed)
        replica.knowledge.refused(author.terminal_id, operation.id, first)


def not_stored(operation: Operation, author: Author) -> Refusal:
    """What becomes of an operation whose commit failed."""
    return Refusal(author.recipient, partial(storage_error, operation, author), partial(message_of, operation))


def message_of(operation: Operation) -> DataSync | ConflictResolution:
    """The message that an operation came as."""
    message = resolution_of(operation)
    if message is None:
        return DataSync(operation)
    tell_replaced(message, operation.replaced)
    return message


def storage_error(operation: Operation, author: Author) -> bytes:
    return outgoing.sync_error(
        operation.id,
        "the node could not store this operation; send it again",
        operation.entity_type,
        operation.entity_id,
        author.terminal_id,
        NotStored.code,
        **about_conflict(operation),
        retry=True,
    )


def about_conflict(operation: Operation) -> dict[str, object]:
    """The conflict that an operation resolves, where it is a resolution."""
    resolves = operation.raw.get("resolves")
    return {} if resolves is None else {"conflict_id": resolves}
