"""One entity as a Yjs document that does not grow with its history.

Theory of operation (README.md, "The shape of a document"). Each writer appends to its own root array and nobody else
does; anybody may delete. An array holds JSON strings of two kinds (crdt.records): one live header per writer, and
field records.

A write to a field deletes the records of that field *its author has seen* and appends one (observed-remove), so
each field is a multi-value register: one record is agreement, several are concurrent siblings, and a strategy
decides what is shown. The entity's version is the sum of all headers' `n`; a counter, that of their totals.

The records are mirrored in Python from checked updates. An edit is encoded in Python too; the engine is opened only
when something is written, and only takes updates.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from crdt.decimals import (
    decimal_of,
    plus,
    total_of,
)
from crdt.edits import NOTHING_COUNTED, ZERO, Applied, Edit, Gap, Known, Prepared, counted
from crdt.engine import EngineDocument, open_document
from crdt.records import (
    Contradiction,
    DocumentError,
    FieldRecord,
    ForkError,
    Header,
    NewField,
    Path,
    counted_at,
    parse_record,
    writable,
)
from crdt.update_encoder import encode_edit
from crdt.update_format import DecodedUpdate, decode_operation, decode_update, live_texts, within

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from crdt.update_format import Ranges

MOST_VERSION = 2**53
"""A version stays below this: so much a JSON number holds exactly."""

FEW = 16
"""Above this many records rebuild the lists: removing one by one is quadratic."""


def clocks_needed(deletes: Ranges, writer: int, first: int) -> dict[int, int]:
    """The clocks an update of one writer builds on: its own before it, and what it deletes of others."""
    return {w: sum(ranges[-1]) for w, ranges in deletes.items()} | {writer: first}


def check_entry(
    decoded: DecodedUpdate, before: Mapping[int, int], writer: int, first: int, end: int
) -> Mapping[int, int]:
    """What is said beside an operation's update follows from it. Raises DocumentError.

    Returns the clocks that it builds on, by writer.
    """
    if decoded.gone or decoded.ranges != {writer: (first, end)}:
        raise DocumentError(f"update is not of clocks {first}..{end} of writer {writer}, as its entry says")
    return check_before(decoded.deletes, before, writer, first)


def check_before(deletes: Ranges, before: Mapping[int, int], writer: int, first: int) -> Mapping[int, int]:
    """Raise DocumentError unless an update builds on these clocks; returns them."""
    needed = clocks_needed(deletes, writer, first)
    if before != needed:
        raise DocumentError("update builds on other clocks than its entry says")
    return needed


def check_version(version: int) -> None:
    """Raise DocumentError where the shares of many writers add up to what no document reaches."""
    if version >= MOST_VERSION:
        raise DocumentError(f"the version {version} is past any that a document reaches")


@define(eq=False)
class Document:
    """The CRDT of one entity on one replica.

    fields: path -> live siblings in (writer, clock) order. version: sum of all headers' `n`.
    vector: state vector (writer -> next clock). counters: the sum of all headers' totals, by name.
    """

    writer: int
    engine_name: str
    fields: dict[Path, list[FieldRecord]] = field(factory=dict)
    headers: dict[int, Header] = field(factory=dict)
    vector: dict[int, int] = field(factory=dict)
    version: int = 0
    counters: dict[str, Decimal] = field(factory=dict)
    _live: dict[int, list[int]] = field(factory=dict)  # writer -> live clocks in array order
    by_id: dict[tuple[int, int], FieldRecord] = field(factory=dict)
    """(writer, clock) -> live field record."""
    _engine: EngineDocument | None = None
    _snapshot: bytes | None = None

    # ------------------------------------------------------------------ reading

    @classmethod
    def load(cls, snapshot: bytes | None, *, writer: int, engine: str) -> Document:
        """A document from its snapshot (None: empty) without opening the engine.

        Raises UpdateError or DocumentError when the snapshot is not one of ours.
        """
        document = cls(writer, engine)
        if snapshot is not None:
            live, document.vector = live_texts(snapshot)
            document._fill(live)
            document._snapshot = snapshot
            check_version(document.version)
        return document

    def records(self) -> Iterable[FieldRecord]:
        return self.by_id.values()

    def record(self, writer: int, clock: int) -> FieldRecord | None:
        return self.by_id.get((writer, clock))

    def siblings(self, path: Path) -> Sequence[FieldRecord]:
        return self.fields.get(path, ())

    @property
    def snapshot(self) -> bytes | None:
        """The bytes that it was loaded from; None once it was written to."""
        return self._snapshot

    def encode(self) -> bytes:
        """The whole document as one Yjs v1 update (the snapshot)."""
        if self._engine is not None:
            return self._engine.encode()
        return self._snapshot if self._snapshot is not None else self._open().encode()

    # ------------------------------------------------------------------ writing

    def edit(
        self,
        *,
        supersede: Sequence[FieldRecord],
        fields: Sequence[NewField],
        n: int = 1,
        counts: Mapping[str, Decimal] = NOTHING_COUNTED,
        forgotten: Collection[str] = (),
    ) -> Edit:
        """One local operation in one transaction: delete `supersede`, append `fields`, add `n` to the version and
        `counts` to the counters.

        forgotten: counters of which this writer has counted nothing any more. What comes to zero otherwise was moved.
        """
        engine = self._open()
        own = self.writer
        header = self.headers.get(own)
        deletes: list[tuple[int, int]] = []
        before = {own: self.vector.get(own, 0)}
        if header is not None:
            deletes.append((own, header.clock))
        for record in supersede:
            deletes.append(record.id)
            if record.writer != own:
                before[record.writer] = max(before.get(record.writer, 0), record.clock + 1)
        total = (header.n if header else 0) + n
        counters = dict(header.counters) if header else {}
        for name, amount in counts.items():
            counters[name] = total_of(plus((decimal_of(counters.get(name, 0)), amount)))
        for name in forgotten:
            counters.pop(name, None)
        texts = [orjson.dumps(("h", total, counters)).decode(), *map(_text, fields)]
        first = before[own]
        update = encode_edit(own, first, texts, deletes)
        engine.integrate(update)
        self._remove_ids([(record.writer, record.clock) for record in supersede])
        if header is not None:
            self._live[own].remove(header.clock)
        self._insert(Header(first, total, counters), own)
        added = tuple(self._insert_new(new, first + 1 + place) for place, new in enumerate(fields))
        self.vector[own] = first + len(texts)
        return Edit(update, before, own, (first, first + len(texts)), added, tuple(supersede))

    def _insert_new(self, new: NewField, clock: int) -> FieldRecord:
        record = FieldRecord(
            self.writer,
            clock,
            new.path,
            new.value,
            new.stamp,
            new.terminal,
            new.operation,
            new.version,
            new.accepted,
            new.rank,
        )
        self._insert(record, self.writer)
        return record

    def apply(self, update: bytes, before: Mapping[int, int]) -> Applied | Known | Gap:
        """`prepare` and, where nothing is missing, `carry_out`."""
        prepared = self.prepare(update, before)
        return self.carry_out(prepared) if isinstance(prepared, Prepared) else prepared

    def holds(self, writer: int, end: int) -> bool:
        """Whether a writer's clocks up to `end` are in the document already."""
        return self.vector.get(writer, 0) >= end

    def prepare(
        self, update: bytes, before: Mapping[int, int], entry: tuple[int, int, int] | None = None
    ) -> Prepared | Known | Gap:
        """Pass a remote update through the gap guard: y-py drops what comes out of order. Changes nothing.

        before: the clocks, by writer, that the update builds on.
        entry: writer and clocks [first, end) that it is said to be of.
        Raises UpdateError (not Yjs as we write it), DocumentError (not ours, or not what is said) or ForkError (it
        claims clocks of our own writer that we never issued).
        """
        decoded = decode_update(update) if entry is None else decode_operation(update, *entry)
        if len(decoded.ranges) != 1:
            raise DocumentError(f"an operation's update carries one writer, not {len(decoded.ranges)}")
        builds_on = check_entry(decoded, before, *entry) if entry is not None else None
        ((author, (first, end)),) = decoded.ranges.items()
        have = self.vector.get(author, 0)
        if author == self.writer and end > have:
            raise ForkError(f"update claims our own writer {author} up to clock {end}; we issued {have}")
        if end <= have:
            return Known()
        if builds_on is None:
            needed = clocks_needed(decoded.deletes, author, first)
            builds_on = {w: max(before.get(w, 0), needed.get(w, 0)) for w in {**before, **needed}}
        missing = {w: (self.vector.get(w, 0), need) for w, need in builds_on.items() if need > self.vector.get(w, 0)}
        if missing:
            return Gap(missing)
        return self._checked(update, decoded, author, have)

    def compare(
        self, update: bytes, before: Mapping[int, int], entry: tuple[int, int, int], name: str
    ) -> list[FieldRecord]:
        """Check an update of clocks that the document holds already against what it has of them.

        name: of the operation (crdt.records.name_of).
        Returns the field records that it adds. Raises UpdateError or DocumentError where it is damaged, or
        another one.
        """
        decoded = decode_operation(update, *entry)
        check_entry(decoded, before, *entry)
        records = [parse_record(*insert) for insert in decoded.inserts]
        fields = [record for record in records if type(record) is FieldRecord]
        if len(fields) != len(records) - 1:
            raise DocumentError("an operation writes one header")
        by_id = self.by_id
        terminal, _, operation = name.partition("/")
        for record in fields:
            held = by_id.get((record.writer, record.clock))
            if held is None:
                continue
            if held.operation != operation or held.terminal != terminal:
                raise Contradiction(
                    f"writer {record.writer} used clock {record.clock} twice, for {held.name} and {name}"
                )
            if not record.says(held):
                raise Contradiction(f"clock {record.clock} of writer {record.writer} is another record here")
        return fields

    def paths(self, prepared: Prepared) -> list[Path]:
        """The registers and counters a prepared update touches."""
        paths: list[Path] = [counted_at(name) for name in prepared.counts]
        paths += [record.path for record in prepared.added]
        paths += [record.path for record in prepared.removed]
        return list(dict.fromkeys(paths))

    def carry_out(self, prepared: Prepared) -> Applied:
        """Apply what `prepare` found applicable; the document has not changed since. Raises EngineError."""
        self._open().apply(prepared.update, prepared.decoded)
        removed = self._remove_ids(prepared.doomed)
        for record in prepared.inserts:
            self._insert(record, prepared.author)
        self.vector[prepared.author] = prepared.end
        return Applied(prepared.added, removed)

    def under(self, writer: int) -> None:
        """From here on write as `writer`."""
        self.writer = writer

    def _checked(self, update: bytes, decoded: DecodedUpdate, author: int, have: int) -> Prepared:
        """An update that fits, its records parsed; DocumentError where it breaks a rule of the record shape."""
        own = decoded.deletes.get(author, ((0, 0),))
        if sum(own[-1]) > have and any(i.clock >= have and within(own, i.clock) for i in decoded.inserts):
            raise DocumentError(f"writer {author} deletes what it adds")
        inserts = [parse_record(*insert) for insert in decoded.inserts if insert.clock >= have]
        added = [record for record in inserts if type(record) is FieldRecord]
        headers = [record for record in inserts if type(record) is Header]
        if len(headers) != 1:
            raise DocumentError(f"an operation writes one header, not {len(headers)}")
        for record in added:
            if not writable(record.value):
                raise DocumentError(f"record {record.writer}:{record.clock} is nested too deep to be written again")
        new, old = headers[0], self.headers.get(author)
        grown = new.n - (old.n if old is not None else 0)
        if old is not None and grown < 0:
            raise DocumentError(f"writer {author} lowers its share of the version: {old.n} -> {new.n}")
        check_version(self.version + grown)
        doomed, removed, replaced = self._doomed(decoded), [], False
        for identity in doomed:
            field_record = self.by_id.get(identity)
            if field_record is not None:
                removed.append(field_record)
                continue
            writer, clock = identity
            header = self.headers.get(writer)
            if header is not None and header.clock == clock:
                if writer != author:
                    raise DocumentError(f"writer {author} deletes the header of writer {writer}")
                replaced = True
        if old is not None and not replaced:
            raise DocumentError(f"writer {author} leaves two live headers")
        (_, end), counts = decoded.ranges[author], counted(old, new)
        return Prepared(update, decoded, author, end, inserts, new, added, doomed, removed, grown, counts)

    def check_whole(self) -> None:
        """Of a document that another replica sent whole: DocumentError where it breaks a rule of the record shape."""
        texts = sum(map(len, self._live.values())) - len(self.by_id)
        if self.headers.keys() != self.vector.keys() or texts != len(self.headers):
            raise DocumentError("every writer of a document has one live header")
        for record in self.by_id.values():
            if not writable(record.value):
                raise DocumentError(f"record {record.writer}:{record.clock} is nested too deep to be written again")

    def _doomed(self, decoded: DecodedUpdate) -> list[tuple[int, int]]:
        """Live records an update deletes, in a fixed order."""
        doomed: list[tuple[int, int]] = []
        for writer, ranges in sorted(decoded.deletes.items()):
            live = self._live.get(writer, ())
            for first, length in ranges:
                place = bisect_left(live, first)
                doomed.extend((writer, clock) for clock in live[place : bisect_left(live, first + length, place)])
        return doomed

    # ------------------------------------------------------------------ the mirror

    def _open(self) -> EngineDocument:
        if self._engine is None:
            self._engine = open_document(self.engine_name, self.writer, self._snapshot)
            self._snapshot = None
        return self._engine

    def _fill(self, live: Mapping[int, Mapping[int, str]]) -> None:
        """`_insert` each record into an empty document. live: as of `live_texts`, so siblings are in their order."""
        by_id, fields = self.by_id, self.fields
        for writer, texts in live.items():
            headers = []
            for clock, text in texts.items():
                record = parse_record(writer, clock, text)
                if type(record) is not FieldRecord:
                    headers.append(record)
                    continue
                by_id[writer, clock] = record
                siblings = fields.get(record.path)
                if siblings is None:
                    fields[record.path] = [record]
                else:
                    siblings.append(record)
            for header in headers:
                self._insert(header, writer)
            self._live[writer] = list(texts)

    def _insert(self, record: FieldRecord | Header, writer: int) -> None:
        self._live.setdefault(writer, []).append(record.clock)
        if isinstance(record, Header):
            old = self.headers.get(writer)
            self.version += record.n - (old.n if old else 0)
            self.headers[writer] = record
            if record.counters or (old is not None and old.counters):
                self._count(old, record)
            return
        self.by_id[record.writer, record.clock] = record
        siblings = self.fields.get(record.path)
        if siblings is None:
            self.fields[record.path] = [record]
        else:
            insort(siblings, record, key=_identity)

    def _count(self, old: Header | None, new: Header) -> None:
        for name, amount in counted(old, new).items():
            self.counters[name] = plus((self.counters.get(name, ZERO), amount))
        for name in new.counters:
            self.counters.setdefault(name, ZERO)  # what came to nothing was counted all the same
        if old is not None and not old.counters.keys() <= new.counters.keys():
            for name in old.counters.keys() - new.counters.keys():
                if not any(name in header.counters for header in self.headers.values()):
                    del self.counters[name]

    def _remove(self, record: FieldRecord) -> None:
        del self.by_id[record.writer, record.clock]
        self._live[record.writer].remove(record.clock)
        siblings = self.fields[record.path]
        siblings.remove(record)
        if not siblings:
            del self.fields[record.path]

    def _remove_ids(self, doomed: Sequence[tuple[int, int]]) -> list[FieldRecord]:
        """Take live records out; those of them that are field records."""
        removed: list[FieldRecord] = []
        if len(doomed) <= FEW:
            for writer, clock in doomed:
                record = self.by_id.get((writer, clock))
                if record is not None:
                    self._remove(record)
                    removed.append(record)
                else:
                    self._live[writer].remove(clock)
            return removed
        gone = set(doomed)
        for writer in {writer for writer, _ in doomed}:
            live = self._live[writer]
            live[:] = [clock for clock in live if (writer, clock) not in gone]
        removed += [self.by_id.pop(identity) for identity in doomed if identity in self.by_id]
        for path in {record.path for record in removed}:
            siblings = self.fields[path]
            siblings[:] = [record for record in siblings if (record.writer, record.clock) not in gone]
            if not siblings:
                del self.fields[path]
        return removed


_identity: Callable[[FieldRecord], tuple[int, int]] = lambda record: (record.writer, record.clock)  # noqa: E731


def _text(new: NewField) -> str:
    """A field record as it stands in the Yjs array."""
    parts = ("f", new.path, new.value, new.stamp, new.terminal, new.operation, new.version, new.accepted, new.rank)
    return orjson.dumps(parts).decode()
