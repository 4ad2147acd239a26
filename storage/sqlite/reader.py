"""Reads of committed state on a read-only connection: catch-up, cold entities, and what HTTP shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.answers import ARCHIVED, Fetched
from storage.chain import chain_hash
from storage.records import ConflictRow, EntityRow, LogRow, TokenRow, key64
from storage.sqlite.archived_reader import ArchivedReader
from storage.sqlite.database import StorageError, storage_errors
from storage.sqlite.queries import CHUNK
from storage.sqlite.rows import (
    LOG_TYPES,
    conflict_of,
    entity_of,
    log_of,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HISTORY = 1_000
"""Most rows of an entity's history looked through for what a terminal knew."""


class Reader(ArchivedReader):
    """A read-only view of one database; used by one thread at a time. Every method may raise StorageError."""

    # ------------------------------------------------------------------ by key

    def entity(self, entity_type: str, entity_id: str) -> EntityRow | None:
        rows = self._query("SELECT * FROM entities WHERE entity_type = ? AND entity_id = ?", (entity_type, entity_id))
        return entity_of(rows[0]) if rows else None

    def fetch(
        self,
        keys: Sequence[tuple[str, str]],
        operation_ids: Sequence[str],
        conflict_ids: Sequence[str],
        touched: Sequence[tuple[str, str]] = (),
        histories: Sequence[tuple[tuple[str, str], str, int]] = (),
    ) -> Fetched:
        """Entities, accepted operations and conflicts by key, and the histories of entities, in one go.

        touched: entities that an operation whose row is archived would be among the operations of.
        """
        sql = "SELECT entities.* FROM wanted CROSS JOIN entities USING (entity_type, entity_id)"
        entities = {(row["entity_type"], row["entity_id"]): entity_of(row) for row in self._by_keys(sql, keys)}
        operations: dict[str, LogRow] = {}
        for operation_id in operation_ids:
            where = "log.op_key = ? AND log.operation_id = ?"
            for found in self._sound(where, (key64(operation_id), operation_id)):
                operations.setdefault(operation_id, found)
        conflicts = {}
        for conflict_id in conflict_ids:
            for row in self._query("SELECT * FROM conflicts WHERE conflict_id = ?", (conflict_id,)):
                conflicts[conflict_id] = conflict_of(row)
        gone = [operation_id for operation_id in operation_ids if operation_id not in operations]
        known = [self._history(*history) for history in histories]
        return Fetched(entities, operations, conflicts, known, self.recalled(gone, touched))

    def _history(self, key: tuple[str, str], terminal: str, upto: int) -> list[LogRow]:
        """Of an entity the rows of one terminal, and those up to a row, the latest first; of archived ones, what is
        left of those that moved counters."""
        of_entity = "entity_type = ? AND entity_id = ?"
        where = (
            f"log.seq IN (SELECT seq FROM log WHERE {of_entity} UNION SELECT seq FROM log_entities WHERE {of_entity})"
            " AND log.kind IN ('operation', 'state') AND (log.terminal_id = ? OR log.seq <= ?)"
            " ORDER BY log.seq DESC LIMIT ?"
        )
        rows = self._sound(where, (*key, *key, terminal, upto, HISTORY))
        return rows + self.traces(key, terminal, upto, HISTORY - len(rows))

    # ------------------------------------------------------------------ in order

    def entities(self, entity_type: str, after: str | None, limit: int, deleted: bool = False) -> list[EntityRow]:
        """A page of one type, by id."""
        sql = "SELECT * FROM entities WHERE entity_type = ? AND entity_id > ?"
        sql += "" if deleted else " AND deleted = 0"
        sql += " ORDER BY entity_id LIMIT ?"
        return [entity_of(row) for row in self._query(sql, (entity_type, after or "", limit))]

    def state(
        self, entity_types: Sequence[str], after: tuple[str, str] | None, limit: int, begun: int, terminal_id: str
    ) -> list[EntityRow]:
        """A page of all entities of some types, dead ones too, by type and id (first synchronisation).

        Not those that only others than this terminal have written, and only after row `begun`: it is sent those rows.
        A dead one is always named: of one that came dead from another node there is no row to send.
        """
        if not entity_types:
            return []
        marks = ",".join("?" * len(entity_types))
        same = "o.entity_type = e.entity_type AND o.entity_id = e.entity_id"
        # In this order: of nearly all entities the first comparison decides. Archived rows may be earlier ones.
        sql = (
            f"SELECT * FROM entities e WHERE entity_type IN ({marks}) AND (entity_type, entity_id) > (?, ?)"
            f" AND (seq <= ? OR deleted OR EXISTS (SELECT 1 FROM archived o WHERE {same})"
            f" OR EXISTS (SELECT 1 FROM log o WHERE {same} AND kind IN ('operation', 'state')"
            " AND (o.seq <= ? OR terminal_id = ?))"
            f" OR EXISTS (SELECT 1 FROM log_entities o JOIN log l USING (seq) WHERE {same}"
            " AND (o.seq <= ? OR terminal_id = ?)))"
            " ORDER BY entity_type, entity_id LIMIT ?"
        )
        since = (begun, begun, terminal_id, begun, terminal_id)
        return [entity_of(row) for row in self._query(sql, (*entity_types, *(after or ("", "")), *since, limit))]

    def rows(self, priority: int | None, after: int, upto: int, limit: int) -> list[LogRow]:
        """Log rows after `after` up to `upto`, of one priority class or (None) of all, by seq."""
        where = "" if priority is None else "priority = ? AND "
        parameters = () if priority is None else (priority,)
        sql = f"SELECT * FROM log WHERE {where}seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        return [log_of(row) for row in self._query(sql, (*parameters, after, upto, limit))]

    def reached(self, priority: int, after: int, upto: int, limit: int) -> list[LogRow] | None:
        """The same of one priority class; None where the log does not reach back to `after` any more."""
        where = "log.priority = ? AND log.seq > ? AND log.seq <= ? ORDER BY log.seq LIMIT ?"
        rows = self._sound(where, (priority, after, upto, limit))
        return rows if self.anchor().seq <= after else None  # last: nothing was archived before it was read

    def _sound(self, where: str, parameters: Sequence[object]) -> list[LogRow]:
        """Rows that go on to somebody, each held against its hash: a bit that flipped on the disk, which SQLite does
        not see, goes to nobody. Raises StorageError."""
        sql = (
            "SELECT log.*, before.hash AS before FROM log LEFT JOIN log AS before ON before.seq = log.seq - 1 WHERE "
        )
        found = []
        for row in self._query(sql + where, parameters):
            before, sound = row.pop("before"), all(type(row[column]) in LOG_TYPES[column] for column in row)
            if sound and before is None:
                anchor = self.anchor()  # else it was archived meanwhile
                before = anchor.hash if anchor.seq == row["seq"] - 1 else None
            one = log_of(row) if sound else None
            if one is None or (before is not None and chain_hash(bytes(before), one) != one.hash):
                where = f"{self._path}: row {row['seq']} of the log is not what was written"
                raise StorageError(f"{where}; see `comanda audit verify`, and put a backup back (`comanda restore`)")
            found.append(one)
        return found

    # ------------------------------------------------------------------ for links

    def row_hash(self, seq: int) -> bytes | None:
        """The chain hash at a row of the log, None where there is no such row, ARCHIVED where it is not known."""
        for table, column in (("log", "seq"), ("archives", "last")):
            rows = self._query(f"SELECT hash FROM {table} WHERE {column} = ?", (seq,))
            if rows:
                return bytes(rows[0]["hash"])
        anchor = self.anchor()
        if seq == anchor.seq:
            return anchor.hash
        return ARCHIVED if 0 < seq < anchor.seq else None

    def linked(self, link_keys: Sequence[int]) -> list[LogRow]:
        """Operations by link key, in log order."""
        found: list[LogRow] = []
        for first in range(0, len(link_keys), CHUNK):
            part = link_keys[first : first + CHUNK]
            found.extend(self._sound(f"log.link_key IN ({','.join('?' * len(part))})", part))
        found.sort(key=lambda row: row.seq)
        return found

    def places(self, link_keys: Sequence[int]) -> list[tuple[int, int]]:
        """(seq, link key) of those that are in the log."""
        found: list[tuple[int, int]] = []
        for first in range(0, len(link_keys), CHUNK):
            part = link_keys[first : first + CHUNK]
            sql = f"SELECT seq, link_key FROM log WHERE link_key IN ({','.join('?' * len(part))})"
            found.extend((row["seq"], row["link_key"]) for row in self._query(sql, part))
        return found

    # ------------------------------------------------------------------ for people

    def audit(
        self,
        entity_type: str | None = None,
        entity_id: str | None = None,
        terminal_id: str | None = None,
        since: int | None = None,
        until: int | None = None,
        after: int = 0,
        limit: int = 1000,
        kinds: Sequence[str] = ("operation", "refused"),
    ) -> list[LogRow]:
        """Log rows after seq `after`, filtered. since, until: HLCs of acceptance."""
        where = ["seq > ?", f"kind IN ({','.join('?' * len(kinds))})"]
        parameters: list[object] = [after, *kinds]
        if entity_id is not None:
            # Both halves from an index; an OR would read every row of the type.
            of_entity = "entity_id = ?" if entity_type is None else "entity_type = ? AND entity_id = ?"
            where.append(
                f"seq IN (SELECT seq FROM log WHERE {of_entity} UNION SELECT seq FROM log_entities WHERE {of_entity})"
            )
            parameters += [entity_id] * 2 if entity_type is None else [entity_type, entity_id] * 2
        elif entity_type is not None:
            where.append("entity_type = ?")
            parameters.append(entity_type)
        for condition, value in (
            ("terminal_id = ?", terminal_id),
            ("accepted >= ?", since),
            ("accepted <= ?", until),
        ):
            if value is not None:
                where.append(condition)
                parameters.append(value)
        sql = f"SELECT * FROM log WHERE {' AND '.join(where)} ORDER BY seq LIMIT ?"
        return [log_of(row) for row in self._query(sql, (*parameters, limit))]

    def conflicts(self, state: str | None, after: int = -1, limit: int = 1000) -> list[ConflictRow]:
        """Conflicts by the row that raised or closed them."""
        where, parameters = ("state = ? AND ", [state]) if state else ("", [])
        sql = f"SELECT * FROM conflicts WHERE {where}seq > ? ORDER BY seq, conflict_id LIMIT ?"
        return [conflict_of(row) for row in self._query(sql, (*parameters, after, limit))]

    def tokens(self) -> list[TokenRow]:
        with storage_errors(self._path):
            return [token_of(row) for row in self._db.table("tokens").rows_where(order_by="created_at")]

    # ------------------------------------------------------------------ the chain

    def head(self) -> tuple[int, bytes]:
        """The head and its hash as the last commit noted them."""
        meta = {row["key"]: row["value"] for row in self._query("SELECT key, value FROM meta")}
        return int(meta.get("head", 0)), bytes.fromhex(meta.get("chain", "00" * 32))

    def cuts(self) -> list[tuple[int, int]]:
        """Where starts of the node found the log cut: the head that was noted, and where the log ended."""
        rows = self._query("SELECT value FROM meta WHERE key = 'log_cuts'")
        pairs = [pair.split(">") for row in rows for pair in row["value"].split()]
        return [(int(head), int(end)) for head, end in pairs]

    def dropped(self) -> list[tuple[int, int]]:
        """Where starts of the node found a damaged WAL: the row the log ended at, and commits that were in it."""
        rows = self._query("SELECT value FROM meta WHERE key = 'wal_dropped'")
        pairs = [pair.split(":") for row in rows for pair in row["value"].split()]
        return [(int(head), int(commits)) for head, commits in pairs]

    def chained_rows(self, after: int = 0) -> Iterator[tuple[int, LogRow | None, bytes]]:
        """Every log row with its seq and hash, in order; None for a row that holds what the node never writes."""
        while rows := self._query("SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT 1000", (after,)):
            for row in rows:
                sound = all(type(value) in LOG_TYPES[column] for column, value in row.items())
                yield row["seq"], log_of(row) if sound else None, row["hash"] if type(row["hash"]) is bytes else b""
            after = rows[-1]["seq"]
