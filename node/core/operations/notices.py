"""Notices: who is told of the conflicts that an operation raised or closed.

Notices are rows of the log, so they reach a terminal however late it comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt.decimals import shown
from crdt.hlc import iso, millis
from crdt.records import counted_at, name_of, terminal_of
from node.core.log.rows import notice_row
from node.core.operations.conflicts import conflict_row
from node.core.operations.overruled import line_of
from node.core.steps import at_once
from node.wire import outgoing
from strategies.conflict import VERSION_CONFLICT, body, candidate, conflict_id
from strategies.paths import DELETED_AT, WHOLE
from strategies.strategy import SETTLED

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from decimal import Decimal

    from crdt.records import Path
    from node.core.entities.change import ConflictNews
    from node.core.entities.entity import Entity
    from node.core.entities.writes import Stamp
    from node.core.operations.author import Author
    from node.core.operations.overruled import Overruled
    from node.core.operations.replica import Replica
    from node.wire.messages import ConflictResolution, Operation
    from storage.records import ConflictRow
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
    """Store the conflicts that an operation raised, restated and closed, and write the notices about them.

    resolution: if the operation resolves a conflict, the message that asked for it.
    """
    at_once(tell_in_steps(replica, news, policy, operation_id, author, accepted, resolution))


def tell_in_steps(
    replica: Replica,
    news: ConflictNews,
    policy: EntityPolicy,
    operation_id: str,
    author: Author,
    accepted: int,
    resolution: ConflictResolution | None = None,
) -> Generator[int, None, None]:
    """The same, with pauses between conflicts."""
    log = replica.log
    for conflict in news.restated:
        remember(replica, conflict_row(conflict, log.head))
    for conflict in news.raised:
        targets = conflict.losers() if conflict.state == "settled" else deciders(policy, conflict)
        message = outgoing.sync_conflict(conflict.body())
        notice = notice_row(policy, operation_id, conflict.entity_id, accepted, targets, message)
        log.append(notice)
        remember(replica, conflict_row(conflict, notice.seq))
        replica.counts.conflicts += 1
        yield 4
    for conflict in news.gone:
        replaced = news.replacement(conflict)
        outcome = (
            {"replaced_by": replaced.id}
            if replaced is not None
            else {
                "resolution": resolution.resolution if resolution else "superseded",
                "operation_id": operation_id,
                "terminal_id": author.terminal_id,
                **_decided_by(author, resolution),
            }
        )
        remember(replica, conflict_row(conflict, log.head, closed_by=operation_id, outcome=orjson.dumps(outcome)))
        if replaced is None:
            replica.counts.conflicts_resolved += 1
            if conflict.state == "open":
                _tell_closed(replica, conflict, policy, operation_id, author, accepted, resolution)
        yield 4


def tell_kept(
    replica: Replica, entity: Entity, kept: Mapping[str, Decimal], operation: Operation, stamp: Stamp
) -> None:
    """Tell the author and monitors of numbers that were not counted. They stand in the log, and nothing is open."""
    author = name_of(stamp.terminal, stamp.operation)
    for name, amount in kept.items():
        path = counted_at(name)
        is_shown, number = entity.view.fields.get(path[0]), shown(amount)
        said: object = number
        if len(path) > 1:
            line = line_of(entity, path) or {}
            is_shown, said = [line], [{**line, path[2]: number}]
        there, sides = {path[0]: is_shown}, [(author, {path[0]: said})]
        _tell_settled(replica, entity, path, there, sides, operation.id, stamp.accepted, (stamp.terminal,))


def tell_stays(
    replica: Replica, one: Overruled, operation_id: str, accepted: int, also_in: str | None = None
) -> None:
    """Tell that a line stays. also_in: the entity to which it was moved; then who changed it is told too."""
    field, remover, changer = one.path[0], terminal_of(one.removal), terminal_of(one.change)
    there: dict[str, object] = {field: [line_of(one.entity, one.path)]}
    sides: list[tuple[str, Mapping[str, object]]] = [(one.change, there), (one.removal, {field: []})]
    if also_in is None:
        _tell_settled(replica, one.entity, one.path, there, sides, operation_id, accepted, (remover,))
    else:
        told = tuple(dict.fromkeys((remover, changer)))
        _tell_settled(replica, one.entity, one.path, there, sides, operation_id, accepted, told, also_in=also_in)


def tell_in_two(
    replica: Replica, places: Sequence[tuple[str, Entity]], path: Path, operation_id: str, accepted: int
) -> None:
    """Tell two who moved one line to two entities. places: the operation of each, and where it put the line."""
    ordered = sorted(places, key=lambda place: place[1].key)
    sides = [(name, {path[0]: [line_of(entity, path)]}) for name, entity in ordered]
    told = tuple(dict.fromkeys(terminal_of(name) for name, _ in sides))
    (_, entity), (_, other) = ordered
    also_in = other.key[1]
    _tell_settled(replica, entity, path, sides[0][1], sides, operation_id, accepted, told, also_in=also_in)


def _tell_settled(
    replica: Replica,
    entity: Entity,
    path: Path,
    there: Mapping[str, object],
    sides: Sequence[tuple[str, Mapping[str, object]]],
    operation_id: str,
    accepted: int,
    targets: tuple[str, ...],
    **extra: object,
) -> None:
    """A `sync_conflict` of what no register holds: it is settled, and there is nothing to decide.

    there: what is shown. sides: the operations and what each says, the one that did not prevail last.
    """
    version, at = {"version": entity.document.version}, iso(millis(accepted))
    found = conflict_id(*entity.key, path, sorted(name for name, _ in sides))
    local, remote = {**there, **version}, {**sides[-1][1], **version}
    candidates = [candidate(name, at, at, {**said, **version}) for name, said in sides]
    told = body(found, VERSION_CONFLICT, SETTLED, entity.key, path, local, remote, at, candidates)
    message = outgoing.sync_conflict({**told, **extra})
    replica.log.append(notice_row(entity.policy, operation_id, entity.key[1], accepted, targets, message))


def remember(replica: Replica, row: ConflictRow) -> None:
    """Store a conflict with the group, and have it known from here on."""
    replica.log.group.commit.conflicts.append(row)
    replica.conflicts.remember(row)


def _tell_closed(
    replica: Replica,
    conflict: Conflict,
    policy: EntityPolicy,
    operation_id: str,
    author: Author,
    accepted: int,
    resolution: ConflictResolution | None,
) -> None:
    now = replica.residents.entities[conflict.entity_type, conflict.entity_id].shown()
    if conflict.path not in (WHOLE, DELETED_AT):
        now = {n: now.get(n) for n in (conflict.path[0], "version")}
    message = outgoing.conflict_closed(
        conflict.id,
        resolution.resolution if resolution else "superseded",
        now,
        author.terminal_id,
        operation_id,
        **_decided_by(author, resolution),
    )
    targets = deciders(policy, conflict)
    replica.log.append(notice_row(policy, operation_id, conflict.entity_id, accepted, targets, message))


def _decided_by(author: Author, resolution: ConflictResolution | None) -> dict[str, object]:
    """Who ended a conflict, and why, as far as that was said."""
    said = {"user_id": author.user_id, "reason": None if resolution is None else resolution.reason}
    return {name: text for name, text in said.items() if text}


def deciders(policy: EntityPolicy, conflict: Conflict) -> tuple[str, ...]:
    """Who is told of an open conflict: its authors, and every terminal that may resolve those of the entity type."""
    return (f"resolve:{policy.entity_type}", *conflict.authors())
