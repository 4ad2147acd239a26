"""A consistent copy of the database while the node runs, made beside the connection that writes.

The copy is a long read: commits go on meanwhile, and what they write stays in the WAL until the copy is done.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from storage.sqlite.database import Interrupted, StorageError, open_reader, storage_errors
from storage.sqlite.meta import read_anchor, read_fact, read_head, write_meta
from storage.system import Growing, flush, flush_names

if TYPE_CHECKING:
    from pathlib import Path


STEPS = 5_000
"""Steps of SQLite's machine after which it is seen how far the copy has grown: some milliseconds."""


def back_up(path: Path, target: Path) -> int:
    """Write a copy of the database `path` to `target`. Returns the last row that it holds.

    The copy is marked with meta `restored_from`. It gets its name only when it is complete, marked and on disk: on an
    unmarked copy a second node would issue the clocks of the same writer. It holds token hashes, so only its owner
    can read it. Raises StorageError, also if the target exists; then no target is left behind.
    """
    if target.exists():
        raise StorageError(f"{target} exists already")
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        _copy(path, partial, target)
        with storage_errors(target):
            head = _mark(partial)
        flush(partial)
        partial.replace(target)
        flush_names(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return head


def _copy(path: Path, partial: Path, target: Path) -> None:
    """Raises StorageError and OSError."""
    # VACUUM INTO takes an empty file; one of its own would be readable by everybody.
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    growing, failed = Growing(descriptor), list[OSError]()

    def look() -> bool:
        """Whether SQLite is to break off."""
        try:
            growing.flush()
        except OSError as error:
            failed.append(error)
        return bool(failed)

    try:
        with closing(open_reader(path)) as connection, storage_errors(target):
            connection.execute("PRAGMA query_only=OFF")  # else SQLite refuses to write the copy
            connection.set_progress_handler(look, STEPS)
            connection.execute("VACUUM INTO ?", (str(partial),))
    except Interrupted:
        raise failed[0] from None
    finally:
        os.close(descriptor)


def _mark(path: Path) -> int:
    """Say in the copy what it is a copy of. Returns its last row."""
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        epoch, head = read_fact(copy, "epoch"), read_head(copy, read_anchor(copy))[0]
        write_meta(copy, {"restored_from": f"{epoch}:{head}"})
    return head
