from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from storage.sqlite.database import (
    DATABASE,
    DataDirectoryBusy,
    StorageError,
    open_reader,
    transaction,
)
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store
from tests.storage.rows import ROOT, open_store, rows

if TYPE_CHECKING:
    from pathlib import Path

OPEN_ELSEWHERE = """
import sys
from pathlib import Path
from storage.sqlite.database import DataDirectoryBusy
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store
try:
    Store.open(Path(sys.argv[1]), None, lambda: "0" * 32).close()
except DataDirectoryBusy as error:
    print("busy", error)
else:
    print("opened")
"""


def open_elsewhere(directory: Path) -> str:
    command = [sys.executable, "-c", OPEN_ELSEWHERE, str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_two_processes_cannot_open_one_data_directory(directory: Path) -> None:
    store = open_store(directory)
    said = open_elsewhere(directory)
    assert said.startswith("busy")
    assert str(directory) in said
    store.close()
    assert open_elsewhere(directory) == "opened\n"


def test_two_stores_of_one_process_cannot_open_one_data_directory(store: Store) -> None:
    with pytest.raises(DataDirectoryBusy):
        open_store(store.directory)


def test_every_commit_is_synced_in_a_write_ahead_log(store: Store) -> None:
    pragma = {
        name: store.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2}


def test_a_reader_cannot_write(store: Store) -> None:
    connection = open_reader(store.path)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM log")
    connection.close()


def test_a_reader_of_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing\.db"):
        open_reader(tmp_path / "missing.db")


def test_a_file_that_is_no_database_is_refused_by_name(directory: Path) -> None:
    directory.mkdir()
    (directory / DATABASE).write_bytes(b"not a database, at all " * 100)
    with pytest.raises(StorageError, match=DATABASE):
        open_store(directory)
    assert open_elsewhere_is_not_busy(directory)


def open_elsewhere_is_not_busy(directory: Path) -> bool:
    """A failed open must give the directory free."""
    (directory / DATABASE).unlink()
    return open_elsewhere(directory) == "opened\n"


def test_a_data_directory_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        open_store(tmp_path / "file" / "node")


def test_a_damaged_database_is_refused_when_asked_to_verify(directory: Path) -> None:
    store = open_store(directory)
    store.commit(rows(1, 400, message=b"x" * 500))
    store.close()
    Store.open(directory, None, lambda: "0" * 32, verify=True).close()
    path = directory / DATABASE
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(StorageError, match=DATABASE):
        Store.open(directory, None, lambda: "0" * 32, verify=True)


@pytest.mark.parametrize("verify", [True, False])
def test_what_cannot_be_opened_stays_open_nowhere(
    directory: Path, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    """Python 3.13 complains of a connection that nobody closed, and Windows deletes no file that is open."""
    open_store(directory).close()
    opened: list[sqlite3.Connection] = []
    real = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(real(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr("storage.sqlite.database.sqlite3.connect", connect)
    path = directory / DATABASE
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 40_000)
    for opening in (lambda: Store.open(directory, None, lambda: "0" * 32, verify=verify), lambda: Reader(path)):
        try:
            found = opening()
        except StorageError:
            continue
        found.close()
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_transaction_that_fails_outside_sqlite_is_rolled_back(store: Store) -> None:
    def write_half() -> None:
        with transaction(store.connection, store.path):
            store.connection.execute("INSERT INTO meta VALUES ('half', 'done', 0)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert not store.connection.in_transaction
    assert "half" not in store.boot().meta
