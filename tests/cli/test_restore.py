"""What `comanda restore` writes is its user's alone from the first byte on; what it is given may be anybody's."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.restore import _put_back
from node.runtime.api.tokens import made
from storage.sqlite.backup import back_up
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from pathlib import Path


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


PROGRAMS = {
    "a trigger": "CREATE TRIGGER evil AFTER INSERT ON tokens BEGIN DELETE FROM tokens; END",
    "a view": "CREATE VIEW evil AS SELECT * FROM tokens",
    "a virtual table": "CREATE VIRTUAL TABLE evil USING fts5(a)",
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_a_backup_with_a_program_in_it_is_refused_and_the_database_stays(tmp_path: Path, what: str) -> None:
    Store.open(tmp_path / "a", "a", lambda: "x").close()
    crafted = tmp_path / "crafted.db"
    back_up(tmp_path / "a" / "comanda.db", crafted)
    with closing(sqlite3.connect(crafted)) as database, database:
        database.execute(PROGRAMS[what])
    refused = CliRunner().invoke(main, ["restore", "--data", str(tmp_path / "a"), str(crafted)])
    assert refused.exit_code == 1
    assert "evil" in refused.output
    Store.open(tmp_path / "a", None, lambda: "x").close()


def test_a_token_that_only_the_backup_has_is_named(tmp_path: Path) -> None:
    """Who can write to the stick with the copies can put one in."""
    data, crafted = tmp_path / "a", tmp_path / "crafted.db"
    assert CliRunner().invoke(main, ["token", "add", "pos-1", "--type", "pos", "--data", str(data)]).exit_code == 0
    back_up(data / "comanda.db", crafted)
    for how, named in (("untouched", []), ("crafted", ["mallory"])):
        if how == "crafted":
            _, row = made("mallory", "node", "", "2026-01-01T00:00:00.000Z", {}, None)
            (tmp_path / "b").mkdir()
            shutil.copyfile(crafted, tmp_path / "b" / "comanda.db")
            with closing(Store.open(tmp_path / "b", None, lambda: "x")) as store:
                store.put_tokens([row])
            crafted.unlink()
            back_up(tmp_path / "b" / "comanda.db", crafted)
        done = CliRunner().invoke(main, ["restore", "--data", str(data), str(crafted), "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["tokens_only_in_the_backup"] == named
    shown = CliRunner().invoke(main, ["restore", "--data", str(data), str(crafted)])
    assert "mallory" not in shown.stderr  # the database that there is has it now
