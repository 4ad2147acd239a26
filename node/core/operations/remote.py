"""What becomes of an operation that another node accepted: through the gap guard into the documents, and one row.

The other node has decided it already. Here no lock is checked and nothing is refused: version and strategy decide
what is shown, and a conflict is reported. An operation that cannot be applied is parked (parked.py).
"""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from crdt.classes import define, frozen
from crdt.edits import Gap, Known, Prepared
from crdt.records import Contradiction, DocumentError
from node.core.entities.change import ConflictNews, Difference, carry_out_in_steps, difference
from node.core.entities.entity import Entity, Touch
from node.core.entities.writes import RESERVED
from node.core.keyring import VERIFIED
from node.core.log.rows import NO_CHANGES, OF_A_PART, changes_of, open_row, operation_row, rendered
from node.core.operations.author import absent
from node.core.operations.content import Unproved, check, check_authorship
from node.core.operations.in_turns import OF_AN_ENTITY
from node.core.operations.moved import look_for_two, tell_overruled
from node.core.operations.notices import tell_in_steps
from node.core.operations.overruled import Overruled, Twice, brought_back, deleted_by, not_removed, removed_twice
from node.core.operations.record import OF_A_LOOK, write, write_in_steps
from node.core.operations.two_writers import repair
from node.core.steps import let_go
from node.errors import InvalidMessage
from node.wire.links.operations import RemoteOperation, RemoteUpdate
from node.wire.messages import resolution_of
from node.wire.outgoing import compact_json
from storage.understood import understood
from strategies.guard import deleted
from strategies.paths import DELETED_AT

if TYPE_CHECKING:
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from storage.records import LogRow
    from strategies.policy import EntityPolicy


logger = logging.getLogger("comanda.link")


@frozen
class Outcome:
    """What became of something that a link brought.

    waits: something that it builds on is missing here.
    left: it was not taken, and waits in the quarantine, perhaps for good.
    quiet: it brought an entity whole, or names of archived operations. That is not passed on, so other links learn of
        it by comparing.
    claimed: in words, what the sender holds of this node's own writer and this node does not: this node's database
        was set back.
    """

    waits: bool = False
    left: bool = False
    quiet: bool = False
    claimed: str | None = None


TAKEN = Outcome()
"""Of nearly everything."""


@define(eq=False)
class _Step:
    """One entity of a remote operation. prepared: None where the document holds the update already."""

    entity: Entity
    update: RemoteUpdate
    written: Mapping[str, object]
    prepared: Prepared | None


def accept_in_steps(
    replica: Replica, remote: RemoteOperation, via: str, now: Instant, *, pauses: bool = False
) -> Generator[int, None, str | None]:
    """Apply an operation, or return what it waits for.

    pauses: others have their turns meanwhile (in_turns.py); its entities are its own (`Residents.take`).
    Raises WireError, UpdateError or DocumentError for a bad one.
    """
    operation = remote.operation
    if _is_here(replica, remote):
        replica.counts.duplicates += 1
        return None
    if operation.entity_type not in replica.registry.by_type:
        raise InvalidMessage(f"unknown entity type {operation.entity_type!r}", "$.operation.entity_type")
    signed = check_origin(replica, remote, via)
    if pauses:
        yield 1 + len(remote.updates) // OF_A_LOOK
    steps: list[_Step] = []
    for update, said in zip(remote.updates, operation.writes, strict=True):
        entity = replica.residents.entity((update.entity_type, update.entity_id))
        prepared = _prepared(replica, entity, update, remote)
        if isinstance(prepared, Gap):
            missing = ", ".join(f"{w}:{have}..{need}" for w, (have, need) in sorted(prepared.missing.items()))
            return f"{update.entity_type} {update.entity_id} lacks {missing}"
        if prepared is not None:
            if pauses:
                yield len(said.data)
            try:
                check(replica, entity, said, prepared, remote)
            except Unproved as error:
                return str(error)
        steps.append(_Step(entity, update, said.data, prepared))
        if pauses:
            yield OF_AN_ENTITY + len(said.data)
    replica.clock.observe(remote.accepted, now)
    if pauses:
        policy = steps[0].entity.policy
        replica.log.reserve(open_row(policy, operation.id, remote.terminal_id))
    yield from _record(replica, remote, steps, signed, via, now, pauses=pauses)
    return None


def check_origin(replica: Replica, remote: RemoteOperation, via: str) -> str:
    """What was found of the proof (`LogRow.signed`). Raises InvalidMessage where the link may not bring this."""
    signed = replica.keyring.check(remote)
    check_way(replica, remote.origin, [update.writer for update in remote.updates], signed, via)
    return signed


def check_way(replica: Replica, origin: str, writers: Collection[int], signed: str, via: str) -> None:
    """Raise InvalidMessage where the link may not bring an operation of this origin, under these writers.

    signed: what was found of its proof.
    """
    if origin != replica.settings.node_id and replica.residents.writer in writers:
        raise InvalidMessage("another node wrote under this node's writer", "$.link.updates")
    if not replica.origins.may_say(via.partition(":")[0], origin, proven=signed == VERIFIED):
        raise InvalidMessage(f"this link does not speak for {origin!r}", "$.link.origin")


def _is_here(replica: Replica, remote: RemoteOperation) -> bool:
    """Whether the operation is held: also in the documents, whatever another node said that they contain."""
    if not replica.held.digests.holds(remote.operation.entity_type, remote.link_key):
        return False
    for update in remote.updates:
        document = replica.residents.entity((update.entity_type, update.entity_id)).document
        if not document.holds(update.writer, update.end):
            logger.warning(
                "%(operation_id)s was named as part of a state, and was not in it",
                {"operation_id": remote.operation.id},
            )
            return False
    return True


def _prepared(
    replica: Replica, entity: Entity, update: RemoteUpdate, remote: RemoteOperation
) -> Prepared | Gap | None:
    document, said = entity.document, (update.writer, update.first, update.end)
    if document.holds(update.writer, update.end):
        records = document.compare(update.update, update.before, said, remote.name)
        check_authorship(records, remote, replica.clock.max_skew_ms)
        _compare(replica, update, remote)
        return None
    prepared = document.prepare(update.update, update.before, said)
    if isinstance(prepared, Known):
        return None
    if isinstance(prepared, Prepared):
        if prepared.counts != update.counts:
            raise DocumentError("update counts otherwise than its entry says")
        problem = entity.policy.misfit(prepared.added)
        if problem is not None:
            raise DocumentError(problem)
    return prepared


def _compare(replica: Replica, update: RemoteUpdate, remote: RemoteOperation) -> None:
    """Raise Contradiction where this node's row of the operation has another update of the same clocks."""
    for row in replica.held.rows(remote.name):
        for entry in orjson.loads(row.updates or b"[]"):
            same = entry[:2] == [update.entity_type, update.entity_id] and entry[4][:2] == [
                update.writer,
                update.first,
            ]
            if same and b64decode(entry[2]) != update.update:
                raise Contradiction(f"{remote.operation.id} did something else to {update.entity_id} here")


def _record(
    replica: Replica,
    remote: RemoteOperation,
    steps: list[_Step],
    signed: str,
    via: str,
    now: Instant,
    *,
    pauses: bool,
) -> Generator[int, None, None]:
    operation, policy = remote.operation, steps[0].entity.policy
    bulk = operation.kind == "BULK_UPDATE"
    part = operation.registers // OF_A_PART
    news, seq = ConflictNews(), replica.log.open_row if pauses else replica.log.head + 1
    replica.faults.changing = True
    changed, changes = [], []
    stays: list[Overruled] = []
    twice: list[Twice] = []
    beyond = _beyond_rights(replica, remote, steps)
    for step in steps:
        if step.prepared is not None:
            deletes = step.prepared.decoded.deletes
            if step.entity.movements.gone:
                added = [record.path for record in step.prepared.added]
                stays += brought_back(step.entity, added, remote.name, deleted_by(deletes))
                twice += removed_twice(step.entity, step.written, remote.name, deleted_by(deletes))
            changed.append(step.entity)
            changes.append((yield from _apply(step, step.prepared, remote, seq, news, pauses=pauses)))
            if not changes[-1].as_written:
                stays += not_removed(step.entity, step.written, remote.name, deleted_by(deletes))
    version = max(step.entity.document.version for step in steps)
    told = arrived(replica, now)
    message = b""
    if changed:
        at, node_id = hlc.millis(remote.accepted), replica.settings.node_id
        user_id = operation.user_id or remote.user_id
        message = rendered(operation, remote.terminal_id, user_id, changed, changes, version, at, node_id)
        if pauses:
            yield 2 * part
        told |= changes_of(changed, changes, bulk=bulk)
        if pauses:
            yield part
        if replica.is_online(remote.terminal_id):
            told["online_here"] = True
            logger.warning(
                "%(operation_id)s of %(terminal_id)s came over %(peer)s, and that terminal is connected here",
                {"operation_id": operation.id, "terminal_id": remote.terminal_id, "peer": via},
            )
        if beyond is not None:
            told["beyond_rights"] = beyond
            replica.counts.beyond_rights += 1
            logger.warning(
                "%(operation_id)s of %(terminal_id)s came over %(peer)s, and does what no "
                "%(terminal_type)s may do here",
                {
                    "operation_id": operation.id,
                    "terminal_id": remote.terminal_id,
                    "peer": via,
                    "terminal_type": beyond,
                },
            )
    status = news.status_of(remote.name) or "applied"
    row = remote_row(
        policy, remote, version, status, message=message, changes=compact_json(told), signed=signed, via=via
    )
    touches = [Touch(s.entity, None, s.written, seq - 1) for s in steps if s.prepared is not None]
    if pauses:
        yield part
        yield from write_in_steps(replica, row, touches)
    else:
        write(replica, row, touches)
    again = replica.held.in_memory(remote.name)
    hold(replica, row)
    if news.raised or news.gone or news.restated:
        author = absent(remote.terminal_id, remote.user_id)
        resolution = resolution_of(operation)
        yield from tell_in_steps(replica, news, policy, operation.id, author, remote.accepted, resolution)
    if stays:
        tell_overruled(replica, stays, operation.id, remote.accepted)
    if twice:
        look_for_two(replica, twice, seq, operation.id, remote.accepted)
    copies = replica.held.copies(remote.name, understood(operation.raw)) if again else ()
    if len(copies) > 1:
        for step in steps:
            repair(replica, step.entity, copies, now)
            if pauses:
                step.entity.seal()
            yield OF_AN_ENTITY
    if pauses:
        yield from let_go(touches, changes, steps)
        replica.log.close()
    replica.faults.changing = False


def arrived(replica: Replica, now: Instant) -> dict[str, object]:
    """What the audit is told of an operation that came, beside the change itself."""
    return {**NO_CHANGES, "arrived_at": hlc.iso(now.wall_ms + replica.clock.offset_ms)}


def remote_row(
    policy: EntityPolicy,
    remote: RemoteOperation,
    version: int,
    status: str,
    *,
    message: bytes,
    changes: bytes,
    signed: str,
    via: str,
) -> LogRow:
    """The row of an operation that came over a link. changes: what the audit is told, JSON."""
    operation = remote.operation
    return operation_row(
        policy,
        operation.id,
        operation.entity_id,
        operation=remote.authored,
        terminal_id=remote.terminal_id,
        user_id=remote.user_id,
        targets=tuple(u.entity_id for u in remote.updates) if operation.kind == "BULK_UPDATE" else (),
        stamp=remote.stamp,
        accepted=remote.accepted,
        version=version,
        status=status,
        lock_status=remote.lock_status,
        echo=True,
        message=message,
        changes=changes,
        updates=remote.entries,
        origin=remote.origin,
        via=via,
        key=remote.link_key,
        proof=remote.proof,
        signed=signed,
    )


def hold(replica: Replica, row: LogRow) -> None:
    """An operation that came has a row."""
    replica.held.remember(row)
    replica.origins.note(row.origin, replica.log.group.commit.meta)
    replica.counts.remote += 1


def _beyond_rights(replica: Replica, remote: RemoteOperation, steps: Sequence[_Step]) -> str | None:
    """The type under which this node knows the author, where that may not do what the operation does.

    The operation is applied all the same: what a type may do is configured at each node, and changes, and another
    node may know its author as another type. Whoever holds an operation shows it.
    """
    known = replica.rights_of(remote.terminal_id)
    if known is None:
        return None
    terminal_type, may_write = known
    if not may_write(remote.operation.entity_type):
        return terminal_type
    if any(s.prepared is not None and _takes_back(s.entity, s.prepared, terminal_type) for s in steps):
        return terminal_type
    return None


def _takes_back(entity: Entity, prepared: Prepared, terminal_type: str) -> bool:
    """Whether an update does what no terminal of this type may here: lower a status, or delete a final one."""
    kinds = entity.policy.kinds
    if not kinds.declared:
        return False
    written = {record.path: record for record in prepared.added}
    deletion = written.get(DELETED_AT)
    if deletion is not None and deleted(kinds, entity.document, deletion, terminal_type):
        return True
    return any(
        record.path in written and kinds.at(record.path).keeps(record, terminal_type, written[record.path].value)
        for record in prepared.removed
    )


def _apply(
    step: _Step, prepared: Prepared, remote: RemoteOperation, seq: int, news: ConflictNews, *, pauses: bool
) -> Generator[int, None, Difference]:
    entity, document = step.entity, step.entity.document
    change = partial(document.carry_out, prepared)
    paths = document.paths(prepared)
    by = remote.terminal_id
    before, _ = yield from carry_out_in_steps(entity, paths, change, seq, by, news, pauses=pauses)
    if pauses:
        yield 1 + len(paths)
    fields = {name: value for name, value in step.written.items() if name not in RESERVED}
    named = [name for name in fields if name in entity.view.fields]
    return difference(before, entity, remote.operation.kind, named, fields)
