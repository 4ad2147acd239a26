"""How records stand in their tables: a field of the record's class is a column of the same name.

From the class come the columns of each statement, the values written, the record made of a row that is read, and what
each column may hold. A new field of a record is thus its declaration and a migration; a new field of `LogRow` must
also say whether it is in the audit chain (`storage/chain.py`).

A row that is read is compared with what was written (`storage/sqlite/row_sum.py`).
"""

from __future__ import annotations

import sys
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_type_hints

from storage.records import (
    ArchivedRow,
    ArchiveRow,
    ConflictRow,
    CursorRow,
    EntityRow,
    FollowerRow,
    HeadRow,
    LockRow,
    LogRow,
    ParkedRow,
    PeerRow,
    ProofRow,
    RefusedRow,
    TokenRow,
)
from storage.sqlite.database import DamagedRow
from storage.sqlite.row_sum import row_sum
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

R = TypeVar("R")

TEXTS, NUMBERS, NULL = tuple[str, ...], tuple[int, ...], type(None)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _texts(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()


_HELD_AS: Mapping[object, tuple[type, ...]] = {
    str: (str,),
    str | None: (str, NULL),
    int: (int,),
    int | None: (int, NULL),
    bool: (int,),
    bytes: (bytes,),
    TEXTS: (str,),
    NUMBERS: (str,),
}
"""The types SQLite may give for a field of each type. SQLite itself does not hold a column to its type."""

_WRITTEN: Mapping[object, Callable[[Any], object]] = {
    TEXTS: "\n".join,
    NUMBERS: lambda numbers: ",".join(map(str, numbers)),
}
_READ: Mapping[object, Callable[[Any], object]] = {TEXTS: _texts, NUMBERS: _numbers, bool: bool}


class Summed:
    """A table whose rows carry a check of their values.

    key: its columns that tell its rows apart.
    """

    def __init__(self, name: str, columns: tuple[str, ...], key: tuple[str, ...]) -> None:
        self.name = name
        self.key = key
        self.summed = columns
        self.columns = (*columns, "row_sum")

    def with_sums(self, rows: Iterable[Sequence[object]]) -> Iterable[Sequence[object]]:
        """Rows to be written, each with its check."""
        return [(*row, row_sum(row)) for row in rows]

    def sum_again(self, connection: sqlite3.Connection, where: str = "1", parameters: Sequence[object] = ()) -> None:
        """Within a transaction, after a statement that computed values: give these rows their checks."""
        sums = f"UPDATE {self.name} SET row_sum = row_sum({', '.join(self.summed)}) WHERE {where}"
        connection.execute(sums, parameters)

    def sound(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is what was written."""
        return bool(row["row_sum"] == row_sum([row[column] for column in self.summed]))

    def check(self, row: Mapping[str, Any]) -> None:
        """Raises DamagedRow for a row that is not what was written."""
        if not self.sound(row):
            raise damaged_row(self.name, [row[column] for column in self.key])


def damaged_row(table: str, key: Iterable[object]) -> DamagedRow:
    """What is said of a row that is not what was written. key: of the row."""
    row = " ".join(value if isinstance(value, str) else repr(value) for value in key)
    return DamagedRow(
        f"table {table}, row {row[:200]}: it is not what was written; see `comanda verify`, and put a backup back "
        "(`comanda restore`)"
    )


class Table(Summed, Generic[R]):
    """A table and the class of its records.

    key: the columns that tell its rows apart. An upsert goes by them, unless records are only ever inserted.
    derived: columns that are computed from the record (properties of its class), written and never read back.
    chained: its rows are checked by the audit chain, and carry no check of their own.
    """

    def __init__(
        self,
        name: str,
        record: type[R],
        key: tuple[str, ...],
        *,
        derived: Mapping[str, object] | None = None,
        upserts: bool = True,
        chained: bool = False,
    ) -> None:
        # Not in the class's own scope: `ArchiveRow` has a field that is called bytes.
        hints = get_type_hints(record, vars(sys.modules[record.__module__]), {})
        columns = {**(derived or {}), **hints}
        super().__init__(name, tuple(columns), key)
        if chained:
            self.columns = self.summed
        self.held_as: Mapping[str, tuple[type, ...]] = {column: _HELD_AS[kind] for column, kind in columns.items()}
        self._held = itemgetter(*columns)
        self._sound_types: set[tuple[type, ...]] = set()
        self._chained = chained
        self._upsert_key = key if upserts else ()
        self._key_of: Callable[[R], object] = attrgetter(*key)
        self._make = cast("Callable[..., R]", record)
        self._taken = attrgetter(*columns)
        self._given = itemgetter(*hints)
        self._written = [(n, _WRITTEN[kind]) for n, kind in enumerate(columns.values()) if kind in _WRITTEN]
        self._read = [(n, _READ[kind]) for n, kind in enumerate(hints.values()) if kind in _READ]

    def values(self, record: R) -> Sequence[object]:
        """What is written of a record, in the order of `columns`."""
        values = list(self._taken(record))
        for place, written in self._written:
            values[place] = written(values[place])
        if not self._chained:
            values.append(row_sum(values))
        return values

    def sound(self, row: Mapping[str, Any]) -> bool:
        """Whether every column holds what a node writes there, and the check fits: an edit by hand leaves text in a
        BLOB."""
        types = tuple(map(type, self._held(row)))
        if types not in self._sound_types:  # one for each choice of columns that may be empty, and are
            if not all(given in types_ for given, types_ in zip(types, self.held_as.values(), strict=True)):
                return False
            self._sound_types.add(types)
        return self._chained or super().sound(row)

    def record(self, row: Mapping[str, Any]) -> R:
        """The record of a row that was read with every column, and perhaps others. Raises DamagedRow."""
        self.check(row)
        return self.unchecked(row)

    def unchecked(self, row: Mapping[str, Any]) -> R:
        """The same of a row that may not be what was written."""
        values = list(self._given(row))
        for place, read in self._read:
            values[place] = read(values[place])
        return self._make(*values)

    def put(self, connection: sqlite3.Connection, records: Sequence[R]) -> None:
        """Write records: of several with one key the last, in place of what was there."""
        if records:
            if self._upsert_key and len(records) > 1:
                records = list({self._key_of(record): record for record in records}.values())
            insert_many(connection, self.name, self.columns, self._upsert_key, map(self.values, records))


OF_ENTITY = ("entity_type", "entity_id")

LOG = Table("log", LogRow, ("seq",), derived={"op_key": int | None}, upserts=False, chained=True)
ENTITIES = Table("entities", EntityRow, OF_ENTITY)
CONFLICTS = Table("conflicts", ConflictRow, ("conflict_id",))
LOCKS = Table("locks", LockRow, OF_ENTITY)
CURSORS = Table("cursors", CursorRow, ("terminal_id",))
TOKENS = Table("tokens", TokenRow, ("token_hash",))
PEERS = Table("peers", PeerRow, ("node_id",))
FOLLOWERS = Table("followers", FollowerRow, ("node_id",))
PARKED = Table("parked", ParkedRow, ("id",))
HEADS = Table("heads", HeadRow, ("node_id", "epoch", "seq", "hash"))
ARCHIVES = Table("archives", ArchiveRow, ("last",))
PROOFS = Table("proofs", ProofRow, ("seq",))
REFUSED = Table("refused", RefusedRow, ("terminal_id", "operation_id"))
ARCHIVED_OPERATIONS = Table("archived", ArchivedRow, (*OF_ENTITY, "span"))

BASES = Summed("bases", (*OF_ENTITY, "seq", "snapshot"), OF_ENTITY)
TRACES = Summed("traces", (*OF_ENTITY, "seq", "op_key", "terminal_id", "trace"), (*OF_ENTITY, "seq"))
OWED = Summed("owed", ("terminal_id", "seq", "priority", "message"), ("terminal_id", "seq"))
META = Summed("meta", ("key", "value"), ("key",))

SUMMED: Sequence[Summed] = (
    ENTITIES,
    CONFLICTS,
    LOCKS,
    CURSORS,
    TOKENS,
    PEERS,
    FOLLOWERS,
    PARKED,
    HEADS,
    ARCHIVES,
    PROOFS,
    REFUSED,
    ARCHIVED_OPERATIONS,
    BASES,
    TRACES,
    OWED,
    META,
)
"""All tables but the log and the index of its bulk rows."""


def entity_record(row: Mapping[str, Any]) -> EntityRow:
    """The entity of a row. In the place of one that is not what was written, one that nothing can load."""
    try:
        return ENTITIES.record(row)
    except DamagedRow:
        return EntityRow(str(row["entity_type"]), str(row["entity_id"]), 0, False, b"", b"", b"", 0)
