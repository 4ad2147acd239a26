"""Reads of the log as history: one entity's rows in order, every entity there ever was, all as of one moment."""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import orjson

from storage.answers import Base
from storage.packed import unpack_operations
from storage.records import UPDATE_KINDS
from storage.sqlite.database import storage_errors
from storage.sqlite.meta import CONFIG, POLICIES
from storage.sqlite.reader import Reader
from storage.sqlite.rows import CONFLICTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from storage.records import ConflictRow, Key, LogRow

PAGE = 256
"""Log rows, conflicts or entities held at once."""


class HistoryReader:
    """History, on a connection of its own, so that the delivery of rows does not wait for it.

    Rows may be archived meanwhile: read one entity inside one `moment`. Every method may raise StorageError.

    reader: the other reads, on the same connection.
    """

    def __init__(self, path: Path) -> None:
        self.reader = Reader(path)
        self._queries = self.reader.queries

    def close(self) -> None:
        self.reader.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All reads inside see the database as it is now, whatever is committed meanwhile.

        Keep it short: what the WAL got since then cannot be moved into the database file.
        """
        connection, path = self._queries.connection, self._queries.path
        with storage_errors(path):
            connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:  # SQLite may have ended it, where a read failed
                with storage_errors(path):
                    connection.execute("COMMIT")

    def config(self) -> str | None:
        """What is remembered of the configuration that was in force at the last start; None for nothing."""
        return self._queries.fact(CONFIG)

    def policies(self) -> dict[str, list[str]]:
        """The configurations the node ran with, as texts by entity type, the latest last."""
        text = self._queries.fact(POLICIES)
        return dict(orjson.loads(text)) if text is not None else {}

    # ------------------------------------------------------------------ the log

    def entity_rows(self, key: Key, kinds: Sequence[str] = UPDATE_KINDS, after: int = 0) -> Iterator[LogRow]:
        """One entity's log rows after `after`, by seq, a page at a time."""
        while page := self.reader.audit(*key, after=after, limit=PAGE, kinds=kinds):
            yield from page
            after = page[-1].seq

    def entity_base(self, key: Key) -> Base | None:
        """What the entity's rows in the log build on; None if none of its rows is archived."""
        found = self.reader.archived.base(*key)
        if found is None:
            return None
        records = self.reader.archived.records_of([key]).get(key, b"")
        return Base(*found, max((one.accepted for one in unpack_operations(records)), default=0))

    def row(self, seq: int) -> LogRow | None:
        rows = self.reader.rows(None, seq - 1, seq, 1)
        return rows[0] if rows else None

    # ------------------------------------------------------------------ entities

    def entity_keys(self) -> Iterator[Key]:
        """Every entity in the log, in what is left of archives or in the table of entities; sorted, each once."""
        tables = ("archived", "entities", "log", "log_entities")
        places = [self._queries.distinct(table, "entity_type", "entity_id") for table in tables]
        texts = [(key for key in place if all(type(name) is str for name in key)) for place in places]
        for (entity_type, entity_id), _ in groupby(heapq.merge(*texts)):
            yield entity_type, entity_id

    def entity_count(self) -> int:
        return int(self._queries.ask("SELECT count(*) AS n FROM entities")[0]["n"])

    # ------------------------------------------------------------------ conflicts

    def open_conflicts(self) -> Iterator[ConflictRow]:
        """All open conflicts, a page at a time."""
        seq, conflict_id = -1, ""
        sql = (
            "SELECT * FROM conflicts WHERE state = 'open' AND (seq, conflict_id) > (?, ?)"
            " ORDER BY seq, conflict_id LIMIT ?"
        )
        while rows := self._queries.ask(sql, (seq, conflict_id, PAGE)):
            yield from map(CONFLICTS.record, rows)
            seq, conflict_id = rows[-1]["seq"], rows[-1]["conflict_id"]
