"""What becomes of an operation that a terminal of this node sends: a look, then lock, version, document, strategy.

`look` finds what the operation is about, or says what has to be read first (needs.py). With all of it in memory
`accept` decides at once. The operation ends as one row in the log's current group, together with the entity's new
state, the conflicts it raised or closed, and the answers that leave once the group is durable.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from crdt import hlc
from crdt.classes import define
from crdt.records import name_of
from node.core.entities.entity import Entity, Seen
from node.core.entities.reach import Reach
from node.core.entities.size import check_size
from node.core.entities.writes import LAST, RESERVED, Authorship, Planner, Stamp, seen_dead
from node.core.locks.lease import Held as LockHeld
from node.core.log.messages import current_message
from node.core.log.rows import open_row
from node.core.operations import in_turns
from node.core.operations.author import Author
from node.core.operations.in_turns import OF_AN_ENTITY
from node.core.operations.record import OF_A_LOOK, Planned, confirm_again, record, record_in_steps
from node.core.operations.refusals import Objection, not_stored, refuse, refuse_in_steps
from node.core.ports import History, Needs
from node.errors import (
    ConflictResolutionFailed,
    EntityNotFound,
    EntityTooLarge,
    InvalidMessage,
    LockTimeout,
    PermissionDenied,
    WireError,
)
from node.wire.messages import Operation
from storage.records import op_key
from storage.understood import understood
from strategies.policy import EntityPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.messages import Write
    from storage.records import Key


logger = logging.getLogger("comanda.operations")

NEW = 1
"""The version that the document's CREATE names."""


@define
class Subject:
    """Everything that a decision needs, in memory.

    author: with what it knew at the first attempt, if the operation was refused before.
    name: the operation's (crdt.records.name_of). held: an operation of this name is held already.
    large: it is decided in several turns.
    """

    operation: Operation
    policy: EntityPolicy
    author: Author
    name: str
    held: bool
    large: bool = False


def look(
    replica: Replica, operation: Operation, policy: EntityPolicy, author: Author, read: Needs | None = None
) -> Subject | Needs:
    """The operation with everything that a decision needs, or what has to be read first.

    read: what was read already.
    """
    residents, held = replica.residents, replica.held
    keys = [write.key for write in operation.writes]
    entities = [residents.entities.get(key) for key in keys]
    missing = residents.missing(keys) if None in entities or residents.taken else ()
    large = operation.registers > in_turns.LARGE
    alone = large and replica.in_turns.busy
    name = name_of(author.terminal_id, operation.id)
    under_way = name in replica.in_turns.names
    in_memory, key = held.in_memory(name), op_key(name)
    on_disk = not in_memory and (key in held.known or key in held.archived)
    if not missing:
        replica.counts.cache_hits += 1
    if replica.knowledge.first_attempts:
        author = replica.knowledge.as_of_first_attempt(operation, author)
    histories = _histories(replica, operation, policy, author) if policy.kinds.declared else ()
    if missing or on_disk or histories or alone or under_way:
        most = replica.settings.bulk_bytes if len(keys) > 1 else None
        needs = Needs(
            missing,
            (name,) if on_disk else (),
            histories=histories,
            held=tuple(keys),
            known=(name,),
            most_bytes=most,
            alone=large,
        )
        if needs != read or alone or under_way:
            return needs
    if len(keys) > 1:
        _check_bulk(replica, keys)
    return Subject(operation, policy, author, name, in_memory or (on_disk and key in held.archived), large)


def _check_bulk(replica: Replica, keys: Sequence[Key]) -> None:
    """A BULK_UPDATE is one row, which shows all its entities. Raises InvalidMessage where they are too large."""
    found, most = replica.residents.entities, replica.settings.bulk_bytes
    total = sum(entity.document_bytes + entity.view_bytes for key in keys if (entity := found.get(key)) is not None)
    if total > most:
        said = f"its entities have {total} bytes; one operation touches at most {most}"
        raise InvalidMessage(said, "$.operation.data.updates")


def _histories(replica: Replica, operation: Operation, policy: EntityPolicy, author: Author) -> tuple[History, ...]:
    """The rows that tell from which values the author's absolute counters become differences."""
    counters = policy.kinds.counting
    if not counters or operation.kind == "DELETE":
        return ()
    wanted = []
    for write in operation.writes:
        entity = replica.residents.entities.get(write.key)
        names = [name for name in counters if name in write.data]
        history = (
            replica.knowledge.history_wanted(author, entity, names, write.version)
            if entity is not None and names
            else None
        )
        if history is not None:
            wanted.append(history)
    return tuple(wanted)


def accept(replica: Replica, subject: Subject, now: Instant) -> None:
    """Decide a `data_sync`.

    Every outcome is in the group, but for what is refused at once. Raises WireError for that.
    """
    operation, author, policy = subject.operation, subject.author, subject.policy
    if subject.held and not _only_told(replica, operation, subject.name):
        repeated(replica, operation, author, subject.name)
        return
    entities = _entities(replica, operation)
    lock_status = _may_write(replica, operation, policy, author, entities, now)
    if isinstance(lock_status, Objection):
        refuse(replica, operation, author, entities, now, lock_status)
        return
    stamp = stamped(replica, operation, author, now)
    try:
        plans, stamp = _plans(replica, operation, author, entities, stamp, now)
    except REFUSED as error:
        refuse(replica, operation, author, entities, now, _objection(error, entities))
        return
    record(replica, operation, author, plans, stamp, lock_status, now)


def accept_in_turns(replica: Replica, subject: Subject, clock: Callable[[], Instant]) -> Generator[int, None, bool]:
    """The same of a large one, as `Work` (in_turns.py). Its entities are its own meanwhile.

    It is planned first. Then it is decided, in one turn that is short, and carried out. clock: called with the
    decision; may raise WireError.
    """
    operation, author, policy, log = subject.operation, subject.author.as_now(), subject.policy, replica.log
    if subject.held and not _only_told(replica, operation, subject.name):
        repeated(replica, operation, author, subject.name)
        return False
    knowledge, histories = replica.knowledge, replica.knowledge.histories
    keys = [write.key for write in operation.writes]
    replica.residents.take(keys)
    try:
        yield 1 + len(keys) // OF_A_LOOK
        entities = _entities(replica, operation)
        yield 1 + len(keys) // OF_A_LOOK
        later, seen_upto = Stamp.later(author.terminal_id, operation.id), 0
        plans: list[Planned] = []
        wrong: WireError | None = None
        for number, (entity, write) in enumerate(zip(entities, operation.writes, strict=True)):
            knowledge.histories = histories  # what was read for others meanwhile has served them
            known = _known(replica, operation, author, entity, write)
            seen_upto = max(seen_upto, known.latest())
            if wrong is None:
                try:
                    plans.append(_plan(replica, operation, author, write, number, known, later, clock().wall_ms))
                except WireError as error:
                    wrong = error
            yield OF_AN_ENTITY + len(write.data) // 2
        now = clock()
        lock_status = _may_write(replica, operation, policy, author, entities, now)
        objection, stamp = None, later
        if isinstance(lock_status, Objection):
            objection, lock_status = lock_status, ""
        else:
            stamp = stamped(replica, operation, author, now).after(seen_upto)
            if isinstance(wrong, REFUSED):
                objection = _objection(wrong, entities)
            elif wrong is not None:
                raise wrong
        refusal = not_stored(operation, author)
        log.reserve(open_row(policy, operation.id, author.terminal_id))
        log.group.refusals.append(refusal)
        try:
            if objection is not None:
                yield from refuse_in_steps(replica, operation, author, entities, now, objection, pauses=True)
            else:
                yield from record_in_steps(replica, operation, author, plans, stamp, lock_status, now, pauses=True)
        except Exception:
            log.group.refusals.remove(refusal)  # who caused a fault is refused, and not decided again
            raise
        return True
    finally:
        replica.residents.give_back(keys)


REFUSED = (EntityNotFound, EntityTooLarge, PermissionDenied)
"""What is refused and kept, and of which the author is shown again what is there, or that nothing is."""


def _entities(replica: Replica, operation: Operation) -> list[Entity]:
    entities, residents = [], replica.residents
    for write in operation.writes:
        entity = residents.entities.pop(write.key, None)
        if entity is None:
            entity = residents.entity(write.key)  # nobody has written it yet
        residents.entities[write.key] = entity  # the latest used is the last to be let go
        entities.append(entity)
    return entities


def _may_write(
    replica: Replica,
    operation: Operation,
    policy: EntityPolicy,
    author: Author,
    entities: Sequence[Entity],
    now: Instant,
) -> str | Objection:
    """The audit's lock status, or the lock or the conflict that has the write refused and kept."""
    lock_status = locked(replica, entities, operation, author, now) if policy.requires_lock else "none"
    if isinstance(lock_status, str) and policy.strategy.freezes:
        found = next(((e, c) for e in entities if (c := e.view.frozen_by()) is not None), None)
        if found is not None:
            entity, blocked = found
            reason = f"{blocked.entity_type} {blocked.entity_id} has an open conflict {blocked.id}"
            details = {"conflict_id": blocked.id}
            return Objection(reason, ConflictResolutionFailed.code, details, entity)
    return lock_status


def _objection(error: WireError, entities: Sequence[Entity]) -> Objection:
    details = {} if error.where is None else {"where": error.where}
    about = next((entity for entity in entities if entity.key[1] == error.entity_id), None)
    return Objection(error.reason, error.code, details, about)


def repeated(
    replica: Replica, operation: Operation, author: Author, name: str, where: str = "$.operation.id"
) -> None:
    """Answer an operation whose name is held already. What is left of it was fetched.

    where: its id in the message.
    Raises InvalidMessage where its author gave the id to another operation before.
    """
    copies = replica.held.copies(name, understood(operation.raw))
    if not copies:
        raise InvalidMessage(f"operation id {operation.id} already names another operation", where)
    first = copies[0]
    confirm_again(replica, operation, author, first.accepted, first.version, first.seq)
    if first.via:  # another node accepted it; here it may have been refused, and shown again by its author
        _show_current(replica, operation, author)


def _only_told(replica: Replica, operation: Operation, name: str) -> bool:
    """Whether another operation of this name is held only as a linked node named it: that costs nobody a write."""
    held = replica.held
    if op_key(name) not in held.told or held.copies(name, understood(operation.raw)):
        return False
    logger.warning("%(operation_id)s was named by a linked node, and is another operation", {"operation_id": name})
    return True


def _show_current(replica: Replica, operation: Operation, author: Author) -> None:
    """Send the author the current values of the entities of its operation."""
    node_id, at = replica.settings.node_id, hlc.iso(hlc.millis(replica.clock.hlc.last))
    for entity in (replica.residents.entity(write.key) for write in operation.writes):
        message = current_message(entity, node_id=node_id, at=at)
        replica.log.group.replies.append((author.recipient, message))
        # This is on its way like a row: what the terminal has written meanwhile is shown to it again afterwards.
        replica.knowledge.refusals[author.terminal_id, entity.policy.priority_class] = replica.log.head + 1


def locked(
    replica: Replica, entities: Sequence[Entity], operation: Operation, author: Author, now: Instant
) -> str | Objection:
    """The audit's lock status of a type that needs locks, or what has the write refused and kept."""
    status = "unlocked"
    leases, shadows, claimed = replica.locks.leases, replica.locks.shadows, operation.lock_id
    for entity in entities:
        if claimed is None and entity.key not in leases and entity.key not in shadows:
            status = "unlocked"
            continue
        try:
            verdict = replica.locks.check(entity.key, author.terminal_id, claimed, now)
        except LockTimeout as lost:  # the lock it relies on is another's since; what it wrote is kept
            details = {"lock_id": claimed, "where": lost.where}
            return Objection(lost.reason, lost.code, details, entity)
        if isinstance(verdict, LockHeld):
            lease = verdict.lease
            after = " after your lock expired" if verdict.taken_over else ""
            details = {
                "locked_by": lease.terminal,
                "locked_until": hlc.iso(lease.expires_ms),
                "reason": f"Already locked by {lease.terminal}{after}",
            }
            error = "Could not acquire entity lock"
            return Objection(error, LockTimeout.code, details, entity)
        status = verdict
    return status


def stamped(replica: Replica, operation: Operation, author: Author, now: Instant) -> Stamp:
    """The operation's stamp: when it was written, by its author's clock as far as that can be believed."""
    clocks, terminal, said_us = replica.terminal_clocks, author.terminal_id, operation.timestamp_us
    written = clocks.written(terminal, said_us, now, again=author.first_attempt is not None)
    if said_us is not None:
        clocks.wrote(terminal, written.at_us)
    stamp, latest, accepted = replica.clock.stamp(None if said_us is None else written.at_us, now)
    said = (
        stamp if written.said_us == written.at_us else hlc.stamp_of(written.said_us + replica.clock.offset_ms * 1000)
    )
    return Stamp(terminal, operation.id, stamp, latest, accepted, said, written.by)


def _plans(
    replica: Replica,
    operation: Operation,
    author: Author,
    entities: Sequence[Entity],
    stamp: Stamp,
    now: Instant,
) -> tuple[list[Planned], Stamp]:
    """One plan for each entity, and the stamp: later than what its author had seen of them.

    Changes nothing. Raises EntityNotFound, EntityTooLarge, PermissionDenied or InvalidMessage.
    """
    plans, known = [], []
    for entity, write in zip(entities, operation.writes, strict=True):
        known.append(_known(replica, operation, author, entity, write))
        if stamp.stamp < stamp.latest:
            stamp = stamp.after(known[-1].latest())
    for number, (write, of_entity) in enumerate(zip(operation.writes, known, strict=True)):
        plans.append(_plan(replica, operation, author, write, number, of_entity, stamp, now.wall_ms))
    return plans, stamp


@define
class _Known:
    """What an author had seen of one entity. version: the one that counts as the operation's."""

    entity: Entity
    version: int | None
    reach: Reach
    seen: Seen

    def latest(self) -> int:
        """The latest stamp of what it had seen."""
        seen = self.seen
        return max((r.stamp for i, r in self.entity.document.by_id.items() if i in seen), default=0)


def _known(replica: Replica, operation: Operation, author: Author, entity: Entity, write: Write) -> _Known:
    version, first_head = write.version, None if author.first_attempt is None else author.first_attempt.head
    reach = replica.knowledge.reach(author, entity, version)
    seen = entity.seen_by(author.terminal_id, reach, first_head)
    if operation.kind == "CREATE" and version == NEW and entity.exists:
        # The number of whatever is new: it does not say that its author had not seen what it had confirmed.
        confirmed = replica.knowledge.reach(author, entity, None)
        everything = entity.seen_by(author.terminal_id, confirmed, first_head)
        if seen_dead(entity, everything):
            version, reach, seen = None, confirmed, everything
    return _Known(entity, version, reach, seen)


def _plan(
    replica: Replica,
    operation: Operation,
    author: Author,
    write: Write,
    number: int,
    known: _Known,
    stamp: Stamp,
    at_ms: int,
) -> Planned:
    """What an operation will do to one entity. Raises WireError, which names it. number: of its writes, from 0."""
    entity, data, seen = known.entity, write.data, known.seen
    writer = writer_of(replica, stamp, author, known.reach, entity)
    unseen = len(seen) < len(entity.document.by_id)
    place = f"$.operation.data.updates[{number}].data" if operation.kind == "BULK_UPDATE" else "$.operation.data"
    planner = Planner(entity, writer, seen, known.version, replica.settings.version_jump, place)
    written: dict[str, object] = {}
    try:
        if operation.kind == "DELETE":
            plan = planner.delete(data, hlc.iso(at_ms))
        else:
            plan = planner.write(data, create=operation.kind == "CREATE")
            check_size(entity, plan, operation.size, replica.settings.entity_bytes, place)
            written = {name: value for name, value in data.items() if name not in RESERVED}
    except WireError as error:
        error.entity_id = entity.key[1]
        raise
    return Planned(entity, plan, written, unseen, known.reach, known.version, early=stamp.accepted == LAST)


def writer_of(replica: Replica, stamp: Stamp, author: Author, reach: Reach, entity: Entity) -> Authorship:
    """The author as the planner needs it: its clocks, its type, and what it last knew."""
    knowledge = replica.knowledge
    return Authorship(
        stamp,
        author.terminal_type,
        partial(knowledge.last_known, author, reach),
        partial(knowledge.last_known_list, author, reach),
        partial(knowledge.repeats, author, reach),
        knowledge.is_stranger(author, entity),
    )
