"""`python -m bench scale` at its smallest: the store that it grows is whole, and everything it prints is there."""

from __future__ import annotations

from tests.bench.forked import run
from tests.slices import part


def test_a_small_run_measures_a_store_that_verifies() -> None:
    measured = part(("join", "refused", "verify", "first-sync", "archive"), 3, "scale")
    wanted = [word for name in measured for word in ("--only", name)]
    done = run("scale", "--rows", "360", "--sizes", "1", "--seconds", "0.1", *wanted)
    assert not done.returncode, done.stderr
    assert "360 rows, 120 entities" in done.stderr
    for name in ("start, CPU s", "lone operation, CPU s", *measured):
        assert f"| {name}" in done.stdout
    assert "What a bystander felt" in done.stdout
    assert "CPU s by rows: a start" in done.stdout
