"""What several commands share: the data directory, progress bars, the time."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from node.cli.options import data_option, progress_bars
from node.clock import timestamp


@click.command()
@data_option
def where(data: Path) -> None:
    click.echo(repr(data))


def test_the_data_directory_is_a_path_with_a_default() -> None:
    assert CliRunner().invoke(where).output == f"{Path('comanda-data')!r}\n"
    assert CliRunner().invoke(where, ["--data", "/tmp/x"]).output == f"{Path('/tmp/x')!r}\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_shown_on_terminals_only(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    bars = progress_bars()
    assert bars.disable is not terminal
    assert bars.console.stderr


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", timestamp())
