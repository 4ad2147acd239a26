"""What a document has lost: values that the log holds, that are not live, and that nobody who saw them replaced.

A document rebuilt from the log carries out what the log says, also what should never have been written into it. So
each record that is gone is held against the operations that removed it. One of them wrote the same register, or may
remove from it without writing:

    elements of a list       an operation that names the list
    a deletion               a CREATE, or a decision
    everything               a CREATE after a deletion that its author had seen
    a disputed register      the decision of its conflict
    a copy of an operation   a repair, where another copy in the same register was removed by one of these
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define, frozen
from crdt.records import FieldRecord, Path, parse_record
from crdt.update_format import decode_update
from node.core.history.field_records import UNREADABLE
from node.core.history.rebuild import HistoryError, entry_of
from node.core.operations.removals import Removal
from storage.records import Key
from strategies.paths import DELETED_AT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from crdt.document import Document
    from storage.records import LogRow


@frozen
class Removed:
    """A row that removed records: where it stands, its operation's name, and what that may remove."""

    seq: int
    name: str
    by: Removal


@define(eq=False)
class Losses:
    """The records of one entity and what removed them, gathered from its rows in any order.

    partly: some of its history is not in the log, so what removed a record may be unknown.
    """

    key: Key
    partly: bool
    _records: dict[tuple[int, int], FieldRecord] = field(factory=dict)
    _removals: list[tuple[Removed, dict[int, tuple[tuple[int, int], ...]]]] = field(factory=list)

    def follow(self, rows: Iterable[LogRow]) -> Iterator[LogRow]:
        """Note the rows and pass them on to what rebuilds the document. Raises HistoryError."""
        for row in rows:
            if row.kind == "state":
                self.partly = True
            elif row.kind == "operation":
                try:
                    self._note(row)
                except UNREADABLE as error:
                    raise HistoryError(row.seq, str(error)) from error
            yield row

    def _note(self, row: LogRow) -> None:
        entry = entry_of(row, self.key)
        if entry is None:
            return
        decoded = decode_update(entry.update)
        records = [parse_record(insert.client, insert.clock, insert.text) for insert in decoded.inserts]
        fields = [record for record in records if isinstance(record, FieldRecord)]
        self._records |= {record.id: record for record in fields}
        if decoded.deletes:
            self._removals.append((_removal(row, self.key[1], {r.path for r in fields}), dict(decoded.deletes)))

    def lost(self, document: Document) -> Iterator[tuple[FieldRecord, Removed]]:
        """The records that are gone and should not be, each with an operation that removed it."""
        removed = self._removed(document)
        gone = (removals for identity, removals in removed.items() if self._records[identity].path == DELETED_AT)
        afresh = {removal.seq for removals in gone for removal in removals}
        lawful: set[tuple[str, Path]] = set()
        doubtful: list[tuple[FieldRecord, list[Removed]]] = []
        for identity, removals in removed.items():
            record = self._records[identity]
            if any(one.by.may_remove(record.path, afresh=one.seq in afresh) for one in removals):
                lawful.add((record.name, record.path))
            else:
                doubtful.append((record, removals))
        for record, removals in doubtful:
            repaired = any(one.by.repairs for one in removals)
            if not repaired or not (self.partly or (record.name, record.path) in lawful):
                yield record, removals[0]

    def _removed(self, document: Document) -> dict[tuple[int, int], list[Removed]]:
        """The records that are gone, with what removed each. What nobody removed is for others to find."""
        found: dict[tuple[int, int], list[Removed]] = {}
        for removal, deletes in self._removals:
            for writer, ranges in deletes.items():
                for identity in (
                    (writer, clock) for first, length in ranges for clock in range(first, first + length)
                ):
                    if identity in self._records and document.record(*identity) is None:
                        found.setdefault(identity, []).append(removal)
        return found


def _removal(row: LogRow, entity_id: str, wrote: Collection[Path]) -> Removed:
    raw = orjson.loads(row.operation)
    data = raw.get("data") or {}
    if raw.get("operation") == "BULK_UPDATE":
        data = {item["entity_id"]: item["data"] for item in data["updates"]}.get(entity_id, {})
    decides = tuple(raw["conflict"]["path"]) if "resolves" in raw else None
    removal = Removal(raw.get("operation", ""), wrote, frozenset(data), decides, repairs="repairs" in raw)
    return Removed(row.seq, row.name, removal)
