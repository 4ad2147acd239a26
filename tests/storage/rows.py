"""Rows and databases for the tests of storage."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from storage.records import Commit, ConflictRow, CursorRow, EntityRow, LockRow, LogRow
from storage.sqlite.row_sum import offer_row_sum
from storage.sqlite.rows import SUMMED
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
"""Where a subprocess finds the packages, wherever pytest was started."""


def new_ids() -> Callable[[], str]:
    """A source of ids that are as long as random ones and tell which came first."""
    counter = itertools.count(1)
    return lambda: f"{next(counter):032x}"


def open_store(directory: Path, node_id: str | None = "node-a") -> Store:
    return Store.open(directory, node_id, new_ids())


def row(seq: int, **changed: object) -> LogRow:
    fields: dict[str, object] = {
        "seq": seq,
        "kind": "operation",
        "priority": 1,
        "entity_type": "orders",
        "entity_id": f"order-{seq}",
        "operation_id": f"op-{seq}",
        "terminal_id": "pos-1",
        "user_id": None,
        "targets": (),
        "monitors": False,
        "stamp": 1000 + seq,
        "accepted": 2000 + seq,
        "version": 1,
        "status": "applied",
        "lock_status": "none",
        "echo": False,
        "operation": b'{"id":"op"}',
        "message": b'{"type":"data_sync"}',
        "changes": b"",
        "updates": b"",
    }
    return LogRow(**(fields | changed))  # type: ignore[arg-type]


def rows(first: int, last: int, **changed: object) -> Commit:
    return Commit(rows=[row(seq, **changed) for seq in range(first, last + 1)])


def fields_of(log_row: LogRow) -> dict[str, object]:
    """LogRow compares by identity; its fields compare by value. The hash is the commit's."""
    return {name: getattr(log_row, name) for name in LogRow.__slots__ if name not in ("__weakref__", "hash")}


def entity(entity_id: str, entity_type: str = "orders", **changed: object) -> EntityRow:
    fields: dict[str, object] = {
        "version": 1,
        "deleted": False,
        "view": b'{"status":"open"}',
        "snapshot": b"\x00\x01",
        "seen": b"{}",
        "seq": 1,
    }
    return EntityRow(entity_type, entity_id, **(fields | changed))  # type: ignore[arg-type]


def conflict(conflict_id: str, state: str = "open", seq: int = 1) -> ConflictRow:
    return ConflictRow(
        conflict_id,
        "customers",
        "c-1",
        b'["phone"]',
        ("op-1", "op-2"),
        "field_conflict",
        state,
        b"{}",
        "2026-01-01T00:00:00Z",
        None,
        b"",
        seq,
    )


def lock(entity_id: str, counter: int = 1, released: bool = False) -> LockRow:
    return LockRow(
        "orders", entity_id, f"lock-{counter}", "pos-1", "node-a", 1, counter, "local", 10, 40_010, 40_000, released
    )


def cursor(terminal_id: str, *positions: int) -> CursorRow:
    return CursorRow(terminal_id, "pos", "ana", positions or (-1, -1, -1, -1), 5)


def steps(connection: sqlite3.Connection, act: Callable[[], object]) -> int:
    """How many instructions of its virtual machine SQLite ran, in hundreds."""
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection.set_progress_handler(count, 100)
    act()
    connection.set_progress_handler(None, 0)
    return taken


def tamper(path: Path, *statements: str) -> None:
    """Edit the database the way somebody with the sqlite3 shell would who knows how rows are checked."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        sum_rows(connection)


def sum_rows(connection: sqlite3.Connection) -> None:
    """Give every row outside the log the check that fits what it holds."""
    offer_row_sum(connection)
    for table in SUMMED:
        table.sum_again(connection)
