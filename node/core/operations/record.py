"""A decision becomes a row: carry the change out, write the row, answer the author, write the notices.

Every operation that this node accepts passes here: a terminal's, a resolution, and what the node itself writes.
`write` is also the last step for operations and states of other nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from crdt import hlc
from crdt.classes import define
from crdt.records import NewField, counted_at, name_of
from node.core.entities.change import ConflictNews, carry_out, carry_out_in_steps, difference
from node.core.entities.entity import Entity, Touch
from node.core.entities.past import LATEST
from node.core.entities.reach import Reach
from node.core.entities.writes import Plan
from node.core.log.rows import Told, accepted_row, changes_of, linked, operation_row, update_entry
from node.core.operations.assumed import NOTHING, assumed
from node.core.operations.author import absent
from node.core.operations.moved import look_for_two, moved_since, tell_overruled
from node.core.operations.notices import tell, tell_in_steps, tell_kept
from node.core.operations.overruled import Overruled, Twice, brought_back, not_removed, removed_twice
from node.core.operations.refusals import not_stored
from node.core.steps import let_go
from node.core.terminal_clocks import TOLERANCE_MS
from node.wire import outgoing
from node.wire.outgoing import compact_json
from storage.records import entity_key
from strategies.kinds.counter import stored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from crdt.edits import Edit
    from crdt.records import FieldRecord, Path
    from node.core.entities.change import Difference
    from node.core.entities.past import Replaced
    from node.core.entities.writes import Stamp
    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.messages import ConflictResolution, Operation
    from storage.records import LogRow


OF_A_LOOK = 4
"""Entities in one step (node/core/steps.py), where something is looked up of each."""


@define(eq=False)
class Planned:
    """What an operation will do to one entity.

    written: the fields it names, with their values.
    unseen: whether the entity holds live records that the author had not seen.
    reach: how far it had seen the entity.
    version: the version that it gave, if it gave one.
    early: it was planned before its stamp was known.
    """

    entity: Entity
    plan: Plan
    written: Mapping[str, object]
    unseen: bool
    reach: Reach
    version: int | None
    early: bool = False


def record(
    replica: Replica,
    operation: Operation,
    author: Author,
    plans: list[Planned],
    stamp: Stamp,
    lock_status: str,
    now: Instant,
    resolution: ConflictResolution | None = None,
) -> None:
    """Carry the plans out in the documents. The row, the confirmation and the notices go into the group.

    resolution: if the operation resolves a conflict, the message that asked for it.
    """
    for _ in record_in_steps(replica, operation, author, plans, stamp, lock_status, now, resolution):
        pass  # it has no pauses, and is on the way of every operation: `at_once` is another file to enter


def record_in_steps(
    replica: Replica,
    operation: Operation,
    author: Author,
    plans: list[Planned],
    stamp: Stamp,
    lock_status: str,
    now: Instant,
    resolution: ConflictResolution | None = None,
    *,
    pauses: bool = False,
) -> Generator[int, None, None]:
    """The same, of entities that nobody else sees until it is done.

    pauses: whether others have their turns meanwhile. Then the row has its number already, each entity is encoded
    here, and `plans` is emptied.
    """
    log, node_id = replica.log, replica.settings.node_id
    seq = log.open_row if pauses else log.head + 1
    entities = [planned.entity for planned in plans]
    policy, knowledge = entities[0].policy, replica.knowledge
    first = knowledge.first_attempt(author, entities, seq - 1)
    log.group.first_attempts[author.terminal_id, operation.id] = first
    confirmed = [knowledge.confirmed(author, planned.entity) for planned in plans]
    replica.faults.changing = pauses
    on_its_way = False
    words: dict[str, str] = {}
    for p, upto in zip(plans, confirmed, strict=True):
        on_its_way = (
            on_its_way
            or _on_its_way(replica, author, p.entity, now)
            or _late(author, p.entity, stamp)
            or p.reach.row < upto  # it was shown more since it wrote
        )
        if pauses:
            yield 1
        word = NOTHING if p.plan.kept else None
        if word is None and p.entity.seq > upto:
            word = assumed(author, p.entity, p.reach.row, p.version, upto)
        if word is not None:
            words[p.entity.key[1]] = word
    name = name_of(author.terminal_id, operation.id)
    gone = [planned for planned in plans if planned.entity.movements.gone]
    stays = [one for planned in gone for one in _brought_back(planned, author, name)]
    twice = [one for planned in gone for one in _removed_twice(planned, author, name)]
    news = ConflictNews()
    replica.faults.changing = True
    done = []
    for p in plans:
        edited = yield from _edit(p, operation.kind, seq, author.terminal_id, news, stamp, pauses=pauses)
        done.append((p.entity, *edited))
    if pauses:
        yield 1 + len(plans) // OF_A_LOOK
    minds = {p.entity.key[1]: {n: stored(c) for n, c in p.plan.minds.items()} for p in plans if p.plan.minds}
    merged = any(planned.unseen for planned in plans) and resolution is None
    kept = {p.entity.key[1]: sorted({counted_at(name)[0] for name in p.plan.kept}) for p in plans if p.plan.kept}
    stays += [
        one
        for p, (_, change, *_) in zip(plans, done, strict=True)
        if not change.as_written
        for one in not_removed(p.entity, p.written, name, _had(p, author))
    ]
    status = (news.status_of(name) if news.raised else None) or (
        "lost" if kept else "merged" if merged else "applied"
    )
    # The author of a resolution does not know its outcome, so it is sent the row like everybody else.
    # So is that of an operation in which text was replaced: its screen shows what it sent.
    as_written = not operation.replaced and all(change.as_written for _, change, *_ in done)
    echo = on_its_way or resolution is not None or not as_written
    again = author.first_attempt is not None  # its author wrote it anew on its screen
    seen = confirmed if again else [p.reach.row for p in plans]
    counted = _counted(operation, stamp, replica.clock.offset_ms)
    told = Told(
        terminal_id=author.terminal_id,
        user_id=author.user_id,
        stamp=stamp.stamp,
        accepted=stamp.accepted,
        status=status,
        lock_status=lock_status,
        echo=echo,
        counted=counted,
        acknowledged=seen[0],
        minds=minds,
        assumed=words,
        kept=kept,
    )
    row = yield from accepted_row(policy, operation, done, told, now.wall_ms, node_id, pauses=pauses)
    for planned in plans:
        knowledge.claimed(author, planned.entity, planned.version, planned.reach)
    touches = [
        Touch(p.entity, author.terminal_id, p.written, s, p.plan.minds) for p, s in zip(plans, seen, strict=True)
    ]
    if pauses:
        yield len(plans)
        yield from write_in_steps(replica, row, touches)
    else:
        write(replica, row, touches)
    replica.held.remember(row)
    replica.counts.operations += 1
    extra: dict[str, object] = {}
    if operation.kind == "BULK_UPDATE":
        extra["versions"] = {e.key[1]: e.document.version for e in entities}
    extra.update(counted)
    if operation.replaced:
        extra["replaced"] = operation.replaced
    if resolution is not None:
        extra["conflict_id"] = resolution.conflict_id
    confirm(replica, author, operation.id, row.version, status, stamp.accepted, seq, **extra)
    if news.raised or news.gone or news.restated:
        yield from tell_in_steps(replica, news, policy, operation.id, author, stamp.accepted, resolution)
    if stays:
        tell_overruled(replica, stays, operation.id, stamp.accepted)
    if twice:
        look_for_two(replica, twice, seq, operation.id, stamp.accepted)
    for planned in plans:
        if planned.plan.kept:
            tell_kept(replica, planned.entity, planned.plan.kept, operation, stamp)
    if pauses:
        yield from let_go(touches, done, plans)
        log.close()
    else:
        log.group.refusals.append(not_stored(operation, author))
    replica.faults.changing = False


def _brought_back(planned: Planned, author: Author, name: str) -> Iterator[Overruled]:
    """Removals that an operation overrules, as its author had not seen them."""
    return brought_back(planned.entity, [field.path for field in planned.plan.fields], name, _missed(planned, author))


def _removed_twice(planned: Planned, author: Author, name: str) -> Iterator[Twice]:
    """Lines that an operation takes off, of which its author had not seen that they are gone."""
    return removed_twice(planned.entity, planned.written, name, _missed(planned, author))


def _missed(planned: Planned, author: Author) -> Callable[[Path, Replaced], bool]:
    """Whether the author knew a line as a register held it, and not that it is gone."""
    knew, row = _had(planned, author), planned.reach.row

    def had(path: Path, one: Replaced) -> bool:
        return one.taken > row and knew(path, one)

    return had


def _had(planned: Planned, author: Author) -> Callable[[Path, Replaced], bool]:
    """Whether the author knew a line as a register held it, and had not taken it off itself."""
    terminal, moves = author.terminal_id, planned.entity.movements.of

    def had(path: Path, one: Replaced) -> bool:
        if one.terminal != terminal and not planned.reach.holds(one.brought, one.version):
            return False
        for move in reversed(moves.get(path[0], ())):
            if move.author == terminal and isinstance(move.written, list):
                return move.seq < one.taken or path[1] in move.written
        return True

    return had


def housekeep(
    replica: Replica,
    entity: Entity,
    raw: Mapping[str, object],
    doomed: Sequence[FieldRecord],
    added: Sequence[tuple[Path, object]],
    now: Instant,
) -> None:
    """Write an operation of the node itself. Nobody changed anything, so the version stays.

    raw: the operation as JSON. doomed: the records to remove. added: registers to write, with their values.
    """
    seq, node_id = replica.log.head + 1, replica.settings.node_id
    operation_id, policy = str(raw["id"]), entity.policy
    at = replica.clock.accept(now)
    document = entity.document
    fields = [NewField(path, value, at, node_id, operation_id, document.version, at, at) for path, value in added]
    paths = list(dict.fromkeys([*(record.path for record in doomed), *(path for path, _ in added)]))
    news = ConflictNews()
    edit_of = partial(document.edit, supersede=doomed, fields=fields, n=0)
    before, edit = carry_out(entity, paths, edit_of, seq, node_id, news)
    change = difference(before, entity, "UPDATE", (), {})
    shown = {**raw, "operation": change.kind, "data": change.data, "version": document.version, "user_id": None}
    updates, key = linked(name_of(node_id, operation_id), [update_entry(entity.key, edit, {})])
    row = operation_row(
        policy,
        operation_id,
        entity.key[1],
        operation=compact_json(raw),
        terminal_id=node_id,
        user_id=None,
        targets=(),
        stamp=at,
        accepted=at,
        version=document.version,
        status="applied",
        lock_status="none",
        echo=True,
        message=outgoing.data_sync(shown),
        changes=compact_json(changes_of([entity], [change], bulk=False)),
        updates=updates,
        origin=node_id,
        via="",
        key=key,
    )
    write(replica, row, [Touch(entity)])
    replica.held.remember(row)
    tell(replica, news, policy, operation_id, absent(node_id), at)


def write(replica: Replica, row: LogRow, touches: Sequence[Touch]) -> None:
    """Number a row and put it into the group, together with the entities that it touches."""
    replica.log.append(row)
    if replica.transfers:
        moved_since(replica, row, touches)
    for touch in touches:
        _touched(replica, row, touch)


def write_in_steps(replica: Replica, row: LogRow, touches: Sequence[Touch]) -> Generator[int, None, None]:
    """Put a row that has its number into the group, together with the entities that it touches. They are encoded."""
    row.seq = replica.log.open_row
    if replica.transfers:
        moved_since(replica, row, touches)
    for touch in touches:
        _touched(replica, row, touch)
        touch.entity.seal()
        yield 2 + len(touch.written) // 2 + len(touch.entity.document.by_id) // 4
    replica.log.fill(row)


def _touched(replica: Replica, row: LogRow, touch: Touch) -> None:
    entity = touch.entity
    entity.row_written(row.seq, row.terminal_id, row.name, row.echo, touch)
    if entity.past.size > LATEST:
        entity.let_go(partial(replica.knowledge.everybody, row.priority))
    replica.log.group.touched[entity.key] = entity
    if not entity.exists:
        entity.exists = True
        replica.residents.known.add(entity_key(entity.key))


def confirm(
    replica: Replica,
    author: Author,
    operation_id: str,
    version: int,
    status: str,
    accepted: int,
    seq: int,
    **extra: object,
) -> bool:
    """Confirm an operation to its author, once row `seq` is durable. Returns whether the confirmation waits."""
    at = hlc.iso(hlc.millis(accepted))
    message = outgoing.sync_confirmation(operation_id, author.terminal_id, at, version, status, **extra)
    return replica.log.answer(author.recipient, message, seq)


def confirm_again(
    replica: Replica,
    operation: Operation,
    author: Author,
    accepted: int,
    version: int,
    seq: int,
) -> None:
    """Confirm an operation that is held already, with what its entities show now. version, accepted, seq: as when it
    was held first.

    A terminal that lost the first answer may have been shown other writes since.
    """
    replica.counts.duplicates += 1
    found = [replica.residents.entities.get(write.key) for write in operation.writes]
    entities = [entity for entity in found if entity is not None]
    shown: dict[str, object] = {}
    if sum(entity.view_bytes for entity in entities) <= replica.settings.entity_bytes:
        shown = {entity.key[1]: entity.shown() if entity.view.alive else None for entity in entities}
        seq = max([seq, *(entity.seq for entity in entities)])  # nothing is told of what is not stored
    if confirm(replica, author, operation.id, version, "duplicate", accepted, seq, shown=shown):
        replica.log.group.refusals.append(not_stored(operation, author))


def _counted(operation: Operation, stamp: Stamp, offset_ms: int) -> dict[str, object]:
    """What the confirmation and the audit say of a timestamp that does not count as it is.

    clock_skew_ms: by how much it is ahead of what counts. counted_by: what that rests on (`Stamp.by`).
    """
    said: dict[str, object] = {}
    if operation.timestamp_us is not None:
        skew_ms = operation.timestamp_us // 1000 - hlc.millis(stamp.stamp) + offset_ms
        if abs(skew_ms) >= TOLERANCE_MS:
            said = {"clock_skew_ms": skew_ms, "counted_by": stamp.by}
    if operation.assumed_zone is not None:
        said["assumed_zone"] = operation.assumed_zone
    return said


def _edit(
    planned: Planned, kind: str, seq: int, by: str, news: ConflictNews, stamp: Stamp, *, pauses: bool
) -> Generator[int, None, tuple[Difference, Edit, Mapping[str, Decimal]]]:
    """Carry a plan out. Returns how the entity is shown differently, the edit, and what was counted."""
    entity, plan = planned.entity, planned.plan
    if planned.early:
        plan.stamped(stamp)
    if pauses:
        yield 1 + len(plan.fields)
    touched = [*(r.path for r in plan.supersede), *(f.path for f in plan.fields), *map(counted_at, plan.counts)]
    change = partial(
        entity.document.edit,
        supersede=plan.supersede,
        fields=plan.fields,
        n=plan.increment,
        counts=plan.counts,
        forgotten=plan.forgotten,
    )
    paths = list(dict.fromkeys(touched))
    before, edit = yield from carry_out_in_steps(entity, paths, change, seq, by, news, pauses=pauses)
    entity.document_bytes += len(edit.update)
    if pauses:
        yield 1 + len(paths)
    return difference(before, entity, kind, plan.named, planned.written), edit, plan.counts


def _on_its_way(replica: Replica, author: Author, entity: Entity, now: Instant) -> bool:
    """Whether the author may have been sent, since it wrote, what shows this entity differently from what it wrote.

    That is a row of the entity, or the refusal of another write of this author. For an operation that was refused
    before, it counts from its first attempt. Refusals from before this start are not known. A terminal that reads
    before it sends what waited has confirmed such rows, and shows them over what it wrote: only the time tells.
    """
    terminal, priority = author.terminal_id, entity.policy.priority_class
    sent = entity.seq if entity.seq <= author.again[-1][1] else entity.delivered_to(terminal)
    refused = replica.knowledge.refusals.get((terminal, priority), replica.log.started_at)
    known, first = author.received[priority], author.first_attempt
    if first is not None:
        if entity.seq > first.head:
            return True
        known = min(known, first.received)
    if author.age_ms is None:
        known = min(known, *(after[priority] for after, _ in author.again))
        if author.sendings is not None:
            known = min(known, author.sendings.waiting(priority))
    elif author.age_ms and author.sendings is not None:
        known = min(known, author.sendings.since(now.mono_ms - author.age_ms, priority))
    return max(sent, refused) > known


def _late(author: Author, entity: Entity, stamp: Stamp) -> bool:
    """Whether the entity holds a later write of the same author, by the author's own clock.

    That happens when the node could not store this operation at first and was restarted since. The author's screen
    shows the later write.
    """
    return any(r.terminal == author.terminal_id and r.stamp > stamp.said for r in entity.document.by_id.values())
