"""Large files that a running node writes are flushed as they grow: commits wait for what is not on the disk yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from node.runtime import backups
from storage import system
from storage.audit.archive_file import ArchiveHeader, write_archive
from storage.chain import GENESIS
from storage.sqlite import backup
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from tests.storage.rows import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.sqlite.store import Store

PIECE = 2**15
LEAST = 4
"""Flushes of a file that has been written."""


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each file that is flushed, at each time."""
    sizes: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        sizes.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(system, "FLUSHED", PIECE)
    monkeypatch.setattr(backup, "STEPS", 50)
    return sizes


def _fill(store: Store) -> None:
    """Six megabytes that nothing makes smaller: SQLite keeps two in memory before it writes."""
    store.connection.execute("CREATE TABLE filler (body)")
    with store.connection:
        store.connection.executemany("INSERT INTO filler VALUES (?)", ((os.urandom(4_000),) for _ in range(1_500)))


def _copied(store: Store, folder: Path) -> Path:
    _fill(store)
    backup.back_up(store.path, folder / "copy.db")
    return folder / "copy.db"


def _copied_again(store: Store, folder: Path) -> Path:
    (folder / "one.db").write_bytes(os.urandom(2**20))
    backups._copy_again(folder / "one.db", folder / "two.db")
    return folder / "two.db"


def _archived(store: Store, folder: Path) -> Path:
    commit = rows(1, 2_000)
    for row in commit.rows:
        row.message = b'{"x":"%s"}' % os.urandom(100).hex().encode()
    store.commit(commit)
    reader = Reader(store.path)
    header = ArchiveHeader(store.node_id, store.epoch, 1, 2_000, GENESIS, reader.head()[1], "2026-01-01T00:00:00Z")
    write_archive(reader, folder / "archive", header)
    reader.close()
    return folder / "archive"


@pytest.mark.parametrize("write", [_copied, _copied_again, _archived])
def test_a_large_file_is_flushed_as_it_grows(
    write: Callable[[Store, Path], Path], store: Store, tmp_path: Path, flushed: list[int]
) -> None:
    size = write(store, tmp_path).stat().st_size
    grown = sorted({one for one in flushed if one <= size})
    steps = [later - earlier for earlier, later in zip([0, *grown], [*grown, size], strict=True)]
    assert len(grown) >= LEAST
    assert max(steps) < size / 2


def test_a_copy_that_cannot_be_flushed_is_not_made_and_says_why(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: list[int]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    _fill(store)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        backup.back_up(store.path, tmp_path / "copy.db")
    assert not [path for path in tmp_path.iterdir() if "copy" in path.name]
