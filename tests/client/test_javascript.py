"""The JavaScript client: its own tests under Node's runner, one file at a time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.patience import PROGRAM_S
from tests.processes import missing

FILES = sorted((Path(__file__).parent / "javascript").glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    """Node's executable."""
    found = shutil.which("node")
    if found is None:
        missing("Node is needed for the JavaScript client")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".test.mjs"))
def test_what_nodes_runner_finds(node: str, file: Path) -> None:
    run = subprocess.run(
        [node, "--test", "--test-force-exit", str(file)],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        check=False,
    )
    failed = run.stdout.partition("\nnot ok")[2]
    assert run.returncode == 0, f"not ok{failed[:4000]}" if failed else run.stdout[-2000:] + run.stderr[-2000:]
