"""Slices of a walk: all of it in some days, the same again by its number, and a failure says which."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import ROOT
from tests.slices import VARIABLE, made, part

if TYPE_CHECKING:
    from pathlib import Path

WALK = """
import pytest

@pytest.mark.walk(3)
@pytest.mark.parametrize("row", range(3))
@pytest.mark.parametrize("column", ["a b", "c d"])
def test_walk(row, column):
    assert column == "c"
"""


@pytest.mark.parametrize(("cells", "parts"), [(12, 3), (13, 3), (2, 5), (1, 4), (0, 4), (100, 7)])
def test_slices_that_follow_each_other_are_the_walk_each_cell_once(
    monkeypatch: pytest.MonkeyPatch, cells: int, parts: int
) -> None:
    days = []
    for day in range(min(parts, cells) or 1):
        monkeypatch.setenv(VARIABLE, str(739_000 + day))
        days.append(part(range(cells), parts))
    assert sorted(cell for day in days for cell in day) == list(range(cells))
    assert all(days) or not cells
    assert max(map(len, days)) - min(map(len, days)) <= 1
    monkeypatch.setenv(VARIABLE, "all")
    assert part(range(cells), parts) == list(range(cells))


def test_a_slice_has_no_whole_row_of_what_is_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    crossed = [(row, column) for row in range(6) for column in range(6)]
    for day in range(6):
        monkeypatch.setenv(VARIABLE, str(day))
        assert len({row for row, _ in part(crossed, 6)}) > 1


class Item:
    """What is asked of a test that was collected."""

    def __init__(self, nodeid: str, parts: int | None = None) -> None:
        self.nodeid, self.parts = nodeid, parts

    def get_closest_marker(self, name: str) -> Any:
        return pytest.mark.walk(self.parts).mark if self.parts and name == "walk" else None


def test_a_run_makes_a_slice_of_each_walk_and_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = [Item(f"test_a.py::test_{walk}[{cell}]", 3) for walk in "xy" for cell in range(6)]
    items: list[Any] = [*walks[:6], Item("test_a.py::test_other[1]"), *walks[6:]]
    days: list[list[Any]] = []
    for day in ("4", "5", "6"):
        monkeypatch.setenv(VARIABLE, day)
        days.append(made(items, ["tests"]))
        assert days[-1] == [item for item in items if item in days[-1]], "in their order"
        assert [sum(f"::test_{walk}[" in item.nodeid for item in days[-1]) for walk in "xy"] == [2, 2]
        assert made(items[:3], ["test_a.py::test_x[0]"])[0] is items[0], "who names one has it"
    assert set.union(*map(set, days)) == {*items}
    assert set.intersection(*map(set, days)) == {items[6]}
    monkeypatch.setenv(VARIABLE, "all")
    assert made(items, ["tests"]) == items


def test_a_run_makes_a_part_of_each_module_where_tests_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    long = [Item(f"tests/ui/test_{module}.py::test_{n}") for module in "ab" for n in ("one", "two", "three[1]")]
    walk, short = Item("tests/ui/test_a.py::test_walk[1]", 4), Item("tests/core/test_c.py::test_one")
    items: list[Any] = [*long, walk, short]
    days: list[list[Any]] = []
    for day in "012":
        monkeypatch.setenv(VARIABLE, day)
        days.append(made(items, ["tests"]))
        assert [sum(item in days[-1] for item in long[of : of + 3]) for of in (0, 3)] == [1, 1]
        assert {walk, short} <= {*days[-1]}
        assert made(items[:3], ["tests/ui/test_a.py"]) == items[:3], "who names a module has all of it"
        assert {*long[:2]} <= {*made(items, [item.nodeid for item in long[:2]])}
    assert set.union(*map(set, days)) == {*items}


def test_a_failure_says_the_command_that_makes_it_again(tmp_path: Path) -> None:
    file = tmp_path / "test_one.py"
    file.write_text(WALK)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-v", str(file)]
    environment = {**os.environ, VARIABLE: "5", "COMANDA_TRIES": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert f"{VARIABLE}=5" in done.stdout.partition("collected")[0]
    failed = set(re.findall(r"::(test_\w+\[.*\]) FAILED", done.stdout))
    (again,) = [line for line in done.stdout.splitlines() if " python -m pytest -n0 " in line]
    assert len(failed) == 2
    assert [name for name in (*failed, f"{VARIABLE}=5", "COMANDA_TRIES=1") if name not in again] == []
