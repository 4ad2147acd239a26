"""What becomes of an operation that another node accepted: through the gap guard into the documents, and one row.

It was decided where it was written. Here it is never lock-checked and never refused: it meets version and strategy,
and a conflict is reported. What cannot be applied is parked: `waiting` for what it builds on, or `bad`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import define, evolve

from crdt import hlc
from crdt.edits import Gap, Known, Prepared
from crdt.engine import EngineError
from crdt.records import DocumentError, ForkError
from crdt.update_format import UpdateError
from node.core.entities.change import ConflictNews
from node.core.entities.difference import Before, Difference, difference
from node.core.entities.entity import Entity
from node.core.entities.writes import RESERVED
from node.core.log.rows import blank_row, changes_of, rendered
from node.core.operations.author import absent
from node.core.operations.notices import tell
from node.core.operations.quarantine import BAD, MOST, WAITING
from node.core.operations.two_writers import repair
from node.errors import InvalidMessage, WireError
from node.wire.json_text import kept, word
from node.wire.links.operations import RemoteOperation, RemoteUpdate, remote_operation
from node.wire.messages import ConflictResolution, Operation
from storage.records import ParkedRow, key64, link_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.entities.entity import Key
    from node.core.operations.replica import Replica
    from node.core.ports import Instant


@define(eq=False)
class _Step:
    """One entity of a remote operation. prepared: None where the document holds it already."""

    entity: Entity
    update: RemoteUpdate
    prepared: Prepared | None


def receive(replica: Replica, message: Mapping[str, object], via: str, now: Instant) -> bool:
    """Take a linked node's `data_sync`; its entities are resident. Whatever is wrong with it parks it alone.

    False where something before it is missing here.
    """
    try:
        remote = remote_operation(message)
        reason = accept(replica, remote, via, now)
    except (WireError, UpdateError, DocumentError, EngineError) as error:
        if isinstance(error, ForkError):
            replica.claimed = str(error)
        park(replica, message, via, BAD, str(error), now)
        return True
    if reason is not None:
        park(replica, message, via, WAITING, reason, now)
        return False
    for bad in replica.quarantine.bad_of(remote.operation.id):
        if _accepted(bad) == [remote.stamp, remote.accepted]:  # it came before, and what names it was damaged
            _unpark(replica, bad)
    parked = replica.quarantine.of_operation(remote.link_key, remote.operation.id)
    if parked is not None:
        _unpark(replica, parked)
    _retry(replica, remote, now)
    return True


def doubled(replica: Replica, messages: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Of a frame's operations those that may be here under another writer, whose rows are not in memory."""
    found = []
    for message in messages:
        operation = message.get("operation")
        name = operation.get("id") if isinstance(operation, dict) and "link" in message else None
        if isinstance(name, str) and replica.forgotten(name):
            _, entity_type, _, link_key_ = _named(message)
            if not replica.digests.holds(entity_type, link_key_):
                found.append(name)
    return tuple(dict.fromkeys(found))


def accept(replica: Replica, remote: RemoteOperation, via: str, now: Instant) -> str | None:
    """Apply it, or say what it waits for. Raises WireError, UpdateError or DocumentError where it is bad."""
    operation = remote.operation
    if replica.digests.holds(operation.entity_type, remote.link_key):
        replica.counts.duplicates += 1
        return None
    policy = replica.registry.get(operation.entity_type)
    if policy is None:
        raise InvalidMessage(f"unknown entity type {operation.entity_type!r}", "$.operation.entity_type")
    steps = []
    for update in remote.updates:
        entity = replica.entity((update.entity_type, update.entity_id))
        prepared = _prepared(entity, update, operation.id)
        if isinstance(prepared, Gap):
            missing = ", ".join(f"{w}:{have}..{need}" for w, (have, need) in sorted(prepared.missing.items()))
            return f"{update.entity_type} {update.entity_id} lacks {missing}"
        steps.append(_Step(entity, update, prepared))
    replica.clock.observe(remote.accepted, now.wall_ms, replica.settings.max_skew_ms)
    _carry_out(replica, remote, steps, via, now)
    return None


def _prepared(entity: Entity, update: RemoteUpdate, operation_id: str) -> Prepared | Gap | None:
    document, said = entity.document, (update.writer, update.first, update.end)
    if document.holds(update.writer, update.end):
        document.compare(update.update, update.before, said, operation_id)
        return None
    prepared = document.prepare(update.update, update.before, said)
    if isinstance(prepared, Known):
        return None
    if isinstance(prepared, Prepared) and prepared.counts(document.headers.get(prepared.author)) != update.counts:
        raise DocumentError("update counts otherwise than its entry says")
    return prepared


def _carry_out(replica: Replica, remote: RemoteOperation, steps: Sequence[_Step], via: str, now: Instant) -> None:
    operation = remote.operation
    policy = steps[0].entity.policy
    seq = replica.head + 1
    news = ConflictNews()
    bulk = operation.kind == "BULK_UPDATE"
    written = [i.data for i in operation.updates] if bulk else [operation.data]
    changed = [
        (step.entity, _apply(step, step.prepared, operation.kind, data, seq, news))
        for step, data in zip(steps, written, strict=True)
        if step.prepared is not None
    ]
    written_to = [(s.entity, data) for s, data in zip(steps, written, strict=True) if s.prepared is not None]
    row = blank_row("operation", remote.authored, operation.id, operation.entity_type, operation.entity_id, policy)
    row.terminal_id, row.user_id = remote.terminal_id, remote.user_id
    row.targets = tuple(step.entity.key[1] for step in steps) if bulk else ()
    row.stamp, row.accepted = remote.stamp, remote.accepted
    row.version = max(step.entity.document.version for step in steps)
    row.lock_status, row.echo = remote.lock_status, True
    row.origin, row.via, row.link_key = remote.origin, via, remote.link_key
    row.status = news.status_of(operation.id) or "applied"
    row.updates = kept(remote.entries)
    author = absent(remote.terminal_id, remote.user_id)
    entities, changes = [e for e, _ in changed], [c for _, c in changed]
    if changed:
        at = hlc.millis(remote.accepted)
        node_id = replica.settings.node_id
        row.message = rendered(operation, author, policy, entities, changes, row.version, at, node_id)
        row.changes = kept(changes_of(entities, changes, bulk=bulk, skew=0))
    replica.append(row)
    for entity, data in written_to:
        entity.touched(seq, remote.terminal_id, True)
        entity.movements.row_written(entity.view, seq, None, data, seq - 1, echo=True)
        replica.group.touched[entity.key] = entity
        replica.known_entities.add(key64(*entity.key))
    first = replica.held(operation.id)
    replica.remember_operation(row)
    replica.counts.remote += 1
    tell(replica, news, policy, operation.id, author, remote.accepted, _resolution(operation))
    if first is not None:
        for step in steps:
            if step.prepared is not None:
                repair(replica, step.entity, first, row, now)


def _apply(
    step: _Step, prepared: Prepared, kind: str, data: Mapping[str, object], seq: int, news: ConflictNews
) -> Difference:
    entity = step.entity
    paths = entity.document.paths(prepared)
    before = Before.of(entity, paths)
    conflicts = dict(entity.view.conflicts)
    applied = entity.document.carry_out(prepared)
    entity.changed(applied.removed, applied.added, seq)
    entity.view.refresh(entity.document, paths)
    news.compare(conflicts, entity.view.conflicts)
    fields = {name: value for name, value in data.items() if name not in RESERVED}
    return difference(before, entity, kind, [n for n in fields if n in entity.view.fields], fields)


def _resolution(operation: Operation) -> ConflictResolution | None:
    """The `conflict_resolution` that an operation of the log was, where it was one."""
    conflict_id, side = operation.raw.get("resolves"), operation.raw.get("resolution")
    if isinstance(conflict_id, str) and isinstance(side, str):
        return ConflictResolution(conflict_id, side)
    return None


# ------------------------------------------------------------------ parked operations


def park(replica: Replica, message: Mapping[str, object], via: str, state: str, reason: str, now: Instant) -> None:
    """Keep what cannot be applied, durably and whole; once, however often it comes."""
    operation_id, entity_type, entity_id, key = _named(message)
    quarantine = replica.quarantine
    if quarantine.holds(key, operation_id) or replica.digests.holds(entity_type, key):
        return
    if len(quarantine) >= MOST:
        raise InvalidMessage(f"{MOST} operations of other nodes wait here already", "$.operation")
    row = ParkedRow(
        quarantine.next_id(),
        via,
        operation_id,
        key,
        entity_type,
        entity_id,
        state,
        reason[:1_000],
        _body(message),
        now.wall_ms,
    )
    quarantine.add(row)
    replica.group.commit.parked.append(row)


def _body(message: Mapping[str, object]) -> bytes:
    try:
        return kept(message)
    except TypeError:  # nested deeper than can be written
        return b"{}"


def _named(message: Mapping[str, object]) -> tuple[str, str, str, int]:
    """What can be read of a message that may be anything: operation id, entity type and id, link key."""
    raw, link = message.get("operation"), message.get("link")
    operation = raw if isinstance(raw, dict) else {}
    words = [word(operation.get(name) or "", 128) for name in ("id", "entity_type", "entity_id")]
    try:
        updates = link["updates"] if isinstance(link, dict) else []
        return words[0], words[1], words[2], link_key(words[0], updates)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        return words[0], words[1], words[2], 0


def _retry(replica: Replica, remote: RemoteOperation, now: Instant) -> None:
    """Something new is in these entities: what waited for it may go on, and what waited for that."""
    pending: list[Key] = [(u.entity_type, u.entity_id) for u in remote.updates]
    while len(replica.quarantine) and pending:
        key = pending.pop()
        for row in replica.quarantine.waiting_for(*key):
            keys = parked_keys(row)
            if row in replica.quarantine and not replica.missing(keys) and retry(replica, row, now):
                pending.extend(keys)


def parked_keys(row: ParkedRow) -> list[Key]:
    """The entities a parked operation touches, as far as it can be read."""
    try:
        return [(u.entity_type, u.entity_id) for u in remote_operation(orjson.loads(row.body)).updates]
    except (WireError, ValueError):
        return []


def _accepted(row: ParkedRow) -> object:
    """The HLCs of a parked operation, as it came: of one id under two writers they differ."""
    try:
        return orjson.loads(row.body)["link"]["hlc"]
    except (ValueError, KeyError, TypeError):
        return None


def retry(replica: Replica, row: ParkedRow, now: Instant) -> bool:
    """Try a parked operation again; its entities are resident. Whether it is applied now."""
    try:
        if accept(replica, remote_operation(orjson.loads(row.body)), row.via, now) is not None:
            return False
    except (WireError, UpdateError, DocumentError, EngineError) as error:
        if row.state == WAITING:  # nobody had looked at it, as what it changes could not be read
            bad = evolve(row, state=BAD, reason=str(error)[:1_000])
            replica.quarantine.found_bad(row, bad)
            replica.group.commit.parked.append(bad)
        return False
    _unpark(replica, row)
    return True


def _unpark(replica: Replica, row: ParkedRow) -> None:
    replica.quarantine.remove(row)
    replica.group.commit.unparked.append(row.id)
