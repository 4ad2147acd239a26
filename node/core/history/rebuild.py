"""An entity's document, built again from its log rows: what the log says it was, at any place or time.

Theory of operation. An operation's row carries the update its transaction made, so the rows up to some place, put
through the document's own gap guard, give the document the node held there. What has a gap waits for the writer it
lacks, so rows may come in any order: history comes later in a log than the state of a first synchronisation that
contains it. A state stands in for operations that the log does not have; where its first rows are archived, an entity
begins with the document that is left of them, its base.
"""

from __future__ import annotations

import binascii
import heapq
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
from attrs import define, field, frozen

from crdt.absorb import absorbed
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
    """A row of the log that cannot be read: it is damaged, or was edited. seq: which."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"row {seq}: {reason}")
        self.seq = seq


@frozen
class Entry:
    """What one operation did to one entity. before: clocks that must be held to apply it. span: its writer, and that
    one's clocks from, up to."""

    seq: int
    update: bytes
    before: Mapping[int, int]
    span: tuple[int, int, int]


def entry_of(row: LogRow, key: Key) -> Entry | None:
    """Of an operation's row; None where it says nothing of this entity. Raises HistoryError."""
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
    """Of a state's row. Raises HistoryError."""
    try:
        return b64decode(row.updates, validate=True)
    except (ValueError, binascii.Error) as error:
        raise HistoryError(row.seq, f"unreadable state: {error}") from error


@define(eq=False)
class Rebuilt:
    """A throw-away document that only reads: it is under a writer who wrote nothing of it."""

    key: Key
    policy: EntityPolicy
    document: Document
    _waiting: dict[int, list[tuple[int, int, Entry]]] = field(factory=dict)
    """By the writer they lack: heaps of (the clock they need, row, entry)."""

    @classmethod
    def begin(cls, key: Key, policy: EntityPolicy, engine: str, base: Base | None = None) -> Rebuilt:
        """With what is left of the rows that are archived. Raises HistoryError."""
        rebuilt = cls(key, policy, Document(1, engine))
        if base is not None:
            rebuilt._absorb(base.seq, base.snapshot)
        return rebuilt

    @property
    def waiting(self) -> list[int]:
        """Rows that lack what they build on."""
        return sorted(seq for heap in self._waiting.values() for _, seq, _ in heap)

    @property
    def exists(self) -> bool:
        """Whether anybody had written it."""
        return bool(self.document.headers)

    def entity(self, policy: EntityPolicy | None = None) -> Entity:
        """The entity as a node would show it. policy: under another configuration than the present one."""
        policy = policy or self.policy
        return Entity(self.key, policy, self.document, view_of(*self.key, policy, self.document))

    # ------------------------------------------------------------------ taking rows

    def take(self, row: LogRow) -> None:
        """The next row in the log's order, of whatever kind. Raises HistoryError."""
        if row.kind == "operation":
            entry = entry_of(row, self.key)
            if entry is not None:
                self.take_operation(entry)
        elif row.kind == "state":
            self.take_state(row)

    def take_operation(self, *entries: Entry) -> None:
        """Apply them, and what waited for them; or let them wait. Raises HistoryError."""
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
        """Everything that a whole document holds beyond this one. Raises HistoryError."""
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
        """The writer this document is under is one of the history's: be another."""
        self.document.under(self.document.writer + 1)

    def _due(self) -> list[Entry]:
        """Take out what waited for clocks that are held now; an entry waits at most once for each writer."""
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
    """The document now. States are taken only for what operations do not give, so each checks the other."""
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
    """The document this node held when its log ended at `seq`, which is not archived. rows: in order."""
    rebuilt = Rebuilt.begin(key, policy, engine, base)
    for row in rows:
        if row.seq > seq:
            break
        rebuilt.take(row)
    return rebuilt


def at_time(
    rows: Iterable[LogRow], ms: int, key: Key, policy: EntityPolicy, engine: str, base: Base | None = None
) -> Rebuilt | None:
    """The document of everything that some node had accepted by then, in Unix milliseconds; None where the log does
    not tell: then comes before what is archived, or before a state whose operations are not all here."""
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
    """Whether operations with these spans are all that a state is made of. Raises HistoryError."""
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
