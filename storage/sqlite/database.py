"""Opening the database: one read-write connection, readers that cannot write, one node a directory.

SQLite up to 3.51.2 can corrupt a WAL when two connections write or checkpoint at once. So only the writer does
either; readers are opened read-only and never checkpoint.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import sqlite_utils
from filelock import Timeout

from storage.sqlite.row_sum import offer_row_sum
from storage.system import lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import FileLock

DATABASE = "comanda.db"
LOCK_FILE = "lock"

WAL_PAGES = 4_000
"""Pages in the WAL at which SQLite checkpoints by itself; the node does it sooner, when idle."""


class StorageError(Exception):
    """The disk, the file or the database refused; the text says which file and why. Nothing of a commit is stored."""


class DataDirectoryBusy(StorageError):
    """Another node has this data directory open."""


class DamagedRow(StorageError):
    """A row holds what no node wrote there. The text names its table, the row, and what to do."""


class Interrupted(StorageError):
    """A read was given up: nobody waits for it any more, or it took too long."""


class Unstorable(StorageError):
    """A value that no database holds: a lone surrogate, an integer past 64 bits, too long a text. Disk and file are
    well, and only who brought the value is refused."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StorageError, and errors of values it cannot take into Unstorable."""
    try:
        yield
    except (OverflowError, UnicodeError, sqlite3.DataError, sqlite3.InterfaceError) as error:
        raise Unstorable(f"{path}: {error}") from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", None) == "SQLITE_INTERRUPT":
            raise Interrupted(f"{path}: a read was given up") from error
        raise StorageError(reason(path, error)) from error


def reason(path: Path, error: Exception) -> str:
    """What failed, and what the operator can do about it."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        # A read that fails with EIO is SQLITE_CORRUPT too.
        return (
            f"{path} is damaged, or the disk under it cannot be read ({error}). If that does not pass, look for disk "
            "errors in the system's log, stop the node, and put a backup back "
            f"(`comanda restore --data {path.parent} BACKUP`): linked nodes give back what it lacks. "
            "Without a backup, move the data directory away: a node that starts empty gets everything the others hold"
        )
    if name == "SQLITE_FULL":
        return f"{path}: no space left on the disk ({error}); the node goes on by itself once there is room"
    if name.startswith(("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ")):
        return f"{path}: the disk cannot be read ({error}, {name})"
    if name.startswith("SQLITE_IOERR"):
        return f"{path}: the disk fails or is read-only ({error}, {name})"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return f"{path} cannot be opened for writing: is the directory there, and writable? ({error})"
    return f"{path}: {error}"


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One durable transaction: committed at the end, rolled back on any exception. Raises StorageError.

    If the rollback fails too, the next transaction begins with it. Nothing is read or stored in between.
    """
    with storage_errors(path):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        try:
            connection.execute("BEGIN IMMEDIATE")  # may fail when it has begun already
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite may have rolled back by itself (disk full)
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise


UNDECODABLE = "Could not decode to UTF-8"
"""What sqlite3 says of a damaged text."""


def read_any_text(connection: sqlite3.Connection) -> None:
    """From here on a text that is no UTF-8 is read as another text: the check of its row tells that it is damaged."""
    connection.text_factory = lambda text: text.decode(errors="replace")


def quick_check(connection: sqlite3.Connection, path: Path, *, indexes: bool = False) -> None:
    """Read the whole database and check its structure (seconds for a large one). Raises StorageError.

    indexes: check also that the indexes agree with the tables, which takes longer.
    """
    with storage_errors(path):
        found = [text for (text,) in connection.execute(f"PRAGMA {'integrity' if indexes else 'quick'}_check(10)")]
    if found != ["ok"]:
        what = "; ".join(line for text in found for line in text.splitlines())
        raise StorageError(f"{path} is damaged: {what}; put a backup back (`comanda restore`)")


def refuse_programs(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageError for a database with triggers, views or virtual tables: no node makes any, and they would act
    whenever one writes."""
    with storage_errors(path):
        statement = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
        found = [str(name) for (name,) in connection.execute(statement)]
    if found:
        raise StorageError(f"{path} is not what a node wrote: it holds programs ({', '.join(found)[:200]})")


def lock_directory(directory: Path) -> FileLock:
    """Take the directory for this process, until it ends or the lock is released.

    Raises DataDirectoryBusy when another process has it, StorageError when it cannot be written.
    """
    path = directory / LOCK_FILE
    try:
        return lock_file(path)
    except Timeout:
        raise DataDirectoryBusy(f"{directory} is in use by another node") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}; the data directory must be writable") from error


def open_writer(path: Path) -> sqlite_utils.Database:
    """The read-write connection: WAL, synchronous FULL, explicit transactions. Raises StorageError."""
    with _opened(path, cached_statements=256) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        for pragma in (
            "synchronous=FULL",
            f"wal_autocheckpoint={WAL_PAGES}",
            "busy_timeout=5000",
            "cell_size_check=ON",
            "journal_size_limit=67108864",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        offer_row_sum(connection)
    return sqlite_utils.Database(connection, execute_plugins=False)


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection that sees every committed transaction. Raises StorageError."""
    with _opened(path, f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA busy_timeout=5000")
    return connection


@contextmanager
def _opened(path: Path, name: str | None = None, **options: Any) -> Iterator[sqlite3.Connection]:
    """A connection, to be made ready inside. It is closed where that fails, and open else. Raises StorageError."""
    with storage_errors(path):
        connection = sqlite3.connect(name or path, isolation_level=None, check_same_thread=False, **options)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
