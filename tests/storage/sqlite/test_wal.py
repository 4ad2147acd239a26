from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from storage.sqlite.database import (
    DATABASE,
)
from storage.sqlite.wal import dropped_commits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("frames", [0, 1])
def test_what_is_left_of_an_earlier_generation_in_the_wal_is_no_lost_commit(tmp_path: Path, frames: int) -> None:
    """Once it is checkpointed the WAL is written from its start again, and the first frame may be all that is new; or
    its header, where the power goes."""
    database, copy = tmp_path / "comanda.db", tmp_path / "copy" / "comanda.db"
    copy.parent.mkdir()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE t (n)")
    for n in range(6):
        connection.execute("INSERT INTO t VALUES (?)", (n,))
    earlier = (tmp_path / f"{DATABASE}-wal").read_bytes()
    connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    connection.execute("UPDATE t SET n = n + 1")
    for name in (DATABASE, f"{DATABASE}-wal"):
        (copy.parent / name).write_bytes((tmp_path / name).read_bytes())
    connection.close()
    if not frames:
        wal = copy.parent / f"{DATABASE}-wal"
        wal.write_bytes(wal.read_bytes()[:32] + earlier[32:])
    assert dropped_commits(copy) == 0
    assert not copy.with_name(f"{DATABASE}-wal-damaged").exists()
