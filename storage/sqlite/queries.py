"""A read-only connection and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.sqlite.database import open_reader, quick_check, storage_errors
from storage.sqlite.statements import parts, values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

CHUNK = 500
"""Keys looked up with one statement."""


class Queries:
    """A read-only view of one database; used by one thread at a time. Every method may raise StorageError."""

    def __init__(self, path: Path) -> None:
        self._db = open_reader(path)
        self._connection: sqlite3.Connection = self._db.conn
        self._path = path

    def close(self) -> None:
        self._connection.close()

    def check_structure(self) -> None:
        """Read the whole database and check how its pages hang together, which no query does. Raises StorageError."""
        quick_check(self._connection, self._path)

    def _query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        with storage_errors(self._path):
            cursor = self._connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _by_keys(self, sql: str, keys: Iterable[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Rows for keys, of a statement that joins from `wanted (entity_type, entity_id)`."""
        for part in parts(keys, 2):
            joined = f"WITH wanted (entity_type, entity_id) AS ({values(len(part), 2)}) {sql}"
            yield from self._query(joined, [word for key in part for word in key])
