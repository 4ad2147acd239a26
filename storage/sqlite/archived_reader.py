"""Reads of what is left of archived history.

A position in the archived part of the log still counts. What lies between it and the anchor is sent as the state of
each entity that has a row there, in the order of their last rows, with the notices that are still owed. Whoever has
taken these states up to one of the rows holds the log up to that row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.answers import EVERYTHING, MOST_CLOSED, PAGE_BYTES, Compacted, Owed, Page, Recalled, Whole
from storage.packed import link_keys, op_keys, unpack_operations
from storage.records import ConflictRow, Key, LogRow, op_key
from storage.sqlite.rows import CONFLICTS, entity_record
from storage.sqlite.traces import row_of_trace, row_without_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from storage.sqlite.queries import Queries

LOOKED_THROUGH = 1_000
"""Rows of `archived` looked through at once."""


class ArchivedReader:
    """What is left of archived rows. Every method may raise StorageError."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def base(self, entity_type: str, entity_id: str) -> tuple[int, bytes] | None:
        """An entity's document as of the anchor: the seq of its last row up to there, and the snapshot.

        The rows after the anchor make today's entity of it. None if it has no archived row.
        """
        sql = (
            "SELECT coalesce(b.seq, e.seq) AS seq, coalesce(b.snapshot, e.snapshot) AS snapshot FROM entities e"
            " LEFT JOIN bases b USING (entity_type, entity_id) WHERE e.entity_type = ? AND e.entity_id = ?"
            " AND (b.seq IS NOT NULL OR e.seq <= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'anchor'))"
        )
        rows = self._queries.ask(sql, (entity_type, entity_id))
        return (rows[0]["seq"], bytes(rows[0]["snapshot"])) if rows else None

    # ------------------------------------------------------------------ operations without a row

    def records_of(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """What is kept of the archived operations of entities, packed (`storage/packed.py`)."""
        found: dict[Key, bytes] = {}
        sql = (
            "SELECT entity_type, entity_id, records FROM wanted CROSS JOIN archived USING (entity_type, entity_id)"
            " WHERE length(records) > 0"
        )
        for row in self._queries.by_keys(sql, keys):
            key = (row["entity_type"], row["entity_id"])
            found[key] = found.get(key, b"") + row["records"]
        return found

    def recalled(self, names: Sequence[str], keys: Sequence[Key]) -> Mapping[str, Sequence[Recalled]]:
        """Those of these operations that are archived on these entities: every copy, each once."""
        if not names:
            return {}
        wanted, traced = {op_key(name): name for name in names}, self.traced(names, keys)
        found: dict[str, dict[int, Recalled]] = {}
        for records in self.records_of(keys).values():
            if not wanted.keys().isdisjoint(op_keys(records)):
                for one in unpack_operations(records):
                    if one.op_key in wanted:
                        name = wanted[one.op_key]
                        row = traced.get((name, one.link_key)) or row_without_trace(name)
                        row.version, row.accepted = one.version, one.accepted
                        found.setdefault(name, {}).setdefault(one.link_key, Recalled(one, row))
        return {name: list(copies.values()) for name, copies in found.items()}

    def traces(self, key: Key, terminal_id: str, upto: int, limit: int) -> list[LogRow]:
        """What is left of an entity's archived rows that moved counters, the latest first: the rows of one terminal,
        and all up to row `upto`."""
        sql = (
            "SELECT * FROM traces WHERE entity_type = ? AND entity_id = ? AND (seq <= ? OR terminal_id = ?)"
            " ORDER BY seq DESC LIMIT ?"
        )
        return [row_of_trace(row) for row in self._queries.ask(sql, (*key, upto, terminal_id, limit))]

    def traced(self, names: Sequence[str], keys: Sequence[Key]) -> Mapping[tuple[str, int], LogRow]:
        """What is left of archived operations on these entities that moved counters, by name and link key."""
        wanted = {op_key(name): name for name in names}
        found: dict[tuple[str, int], LogRow] = {}
        sql = "SELECT traces.* FROM wanted CROSS JOIN traces USING (entity_type, entity_id)"
        for row in self._queries.by_keys(sql, keys) if wanted else ():
            name = wanted.get(row["op_key"])
            if name is not None:
                made = row_of_trace(row, name)
                found.setdefault((name, made.link_key or 0), made)
        return found

    # ------------------------------------------------------------------ whole entities for linked nodes

    def closed_of(self, keys: Iterable[Key]) -> dict[Key, list[ConflictRow]]:
        """The latest closed conflicts of entities, the latest first."""
        found: dict[Key, list[ConflictRow]] = {}
        sql = (
            "SELECT conflicts.* FROM wanted CROSS JOIN conflicts USING (entity_type, entity_id)"
            " WHERE state = 'closed'"
        )
        rows = list(self._queries.by_keys(sql, keys))
        for row in sorted(rows, key=lambda row: (-row["seq"], row["conflict_id"])):
            of_entity = found.setdefault((row["entity_type"], row["entity_id"]), [])
            if len(of_entity) < MOST_CLOSED:
                of_entity.append(CONFLICTS.record(row))
        return found

    def wholes(self, entity_types: Sequence[str], after: Key | None, limit: int) -> Page[Whole]:
        """A page of all entities of some types, by type and id, with their archived operations."""
        sql = "SELECT * FROM entities WHERE entity_type = ? AND entity_id > ? ORDER BY entity_id LIMIT ?"
        rows = self._queries.in_key_order(sql, entity_types, after, limit)
        return rows.as_page(self._whole(rows))

    def lacking(self, entity_type: str, after: str, keys: Set[int]) -> tuple[list[Whole], str | None]:
        """Entities of one type after id `after` that have an archived operation among these link keys; and the id to
        go on from, None at the end."""
        where = "entity_type = ? AND entity_id > ? ORDER BY entity_id LIMIT ?"
        rows = self._queries.ask(
            f"SELECT entity_id, records FROM archived WHERE {where}", (entity_type, after, LOOKED_THROUGH)
        )
        following = rows[-1]["entity_id"] if len(rows) == LOOKED_THROUGH else None
        hit = {row["entity_id"] for row in rows if not keys.isdisjoint(link_keys(row["records"]))}
        if following is not None:  # not all rows of this entity may have been looked at
            hit.add(following)
        sql = "SELECT entities.* FROM wanted CROSS JOIN entities USING (entity_type, entity_id)"
        found: list[dict[str, Any]] = []
        size = 0
        for name in sorted(hit):
            if size > PAGE_BYTES:
                following = found[-1]["entity_id"]
                break
            for row in self._queries.by_keys(sql, [(entity_type, name)]):
                found.append(row)
                size += len(row["snapshot"]) + len(row["view"])
        return self._whole(found), following

    # ------------------------------------------------------------------ the archived part of the log

    def compacted(
        self,
        priority: int,
        entity_types: Sequence[str],
        after: int,
        limit: int,
        terminal_id: str | None,
        again: int = 0,
    ) -> Compacted:
        """What lies after row `after` in the archived part of the log, of one priority class and its entity types.

        terminal_id: whose notices are sent. None for a linked node, which is sent the archived operations instead.
        again: the last row of which the terminal is sent what it wrote itself, too.
        """
        base = self._queries.anchor().seq  # read first: what is archived meanwhile lies after it
        reader = (terminal_id or "", again, after)
        rows = self._last_rows(entity_types, "a.seq > ? AND a.seq <= ?", (after, base), reader, limit)
        upto = base
        if rows.more:
            upto = rows[-1]["archived_seq"]
            last = (upto, rows[-1]["entity_type"], rows[-1]["entity_id"])
            same = "a.seq = ? AND (a.entity_type, a.entity_id) > (?, ?)"
            rows += self._last_rows(entity_types, same, last, reader, -1)
        owed: list[Owed] = []
        if terminal_id is not None:
            sql = (
                "SELECT seq, message FROM owed WHERE terminal_id = ? AND priority = ? AND seq > ? AND seq <= ?"
                " ORDER BY seq"
            )
            found = self._queries.ask(sql, (terminal_id, priority, after, upto))
            owed = [Owed(row["seq"], row["message"]) for row in found]
        return Compacted(self._whole(rows, records=terminal_id is None), owed, upto, base)

    def _last_rows(
        self,
        entity_types: Sequence[str],
        where: str,
        parameters: Sequence[object],
        reader: tuple[str, int, int],
        limit: int,
    ) -> Page[dict[str, Any]]:
        """Each entity once, ordered by its last archived row; none of which the reader would be sent no row.

        reader: a terminal, the last row up to which it is sent its own, and its position.
        """
        marks = ",".join("?" * len(entity_types))
        sql = (
            "SELECT a.seq AS archived_seq, b.snapshot AS base, e.* FROM archived a"
            " CROSS JOIN entities e USING (entity_type, entity_id) LEFT JOIN bases b USING (entity_type, entity_id)"
            f" WHERE a.seq > 0 AND {where} AND +a.entity_type IN ({marks}) AND NOT EXISTS (SELECT 1 FROM archived l"
            " WHERE l.entity_type = a.entity_type AND l.entity_id = a.entity_id AND l.seq > a.seq)"
            " AND EXISTS (SELECT 1 FROM archived o WHERE o.entity_type = a.entity_type AND o.entity_id = a.entity_id"
            " AND (CASE WHEN o.author = ? AND o.author <> '' AND o.seq > ? THEN o.other ELSE o.seq END) > ?)"
            " ORDER BY a.seq, a.entity_type, a.entity_id LIMIT ?"
        )
        if not entity_types:
            return Page()
        most = PAGE_BYTES if limit >= 0 else EVERYTHING
        return self._queries.page(sql, (*parameters, *entity_types, *reader, limit), limit, most)

    def _whole(self, rows: Sequence[Mapping[str, Any]], *, records: bool = True) -> list[Whole]:
        keys = [(row["entity_type"], row["entity_id"]) for row in rows] if records else []
        found, closed = self.records_of(keys), self.closed_of(keys)
        return [
            Whole(
                row.get("archived_seq", 0),
                entity_record(row),
                row.get("base"),
                found.get((row["entity_type"], row["entity_id"]), b""),
                closed.get((row["entity_type"], row["entity_id"]), ()),
            )
            for row in rows
        ]
