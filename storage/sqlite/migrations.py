"""The schema, as numbered migrations (sqlite-utils). A change here is a line in the changelog.

A new column is a step here and a field of its record in storage/records.py; rows.py takes it from there.
"""

from __future__ import annotations

import atexit
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from sqlite_utils import Database, Migrations

from crdt.records import name_of
from storage.records import link_key
from storage.sqlite.database import StorageError, reason
from storage.sqlite.row_sum import offer_row_sum
from storage.sqlite.rows import SUMMED

if TYPE_CHECKING:
    from collections.abc import Callable

migrations = Migrations("comanda")


@migrations()
def m001_log(db: Database) -> None:
    """The log: operations, notices and refused writes, chained by hash."""
    db.execute(
        """CREATE TABLE log (
            seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, priority INTEGER NOT NULL,
            entity_type TEXT NOT NULL, entity_id TEXT, operation_id TEXT NOT NULL, op_key INTEGER,
            terminal_id TEXT NOT NULL, user_id TEXT, targets TEXT NOT NULL, monitors INTEGER NOT NULL,
            stamp INTEGER NOT NULL, accepted INTEGER NOT NULL, version INTEGER NOT NULL, status TEXT NOT NULL,
            lock_status TEXT NOT NULL, echo INTEGER NOT NULL, operation BLOB NOT NULL, message BLOB NOT NULL,
            changes BLOB NOT NULL, updates BLOB NOT NULL, hash BLOB NOT NULL)"""
    )
    db.execute("CREATE INDEX log_operation ON log (op_key) WHERE op_key IS NOT NULL")
    db.execute("CREATE INDEX log_class ON log (priority, seq)")
    db.execute("CREATE INDEX log_entity ON log (entity_type, entity_id, seq)")


@migrations()
def m002_state(db: Database) -> None:
    """What the log amounts to: entities, conflicts, locks, cursors; and the node's own facts."""
    db.execute(
        """CREATE TABLE entities (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, version INTEGER NOT NULL,
            deleted INTEGER NOT NULL, view BLOB NOT NULL, snapshot BLOB NOT NULL, seen BLOB NOT NULL,
            seq INTEGER NOT NULL, PRIMARY KEY (entity_type, entity_id)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE conflicts (
            conflict_id TEXT PRIMARY KEY, entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, path BLOB NOT NULL,
            operations TEXT NOT NULL, type TEXT NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL,
            created_at TEXT NOT NULL, closed_by TEXT, outcome BLOB NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX conflicts_state ON conflicts (state, seq)")
    db.execute(
        """CREATE TABLE locks (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, lock_id TEXT NOT NULL, terminal_id TEXT NOT NULL,
            authority TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL, scope TEXT NOT NULL,
            granted_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, timeout_ms INTEGER NOT NULL,
            released INTEGER NOT NULL, PRIMARY KEY (entity_type, entity_id)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE cursors (
            terminal_id TEXT PRIMARY KEY, terminal_type TEXT NOT NULL, user_id TEXT, positions TEXT NOT NULL,
            last_seen_ms INTEGER NOT NULL) WITHOUT ROWID"""
    )
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")


@migrations()
def m003_tokens(db: Database) -> None:
    """Bearer tokens, by hash."""
    db.execute(
        """CREATE TABLE tokens (
            token_hash TEXT PRIMARY KEY, terminal_id TEXT NOT NULL, terminal_type TEXT NOT NULL,
            label TEXT NOT NULL, created_at TEXT NOT NULL, revoked_at TEXT) WITHOUT ROWID"""
    )


@migrations()
def m004_bulk(db: Database) -> None:
    """Which entities a BULK_UPDATE row touched, so that an entity's history finds it."""
    db.execute(
        """CREATE TABLE log_entities (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, seq INTEGER NOT NULL,
            PRIMARY KEY (entity_type, entity_id, seq)) WITHOUT ROWID"""
    )


@migrations()
def m005_links(db: Database) -> None:
    """What links need: where an operation came from, what is held of other nodes' logs, what cannot be applied."""
    db.execute("ALTER TABLE log ADD COLUMN origin TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE log ADD COLUMN via TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE log ADD COLUMN link_key INTEGER")
    pages = db.query(
        "SELECT seq, terminal_id, operation_id, updates FROM log WHERE kind = 'operation' AND length(updates) > 2"
    )
    keyed = [
        (link_key(name_of(row["terminal_id"], row["operation_id"]), orjson.loads(row["updates"])), row["seq"])
        for row in pages
    ]
    db.conn.executemany("UPDATE log SET link_key = ? WHERE seq = ?", keyed)
    db.execute("CREATE INDEX log_link ON log (link_key) WHERE link_key IS NOT NULL")
    db.execute(
        """CREATE TABLE peers (
            node_id TEXT PRIMARY KEY, epoch TEXT NOT NULL, positions TEXT NOT NULL, mark INTEGER NOT NULL,
            mark_hash BLOB NOT NULL, last_seen_ms INTEGER NOT NULL) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE parked (
            id INTEGER PRIMARY KEY, via TEXT NOT NULL, terminal_id TEXT NOT NULL, operation_id TEXT NOT NULL,
            link_key INTEGER NOT NULL,
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
            body BLOB NOT NULL, at_ms INTEGER NOT NULL)"""
    )


@migrations()
def m006_archive(db: Database) -> None:
    """Archives, and what stays of their rows: keys of operations, documents, movements of counters, notices that
    were not delivered. And how far linked nodes have confirmed the log."""
    db.execute(
        """CREATE TABLE archives (
            last INTEGER PRIMARY KEY, first INTEGER NOT NULL, before BLOB NOT NULL, hash BLOB NOT NULL,
            file TEXT NOT NULL, bytes INTEGER NOT NULL, epoch TEXT NOT NULL, made_at TEXT NOT NULL)"""
    )
    db.execute(
        """CREATE TABLE archived (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, span INTEGER NOT NULL, seq INTEGER NOT NULL,
            author TEXT NOT NULL, other INTEGER NOT NULL, bulk INTEGER NOT NULL, records BLOB NOT NULL,
            PRIMARY KEY (entity_type, entity_id, span)) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX archived_seq ON archived (seq) WHERE seq > 0")
    db.execute(
        """CREATE TABLE bases (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, seq INTEGER NOT NULL, snapshot BLOB NOT NULL,
            PRIMARY KEY (entity_type, entity_id)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE traces (
            entity_type TEXT NOT NULL, entity_id TEXT NOT NULL, seq INTEGER NOT NULL, op_key INTEGER,
            terminal_id TEXT NOT NULL, trace BLOB NOT NULL,
            PRIMARY KEY (entity_type, entity_id, seq)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE owed (
            terminal_id TEXT NOT NULL, seq INTEGER NOT NULL, priority INTEGER NOT NULL, message BLOB NOT NULL,
            PRIMARY KEY (terminal_id, seq)) WITHOUT ROWID"""
    )
    db.execute(
        """CREATE TABLE followers (
            node_id TEXT PRIMARY KEY, epoch TEXT NOT NULL, positions TEXT NOT NULL,
            last_seen_ms INTEGER NOT NULL) WITHOUT ROWID"""
    )


@migrations()
def m007_conflicts_of_entity(db: Database) -> None:
    """An entity's conflicts, which go to a new node with its state."""
    db.execute("CREATE INDEX conflicts_entity ON conflicts (entity_type, entity_id)")


@migrations()
def m008_refused(db: Database) -> None:
    """Refused writes by id. One that is sent again is judged by what its author had seen the first time."""
    db.execute("CREATE INDEX log_refused ON log (seq, operation_id) WHERE kind = 'refused'")


@migrations()
def m009_pages(db: Database) -> None:
    """A terminal's rows, and all conflicts in order, for pages."""
    db.execute("CREATE INDEX log_terminal ON log (terminal_id, seq)")
    db.execute("CREATE INDEX conflicts_seq ON conflicts (seq)")


@migrations()
def m010_sent(db: Database) -> None:
    """What was sent to a terminal: a version may name a row whose confirmation was lost."""
    db.execute("ALTER TABLE cursors ADD COLUMN sent TEXT NOT NULL DEFAULT '-1,-1,-1,-1'")
    db.execute("ALTER TABLE cursors ADD COLUMN confirms INTEGER NOT NULL DEFAULT 0")


@migrations()
def m011_terminal_clocks(db: Database) -> None:
    """How far a terminal's clock is off, beside its cursor."""
    db.execute("ALTER TABLE cursors ADD COLUMN clock TEXT NOT NULL DEFAULT ''")


@migrations()
def m012_signatures(db: Database) -> None:
    """Who accepted an operation, proven, and what was found of the proof of what came over a link. What logs ended
    with, as their nodes signed it: this node's, and those of linked nodes."""
    db.execute("ALTER TABLE log ADD COLUMN proof BLOB NOT NULL DEFAULT x''")
    db.execute("ALTER TABLE log ADD COLUMN signed TEXT NOT NULL DEFAULT ''")
    db.execute(
        """CREATE TABLE heads (
            node_id TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
            at_ms INTEGER NOT NULL, key BLOB NOT NULL, signature BLOB NOT NULL, received_ms INTEGER NOT NULL,
            PRIMARY KEY (node_id, epoch, seq, hash)) WITHOUT ROWID"""
    )
    db.execute("CREATE INDEX heads_received ON heads (node_id, received_ms)")


@migrations()
def m013_row_sums(db: Database) -> None:
    """A check of each row that is not of the log."""
    for table in SUMMED:
        if table.name in db.table_names():  # else a later step makes it
            db.execute(f"ALTER TABLE {table.name} ADD COLUMN row_sum INTEGER NOT NULL DEFAULT 0")


@migrations()
def m014_connected(db: Database) -> None:
    """Whether a terminal was connected when its position was stored."""
    db.execute("ALTER TABLE cursors ADD COLUMN online INTEGER NOT NULL DEFAULT 0")


@migrations()
def m015_token_rights(db: Database) -> None:
    """What a token may do, until when, and when it was last shown."""
    db.execute("ALTER TABLE tokens ADD COLUMN rights TEXT NOT NULL DEFAULT '{}'")
    db.execute("ALTER TABLE tokens ADD COLUMN expires_at TEXT")
    db.execute("ALTER TABLE tokens ADD COLUMN used_at TEXT")
    db.execute("ALTER TABLE tokens ADD COLUMN used_from TEXT NOT NULL DEFAULT ''")


@migrations()
def m016_link_keys_by_type(db: Database) -> None:
    """Link keys with their entity types, which a start reads: without them it looks up each row of the log."""
    db.execute("DROP INDEX log_link")
    db.execute("CREATE INDEX log_link ON log (link_key, entity_type) WHERE link_key IS NOT NULL")


@migrations()
def m017_seals(db: Database) -> None:
    """By what a node knows its own operations again until it signs them, and the proofs of those signed later."""
    db.execute("ALTER TABLE log ADD COLUMN seal BLOB NOT NULL DEFAULT x''")
    db.execute("CREATE TABLE proofs (seq INTEGER PRIMARY KEY, proof BLOB NOT NULL, row_sum INTEGER NOT NULL)")


@migrations()
def m018_first_attempts(db: Database) -> None:
    """What the authors of refused writes knew, once the rows of these are archived."""
    db.execute(
        """CREATE TABLE refused (
            terminal_id TEXT NOT NULL, operation_id TEXT NOT NULL, seq INTEGER NOT NULL, tried BLOB NOT NULL,
            row_sum INTEGER NOT NULL, PRIMARY KEY (terminal_id, operation_id)) WITHOUT ROWID"""
    )


@migrations()
def m019_anew(db: Database) -> None:
    """Whether a terminal began here with an empty screen."""
    db.execute("ALTER TABLE cursors ADD COLUMN anew INTEGER NOT NULL DEFAULT 0")


def migrate(db: Database, path: str, keep: Callable[[str], None] = lambda step: None) -> None:
    """Bring the schema up to date. Raises StorageError for a database of a newer Comanda.

    keep: called with the first step that a database lacks which is not new, before it is changed. What it raises
        leaves the database as it is.
    """
    newer = {m.name for m in migrations.applied(db)} - DEFINED
    left = [m.name for m in migrations.pending(db)]
    if left and (newer or left != ORDER[-len(left) :]):
        raise StorageError(
            f"{path} is damaged: table _sqlite_migrations, row {left[0]}: it is missing, and others are there that "
            "come after it; put a backup back (`comanda restore`)"
        )
    if newer:
        steps = ", ".join(sorted(newer))
        raise StorageError(f"{path} was written by a newer Comanda (schema steps {steps}); update to open it")
    if left and left != ORDER:
        keep(left[0])
    try:
        if left == ORDER and not db.conn.execute("SELECT 1 FROM sqlite_master").fetchone():
            _newest().backup(db.conn)
        elif left:
            _go_forward(db)
    except sqlite3.Error as error:
        raise StorageError(reason(Path(path), error)) from error


def _go_forward(db: Database) -> None:
    migrations.apply(db)
    offer_row_sum(db.conn)  # a step may have added a column
    for table in SUMMED:
        table.sum_again(db.conn)


@cache
def _newest() -> sqlite3.Connection:
    """An empty database of the newest schema, in memory: a new one on a disk becomes its copy in one transaction, and
    not in one for each step."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    _go_forward(Database(connection, execute_plugins=False))
    connection.commit()
    atexit.register(connection.close)
    return connection


def _order() -> list[str]:
    with closing(sqlite3.connect(":memory:")) as empty:
        return [migration.name for migration in migrations.pending(Database(empty, execute_plugins=False))]


ORDER = _order()
DEFINED = frozenset(ORDER)
