"""Where unanswered operations are kept: in a SQLite file, or in memory by a program that may lose them."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Protocol

import trio

from node.client.values import Operation, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS terminal (id TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS operations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, label TEXT, message TEXT NOT NULL
) STRICT;
"""


Values = tuple[str | None, ...]


class StoreError(Exception):
    """The queue cannot be used: another process has it, it is another terminal's, or the disk fails."""


class Queue(Protocol):
    """What the shell needs of a store. Each call returns once what it did survives a crash."""

    async def unanswered(self) -> list[Operation]:
        """In the order in which they were put."""

    async def put(self, operation: Operation) -> None: ...

    async def remove(self, operations: Iterable[Operation]) -> None: ...

    def close(self) -> None: ...


class MemoryQueue:
    """Forgets everything with the program."""

    async def unanswered(self) -> list[Operation]:
        await trio.lowlevel.checkpoint()
        return []

    async def put(self, operation: Operation) -> None:
        await trio.lowlevel.checkpoint()

    async def remove(self, operations: Iterable[Operation]) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        return None


async def opened(path: Path, terminal_id: str) -> FileQueue:
    """The queue in a file, which is made if it is not there. Raises StoreError."""
    return await trio.to_thread.run_sync(FileQueue, path, terminal_id)


class FileQueue:
    """One file for one terminal, held by one process at a time. What takes the disk's time has a thread."""

    def __init__(self, path: Path, terminal_id: str) -> None:
        """Raises StoreError."""
        try:
            self._connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        try:
            self._open(path, terminal_id)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, path: Path, terminal_id: str) -> None:
        execute = self._connection.execute
        try:
            execute("PRAGMA locking_mode = EXCLUSIVE")
            execute("PRAGMA journal_mode = WAL")
            execute("PRAGMA synchronous = FULL")
            self._connection.executescript(SCHEMA)
            execute("INSERT INTO terminal SELECT ? WHERE NOT EXISTS (SELECT 1 FROM terminal)", (terminal_id,))
            (owner,) = execute("SELECT id FROM terminal").fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        if owner != terminal_id:
            raise StoreError(f"{path} is the queue of {owner}: its operations would be sent as another's")

    async def unanswered(self) -> list[Operation]:
        def read() -> list[Operation]:
            rows = self._connection.execute("SELECT id, label, message FROM operations ORDER BY number")
            return [Operation(name, json.loads(message), label) for name, label, message in rows]

        return await trio.to_thread.run_sync(read)

    async def put(self, operation: Operation) -> None:
        row: Values = (operation.id, operation.label, text_of(operation.message))
        statement = "INSERT OR REPLACE INTO operations (id, label, message) VALUES (?, ?, ?)"
        await trio.to_thread.run_sync(self._do, statement, [row])

    async def remove(self, operations: Iterable[Operation]) -> None:
        ids: list[Values] = [(operation.id,) for operation in operations]
        await trio.to_thread.run_sync(self._do, "DELETE FROM operations WHERE id = ?", ids)

    def _do(self, statement: str, rows: list[Values]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error

    def close(self) -> None:
        self._connection.close()
