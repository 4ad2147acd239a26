"""Operations of linked nodes on their way in: applied, or parked until they can be.

`receive` takes one from a link. If something is wrong with it, it alone is parked: as `waiting` while it builds on
something that is missing, as `bad` if it is damaged. Waiting ones are retried when something comes to their entity.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from attrs import evolve

from crdt.classes import frozen
from crdt.engine import EngineError
from crdt.records import Contradiction, DocumentError, ForkError, name_of
from crdt.update_format import UpdateError
from node.core.operations import in_turns, settled
from node.core.operations.in_turns import Undone, is_large_message
from node.core.operations.needs import fetch
from node.core.operations.quarantine import BAD, DROPPED, FAULT, NO_BODY, WAITING, origin_of
from node.core.operations.record import OF_A_LOOK
from node.core.operations.remote import TAKEN, Outcome, accept_in_steps
from node.core.ports import Needs, Unreadable
from node.core.steps import at_once
from node.errors import InvalidMessage, WireError
from node.wire.codec import LONGEST_ID
from node.wire.json_text import word
from node.wire.links.operations import entities_of, remote_operation, remote_operation_in_steps
from node.wire.outgoing import compact_json
from storage.records import ParkedRow, link_key

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from node.core.operations.held import Held
    from node.core.operations.replica import Replica
    from node.core.operations.settled import Documents
    from node.core.ports import Disk, Health, Instant
    from storage.records import Key

logger = logging.getLogger("comanda.link")

MOST_AT_ONCE = 64
"""Most that wait for an entity and are tried as soon as something comes to it. The others are left to the clock."""

EXPECTED = (WireError, UpdateError, DocumentError, EngineError)
"""What an operation of another node raises that cannot be applied."""


def receive(replica: Replica, message: Mapping[str, object], via: str, now: Instant) -> Outcome:
    """Take a linked node's `data_sync`, whose entities are resident. If it cannot be applied, it alone is parked."""
    return at_once(receive_in_steps(replica, message, via, now))


def receive_in_steps(
    replica: Replica, message: Mapping[str, object], via: str, now: Instant, *, pauses: bool = False
) -> Generator[int, None, Outcome]:
    """The same. pauses: others have their turns meanwhile; its entities are its own until it is done."""
    key, keys = None, entities_of([message]) if pauses else ()
    replica.residents.take(keys)
    try:
        if pauses:
            yield 1 + len(keys) // OF_A_LOOK
        remote = (yield from remote_operation_in_steps(message)) if pauses else remote_operation(message)
        key = remote.link_key
        known = replica.faults.causes.get(key)
        if known is not None:
            raise InvalidMessage(known, "$.operation")
        kept = replica.quarantine.of_operation(key, remote.name)
        if kept is not None and kept.state == DROPPED:
            return TAKEN
        reason = yield from accept_in_steps(replica, remote, via, now, pauses=pauses)
    except Exception as error:
        if isinstance(error, EXPECTED) and not replica.faults.changing:
            if isinstance(error, Contradiction):
                _contradicted(replica, message, via, error)
            park(replica, message, via, BAD, str(error), now)
            return Outcome(left=True, claimed=str(error) if isinstance(error, ForkError) else None)
        told = replica.faults.report(f"an operation of {via!r}", _body(message), error, key)
        if replica.faults.torn is None:
            park(replica, message, via, BAD, told, now)
        return Outcome(left=True)
    finally:
        replica.residents.give_back(keys)
    if reason is not None:
        return Outcome(waits=park(replica, message, via, WAITING, reason, now), left=True)
    if replica.quarantine.empty:
        return TAKEN
    for bad in replica.quarantine.bad_of(remote.name):
        if _accepted(bad) == [remote.stamp, remote.accepted]:  # it came before with a damaged name
            _unpark(replica, bad)
    parked = replica.quarantine.of_operation(remote.link_key, remote.name)
    if parked is not None:
        _unpark(replica, parked)
    retry_waiting(replica, [(u.entity_type, u.entity_id) for u in remote.updates], now)
    return TAKEN


def receive_settled(
    replica: Replica, messages: Sequence[Mapping[str, object]], documents: Documents, via: str, now: Instant
) -> int:
    """Take operations that their entities contain already, in order. Returns how many.

    The one after them `receive` has to look at closely: it may also be bad, or wait.
    """
    if not replica.quarantine.empty or replica.faults.causes:
        return 0
    return settled.take(replica, messages, documents, via, now)


def receive_settled_in_steps(
    replica: Replica, message: Mapping[str, object], documents: Documents, via: str, now: Instant
) -> Generator[int, None, bool]:
    """The same of one large operation. Returns whether it was taken."""
    if not replica.quarantine.empty or replica.faults.causes:
        return False
    return (yield from settled.take_in_steps(replica, message, documents, via, now))


def _contradicted(replica: Replica, message: Mapping[str, object], via: str, error: Contradiction) -> None:
    """Two nodes hold two versions of one operation: this node's stays in the log, the other's in the quarantine."""
    named, peer = _named(message), via.partition(":")[0]
    what = f"{peer} holds {named.operation_id} of {named.terminal_id} otherwise: {error}"
    replica.contradicted("operation", what)


def doubled(replica: Replica, messages: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Names in a frame that may be held here under another writer, or are repaired, and must be read from disk."""
    held, found = replica.held, list[str]()
    for message, link in _operations(messages):
        if _is_new(held, message.get("operation"), link):
            continue
        named = _named(message)
        if not held.digests.holds(named.entity_type, named.link_key):
            found += filter(held.on_disk, named.names)
    return tuple(dict.fromkeys(found))


def names_in(messages: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Names of a frame's operations, and of those that they repair."""
    return tuple(dict.fromkeys(name for message, _ in _operations(messages) for name in _named(message).names))


def _operations(messages: Sequence[Mapping[str, object]]) -> Iterator[tuple[Mapping[str, object], dict[str, object]]]:
    """The messages of a frame that are operations, with what links add to each."""
    for message in messages:
        link = message.get("link")
        if type(link) is dict and "updates" in link:
            yield message, link


def _is_new(held: Held, operation: object, link: Mapping[str, object]) -> bool:
    """Whether nothing is held under the name of an operation, and it repairs none: nearly all of them."""
    if type(operation) is not dict or "repairs" in operation:
        return False
    terminal_id, operation_id = link.get("terminal_id"), operation.get("id")
    if type(terminal_id) is not str or type(operation_id) is not str:
        return False
    return (
        len(terminal_id) <= LONGEST_ID
        and len(operation_id) <= LONGEST_ID
        and not held.holds(name_of(terminal_id, operation_id))
    )


def park(replica: Replica, message: Mapping[str, object], via: str, state: str, reason: str, now: Instant) -> bool:
    """Keep an operation that cannot be applied, durably and whole; once, however often it comes.

    state: `waiting` or `bad`. Where there is no room, others make some. If they cannot, a bad one is kept by name,
    and a waiting one not at all: a comparison finds it. Returns whether it is here.
    """
    named, quarantine = _named(message), replica.quarantine
    if quarantine.holds(named.link_key, named.name) or replica.held.digests.holds(named.entity_type, named.link_key):
        return True
    peer, body = via.partition(":")[0], _body(message)
    origin = origin_of(body) if state == WAITING else None
    if not _place(replica, peer, origin, now):
        return False
    if not _room(replica, peer, len(body), origin, now):
        if state == WAITING:
            return False
        body = NO_BODY
    row = ParkedRow(
        quarantine.next_id(),
        via,
        named.terminal_id,
        named.operation_id,
        named.link_key,
        named.entity_type,
        named.entity_id,
        state,
        reason[:1_000],
        body,
        now.wall_ms,
    )
    quarantine.add(row)
    replica.log.group.commit.parked.append(row)
    return True


def _place(replica: Replica, peer: str, origin: str | None, now: Instant) -> bool:
    """Make place for another row of a linked node. Returns whether there is some."""
    quarantine = replica.quarantine
    while quarantine.full(peer):
        row = quarantine.makes_place(peer, origin, now.wall_ms)
        if row is None:
            return False
        _goes(replica, row)
    return True


def _goes(replica: Replica, row: ParkedRow) -> None:
    """A row makes room for another one."""
    quarantine = replica.quarantine
    if row.state == WAITING:
        if not quarantine.let_go:
            logger.warning(
                "what waits in the quarantine has no more room; %(operation)s of %(peer)s is the first to go",
                {"operation": row.name, "peer": row.via},
            )
        quarantine.let_go += 1
    _unpark(replica, row)


def _room(replica: Replica, peer: str, size: int, origin: str | None, now: Instant) -> bool:
    """Make room for so many bytes of a linked node. Returns whether there is some."""
    quarantine = replica.quarantine
    if size > quarantine.largest:
        return False
    while not quarantine.fits(peer, size):
        row = quarantine.makes_room(peer, origin, now.wall_ms)
        if row is None:
            return False
        if row.state == WAITING:
            _goes(replica, row)
            continue
        named = evolve(row, body=NO_BODY)
        quarantine.only_name(row, named)
        replica.log.group.commit.parked.append(named)
    return True


def put_off(replica: Replica, message: Mapping[str, object], via: str, reason: str, now: Instant) -> None:
    """Park an operation of which something cannot be read here. It is tried again by the clock."""
    park(replica, message, via, WAITING, reason, now)
    named = _named(message)
    row = replica.quarantine.of_operation(named.link_key, named.name)
    if row is not None:
        replica.quarantine.make_due(row)


def _body(message: Mapping[str, object]) -> bytes:
    try:
        return compact_json(message)
    except TypeError:  # nested deeper than can be written
        return b"{}"


@frozen
class _Named:
    """What a message that may be damaged says it is about, as far as it can be read."""

    terminal_id: str
    operation_id: str
    entity_type: str
    entity_id: str
    link_key: int
    repairs: str | None

    @property
    def name(self) -> str:
        return name_of(self.terminal_id, self.operation_id)

    @property
    def names(self) -> tuple[str, ...]:
        """Its own, and that of what it repairs."""
        return (self.name,) if self.repairs is None else (self.name, self.repairs)


def _named(message: Mapping[str, object]) -> _Named:
    raw, beside = message.get("operation"), message.get("link")
    operation, link = raw if isinstance(raw, dict) else {}, beside if isinstance(beside, dict) else {}
    given = (operation.get("id"), operation.get("entity_type"), operation.get("entity_id"), link.get("terminal_id"))
    operation_id, entity_type, entity_id, author = (word(value or "", 128) for value in given)
    said = link.get("key")
    if type(said) is int and abs(said) < 2**63:
        key = said  # its updates may be what is damaged
    else:
        try:
            key = link_key(name_of(author, operation_id), link["updates"])
        except (KeyError, IndexError, TypeError, ValueError, RecursionError):
            key = 0
    repairs = operation.get("repairs")
    return _Named(author, operation_id, entity_type, entity_id, key, repairs if isinstance(repairs, str) else None)


def retry_waiting(replica: Replica, came: Sequence[Key], now: Instant) -> None:
    """Retry what waited for entities to which something came, then what waited for that."""
    pending = list(came)
    while len(replica.quarantine) and pending:
        key = pending.pop()
        rows = replica.quarantine.waiting_for(*key)
        for row in rows[MOST_AT_ONCE:]:
            replica.quarantine.make_due(row)
        for row in rows[:MOST_AT_ONCE]:
            keys, names = needs_of(row)
            unread = any(map(replica.held.on_disk, names)) or replica.residents.missing(keys)
            if unread or not replica.in_turns.names.isdisjoint(names) or _large(row):
                replica.quarantine.make_due(row)  # something else that it needs must be read first, or end
            elif row in replica.quarantine and retry(replica, row, now):
                pending.extend(keys)


def drop(replica: Replica, number: int) -> bool:
    """Somebody does not want a parked operation. Returns whether there was one.

    Its name stays, so that no linked node sends it again.
    """
    row = replica.quarantine.row(number)
    if row is None or row.state == DROPPED:
        return False
    if row.state == FAULT:
        _unpark(replica, row)
        return True
    dropped = evolve(row, state=DROPPED, body=NO_BODY)
    replica.quarantine.remove(row)
    replica.quarantine.add(dropped)
    replica.log.group.commit.parked.append(dropped)
    return True


def _large(row: ParkedRow) -> bool:
    """Whether a parked operation takes several turns."""
    return len(row.body) > in_turns.LARGE and is_large_message(orjson.loads(row.body))


def needs_of(row: ParkedRow) -> tuple[list[Key], list[str]]:
    """The entities a parked operation touches and the operations it is about, as far as it can be read."""
    try:
        message = orjson.loads(row.body)
        if not is_large_message(message):  # a large one is read in turns
            remote_operation(message)
    except (WireError, ValueError):
        return [], [row.name]
    repairs = message["operation"].get("repairs")
    return entities_of([message]), [row.name, repairs] if isinstance(repairs, str) else [row.name]


def _accepted(row: ParkedRow) -> object:
    """The HLCs of a parked operation as it came. They tell one id under two writers apart."""
    try:
        return orjson.loads(row.body)["link"]["hlc"]
    except (ValueError, KeyError, TypeError):
        return None


def retry(replica: Replica, row: ParkedRow, now: Instant) -> bool:
    """Try a parked operation again, whose entities are resident. Returns whether it is applied now."""
    return at_once(_retry_in_steps(replica, row, now))


def _retry_in_steps(
    replica: Replica, row: ParkedRow, now: Instant, *, pauses: bool = False
) -> Generator[int, None, bool]:
    known = replica.faults.causes.get(row.link_key)
    if known is not None:
        _found_bad(replica, row, known)
        return False
    keys = needs_of(row)[0] if pauses else ()
    replica.residents.take(keys)
    try:
        message = orjson.loads(row.body)
        if pauses:
            yield 1 + len(keys) // OF_A_LOOK
        remote = (yield from remote_operation_in_steps(message)) if pauses else remote_operation(message)
        if (yield from accept_in_steps(replica, remote, row.via, now, pauses=pauses)) is not None:
            return False
    except Exception as error:
        expected = isinstance(error, EXPECTED) and not replica.faults.changing
        where, cause = f"a parked operation of {row.via!r}", row.link_key
        reason = str(error) if expected else replica.faults.report(where, row.body, error, cause)
        if replica.faults.torn is None:
            _found_bad(replica, row, reason)
        return False
    finally:
        replica.residents.give_back(keys)
    _unpark(replica, row)
    return True


def _found_bad(replica: Replica, row: ParkedRow, reason: str) -> None:
    """What waited turns out to be bad: nobody had looked at it, as what it builds on could not be read."""
    if row.state == WAITING:
        bad = evolve(row, state=BAD, reason=reason[:1_000])
        replica.quarantine.found_bad(row, bad)
        replica.log.group.commit.parked.append(bad)


def _unpark(replica: Replica, row: ParkedRow) -> None:
    replica.quarantine.remove(row)
    replica.log.group.commit.unparked.append(row.id)


def retry_when_here(
    replica: Replica, row: ParkedRow, disk: Disk, health: Health, clock: Callable[[], Instant]
) -> None:
    """Try a parked operation again, once its entities are in memory."""

    large = _large(row)

    def fetched(unreadable: Unreadable | None) -> None:
        if unreadable is not None or not health.ok or (large and replica.in_turns.busy):
            replica.quarantine.make_due(row)
        elif (here := replica.quarantine.row(row.id)) is not None:  # perhaps only its name, since it was asked for
            now = clock()
            if large:
                replica.begin_in_turns(in_steps(here, now), needs_of(here)[1], ended)
            else:
                tried(now, applied=retry(replica, here, now))

    def in_steps(here: ParkedRow, now: Instant) -> Generator[int, None, bool]:
        applied = yield from _retry_in_steps(replica, here, now, pauses=True)
        tried(now, applied=applied)
        return bool(replica.log.group.rows)

    def tried(now: Instant, *, applied: bool) -> None:
        if applied:
            retry_waiting(replica, needs_of(row)[0], now)
        if replica.log.group.pending():
            disk.wake_writer()

    def ended(raised: Exception | None) -> None:
        if isinstance(raised, Undone):
            replica.quarantine.make_due(row)
        elif raised is not None:
            failed(replica.faults.report(where, row.body, raised, row.link_key))

    def begin() -> None:
        keys, names = needs_of(row)
        touched, unread = tuple(keys), tuple(filter(replica.held.on_disk, names))
        missing = replica.residents.missing(touched)
        if missing or unread or not replica.in_turns.names.isdisjoint(names):
            fetch(replica, disk, Needs(missing, unread, held=touched, known=tuple(names)), guarded)
        else:
            fetched(None)

    def guarded(unreadable: Unreadable | None) -> None:
        failed(replica.faults.guard(where, lambda: fetched(unreadable)))

    def failed(told: str | None) -> None:
        if told is not None and replica.faults.torn is None and row in replica.quarantine:
            _found_bad(replica, row, told)

    where = f"a parked operation of {row.via!r}"
    failed(replica.faults.guard(where, begin))
