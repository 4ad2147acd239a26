"""`comanda init`: a configuration that a node takes, and never over another file."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from click.testing import CliRunner

from node.cli import main
from node.config.reading import load

if TYPE_CHECKING:
    from pathlib import Path


def test_what_it_writes_is_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "comanda.toml"
    assert CliRunner().invoke(main, ["init", str(path)]).output == f"{path}\n"
    assert load(path).node.port == 8001


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "comanda.toml"
    path.write_text("[node]\nport = 1\n")
    result = CliRunner().invoke(main, ["init", str(path)])
    assert result.exit_code == 1
    assert "File exists" in result.output
    assert load(path).node.port == 1


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """It may hold the token of a link."""
    path = tmp_path / "comanda.toml"
    CliRunner().invoke(main, ["init", str(path)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
