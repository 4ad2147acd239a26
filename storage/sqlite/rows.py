"""How records stand in their tables: a field of the record's class is a column of the same name.

From the class come the columns of each statement, the values written, the record made of a row that is read, and what
each column may hold. A new field of a record is thus its declaration and a migration; a new field of `LogRow` must
also say whether it is in the audit chain (`storage/chain.py`).
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
    LockRow,
    LogRow,
    ParkedRow,
    PeerRow,
    TokenRow,
)
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

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


class Table(Generic[R]):
    """A table and the class of its records.

    key: the columns an upsert goes by; without one, records are only ever inserted.
    derived: columns that are computed from the record (properties of its class), written and never read back.
    """

    def __init__(
        self, name: str, record: type[R], key: tuple[str, ...] = (), derived: Mapping[str, object] | None = None
    ) -> None:
        # Not in the class's own scope: `ArchiveRow` has a field that is called bytes.
        hints = get_type_hints(record, vars(sys.modules[record.__module__]), {})
        columns = {**(derived or {}), **hints}
        self.name = name
        self.columns = tuple(columns)
        self.held_as: Mapping[str, tuple[type, ...]] = {column: _HELD_AS[kind] for column, kind in columns.items()}
        self._key = key
        self._key_of: Callable[[R], object] | None = attrgetter(*key) if key else None
        self._make = cast("Callable[..., R]", record)
        self._taken = attrgetter(*columns)
        self._given = itemgetter(*hints)
        self._written = [(n, _WRITTEN[kind]) for n, kind in enumerate(columns.values()) if kind in _WRITTEN]
        self._read = [(n, _READ[kind]) for n, kind in enumerate(hints.values()) if kind in _READ]

    def values(self, record: R) -> Sequence[object]:
        """What is written of a record, in the order of `columns`."""
        if not self._written:
            return cast("tuple[object, ...]", self._taken(record))
        values = list(self._taken(record))
        for place, written in self._written:
            values[place] = written(values[place])
        return values

    def record(self, row: Mapping[str, Any]) -> R:
        """The record of a row that was read with every column, and perhaps others."""
        if not self._read:
            return self._make(*self._given(row))
        values = list(self._given(row))
        for place, read in self._read:
            values[place] = read(values[place])
        return self._make(*values)

    def sound(self, row: Mapping[str, Any]) -> bool:
        """Whether every column holds what a node writes there: an edit by hand leaves text in a BLOB."""
        return all(type(row[column]) in types for column, types in self.held_as.items())

    def put(self, connection: sqlite3.Connection, records: Sequence[R]) -> None:
        """Write records: of several with one key the last, in place of what was there."""
        if records:
            if self._key_of is not None and len(records) > 1:
                records = list({self._key_of(record): record for record in records}.values())
            insert_many(connection, self.name, self.columns, self._key, map(self.values, records))


OF_ENTITY = ("entity_type", "entity_id")

LOG = Table("log", LogRow, derived={"op_key": int | None})
ENTITIES = Table("entities", EntityRow, OF_ENTITY)
CONFLICTS = Table("conflicts", ConflictRow, ("conflict_id",))
LOCKS = Table("locks", LockRow, OF_ENTITY)
CURSORS = Table("cursors", CursorRow, ("terminal_id",))
TOKENS = Table("tokens", TokenRow, ("token_hash",))
PEERS = Table("peers", PeerRow, ("node_id",))
FOLLOWERS = Table("followers", FollowerRow, ("node_id",))
PARKED = Table("parked", ParkedRow, ("id",))
ARCHIVES = Table("archives", ArchiveRow, ("last",))
ARCHIVED_OPERATIONS = Table("archived", ArchivedRow)
