"""Every bench at its smallest: it runs to its end, and prints a figure in each place where it prints one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.__main__ import BENCHES
from bench.instructions import slow_node
from bench.rig.crowd import Crowd
from tests.bench.forked import run

SMALLEST = {
    "backlog": ["--missed", "100", "--seconds", "1"],
    "chain": ["--stores", "2", "--links", "2", "--rate", "20", "--seconds", "0.5", "--away", "0"],
    "cost": ["--rounds", "1", "--case", "live:each:3:1:2", "--case", "back:each:20"],
    "engines": ["--rounds", "1"],
    "hotpath": ["--smoke"],
    "links": ["--smoke", "--part", "reconnect", "--part", "comparison", "--part", "star", "--part", "first"],
    "signatures": ["--smoke"],
    "small": ["--terminals", "1", "--orders", "3", "--single", "3", "--idle", "0.2", "--settled", "0"],
    "stations": ["--terminals", "3", "--rate", "20", "--seconds", "0.5"],
    "soak": ["--entities", "30"],
    "year": ["--days", "1", "--orders", "10", "--only", "archived"],
}

ELSEWHERE = {"instructions", "realms", "scale"}
"""Benches whose smallest run has a module of its own here."""


def test_every_bench_has_its_smallest_run() -> None:
    here = Path(__file__).parent
    assert {*SMALLEST, *ELSEWHERE} == set(BENCHES)
    assert all((here / f"test_{name}.py").exists() for name in ELSEWHERE)


@pytest.mark.walk(5)
@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_run_ends_well(name: str) -> None:
    done = run(name, *SMALLEST[name])
    assert not done.returncode, done.stderr
    rows = [line for line in done.stdout.splitlines() if set(line) & set("|│") and line.strip("|│- ")]
    assert len(rows) >= 2, done.stdout
    assert any(character.isdigit() for character in rows[-1])


def test_a_node_with_slow_clocks_serves_a_crowd(tmp_path: Path) -> None:
    """That of `bench.instructions --whole`, without valgrind."""
    node = slow_node(tmp_path, Path.cwd(), times=5)
    node.start()
    try:
        crowd = Crowd(node.port, 3, "each")
        crowd.step(1)
        assert sum(member.rows for member in crowd.members) >= 2
        crowd.close()
    finally:
        node.stop()
