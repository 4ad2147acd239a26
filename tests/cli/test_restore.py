"""What `comanda restore` writes is its user's alone from the first byte on."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

from node.cli.restore import _put_back
from storage.sqlite.backup import back_up
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_backup_is_copied_into_a_file_that_others_cannot_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(tmp_path / "a", "a", lambda: "x").close()
    back_up(tmp_path / "a" / "comanda.db", tmp_path / "backup.db")
    data, modes, copy = tmp_path / "b", list[int](), shutil.copyfile
    data.mkdir()

    def watched(source: Path, target: Path) -> None:
        copy(source, target)
        modes.append(stat.S_IMODE(target.stat().st_mode))

    monkeypatch.setattr(shutil, "copyfile", watched)
    old = os.umask(0)
    try:
        _put_back(data, tmp_path / "backup.db", None)
    finally:
        os.umask(old)
    assert modes == [0o600]
