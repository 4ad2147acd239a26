"""Reads of committed state: catch-up, entities that are not in memory, links, the audit, and what HTTP shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from storage.answers import ARCHIVED, EVERYTHING, PAGE_BYTES, Fetched, Page, Unsent
from storage.chain import chain_hash
from storage.records import (
    Anchor,
    ArchiveRow,
    ConflictRow,
    EntityRow,
    FollowerRow,
    HeadRow,
    Key,
    LogRow,
    ParkedRow,
    TokenRow,
    link_key,
    op_key,
)
from storage.sqlite.archived_reader import ArchivedReader
from storage.sqlite.database import StorageError, read_any_text, storage_errors
from storage.sqlite.meta import read_meta
from storage.sqlite.queries import CHUNK, Queries
from storage.sqlite.rows import (
    ARCHIVES,
    CONFLICTS,
    ENTITIES,
    FOLLOWERS,
    HEADS,
    LOG,
    PARKED,
    PROOFS,
    SUMMED,
    TOKENS,
    damaged_row,
    entity_record,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any


HISTORY = 1_000
"""Most rows of an entity's history looked through for what a terminal knew."""


NOBODYS = TokenRow("", "", "", "damaged", "", None)
"""A token that nobody can show."""


SHOWN_USER = (
    "COALESCE(user_id, CASE WHEN json_valid(CAST(operation AS TEXT))"
    " THEN json_extract(CAST(operation AS TEXT), '$.user_id') END)"
)
"""Who is named beside a row: who was logged in on its connection, else whom the operation itself names."""


class Reader:
    """A read-only view of one database, for one thread at a time. Every method may raise StorageError.

    queries: the connection.
    archived: reads of what is left of archived rows.
    """

    def __init__(self, path: Path) -> None:
        self.queries = Queries(path)
        self.archived = ArchivedReader(self.queries)

    def close(self) -> None:
        self.queries.close()

    def check_structure(self) -> None:
        """Read the whole database and check how its pages hang together, which no query does."""
        self.queries.check_structure()

    # ------------------------------------------------------------------ by key

    def entity(self, entity_type: str, entity_id: str) -> EntityRow | None:
        found = self._entity(entity_type, entity_id)
        return entity_record(found) if found is not None else None

    def stored_entity(self, entity_type: str, entity_id: str) -> EntityRow | None:
        """What is stored of an entity, whether or not it is what was written."""
        found = self._entity(entity_type, entity_id)
        return ENTITIES.unchecked(found) if found is not None else None

    def _entity(self, entity_type: str, entity_id: str) -> Mapping[str, Any] | None:
        sql = "SELECT * FROM entities WHERE entity_type = ? AND entity_id = ?"
        return next(iter(self.queries.ask(sql, (entity_type, entity_id))), None)

    def fetch(
        self,
        keys: Sequence[Key],
        names: Sequence[str],
        conflict_ids: Sequence[str],
        touched: Sequence[Key] = (),
        histories: Sequence[tuple[Key, str, int]] = (),
        most_bytes: int | None = None,
    ) -> Fetched:
        """Entities, accepted operations and conflicts by key, and the histories of entities, in one read.

        names: of operations (`crdt.records.name_of`).
        touched: the entities among whose archived operations an operation without a row is looked for.
        histories: (entity, terminal, row): the rows of that terminal, and all up to that row.
        most_bytes: of entities with more than that nothing is read.
        """
        if most_bytes is not None and len(keys) > 1:
            sql = "SELECT length(snapshot) + length(view) AS bytes FROM wanted"
            sql += " CROSS JOIN entities USING (entity_type, entity_id)"
            total = sum(row["bytes"] for row in self.queries.by_keys(sql, keys))
            if total > most_bytes:
                return Fetched({}, {}, {}, [], too_many_bytes=total)
        sql = "SELECT entities.* FROM wanted CROSS JOIN entities USING (entity_type, entity_id)"
        entities = {
            (row["entity_type"], row["entity_id"]): entity_record(row) for row in self.queries.by_keys(sql, keys)
        }
        operations: dict[str, list[LogRow]] = {}
        for name in names:
            rows = [
                row for row in self._sound("log.op_key = ? ORDER BY log.seq", (op_key(name),)) if row.name == name
            ]
            if rows:
                operations[name] = rows
        conflicts = {}
        for conflict_id in conflict_ids:
            for row in self.queries.ask("SELECT * FROM conflicts WHERE conflict_id = ?", (conflict_id,)):
                conflicts[conflict_id] = CONFLICTS.record(row)
        known = [self._history(*history) for history in histories]
        return Fetched(entities, operations, conflicts, known, self.archived.recalled(names, touched))

    def _history(self, key: Key, terminal: str, upto: int) -> list[LogRow]:
        """An entity's rows of one terminal, and its rows up to `upto`, the latest first. Archived rows that moved
        counters come as what is left of them."""
        seqs: list[int] = []
        for of, table in (("log", "log"), ("o", "log_entities o CROSS JOIN log USING (seq)")):
            sql = (
                f"SELECT {of}.seq FROM {table} WHERE {of}.entity_type = ? AND {of}.entity_id = ?"
                f" AND kind IN ('operation', 'state') AND (terminal_id = ? OR {of}.seq <= ?)"
                f" ORDER BY {of}.seq DESC LIMIT ?"
            )
            seqs += (row["seq"] for row in self.queries.ask(sql, (*key, terminal, upto, HISTORY)))
        seqs = sorted(seqs, reverse=True)[:HISTORY]
        rows = self._sound(f"log.seq IN ({','.join('?' * len(seqs))}) ORDER BY log.seq DESC", seqs) if seqs else []
        return rows + self.archived.traces(key, terminal, upto, HISTORY - len(rows))

    # ------------------------------------------------------------------ in order

    def entities(
        self,
        entity_type: str,
        after: str | None,
        limit: int,
        deleted: bool = False,
        most_bytes: int = EVERYTHING,
    ) -> Page[EntityRow]:
        """A page of one type's entities, by id. deleted: with the dead ones."""
        sql = "SELECT * FROM entities WHERE entity_type = ? AND entity_id > ?"
        sql += "" if deleted else " AND deleted = 0"
        sql += " ORDER BY entity_id LIMIT ?"
        rows = self.queries.page(sql, (entity_type, after or "", limit), limit, most_bytes)
        return rows.as_page(map(entity_record, rows))

    def state(
        self, entity_types: Sequence[str], after: Key | None, limit: int, begun: int, terminal_id: str
    ) -> Page[EntityRow]:
        """A page of all entities of some types, dead ones too, by type and id (first synchronisation).

        Entities that only other terminals have written, and only after row `begun`, are left out: this terminal is
        sent those rows. A dead entity is always there: no row is sent of one that came dead from another node.
        """
        same = "o.entity_type = e.entity_type AND o.entity_id = e.entity_id"
        # The first comparison decides nearly all entities. An entity's archived rows may be earlier than `begun`.
        sql = (
            "SELECT * FROM entities e WHERE entity_type = ? AND entity_id > ?"
            f" AND (seq <= ? OR deleted OR EXISTS (SELECT 1 FROM archived o WHERE {same})"
            f" OR EXISTS (SELECT 1 FROM log o WHERE {same} AND kind IN ('operation', 'state')"
            " AND (o.seq <= ? OR terminal_id = ?))"
            f" OR EXISTS (SELECT 1 FROM log_entities o JOIN log l USING (seq) WHERE {same}"
            " AND (o.seq <= ? OR terminal_id = ?)))"
            " ORDER BY entity_id LIMIT ?"
        )
        since = (begun, begun, terminal_id, begun, terminal_id)
        rows = self.queries.in_key_order(sql, entity_types, after, limit, since)
        return rows.as_page(map(entity_record, rows))

    def rows(self, priority: int | None, after: int, upto: int, limit: int) -> list[LogRow]:
        """Log rows after `after` up to `upto`, of one priority class or (None) of all, by seq."""
        where = "" if priority is None else "priority = ? AND "
        parameters = () if priority is None else (priority,)
        sql = f"SELECT * FROM log WHERE {where}seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        return [LOG.record(row) for row in self.queries.ask(sql, (*parameters, after, upto, limit))]

    def about(self, terminal_id: str, seq: int, limit: int) -> list[LogRow]:
        """Rows that a terminal wrote about row `seq`: at most `limit` up to it, and as many after it."""
        until = self._sound(
            "log.terminal_id = ? AND log.seq <= ? ORDER BY log.seq DESC LIMIT ?", (terminal_id, seq, limit), limit
        )
        since = self._sound(
            "log.terminal_id = ? AND log.seq > ? ORDER BY log.seq LIMIT ?", (terminal_id, seq, limit), limit
        )
        return [*until, *since]

    def reached(self, priority: int, after: int, upto: int, limit: int) -> Page[LogRow] | None:
        """A page of rows of one priority class, checked; None if the log does not reach back to `after` any more."""
        where = "log.priority = ? AND log.seq > ? AND log.seq <= ? ORDER BY log.seq LIMIT ?"
        rows = self._proven(self._sound(where, (priority, after, upto, limit), limit, PAGE_BYTES))
        return rows if self.anchor().seq <= after else None  # last: nothing was archived before it was read

    def _sound(
        self, where: str, parameters: Sequence[object], limit: int = -1, most_bytes: int = EVERYTHING
    ) -> Page[LogRow]:
        """Rows that are sent to somebody, each compared with its hash, so that nobody is sent a bit that flipped on
        the disk. SQLite does not see that. Raises StorageError."""
        sql = (
            "SELECT log.*, before.hash AS before FROM log LEFT JOIN log AS before ON before.seq = log.seq - 1 WHERE "
        )
        found = []
        page = self.queries.page(sql + where, parameters, limit, most_bytes)
        for row in page:
            before, sound = row["before"], LOG.sound(row)
            if sound and before is None:
                anchor = self.anchor()  # else it was archived meanwhile
                before = anchor.hash if anchor.seq == row["seq"] - 1 else None
            one = LOG.unchecked(row) if sound else None
            if one is None or (before is not None and chain_hash(bytes(before), one) != one.hash):
                where = f"{self.queries.path}: row {row['seq']} of the log is not what was written"
                raise StorageError(f"{where}; see `comanda audit verify`, and put a backup back (`comanda restore`)")
            found.append(one)
        return page.as_page(found)

    def _proven(self, rows: Page[LogRow]) -> Page[LogRow]:
        """These rows, which may go over a link, each with its proof. Raises StorageError."""
        lacking = {row.seq: row for row in rows if row.seal and not row.proof}
        seqs = list(lacking)
        for first in range(0, len(seqs), CHUNK):
            part = seqs[first : first + CHUNK]
            for found in self.queries.ask(f"SELECT * FROM proofs WHERE seq IN ({','.join('?' * len(part))})", part):
                proof = PROOFS.record(found)
                lacking[proof.seq].proof = proof.proof
        return rows

    # ------------------------------------------------------------------ for links

    def row_hash(self, seq: int) -> bytes | None:
        """The chain hash at a row; None if there is no such row, ARCHIVED if it is archived and not known."""
        for table, column in (("log", "seq"), ("archives", "last")):
            rows = self.queries.ask(f"SELECT hash FROM {table} WHERE {column} = ?", (seq,))
            if rows:
                return bytes(rows[0]["hash"])
        anchor = self.anchor()
        if seq == anchor.seq:
            return anchor.hash
        return ARCHIVED if 0 < seq < anchor.seq else None

    def linked(self, link_keys: Sequence[int]) -> Page[LogRow]:
        """A page of operations by link key, in log order. link_keys: at most CHUNK."""
        seqs = sorted(seq for seq, _ in self.places(link_keys))
        where = f"log.seq IN ({','.join('?' * len(seqs))}) ORDER BY log.seq"
        return self._proven(self._sound(where, seqs, -1, PAGE_BYTES))

    def history(self, after: int, upto: int, limit: int) -> Page[LogRow]:
        """A page of the log's rows after `after` up to `upto`, in log order."""
        where = "log.seq > ? AND log.seq <= ? ORDER BY log.seq LIMIT ?"
        return self._proven(self._sound(where, (after, upto, limit), limit, PAGE_BYTES))

    def places(self, link_keys: Sequence[int]) -> list[tuple[int, int]]:
        """(seq, link key) of the operations that are in the log."""
        found: list[tuple[int, int]] = []
        for first in range(0, len(link_keys), CHUNK):
            part = link_keys[first : first + CHUNK]
            sql = f"SELECT seq, link_key FROM log WHERE link_key IN ({','.join('?' * len(part))})"
            found.extend((row["seq"], row["link_key"]) for row in self.queries.ask(sql, part))
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
        upto: int = EVERYTHING,
        most_bytes: int = EVERYTHING,
        *,
        user_id: str | None = None,
        newest: bool = False,
    ) -> Page[LogRow]:
        """A page of log rows after seq `after` and up to `upto` that match every filter, in the log's order; newest:
        the last of them, from the last on. since, until: HLCs of acceptance.

        Rows of an entity, rows of a terminal and refused writes are found by an index. Any other filter looks
        through the rows one by one, so a caller that holds up others asks for some thousands at a time (`upto`).
        """
        # One kind is named in the text: SQLite uses the index of the refused rows only where it reads that they are.
        kind = f"kind = '{kinds[0]}'" if len(kinds) == 1 else f"kind IN ({','.join('?' * len(kinds))})"
        where: list[tuple[str, Sequence[object]]] = [
            ("log.seq > ?", (after,)),
            ("log.seq <= ?", (upto,)),
            (kind, kinds if len(kinds) != 1 else ()),
        ]
        for condition, value in (
            ("terminal_id = ?", terminal_id),
            (f"{SHOWN_USER} = ?", user_id),
            ("accepted >= ?", since),
            ("accepted <= ?", until),
        ):
            if value is not None:
                where.append((condition, (value,)))
        if entity_id is not None:
            return self._audit_of_entity(entity_type, entity_id, where, limit, most_bytes, newest)
        if entity_type is not None:
            where.append(("+entity_type = ?", (entity_type,)))  # + keeps to the order of the log
        order = "seq DESC" if newest else "seq"
        sql = f"SELECT * FROM log WHERE {' AND '.join(text for text, _ in where)} ORDER BY {order} LIMIT ?"
        parameters = [value for _, bound in where for value in bound]
        rows = self.queries.page(sql, (*parameters, limit), limit, most_bytes)
        return rows.as_page(map(LOG.record, rows))

    def _audit_of_entity(
        self,
        entity_type: str | None,
        entity_id: str,
        where: Sequence[tuple[str, Sequence[object]]],
        limit: int,
        most_bytes: int,
        newest: bool,
    ) -> Page[LogRow]:
        """Rows of an entity, of every type that has such an id where no type is named.

        Both halves, own rows and those of a BULK_UPDATE, come from an index in the log's order: an OR, or a list of
        numbers, would read all of the entity's rows for each page.
        """
        rest = " AND ".join(text for text, _ in where)
        bound = [value for _, values in where for value in values]
        order = "seq DESC" if newest else "seq"
        own = f"SELECT * FROM log WHERE entity_type = ? AND entity_id = ? AND {rest} ORDER BY {order} LIMIT ?"
        bulk = (
            "SELECT log.* FROM log_entities o CROSS JOIN log USING (seq)"
            f" WHERE o.entity_type = ? AND o.entity_id = ? AND o.seq > ? AND {rest} ORDER BY o.{order} LIMIT ?"
        )
        found: Page[LogRow] = Page()
        ends: list[int] = []  # nothing is known of what lies behind these
        every = self.queries.distinct("log", "entity_type") if entity_type is None else [(entity_type,)]
        for (name,) in every:
            for sql, parameters in ((own, bound), (bulk, [bound[0], *bound])):
                rows = self.queries.page(sql, (name, entity_id, *parameters, limit), limit, most_bytes)
                found += map(LOG.record, rows)
                if rows.more:
                    ends.append(rows[-1]["seq"])
        sign = -1 if newest else 1
        whole = [row for row in found if all(sign * row.seq <= sign * end for end in ends)]
        whole.sort(key=lambda row: sign * row.seq)
        page = found.as_page(whole[:limit])
        page.more = bool(ends) or len(whole) >= limit
        return page

    def earlier(self, key: Key, before: int, limit: int) -> list[int]:
        """The numbers of an entity's rows that changed it before row `before`, the latest first."""
        kinds = "kind IN ('operation', 'state')"
        own = f"SELECT seq FROM log WHERE entity_type = ? AND entity_id = ? AND seq < ? AND {kinds}"
        bulk = (
            "SELECT o.seq FROM log_entities o CROSS JOIN log l USING (seq)"
            f" WHERE o.entity_type = ? AND o.entity_id = ? AND o.seq < ? AND l.{kinds}"
        )
        found: list[int] = []
        for sql, order in ((own, "seq"), (bulk, "o.seq")):
            rows = self.queries.ask(f"{sql} ORDER BY {order} DESC LIMIT ?", (*key, before, limit))
            found += (row["seq"] for row in rows)
        return sorted(found, reverse=True)[:limit]

    def row(self, seq: int) -> LogRow | None:
        """One row of the log; None where it is archived."""
        found = self.queries.ask("SELECT * FROM log WHERE seq = ?", (seq,))
        return LOG.record(found[0]) if found else None

    def written_since(self, seq: int, most_bytes: int) -> list[tuple[Key, bytes]]:
        """The living entities that rows after `seq` are about, with their views, but for views above `most_bytes`."""
        sql = "SELECT entity_type, entity_id FROM log WHERE seq > ? AND kind = 'operation' AND entity_id IS NOT NULL"
        rows = self.queries.ask(sql, (seq,))
        keys = dict.fromkeys((row["entity_type"], row["entity_id"]) for row in rows)
        sql = (
            "SELECT entity_type, entity_id, view FROM wanted CROSS JOIN entities USING (entity_type, entity_id)"
            f" WHERE deleted = 0 AND length(view) <= {most_bytes}"
        )
        return [
            ((row["entity_type"], row["entity_id"]), bytes(row["view"])) for row in self.queries.by_keys(sql, keys)
        ]

    def unsent(self, entity_type: str, entity_id: str | None, after: int) -> list[Unsent]:
        """The operations after row `after` on a type, or on one entity of it, that go to other nodes; the latest
        first."""
        sql = (
            "SELECT seq, priority, entity_id, targets, via FROM log"
            " WHERE seq > ? AND +entity_type = ? AND kind = 'operation' AND link_key IS NOT NULL ORDER BY seq DESC"
        )
        rows = self.queries.ask(sql, (after, entity_type))
        found = []
        for row in rows:
            bulk = row["entity_id"] is None
            about = list(dict.fromkeys(row["targets"].split("\n"))) if bulk else [row["entity_id"]]
            about = about if entity_id is None else [name for name in about if name == entity_id]
            if about:
                found.append(Unsent(row["seq"], row["priority"], about, row["via"]))
        return found

    def conflicts_of(self, key: Key, limit: int) -> list[ConflictRow]:
        """An entity's conflicts, in no order of time."""
        sql = "SELECT * FROM conflicts WHERE entity_type = ? AND entity_id = ? ORDER BY conflict_id LIMIT ?"
        return [CONFLICTS.record(row) for row in self.queries.ask(sql, (*key, limit))]

    def decided(
        self, before: int = EVERYTHING, limit: int = 1000, before_id: str = "", most_bytes: int = EVERYTHING
    ) -> Page[ConflictRow]:
        """A page of the conflicts that are not open, the latest decided first, before one of row `before`."""
        sql = (
            "SELECT * FROM conflicts WHERE state <> 'open' AND (seq, conflict_id) < (?, ?)"
            " ORDER BY seq DESC, conflict_id DESC LIMIT ?"
        )
        rows = self.queries.page(sql, (before, before_id, limit), limit, most_bytes)
        return rows.as_page(map(CONFLICTS.record, rows))

    def conflicts(
        self,
        state: str | None,
        after: int = -1,
        limit: int = 1000,
        after_id: str = "\U0010ffff",
        most_bytes: int = EVERYTHING,
    ) -> Page[ConflictRow]:
        """A page of conflicts by the row that raised or closed them, after one of row `after`."""
        where, parameters = ("state = ? AND ", [state]) if state else ("", [])
        sql = f"SELECT * FROM conflicts WHERE {where}(seq, conflict_id) > (?, ?) ORDER BY seq, conflict_id LIMIT ?"
        rows = self.queries.page(sql, (*parameters, after, after_id, limit), limit, most_bytes)
        return rows.as_page(map(CONFLICTS.record, rows))

    def tokens(self) -> list[TokenRow]:
        """All tokens, in the order of their making; in the place of one that is not what was written, one that is
        nobody's: where there is any, nobody comes in without."""
        found = self.queries.ask("SELECT * FROM tokens ORDER BY created_at")
        return [TOKENS.record(row) if TOKENS.sound(row) else NOBODYS for row in found]

    def parked(self) -> list[ParkedRow]:
        """Operations of linked nodes that are not applied."""
        return [PARKED.record(row) for row in self.queries.ask("SELECT * FROM parked ORDER BY id")]

    # ------------------------------------------------------------------ archiving

    def anchor(self) -> Anchor:
        """Where the log begins."""
        return self.queries.anchor()

    def archives(self) -> list[ArchiveRow]:
        """The archives of this log, oldest first."""
        return [ARCHIVES.record(row) for row in self.queries.ask("SELECT * FROM archives ORDER BY last")]

    def followers(self) -> list[FollowerRow]:
        return [FOLLOWERS.record(row) for row in self.queries.ask("SELECT * FROM followers")]

    def stored_rows(self, after: int, upto: int) -> Iterator[Mapping[str, Any]]:
        """The log's rows as they are stored, every column, a page at a time."""
        while rows := self.queries.ask(
            "SELECT * FROM log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 200", (after, upto)
        ):
            yield from rows
            after = rows[-1]["seq"]

    def before(self, accepted: int, after: int) -> int | None:
        """The row before the first one after `after` that was accepted at or after this HLC; None if there is none
        such."""
        rows = self.queries.ask(
            "SELECT seq FROM log WHERE seq > ? AND accepted >= ? ORDER BY seq LIMIT 1", (after, accepted)
        )
        return rows[0]["seq"] - 1 if rows else None

    # ------------------------------------------------------------------ the chain

    def head(self) -> tuple[int, bytes]:
        """The head and its hash as the last commit noted them."""
        with storage_errors(self.queries.path):
            meta = read_meta(self.queries.connection, [])
        return int(meta.get("head", 0)), bytes.fromhex(meta.get("chain", "00" * 32))

    def heads(self, node_id: str) -> list[HeadRow]:
        """The signed heads of a node that are kept here, the latest last."""
        rows = self.queries.ask("SELECT * FROM heads WHERE node_id = ? ORDER BY received_ms", (node_id,))
        return [HEADS.record(row) for row in rows]

    def cuts(self) -> list[tuple[int, int]]:
        """Where starts of the node found the log cut: (the head that was noted, the row the log ended at)."""
        pairs = [pair.split(">") for pair in (self.queries.fact("log_cuts") or "").split()]
        return [(int(head), int(end)) for head, end in pairs]

    def dropped(self) -> list[tuple[int, int]]:
        """Where starts of the node found a damaged WAL: (the row the log ended at, commits that are lost)."""
        pairs = [pair.split(":") for pair in (self.queries.fact("wal_dropped") or "").split()]
        return [(int(head), int(commits)) for head, commits in pairs]

    def chained_rows(self, after: int = 0) -> Iterator[tuple[int, LogRow | None, bytes]]:
        """Every log row with its seq and hash, in order; None for a row that holds what the node never writes."""
        for row in self._stored_rows(after):
            row_hash = row["hash"] if type(row["hash"]) is bytes else b""
            yield row["seq"], LOG.record(row) if LOG.sound(row) else None, row_hash

    def _stored_rows(self, after: int = 0) -> Iterator[Mapping[str, Any]]:
        """Every log row by column, in order, whatever it holds."""
        while rows := self.queries.ask("SELECT * FROM log WHERE seq > ? ORDER BY seq LIMIT 1000", (after,)):
            yield from rows
            after = rows[-1]["seq"]

    def damaged_rows(self) -> Iterator[str]:
        """What is said of every row that is not what was written, as far as the audit chain does not prove it: rows
        outside the log, and the keys of the log's rows."""
        for table in SUMMED:
            with storage_errors(self.queries.path):
                read_any_text(self.queries.connection)
                for row in self.queries.connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}"):
                    found = dict(zip(table.columns, row, strict=True))
                    if not table.sound(found):
                        yield str(damaged_row(table.name, [found[column] for column in table.key]))
        strange = "typeof(entity_type) <> 'text' OR typeof(entity_id) <> 'text'"
        for found in self.queries.ask(f"SELECT * FROM log_entities WHERE {strange}"):
            yield str(damaged_row("log_entities", found.values()))
        for stored in self._stored_rows():
            if LOG.sound(stored) and not _keys_fit(stored):
                yield str(damaged_row(LOG.name, (stored["seq"],)))


def _keys_fit(stored: Mapping[str, Any]) -> bool:
    """Whether a row of the log is found by what it holds."""
    row = LOG.record(stored)
    try:
        entries = orjson.loads(row.updates or b"[]") if row.kind == "operation" else []
        key = link_key(row.name, entries) if entries else None
    except (ValueError, LookupError, TypeError):
        return False
    return row.op_key == stored["op_key"] and row.link_key == key
