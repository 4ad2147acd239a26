"""`comanda demo`, as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.patience import PROGRAM_S
from tests.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_ends_with_all_nodes_and_screens_agreeing_after_an_outage_and_a_power_cut(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node", "demo", "--data", str(tmp_path / "demo")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=PROGRAM_S)
    logs = "\n".join(log.read_text() for log in sorted((tmp_path / "demo").glob("*.log")))
    assert result.returncode == 0, result.stdout[-4_000:] + result.stderr + logs[-4_000:]
    assert "3 of 3 links down" in result.stdout
    assert "All nodes and screens agree" in result.stdout
    assert {folder.name for folder in (tmp_path / "demo").iterdir() if folder.is_dir()} == {
        "central",
        "salao",
        "cozinha",
        "caixa",
    }
