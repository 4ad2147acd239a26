"""`python -m bench realms` at its smallest: the stores that it opens are there, with what they hold."""

from __future__ import annotations

from tests.bench.forked import run


def test_a_small_run_opens_every_store() -> None:
    done = run("realms", "--stores", "3", "--orders", "2", "--idle", "0.1")
    assert not done.returncode, done.stderr
    (row,) = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| 3")]
    assert int(row[2]) >= 18
    assert len(row) == 13
