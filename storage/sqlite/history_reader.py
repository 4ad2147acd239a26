"""Reads of the log as history: one entity's rows in order, every entity there ever was, all as of one moment."""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import orjson

from storage.answers import Base
from storage.packed import unpack
from storage.records import POLICIES
from storage.sqlite.database import storage_errors
from storage.sqlite.reader import Reader
from storage.sqlite.rows import conflict_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from storage.records import ConflictRow, LogRow

Key = tuple[str, str]

PAGE = 256
"""Log rows, conflicts or entities held at once."""

UPDATES = ("operation", "state")
"""Kinds of rows that changed a document."""


class HistoryReader(Reader):
    """A reader of its own for whoever looks back, so that nobody who delivers rows waits for it. Rows may be archived
    meanwhile: an entity is read inside one `moment`."""

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All reads inside see the database as it is now, whatever is committed meanwhile. Keep it short: what the
        WAL holds since then cannot be moved into the file."""
        with storage_errors(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:  # SQLite may have ended it, where a read failed
                with storage_errors(self._path):
                    self._connection.execute("COMMIT")

    def policies(self) -> dict[str, list[str]]:
        """The configurations that the node ran with, as texts by entity type, the latest last."""
        rows = self._query("SELECT value FROM meta WHERE key = ?", (POLICIES,))
        return dict(orjson.loads(rows[0]["value"])) if rows else {}

    # ------------------------------------------------------------------ the log

    def entity_rows(self, key: Key, kinds: Sequence[str] = UPDATES, after: int = 0) -> Iterator[LogRow]:
        """One entity's log rows after `after`, by seq, a page at a time."""
        while page := self.audit(*key, after=after, limit=PAGE, kinds=kinds):
            yield from page
            after = page[-1].seq

    def entity_base(self, key: Key) -> Base | None:
        """Where its rows in the log begin; None where they begin at the beginning."""
        found = self.base(*key)
        if found is None:
            return None
        records = self.records_of([key]).get(key, b"")
        return Base(*found, max((one.accepted for one in unpack(records)), default=0))

    def row(self, seq: int) -> LogRow | None:
        rows = self.rows(None, seq - 1, seq, 1)
        return rows[0] if rows else None

    # ------------------------------------------------------------------ entities

    def entity_keys(self) -> Iterator[Key]:
        """Every entity that the log, what is left of archives or the table of entities names, in order, each once."""
        places = [self._keys(table) for table in ("archived", "entities", "log", "log_entities")]
        for key, _ in groupby(heapq.merge(*places)):
            yield key

    def _keys(self, table: str) -> Iterator[Key]:
        """A look-up of the next one each: an entity's many rows are passed over in the index."""
        sql = (
            f"SELECT entity_type, entity_id FROM {table} WHERE (entity_type, entity_id) > (?, ?)"
            " AND entity_id IS NOT NULL ORDER BY entity_type, entity_id LIMIT 1"
        )
        key = ("", "")
        while rows := self._query(sql, key):
            key = (rows[0]["entity_type"], rows[0]["entity_id"])
            yield key

    def entity_count(self) -> int:
        return int(self._query("SELECT count(*) AS n FROM entities")[0]["n"])

    # ------------------------------------------------------------------ conflicts

    def open_conflicts(self) -> Iterator[ConflictRow]:
        """All open ones, a page at a time."""
        seq, conflict_id = -1, ""
        sql = (
            "SELECT * FROM conflicts WHERE state = 'open' AND (seq, conflict_id) > (?, ?)"
            " ORDER BY seq, conflict_id LIMIT ?"
        )
        while rows := self._query(sql, (seq, conflict_id, PAGE)):
            yield from map(conflict_of, rows)
            seq, conflict_id = rows[-1]["seq"], rows[-1]["conflict_id"]
