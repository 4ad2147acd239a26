"""A data directory is its node's alone."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from storage.sqlite.database import StorageError
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_a_data_directory_that_others_can_read_is_closed_to_them_and_that_is_said(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)
    Store.open(data, "a", lambda: "x").close()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert f"mode {mode:04o}" in caplog.text


def test_every_file_of_a_data_directory_is_its_users_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = os.umask(0)
    try:
        for opened_to_others in (False, True):
            store = Store.open(data, "a", lambda: "x")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in data.iterdir()}
            assert set(modes.values()) == {0o600}, (modes, opened_to_others)
            assert {"comanda.db", "comanda.db-wal", "comanda.db-shm"} <= modes.keys()
            store.close()
            (data / "comanda.db").chmod(0o644)
    finally:
        os.umask(old)


@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_a_directory_that_everybody_writes_to_is_no_data_directory(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    with pytest.raises(StorageError, match="a directory of its own"):
        Store.open(shared, "a", lambda: "x")
    assert stat.S_IMODE(shared.stat().st_mode) == mode
