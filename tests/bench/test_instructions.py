"""The run whose instructions `python -m bench.instructions` counts; here nobody counts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.walk(2)
@pytest.mark.parametrize(("how", "pings"), [("each", 0), ("silent", 50)])
def test_every_part_of_an_operation_ends_once_for_each_that_is_counted(how: str, pings: int) -> None:
    command = [sys.executable, "bench/rig/counted.py", how, "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    said = orjson.loads(done.stdout)
    assert [said["parts"].count(part) for part in ("decide", "seal", "their pongs", "49 writes")] == [2] * 4
    assert round(said["pings"]) == pings


def test_a_node_that_comes_back_takes_and_stores_what_it_missed() -> None:
    command = [sys.executable, "bench/rig/counted.py", "linked", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    said = orjson.loads(done.stdout)
    assert said["of"] == said["parts"].count("an update merged in memory") == 20
    assert {"read, checked, resolved", "sealed", "stored; the disk's wait aside"} <= {*said["parts"]}
