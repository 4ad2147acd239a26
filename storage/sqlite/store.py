"""The one connection that writes: every group of operations is one durable transaction (synchronous FULL)."""

from __future__ import annotations

import os
import sqlite3
from array import array
from contextlib import suppress
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING

import orjson
from attrs import AttrsInstance, fields

from storage.chain import GENESIS, chain_hash
from storage.records import (
    POLICIES,
    ArchiveRow,
    Boot,
    Commit,
    ConflictRow,
    CursorRow,
    EntityRow,
    FollowerRow,
    LockRow,
    LogRow,
    ParkedRow,
    PeerRow,
    TokenRow,
    Try,
    key64,
)
from storage.sqlite.archived_keys import archived_keys
from storage.sqlite.backup import write_copy
from storage.sqlite.database import (
    DATABASE,
    StorageError,
    lock_directory,
    open_writer,
    quick_check,
    storage_errors,
    transaction,
)
from storage.sqlite.head_note import (
    MARK_FILE,
    Mark,
    Marker,
    read_mark,
)
from storage.sqlite.migrations import migrate
from storage.sqlite.prune import (
    BATCH_ROWS,
    Pruned,
    add_records,
    keep_bases,
    prune_batch,
    read_anchor,
)
from storage.sqlite.rows import (
    conflict_of,
    cursor_of,
    follower_of,
    lock_of,
    parked_of,
    peer_of,
)
from storage.sqlite.statements import insert_many
from storage.sqlite.traces import COUNTERS
from storage.sqlite.wal import dropped_commits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

CLASSES = 4
TOKEN = "lock_counter"
"""The meta entry of the last fencing token."""

REFUSED_READ = 10_000
"""Refused writes that a start reads."""

LOG_COLUMNS = [
    "seq",
    "kind",
    "priority",
    "entity_type",
    "entity_id",
    "operation_id",
    "op_key",
    "terminal_id",
    "user_id",
    "targets",
    "monitors",
    "stamp",
    "accepted",
    "version",
    "status",
    "lock_status",
    "echo",
    "operation",
    "message",
    "changes",
    "updates",
    "hash",
    "origin",
    "via",
    "link_key",
]


class Store:
    """A node's database, open for writing. Only one process, and in it only one thread, uses it at a time."""

    def __init__(self, directory: Path, descriptor: int, node_id: str, epoch: str) -> None:
        self.directory = directory
        self.path = directory / DATABASE
        self.node_id = node_id
        self.epoch = epoch
        self._descriptor = descriptor
        self._db = open_writer(self.path)
        self._connection: sqlite3.Connection = self._db.conn
        self._marker = Marker(directory)
        self.dropped = 0
        """Commits that SQLite did not take from the WAL at this start."""
        self.anchor = read_anchor(self._connection)
        self.head, self.chain = self._read_head()
        self.token = self._read_token()
        """The last fencing token that is stored."""

    @classmethod
    def open(cls, directory: Path, node_id: str | None, new_id: Callable[[], str], *, verify: bool = False) -> Store:
        """Open or create a data directory (mode 0700) and bring its schema up to date.

        node_id: None takes the stored one, or a new one; one that was drawn for a node that
        never ran gives way to one that is named. Raises StorageError (DataDirectoryBusy when another node
        has it open; also when it belongs to another node). verify: check the whole file first, and refuse a damaged
        one.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"{directory}: {error.strerror}") from error
        descriptor = lock_directory(directory)
        try:
            _refuse_emptied(directory)
            dropped = dropped_commits(directory / DATABASE)
            db = open_writer(directory / DATABASE)
            try:
                with storage_errors(directory / DATABASE):
                    if verify:
                        quick_check(db.conn, directory / DATABASE)
                    migrate(db, str(directory / DATABASE))
                    known, epoch = cls._identity(db.conn, node_id, new_id, directory)
            finally:
                db.conn.close()
            with storage_errors(directory / DATABASE):
                store = cls(directory, descriptor, known, epoch)
            if store._note_cut(dropped):
                # Part of a WAL over pages that were written after it makes a database of two times.
                quick_check(store._connection, store.path, indexes=True)
            return store
        except BaseException:
            os.close(descriptor)
            raise

    @staticmethod
    def _identity(
        connection: sqlite3.Connection, node_id: str | None, new_id: Callable[[], str], directory: Path
    ) -> tuple[str, str]:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        known = meta.get("node_id")
        if node_id is not None and meta.get("id_drawn") == known and "writer" not in meta:
            known = node_id
        if known is not None and node_id is not None and known != node_id:
            raise StorageError(f"{directory} belongs to node {known}, not {node_id}")
        drawn = known is None and node_id is None
        known = known or node_id or f"node-{new_id()[:8]}"
        epoch = meta.get("epoch") or new_id()
        with transaction(connection, directory / DATABASE):
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
                [("node_id", known), ("epoch", epoch), *([("id_drawn", known)] if drawn else [])],
            )
        return known, epoch

    def _read_head(self) -> tuple[int, bytes]:
        row = self._connection.execute("SELECT seq, hash FROM log ORDER BY seq DESC LIMIT 1").fetchone()
        return (row[0], bytes(row[1])) if row else (self.anchor.seq, self.anchor.hash)

    def _read_token(self) -> int:
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (TOKEN,)).fetchone()
        return int(row[0]) if row else 0

    def _note_cut(self, dropped: int) -> bool:
        """Note for the audit, for good, that the log does not end where its last commit left it. Whether it is so.

        The next commit writes a new head, after which nothing else in the database would show it.
        """
        with storage_errors(self.path):
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        if (meta.get("head", "0"), meta.get("chain", GENESIS.hex())) != (str(self.head), self.chain.hex()):
            self._add_note(meta, "log_cuts", f"{meta.get('head', '0')}>{self.head}")
            self.set_meta({"head": str(self.head), "chain": self.chain.hex()})
        mark = read_mark(self.directory)
        ahead = mark.epoch == self.epoch and mark.head > self.head and "restored_from" not in meta
        noted = f">{self.head}" in (cut[cut.index(">") :] for cut in meta.get("log_cuts", "").split())
        if ahead:
            if not noted:
                self._add_note(meta, "log_cuts", f"{mark.head}>{self.head}")
        elif dropped and mark != self.mark:  # else nothing is missing but cursors
            self.dropped = dropped
            self._add_note(meta, "wal_dropped", f"{self.head}:{dropped}")
        return ahead or bool(self.dropped)

    def _add_note(self, meta: dict[str, str], key: str, note: str) -> None:
        notes = meta.get(key, "").split()
        if notes[-1:] != [note]:  # a start that wrote nothing finds the same again
            meta[key] = " ".join([*notes, note])
            self.set_meta({key: meta[key]})

    # ------------------------------------------------------------------ starting

    def boot(self) -> Boot:
        """Everything a node needs to go on from the last commit. Raises StorageError."""
        with storage_errors(self.path):
            return self._boot()

    def _boot(self) -> Boot:
        db, execute = self._db, self._connection.execute
        self.head, self.chain = self._read_head()
        heads = [  # of a class that is archived to its last row, the anchor
            execute("SELECT coalesce(max(seq), ?) FROM log WHERE priority = ?", (self.anchor.seq, p)).fetchone()[0]
            for p in range(CLASSES)
        ]
        archived = archived_keys(self._connection)
        keys = execute("SELECT entity_type, entity_id FROM entities")
        return Boot(
            self.node_id,
            self.epoch,
            self.head,
            self.chain,
            heads,
            [lock_of(row) for row in db.table("locks").rows_where("released = 0")],
            self._cursors(),
            [conflict_of(row) for row in db.table("conflicts").rows_where("state = 'open'", order_by="seq")],
            {key64(entity_type, entity_id) for entity_type, entity_id in keys},
            array("q", (k for (k,) in execute("SELECT op_key FROM log WHERE op_key IS NOT NULL ORDER BY op_key"))),
            archived.operations,
            archived.with_rows(self._link_keys()),
            archived.partial,
            [peer_of(row) for row in db.table("peers").rows],
            [follower_of(row) for row in db.table("followers").rows],
            [parked_of(row) for row in db.table("parked").rows_where(order_by="id")],
            {row["key"]: row["value"] for row in db.table("meta").rows},
            self._refused(),
        )

    def _cursors(self) -> list[CursorRow]:
        return [cursor_of(row) for row in self._db.table("cursors").rows]

    def _refused(self) -> dict[tuple[str, str], Try]:
        sql = "SELECT terminal_id, operation_id, changes FROM log WHERE kind = 'refused' ORDER BY seq DESC LIMIT ?"
        found: dict[tuple[str, str], Try] = {}
        for terminal_id, operation_id, changes in reversed(self._connection.execute(sql, (REFUSED_READ,)).fetchall()):
            with suppress(ValueError, KeyError, TypeError):  # a damaged row costs what it says
                found.setdefault((terminal_id, operation_id), Try(**orjson.loads(changes)["tried"]))
        return found

    def _link_keys(self) -> dict[str, array[int]]:
        keys: dict[str, array[int]] = {}
        sql = "SELECT entity_type, link_key FROM log WHERE link_key IS NOT NULL ORDER BY link_key"
        for entity_type, key in self._connection.execute(sql):
            keys.setdefault(entity_type, array("q")).append(key)
        return keys

    # ------------------------------------------------------------------ committing

    def commit(self, commit: Commit) -> None:
        """Store a group in one transaction and fsync it. Raises StorageError; then nothing of it is stored."""
        chain, head = self.chain, self.head
        log_rows = []
        with storage_errors(self.path):
            for row in commit.rows:
                if row.seq != head + 1:
                    raise StorageError(f"row {row.seq} does not follow the log's head {head}")
                row.hash = chain = chain_hash(chain, row)
                head = row.seq
                log_rows.append(_log_values(row, chain))
        meta = {**commit.meta, "head": str(head), "chain": chain.hex()}
        with transaction(self._connection, self.path):
            self._write(commit, log_rows, meta)
        self.epoch = commit.meta.get("epoch", self.epoch)
        before = self.head, self.token
        self.chain, self.head, self.token = chain, head, int(commit.meta.get(TOKEN, self.token))
        if (self.head, self.token) != before:
            self._marker.note(self.mark)

    @property
    def mark(self) -> Mark:
        """Where the database ends."""
        return Mark(self.epoch, self.head, self.token)

    def _write(self, commit: Commit, log_rows: Sequence[tuple[object, ...]], meta: dict[str, str]) -> None:
        self._many("log", LOG_COLUMNS, (), log_rows)
        bulk = [
            (row.entity_type, entity_id, row.seq)
            for row in commit.rows
            if row.entity_id is None and row.kind == "operation"
            for entity_id in dict.fromkeys(row.targets)
        ]
        self._many("log_entities", ("entity_type", "entity_id", "seq"), (), bulk)
        key: tuple[str, ...] = ("entity_type", "entity_id")
        entities = {(e.entity_type, e.entity_id): _values(e) for e in commit.entities}
        if self.anchor.seq:
            keep_bases(self._connection, entities, self.anchor.seq)
        self._many("entities", _columns(EntityRow), key, entities.values())
        locks = {(lock.entity_type, lock.entity_id): _values(lock) for lock in commit.locks}
        self._many("locks", _columns(LockRow), key, locks.values())
        conflicts = {
            c.conflict_id: (*_values(c)[:4], "\n".join(c.operations), *_values(c)[5:]) for c in commit.conflicts
        }
        self._many("conflicts", _columns(ConflictRow), ("conflict_id",), conflicts.values())
        cursors = {
            c.terminal_id: (
                c.terminal_id,
                c.terminal_type,
                c.user_id,
                ",".join(map(str, c.positions)),
                c.last_seen_ms,
            )
            for c in commit.cursors
        }
        self._many("cursors", _columns(CursorRow), ("terminal_id",), cursors.values())
        peers = {
            p.node_id: (p.node_id, p.epoch, ",".join(map(str, p.positions)), p.mark, p.mark_hash, p.last_seen_ms)
            for p in commit.peers
        }
        self._many("peers", _columns(PeerRow), ("node_id",), peers.values())
        self._many("parked", _columns(ParkedRow), ("id",), {row.id: _values(row) for row in commit.parked}.values())
        for parked_id in commit.unparked:
            self._connection.execute("DELETE FROM parked WHERE id = ?", (parked_id,))
        add_records(self._connection, map(_values, commit.archived))
        followers = {
            f.node_id: (f.node_id, f.epoch, ",".join(map(str, f.positions)), f.last_seen_ms) for f in commit.followers
        }
        self._many("followers", _columns(FollowerRow), ("node_id",), followers.values())
        self._many("meta", ("key", "value"), ("key",), meta.items())

    def _many(
        self, table: str, columns: Sequence[str], key: tuple[str, ...], rows: Iterable[tuple[object, ...]]
    ) -> None:
        insert_many(self._connection, table, columns, key, rows)

    # ------------------------------------------------------------------ upkeep

    def probe(self) -> None:
        """A tiny durable write: whether writing works (again). Raises StorageError."""
        with transaction(self._connection, self.path):
            self._connection.execute(
                "INSERT INTO meta VALUES ('probe', '1') ON CONFLICT (key) DO UPDATE SET value = value + 1"
            )

    def checkpoint(self) -> None:
        """Move committed pages from the WAL into the database file, as far as readers allow."""
        with storage_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Checkpoint, close, and give the directory free."""
        with suppress(sqlite3.Error):  # the next start reads the WAL
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        self._marker.close()
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Let go of everything as a process that dies, but for what SQLite does whenever a connection is closed."""
        self._connection.close()
        self._marker.close()
        os.close(self._descriptor)

    @property
    def connection(self) -> sqlite3.Connection:
        """The read-write connection, for whoever breaks it on purpose."""
        return self._connection

    def begin_anew(self, epoch: str, meta: Mapping[str, str], *, remove: Sequence[str] = ()) -> None:
        """From here on the log is another one: what peers hold of it under the old epoch counts no more. meta: what
        goes with that, all of it or nothing. Raises StorageError."""
        self.set_meta({**meta, "epoch": epoch}, remove=remove)
        self.epoch = epoch
        self._marker.note(self.mark)

    def forget_positions(self) -> list[CursorRow]:
        """No terminal has confirmed anything of this log: their cursors as they are then. Raises StorageError."""
        with transaction(self._connection, self.path):
            self._connection.execute("UPDATE cursors SET positions = ?", (",".join(["-1"] * CLASSES),))
        with storage_errors(self.path):
            return self._cursors()

    def backup(self, target: Path) -> None:
        """A consistent copy while the node runs, marked so that a node started on it knows it is one.

        Raises StorageError, also where the target exists; then no target is left behind.
        """
        write_copy(self._connection, target, f"{self.epoch}:{self.head}")

    # ------------------------------------------------------------------ archives

    def note_archive(self, archive: ArchiveRow) -> None:
        """These rows are in that file: from here on they may be pruned. Raises StorageError."""
        with transaction(self._connection, self.path):
            self._many("archives", _columns(ArchiveRow), ("last",), [_values(archive)])

    def forget_archive(self, last: int) -> None:
        """The file that ends with row `last` is gone: of its rows those that are still in the log stay there, to go
        into another one. Raises StorageError."""
        anchor = self.anchor
        with transaction(self._connection, self.path):
            self._connection.execute("DELETE FROM archives WHERE last = ? AND first > ?", (last, anchor.seq))
            self._connection.execute(
                "UPDATE archives SET last = ?, hash = ? WHERE last = ?", (anchor.seq, anchor.hash, last)
            )

    def prune(self, upto: int, most: int = BATCH_ROWS) -> Pruned:
        """Up to `most` of the log's first rows, none past `upto`, are archived and go; how far it came.

        Raises StorageError.
        """
        with transaction(self._connection, self.path):
            pruned = prune_batch(self._connection, upto, most)
        self.anchor = pruned.anchor
        return pruned

    def shrink(self, least: float = 0.25) -> None:
        """Give the room of pruned rows back to the file system, where they are at least this share of the database.
        It takes a while, and as much room again. Raises StorageError."""
        with storage_errors(self.path):
            pages, free = (
                self._connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "freelist_count")
            )
            if free > pages * least:
                self._connection.execute("VACUUM")

    # ------------------------------------------------------------------ facts

    def set_meta(self, values: dict[str, str], *, remove: Sequence[str] = ()) -> None:
        """Write facts of the node outside a group. Raises StorageError."""
        with transaction(self._connection, self.path):
            self._many("meta", ("key", "value"), ("key",), values.items())
            for key in remove:
                self._connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    def note_counters(self, names: Mapping[str, Sequence[str]]) -> None:
        """Which fields are counters, by entity type: what is to be kept of archived rows. Raises StorageError."""
        self.set_meta({COUNTERS: orjson.dumps(names).decode()})

    def note_policies(self, texts: Mapping[str, str], most: int) -> None:
        """What decides what an entity shows, by entity type; of each as many as that are kept, the latest last.
        Raises StorageError."""
        with storage_errors(self.path):
            found = self._connection.execute("SELECT value FROM meta WHERE key = ?", (POLICIES,)).fetchone()
        known = orjson.loads(found[0]) if found else {}
        now = {t: [*(old for old in known.get(t, []) if old != text), text][-most:] for t, text in texts.items()}
        if {**known, **now} != known:
            self.set_meta({POLICIES: orjson.dumps({**known, **now}).decode()})

    # ------------------------------------------------------------------ tokens

    def add_token(self, token: TokenRow) -> None:
        """Store a token, or a change of one. Raises StorageError."""
        with storage_errors(self.path):
            self._db.table("tokens").upsert(
                {column: getattr(token, column) for column in _columns(TokenRow)}, pk="token_hash"
            )

    def revoke_tokens(self, terminal_id: str, at: str) -> int:
        """Revoke every live token of a terminal; how many there were. Raises StorageError."""
        with storage_errors(self.path):
            cursor = self._connection.execute(
                "UPDATE tokens SET revoked_at = ? WHERE terminal_id = ? AND revoked_at IS NULL", (at, terminal_id)
            )
        return cursor.rowcount


def _refuse_emptied(directory: Path) -> None:
    """A database that is gone would be begun anew without a word, and everything in it be forgotten."""
    path, mark = directory / DATABASE, read_mark(directory)
    if (mark.head or mark.token) and (not path.exists() or path.stat().st_size == 0):
        what = "empty" if path.exists() else "gone"
        raise StorageError(
            f"{path} is {what}, and this node had {mark.head} rows: put a backup back "
            f"(`comanda restore --data {directory} BACKUP`), or remove {directory / MARK_FILE} to begin anew; linked "
            "nodes give back what they hold"
        )


@cache
def _columns(record: type[AttrsInstance]) -> tuple[str, ...]:
    return tuple(attribute.name for attribute in fields(record))


@cache
def _getter(record: type[AttrsInstance]) -> Callable[[object], tuple[object, ...]]:
    return attrgetter(*_columns(record))


def _values(record: AttrsInstance) -> tuple[object, ...]:
    return _getter(type(record))(record)


def _log_values(row: LogRow, row_hash: bytes) -> tuple[object, ...]:
    return (
        row.seq,
        row.kind,
        row.priority,
        row.entity_type,
        row.entity_id,
        row.operation_id,
        key64(row.operation_id) if row.kind in ("operation", "state") else None,
        row.terminal_id,
        row.user_id,
        "\n".join(row.targets),
        row.monitors,
        row.stamp,
        row.accepted,
        row.version,
        row.status,
        row.lock_status,
        row.echo,
        row.operation,
        row.message,
        row.changes,
        row.updates,
        row_hash,
        row.origin,
        row.via,
        row.link_key,
    )
