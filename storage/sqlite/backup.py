"""A consistent copy of the database, made by the one connection that may write, while the node runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from storage.sqlite.database import StorageError, storage_errors

if TYPE_CHECKING:
    from pathlib import Path


def write_copy(connection: sqlite3.Connection, target: Path, restored_from: str) -> None:
    """Write `target`, marked with meta `restored_from`. Only its owner can read it, as it holds token hashes.

    The copy gets its name only when it is complete, marked and on disk: on an unmarked copy a second node would issue
    the clocks of the same writer. Raises StorageError, also if the target exists; then no target is left behind.
    """
    if target.exists():
        raise StorageError(f"{target} exists already")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        # VACUUM INTO takes an empty file; one of its own would be readable by everybody.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with storage_errors(target):
            connection.execute("VACUUM INTO ?", (str(partial),))
            _mark(partial, restored_from)
        sync(partial)
        partial.rename(target)
        with suppress(OSError):  # some file systems cannot sync a directory
            sync(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _mark(path: Path, restored_from: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        copy.execute(
            "INSERT INTO meta VALUES ('restored_from', ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
            (restored_from,),
        )


def sync(path: Path) -> None:
    """fsync a file, or a directory's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
