"""A read-only connection, and how it is asked."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from storage.answers import PAGE_BYTES, Page
from storage.sqlite.database import (
    UNDECODABLE,
    Interrupted,
    open_reader,
    quick_check,
    read_any_text,
    storage_errors,
)
from storage.sqlite.meta import read_anchor, read_fact
from storage.sqlite.statements import distinct, parts, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from storage.records import Anchor, Key

T = TypeVar("T")

CHUNK = 500
"""Keys looked up with one statement."""

LOOKS_UP = 50_000
"""Steps of SQLite's machine after which a statement looks whether it was given up just before it began."""


class Queries:
    """A read-only connection to one database, for one thread at a time. Every method may raise StorageError.

    interrupted: whatever is asked raises Interrupted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.interrupted = False
        self.connection: sqlite3.Connection = open_reader(path)
        self.connection.set_progress_handler(lambda: self.interrupted, LOOKS_UP)

    def close(self) -> None:
        self.connection.close()

    def interrupt(self) -> None:
        """From any thread: what is being read, and whatever is asked after it, raises Interrupted."""
        self.interrupted = True
        with suppress(sqlite3.ProgrammingError):  # it is closed
            self.connection.interrupt()

    def check(self) -> None:
        """Raises Interrupted where nobody waits for what is read."""
        if self.interrupted:
            raise Interrupted(f"{self.path}: a read was given up")

    def check_structure(self) -> None:
        """Read the whole database and check how its pages hang together, which no query does."""
        self.check()
        quick_check(self.connection, self.path)

    def ask(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of a SELECT, by column name."""
        return self._read(lambda: self._rows(sql, parameters))

    def _rows(self, sql: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        cursor = self.connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _read(self, read: Callable[[], T]) -> T:
        """Read; once more where a text is damaged, which costs its row and not the whole statement."""
        self.check()
        with storage_errors(self.path):
            try:
                return read()
            except sqlite3.OperationalError as error:
                if UNDECODABLE not in str(error):
                    raise
            read_any_text(self.connection)
            return read()

    def page(
        self, sql: str, parameters: Sequence[object], limit: int, most_bytes: int = PAGE_BYTES
    ) -> Page[dict[str, Any]]:
        """The first rows of a SELECT: up to `limit` (-1: all), which it has as its last parameter, and about so many
        bytes; at least one, if there is one."""
        return self._read(lambda: self._page(sql, parameters, limit, most_bytes))

    def _page(self, sql: str, parameters: Sequence[object], limit: int, most_bytes: int) -> Page[dict[str, Any]]:
        cursor = self.connection.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        found: Page[dict[str, Any]] = Page()
        size = 0
        for row in cursor:
            if found and size > most_bytes:
                found.more = True
                break
            for value in row:
                if type(value) is bytes:
                    size += len(value)
            found.append(dict(zip(names, row, strict=True)))
        cursor.close()
        found.more = found.more or len(found) == limit
        found.bytes = size
        return found

    def by_keys(self, sql: str, keys: Iterable[Key]) -> Iterator[dict[str, Any]]:
        """Rows for keys, of a SELECT that joins from `wanted (entity_type, entity_id)`."""
        for part in parts(keys, 2):
            joined = f"WITH wanted (entity_type, entity_id) AS ({values(len(part), 2)}) {sql}"
            yield from self.ask(joined, [word for key in part for word in key])

    def in_key_order(
        self, sql: str, entity_types: Iterable[str], after: Key | None, limit: int, parameters: Sequence[object] = ()
    ) -> Page[dict[str, Any]]:
        """Up to `limit` rows of some types after a key, by type and id, and not many more bytes than PAGE_BYTES.

        sql: a SELECT whose first parameters are the type, the id after which it begins, and those given here; its
            last is the limit. SQLite finds the place of an id in the index only where the type is a single one.
        """
        found: Page[dict[str, Any]] = Page()
        first, name = after or ("", "")
        left = PAGE_BYTES
        for entity_type in sorted(set(entity_types)):
            if entity_type < first:
                continue
            if left <= 0 or len(found) == limit:
                found.more = True
                break
            most = limit - len(found)
            begin = name if entity_type == first else ""
            part = self.page(sql, (entity_type, begin, *parameters, most), most, left)
            left -= part.bytes
            found += part
            if part.more:
                found.more = True
                break
        return found

    def distinct(self, table: str, *columns: str) -> Iterator[tuple[str, ...]]:
        """As `storage.sqlite.statements.distinct`."""
        with storage_errors(self.path):
            for found in distinct(self.connection, table, columns):
                self.check()
                yield found

    def fact(self, key: str) -> str | None:
        """A fact of the node (storage/sqlite/meta.py)."""
        return self._read(lambda: read_fact(self.connection, key))

    def anchor(self) -> Anchor:
        """Where the log begins."""
        return self._read(lambda: read_anchor(self.connection))
