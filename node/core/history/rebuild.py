"""An entity's document, built again from its log rows: what the log says it was, at any place or time.

Theory of operation. An operation's row carries the update that its transaction made. So the rows up to some place,
put through the document's own gap guard, give the document that the node held there. An update with a gap waits for
the
writer that it lacks, so rows may come in any order: in a log, history comes after the state of a first
synchronisation that contains it. A state stands in for operations that the log does not have. If the first rows of an
entity are archived, it begins with the document that is left of them, its base.
"""

from __future__ import annotations

import binascii
import heapq
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.absorb import absorbed
from crdt.classes import define, frozen
from crdt.document import Document
from crdt.edits import Gap, Known
from crdt.engine import EngineError
from crdt.hlc import pack
from crdt.records import DocumentError, ForkError
from crdt.update_format import UpdateError, live_records
from node.core.entities.entity import Entity
from storage.records import Key
from strategies.policy import EntityPolicy
from strategies.view import view_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.edits import Applied
    from storage.answers import Base
    from storage.records import LogRow


class HistoryError(Exception):
    """A row of the log cannot be read: it is damaged, or was edited. seq: the row."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"row {seq}: {reason}")
        self.seq = seq


@frozen
class Entry:
    """What one operation did to one entity.

    before: the clocks that must be held to apply it, by writer.
    span: its writer, and the first and the end of the clocks that it brings.
    """

    seq: int
    update: bytes
    before: Mapping[int, int]
    span: tuple[int, int, int]


def entry_of(row: LogRow, key: Key) -> Entry | None:
    """The entry of an operation's row; None if the row does not touch this entity. Raises HistoryError."""
    try:
        for entity_type, entity_id, text, before, span, *_ in orjson.loads(row.updates or b"[]"):
            if (entity_type, entity_id) == key:
                writer, first, end = span
                clocks = {int(name): clock for name, clock in before.items()}
                return Entry(row.seq, b64decode(text, validate=True), clocks, (writer, first, end))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise HistoryError(row.seq, f"unreadable updates: {error}") from error
    return None


def snapshot_of(row: LogRow) -> bytes:
    """The document that a state's row carries. Raises HistoryError."""
    try:
        return b64decode(row.updates, validate=True)
    except (ValueError, binascii.Error) as error:
        raise HistoryError(row.seq, f"unreadable state: {error}") from error


@define(eq=False)
class Rebuilt:
    """An entity's document, rebuilt row by row and thrown away afterwards.

    It never writes, and is under a writer id that does not occur in the history.
    """

    key: Key
    policy: EntityPolicy
    document: Document
    _waiting: dict[int, list[tuple[int, int, Entry]]] = field(factory=dict)
    """The writer that entries lack -> heap of (the clock they need, row, entry)."""

    @classmethod
    def begin(cls, key: Key, policy: EntityPolicy, engine: str, base: Base | None = None) -> Rebuilt:
        """Begin with what is left of archived rows, if any are. Raises HistoryError."""
        rebuilt = cls(key, policy, Document(1, engine))
        if base is not None:
            rebuilt._absorb(base.seq, base.snapshot)
        return rebuilt

    @property
    def waiting(self) -> list[int]:
        """The rows that lack what they build on."""
        return sorted(seq for heap in self._waiting.values() for _, seq, _ in heap)

    @property
    def exists(self) -> bool:
        """Whether anybody had written it."""
        return bool(self.document.headers)

    def entity(self, policy: EntityPolicy | None = None) -> Entity:
        """The entity as a node would show it. policy: of another configuration than the present one."""
        policy = policy or self.policy
        return Entity(self.key, policy, self.document, view_of(*self.key, policy, self.document))

    # ------------------------------------------------------------------ taking rows

    def take(self, row: LogRow) -> None:
        """Take the next row in the log's order, of any kind. Raises HistoryError."""
        if row.kind == "operation":
            entry = entry_of(row, self.key)
            if entry is not None:
                self.take_operation(entry)
        elif row.kind == "state":
            self.take_state(row)

    def take_operation(self, *entries: Entry) -> None:
        """Apply an operation and what waited for it, or let it wait. Raises HistoryError."""
        pending = list(entries)
        while pending:
            entry = pending.pop()
            result = self._apply(entry)
            if isinstance(result, Gap):
                writer, (_, need) = next(iter(result.missing.items()))
                heapq.heappush(self._waiting.setdefault(writer, []), (need, entry.seq, entry))
            elif not isinstance(result, Known):
                pending += self._due()

    def take_state(self, row: LogRow) -> None:
        """Take what a state holds beyond this document. Raises HistoryError."""
        self._absorb(row.seq, snapshot_of(row))

    def _absorb(self, seq: int, snapshot: bytes) -> None:
        while True:
            try:
                together = absorbed(self.document, snapshot)
                break
            except ForkError:
                self._step_aside()
            except (UpdateError, DocumentError, EngineError) as error:
                raise HistoryError(seq, str(error)) from error
        if together is not None:
            self.document = together
            self.take_operation(*self._due())

    def _apply(self, entry: Entry) -> Applied | Known | Gap:
        while True:
            try:
                return self.document.apply(entry.update, entry.before)
            except ForkError:
                self._step_aside()
            except (UpdateError, DocumentError, EngineError) as error:
                raise HistoryError(entry.seq, str(error)) from error

    def _step_aside(self) -> None:
        """Take another writer id: this one occurs in the history being replayed."""
        self.document.under(self.document.writer + 1)

    def _due(self) -> list[Entry]:
        """Take out the entries that waited for clocks which are held now.

        An entry waits at most once for each writer.
        """
        due = []
        for writer, heap in list(self._waiting.items()):
            have = self.document.vector.get(writer, 0)
            while heap and heap[0][0] <= have:
                due.append(heapq.heappop(heap)[2])
            if not heap:
                del self._waiting[writer]
        return due


# ------------------------------------------------------------------ the whole history, and parts of it


def from_operations(
    rows: Iterable[LogRow], key: Key, policy: EntityPolicy, engine: str, base: Base | None = None
) -> Rebuilt:
    """The document now. States give only what the operations do not, so each checks the other."""
    rebuilt = Rebuilt.begin(key, policy, engine, base)
    states = []
    for row in rows:
        if row.kind == "state":
            states.append(row)
        else:
            rebuilt.take(row)
    for row in states:
        rebuilt.take_state(row)
    return rebuilt


def at_seq(
    rows: Iterable[LogRow], seq: int, key: Key, policy: EntityPolicy, engine: str, base: Base | None = None
) -> Rebuilt:
    """The document that this node held when its log ended at row `seq`, which must not be archived.

    rows: in the log's order.
    """
    rebuilt = Rebuilt.begin(key, policy, engine, base)
    for row in rows:
        if row.seq > seq:
            break
        rebuilt.take(row)
    return rebuilt


def at_time(
    rows: Iterable[LogRow], ms: int, key: Key, policy: EntityPolicy, engine: str, base: Base | None = None
) -> Rebuilt | None:
    """The document of everything that some node had accepted by `ms` (Unix milliseconds).

    None where the log does not tell: `ms` is in the archived part, or before a state whose operations are not all
    here.
    """
    last = pack(ms + 1) - 1
    rebuilt = Rebuilt.begin(key, policy, engine, base)
    if base is not None and max(base.accepted, _latest(base.seq, base.snapshot, engine)) > last:
        return None
    spans = [(writer, 0, end) for writer, end in rebuilt.document.vector.items()]
    states = []
    for row in rows:
        entry = entry_of(row, key) if row.kind == "operation" else None
        if entry is not None:
            spans.append(entry.span)
        if row.kind == "state":
            states.append(row)
        elif entry is not None and row.accepted <= last:
            rebuilt.take_operation(entry)
    for row in states:
        if not _accounted(row, spans):
            if max(row.accepted, _latest(row.seq, snapshot_of(row), engine)) > last:
                return None
            rebuilt.take_state(row)
    return rebuilt


def _accounted(state: LogRow, spans: Iterable[tuple[int, int, int]]) -> bool:
    """Whether the operations with these spans are everything that a state is made of. Raises HistoryError."""
    try:
        _, vector = live_records(snapshot_of(state))
    except UpdateError as error:
        raise HistoryError(state.seq, str(error)) from error
    reached = dict.fromkeys(vector, 0)
    for writer, first, end in sorted(spans):
        if first <= reached.get(writer, -1):
            reached[writer] = max(reached[writer], end)
    return all(reached[writer] >= end for writer, end in vector.items())


def _latest(seq: int, snapshot: bytes, engine: str) -> int:
    """When the latest of a whole document's live records was accepted. Raises HistoryError."""
    try:
        records = Document.load(snapshot, writer=1, engine=engine).records()
    except (UpdateError, DocumentError) as error:
        raise HistoryError(seq, str(error)) from error
    return max((record.accepted for record in records), default=0)
