"""One field in the log: every record of it, who wrote it, and who superseded it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define, frozen
from crdt.hlc import iso, millis
from crdt.records import DocumentError, FieldRecord, name_of, parse_record
from crdt.update_format import UpdateError, decode_update, live_records
from node.core.history.clock_words import ClockWord, clock_word
from node.core.history.rebuild import HistoryError, entry_of, snapshot_of
from node.core.operations.assumed import SENTENCES
from node.wire.messages import reason_of
from storage.records import Key
from strategies.paths import DELETED_AT, may_hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from storage.answers import Base
    from storage.records import LogRow

UNREADABLE = (UpdateError, DocumentError, ValueError, TypeError, KeyError, AttributeError)
"""The exceptions that a row may raise that this node would not have written."""


@frozen
class Act:
    """An operation as the log has it.

    origin, via: the node that accepted it, and the linked node that it came from, "" if it was accepted here.
    signed: whether the origin of what came over a link is proven (`LogRow.signed`); None if it was accepted here.
    timestamp: the client's own time, as it was sent.
    stamp, accepted: HLCs.
    resolves: the id of the conflict that it resolved. reason: why, as its author said.
    clock: what is to be said of its terminal's clock; None where it counts as its author said.
    data: what it says about this entity; if it was accepted, only the field that is explained.
    assumed: what was assumed of what its author knew (node/core/operations/assumed.py), where this node accepted it;
        None for nothing.
    kept: what it says of the field was not counted.
    """

    seq: int
    operation_id: str
    kind: str
    terminal_id: str
    user_id: str | None
    origin: str
    via: str
    signed: str | None
    timestamp: str | None
    stamp: int
    accepted: int
    lock_status: str
    resolves: str | None
    reason: str | None
    clock: ClockWord | None
    data: Mapping[str, object]
    assumed: str | None
    kept: bool

    @property
    def name(self) -> str:
        """Of the operation."""
        return name_of(self.terminal_id, self.operation_id)

    @classmethod
    def of(cls, row: LogRow, entity_id: str, name: str) -> Act:
        raw = orjson.loads(row.operation)
        data = raw.get("data") or {}
        if raw.get("operation") == "BULK_UPDATE":
            data = {item["entity_id"]: item["data"] for item in data["updates"]}.get(entity_id, {})
        changes = orjson.loads(row.changes) if row.changes else {}
        assumed = (changes.get("assumed") or {}).get(entity_id)
        return cls(
            row.seq,
            row.operation_id,
            raw.get("operation", ""),
            row.terminal_id,
            row.user_id or raw.get("user_id"),
            row.origin,
            row.via.partition(":")[0],
            row.signed or None,
            raw.get("timestamp"),
            row.stamp,
            row.accepted,
            row.lock_status,
            raw.get("resolves"),
            reason_of(raw),
            clock_word(row.stamp, raw.get("timestamp")),
            data if row.kind == "refused" else {n: value for n, value in data.items() if n == name},
            assumed if assumed in SENTENCES else None,
            name in (changes.get("kept") or {}).get(entity_id, ()),
        )

    def assumption(self) -> dict[str, str] | None:
        """What was assumed of what its author knew, with a sentence in each language."""
        if self.assumed is None:
            return None
        pt, en = SENTENCES[self.assumed]
        return {"code": self.assumed, "pt": pt, "en": en}

    def brief(self) -> dict[str, object]:
        """The operation as it is named where it superseded something."""
        return {
            "operation_id": self.operation_id,
            "operation": self.kind,
            "terminal_id": self.terminal_id,
            "user_id": self.user_id,
            "origin": self.origin,
            "via": self.via,
            "signed": self.signed,
            "accepted_at": iso(millis(self.accepted)),
            "resolves": self.resolves,
            "reason": self.reason,
        }


@define(eq=False)
class Trail:
    """What the rows of an entity say about one field, gathered in any order.

    records: by identity.
    acts: record -> the operation that wrote it. Unknown if only a state brought it, or its row is archived.
    refused: name -> an operation that was refused and not accepted since, or whose number was not counted.
    deleters: record of a deletion -> the operation that deleted, whichever field the trail is of.
    """

    key: Key
    name: str
    records: dict[tuple[int, int], FieldRecord] = field(factory=dict)
    acts: dict[tuple[int, int], Act] = field(factory=dict)
    deleters: dict[tuple[int, int], Act] = field(factory=dict)
    decided: set[str] = field(factory=set)
    """Names of the operations that resolved a conflict."""
    refused: dict[str, Act] = field(factory=dict)
    last_seq: int = 0
    _deletes: list[tuple[Act, Mapping[int, tuple[tuple[int, int], ...]]]] = field(factory=list)

    def begin(self, base: Base) -> None:
        """Begin with what is left of archived rows. Raises HistoryError."""
        try:
            self._note_records(live_records(base.snapshot)[0], None)
        except UNREADABLE as error:
            raise HistoryError(base.seq, str(error)) from error
        self.last_seq = base.seq

    def follow(self, rows: Iterable[LogRow]) -> Iterator[LogRow]:
        """Note the rows and pass them on to what rebuilds the document. Raises HistoryError."""
        for row in rows:
            try:
                self._note(row)
            except UNREADABLE as error:
                raise HistoryError(row.seq, str(error)) from error
            if row.kind != "refused":
                self.last_seq = row.seq
                yield row

    def _note(self, row: LogRow) -> None:
        if row.kind == "state":
            records, _ = live_records(snapshot_of(row))
            self._note_records(records, None)
            return
        act = Act.of(row, *self.key[1:], self.name)
        if row.kind == "refused":
            if self.name in act.data:
                self.refused.setdefault(act.name, act)
            return
        self.refused.pop(act.name, None)  # it was sent again, and accepted
        if act.kept:
            self.refused[act.name] = act
        if act.resolves is not None:
            self.decided.add(act.name)
        entry = entry_of(row, self.key)
        if entry is not None:
            decoded = decode_update(entry.update)
            self._note_records(((i.client, i.clock, i.text) for i in decoded.inserts), act)
            self._deletes.append((act, decoded.deletes))

    def _note_records(self, found: Iterable[tuple[int, int, str]], act: Act | None) -> None:
        for writer, clock, text in found:
            record = parse_record(writer, clock, text)
            if act is not None and isinstance(record, FieldRecord) and record.path == DELETED_AT:
                self.deleters[record.id] = act
            if isinstance(record, FieldRecord) and may_hold(record.path, self.name):
                self.records[record.id] = record
                if act is not None:
                    self.acts[record.id] = act

    def killers(self) -> dict[tuple[int, int], list[Act]]:
        """Record -> the operations that superseded it, in log order: several, if none of them had seen the others."""
        clocks: dict[int, list[int]] = {}
        for writer, clock in sorted(self.records):
            clocks.setdefault(writer, []).append(clock)
        found: dict[tuple[int, int], list[Act]] = {}
        for act, deletes in self._deletes:
            for writer, ranges in deletes.items():
                mine = clocks.get(writer, [])
                for first, length in ranges:
                    for clock in mine[bisect_left(mine, first) : bisect_left(mine, first + length)]:
                        found.setdefault((writer, clock), []).append(act)
        return found
