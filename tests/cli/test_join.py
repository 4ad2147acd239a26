"""What a machine that joins writes: only for itself to read, and of the hub's only what a store has in common."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import tomlkit

from node.cli.join import _document, _write
from node.config.reading import parse
from node.config.remembered import shared
from node.config.sections import Config

if TYPE_CHECKING:
    from pathlib import Path

URL = "wss://hub:8001"
ANSWER = {"token": "cmd_secret", "node_key": "ab"}


def test_no_file_that_somebody_laid_ready_gets_the_token(tmp_path: Path) -> None:
    """The current directory may be one that others write to."""
    theirs = tmp_path / "theirs"
    theirs.touch()
    path, ready = tmp_path / "comanda.toml", tmp_path / ".comanda.toml.partial"
    for lay in (lambda: ready.symlink_to(theirs), lambda: ready.hardlink_to(theirs)):
        lay()
        _write(path, _document(path, URL), URL, ANSWER, {}, tmp_path)
        assert theirs.read_text() == ""
        assert "cmd_secret" in path.read_text()
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        path.unlink()


def test_a_hub_says_nothing_of_how_another_machine_is_reached(tmp_path: Path) -> None:
    said = {name: {"made": "up"} for name in tomlkit.parse("[node]\n[http]\n[tls]\n[limits]\n[links]\n")}
    path = tmp_path / "comanda.toml"
    answer = {**ANSWER, "configuration": {**said, "time": {"zone": "America/Sao_Paulo"}}}
    _write(path, _document(path, URL), URL, answer, {}, tmp_path)
    written = tomlkit.parse(path.read_text())
    assert written["time"] == {"zone": "America/Sao_Paulo"}
    assert set(written) <= {"node", "links", *shared(Config())}
    assert "made" not in path.read_text()
    assert not parse(path.read_text(), str(path)).node.insecure
