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

    def in_key_order(
        self, sql: str, entity_types: Iterable[str], after: Key | None, limit: int, parameters: Sequence[object] = ()
    ) -> list[dict[str, Any]]:
        """Up to `limit` rows of some types after a key, by type and id.

        sql: a SELECT whose first parameters are the type, the id after which it begins, and those given here; its
            last is the limit. SQLite finds the place of an id in the index only where the type is a single one.
        """
        found: list[dict[str, Any]] = []
        first, name = after or ("", "")
        for entity_type in sorted(set(entity_types)):
            if len(found) == limit:
                break
            if entity_type >= first:
                begin = name if entity_type == first else ""
                found += self.ask(sql, (entity_type, begin, *parameters, limit - len(found)))
        return found

    def anchor(self) -> Anchor:
        """Where the log begins."""
        with storage_errors(self.path):
            return read_anchor(self.connection)
