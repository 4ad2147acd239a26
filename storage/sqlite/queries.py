"""A read-only connection, and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.sqlite.database import open_reader, quick_check, storage_errors
from storage.sqlite.meta import read_anchor
from storage.sqlite.statements import parts, values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from storage.records import Anchor, Key

CHUNK = 500
"""Keys looked up with one statement."""


class Queries:
    """A read-only connection to one database, for one thread at a time. Every method may raise StorageError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection: sqlite3.Connection = open_reader(path)

    def close(self) -> None:
        self.connection.close()

    def check_structure(self) -> None:
        """Read the whole database and check how its pages hang together, which no query does."""
        quick_check(self.connection, self.path)

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT, by column name."""
        with storage_errors(self.path):
            cursor = self.connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def by_keys(self, sql: str, keys: Iterable[Key]) -> Iterator[dict[str, Any]]:
        """Rows for keys, of a SELECT that joins from `wanted (entity_type, entity_id)`."""
        for part in parts(keys, 2):
            joined = f"WITH wanted (entity_type, entity_id) AS ({values(len(part), 2)}) {sql}"
            yield from self.ask(joined, [word for key in part for word in key])

    def anchor(self) -> Anchor:
        """Where the log begins."""
        with storage_errors(self.path):
            return read_anchor(self.connection)
