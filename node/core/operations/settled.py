"""Operations whose entities contain them already: the history behind entities that came whole.

Nothing is shown otherwise by them. Each gets its row, as it would by `remote.accept`, and is held; its entities are
not loaded for it. What is not plainly so is left to `accept`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from crdt.records import DocumentError
from crdt.settled import Settled, Wrote
from crdt.update_format import UpdateError
from node.core.entities.residents import Residents
from node.core.operations.content import check_authorship, check_times
from node.core.operations.record import write
from node.core.operations.remote import arrived, check_origin, check_way, hold, remote_row
from node.core.steps import at_once
from node.wire.links.operations import plain_row, remote_operation, remote_operation_in_steps
from node.wire.outgoing import compact_json
from storage.proofs import leaf_of
from storage.records import Key

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.links.operations import RemoteOperation
    from storage.records import EntityRow, LogRow


MOST_DOCUMENTS = 1_000
MOST_BYTES = 2**24
"""How many documents of one link are remembered, and how many bytes of them: rows of one entity stand near each
other in a log."""


OF_A_DOCUMENT = 6
"""Steps of a look into one (node/core/steps.py)."""


@define(eq=False)
class Documents:
    """The entities that the history on one link is of, as they were stored last, or are in memory."""

    residents: Residents
    size: int = field(default=0, init=False)
    """Bytes of the snapshots."""
    _made: dict[Key, tuple[bytes, Settled | None]] = field(factory=dict, init=False)
    """The latest, with the snapshot of each; one that was read is looked into when it is needed."""
    _arrival: tuple[int, int, bytes] = field(default=(-1, 0, b""), init=False)
    """Wall clock, its offset, and `arrival` then."""

    def missing(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """Those that have to be read."""
        made = self._made
        return self.residents.missing(key for key in keys if key not in made)

    def provide(self, rows: Mapping[Key, EntityRow]) -> None:
        """Take entities that were read."""
        for key, row in rows.items():
            self._keep(key, row.snapshot, None)

    def of(self, key: Key) -> Settled | None:
        """None where it is not here, or was written to since it was loaded.

        What was read may be older than what is stored: operations that it contains are contained since.
        """
        made, entity = self._made.get(key), self.residents.entities.get(key)
        snapshot = entity.document.snapshot if entity is not None else made[0] if made is not None else None
        if snapshot is None:
            return None
        if made is not None and made[0] is snapshot and made[1] is not None:
            return made[1]
        with suppress(UpdateError, DocumentError):  # one that cannot be read is not here
            settled = Settled.of(snapshot)
            self._keep(key, snapshot, settled)
            return settled
        return None

    def arrival(self, replica: Replica, now: Instant) -> bytes:
        """What the audit is told of an operation that comes now: the same of all that come at once."""
        at, offset_ms = now.wall_ms, replica.clock.offset_ms
        if self._arrival[:2] != (at, offset_ms):
            self._arrival = at, offset_ms, compact_json(arrived(replica, now))
        return self._arrival[2]

    def _keep(self, key: Key, snapshot: bytes, settled: Settled | None) -> None:
        self._let_go(key)
        self._made[key] = (snapshot, settled)
        self.size += len(snapshot)
        while len(self._made) > MOST_DOCUMENTS or self.size > MOST_BYTES:
            self._let_go(next(iter(self._made)))

    def _let_go(self, key: Key) -> None:
        if key in self._made:
            self.size -= len(self._made.pop(key)[0])


def take(
    replica: Replica, messages: Sequence[Mapping[str, Any]], documents: Documents, via: str, now: Instant
) -> int:
    """Give operations their rows, in order, up to the first that its entities do not plainly contain, or that may be
    held: `remote.accept` has to look at that one, which may also be bad. Returns how many were taken."""
    rows: dict[str, LogRow] = {}
    latest, under_way = 0, replica.in_turns.names
    for message in messages:
        try:
            row = _plain(replica, message, documents, via, now)
            if row is None:
                row = at_once(_row_of(replica, remote_operation(message), documents, via, now))
        except Exception:
            break  # `remote.accept` meets it again, and says what it is
        if row is None or row.name in rows or row.name in under_way:
            break
        rows[row.name] = row
        latest = max(latest, row.accepted)
    clock, faults = replica.clock, replica.faults
    if latest >= clock.hlc.last:  # else what is accepted here comes after all of them already
        clock.observe(latest, now)
    for row in rows.values():
        faults.changing = True
        try:
            write(replica, row, ())
            hold(replica, row)
        except Exception as error:
            faults.report(f"an operation of {via!r}", row.operation, error, row.link_key)
            break
        faults.changing = False
    return len(rows)


def _plain(
    replica: Replica, message: Mapping[str, Any], documents: Documents, via: str, now: Instant
) -> LogRow | None:
    """The row of an operation of the plain form, which nearly all have; None where `_row_of` has to look.

    Raises what says as much.
    """
    read = plain_row(message, via)
    if read is None:
        return None
    row, update = read
    entity_type, held, policy = row.entity_type, replica.held, replica.registry.get(row.entity_type)
    document = documents.of((entity_type, update.entity_id))
    if document is None or policy is None or held.holds(row.name):
        return None
    if row.link_key is None or held.digests.holds(entity_type, row.link_key):
        return None
    check_times(row.stamp, row.accepted, replica.clock.max_skew_ms)
    row.signed = replica.keyring.found(row.origin, row.proof, leaf_of(row))
    check_way(replica, row.origin, (update.writer,), row.signed, via)
    said = update.writer, update.first, update.end
    wrote = Wrote(row.terminal_id, row.operation_id, row.stamp, row.accepted)
    if not document.contains(update.update, update.before, said, wrote):
        return None
    row.priority, row.version = policy.priority_class, document.version
    row.changes = documents.arrival(replica, now)
    return row


def take_in_steps(
    replica: Replica, message: Mapping[str, object], documents: Documents, via: str, now: Instant
) -> Generator[int, None, bool]:
    """The same of one large operation. Returns whether it was taken.

    What documents contain, they contain whatever is written to them meanwhile.
    """
    try:
        remote = yield from remote_operation_in_steps(message)
        row = yield from _row_of(replica, remote, documents, via, now, pauses=True)
    except Exception:
        return False
    if row is None or replica.held.holds(row.name):
        return False
    replica.clock.observe(row.accepted, now)
    replica.faults.changing = True
    write(replica, row, ())
    hold(replica, row)
    replica.faults.changing = False
    return True


def _row_of(
    replica: Replica,
    remote: RemoteOperation,
    documents: Documents,
    via: str,
    now: Instant,
    *,
    pauses: bool = False,
) -> Generator[int, None, LogRow | None]:
    """The row of an operation; None where its entities do not plainly contain it, or it may be held.

    Raises what `remote.accept` does.
    """
    held = replica.held
    policy = replica.registry.get(remote.operation.entity_type)
    if policy is None or held.holds(remote.name) or held.digests.holds(policy.entity_type, remote.link_key):
        return None
    signed = check_origin(replica, remote, via)
    check_authorship((), remote, replica.clock.max_skew_ms)
    wrote = Wrote(remote.terminal_id, remote.operation.id, remote.stamp, remote.accepted)
    version = 0
    for update in remote.updates:
        document = documents.of((update.entity_type, update.entity_id))
        said = update.writer, update.first, update.end
        if document is None or not document.contains(update.update, update.before, said, wrote):
            return None
        version = max(version, document.version)
        if pauses:
            yield OF_A_DOCUMENT
    arrival = documents.arrival(replica, now)
    return remote_row(policy, remote, version, "applied", message=b"", changes=arrival, signed=signed, via=via)
