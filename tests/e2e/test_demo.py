"""`comanda demo`, as a newcomer runs it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from click.testing import CliRunner

from node.cli import main
from tests.bench.forked import popen

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_demo_ends_with_all_nodes_and_screens_agreeing_after_an_outage_and_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", popen)  # its nodes are forked
    result = CliRunner().invoke(main, ["demo", "--data", str(tmp_path / "demo")])
    logs = "\n".join(log.read_text() for log in sorted((tmp_path / "demo").glob("*.log")))
    assert result.exit_code == 0, result.output[-4_000:] + logs[-4_000:]
    assert "3 of 3 links down" in result.stdout
    assert "All nodes and screens agree" in result.stdout
    assert {folder.name for folder in (tmp_path / "demo").iterdir() if folder.is_dir()} == {
        "central",
        "salao",
        "cozinha",
        "caixa",
    }
