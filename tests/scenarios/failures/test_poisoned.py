"""Poisoned everywhere: any function that a message reaches may fail, and what it costs is what met it.

An evening passes through everything that messages reach (poison.py). For each function that it calls, it is played
again with that function raising on one of its calls. No node dies, everybody is answered, what was confirmed is
there, and once every node was started again all of them show the same. COMANDA_POISON says how many functions are
poisoned, or `all`.
"""

from __future__ import annotations

import os
import random
import shutil
import traceback
from typing import TYPE_CHECKING

import pytest

from crdt.engine import EngineError
from tests.scenarios.failures import poison
from tests.scenarios.seeds import FIRST

if TYPE_CHECKING:
    from pathlib import Path

HOW_MANY = os.environ.get("COMANDA_POISON", "8")
ERRORS = (poison.PlantedError, ValueError, KeyError, EngineError)
"""What nobody foresaw, and what a bad message raises too."""


def test_the_evening_itself_ends_well_and_reaches_what_it_is_to_reach(tmp_path: Path) -> None:
    store = poison.evening(tmp_path)
    assert [world.core.replica.faults.count for world in store.worlds] == [0, 0, 0]
    assert poison.problem(store) is None
    store.close()


def _played(directory: Path, planted: poison.Poison) -> str | None:
    """What is wrong after an evening. What ended a node is a finding like any other, so that the walk goes on."""
    try:
        with planted:
            store = poison.evening(directory)
        found = poison.problem(store)
        store.close()
    except Exception:
        return traceback.format_exc()
    return found


def test_a_fault_in_any_function_costs_what_met_it(tmp_path: Path) -> None:
    calls = poison.reached(lambda: poison.evening(tmp_path / "unpoisoned").close())
    assert len(calls) > 700
    rng = random.Random(FIRST)
    chosen = [
        (function, rng.randrange(1, count + 1), rng.choice(ERRORS)) for function, count in sorted(calls.items())
    ]
    if HOW_MANY != "all":
        chosen = rng.sample(chosen, int(HOW_MANY))
    problems, met = [], 0
    for number, (function, call, error) in enumerate(chosen):
        directory = tmp_path / f"{number}"
        planted = poison.Poison(function, call, error)
        found = _played(directory, planted)
        met += planted.met
        if found is not None:
            problems.append(f"{function} raising {error.__name__} on call {call}: {found}")
        shutil.rmtree(directory)
    assert not problems, f"COMANDA_SEED={FIRST}: " + "; ".join(problems)
    drawn = len(chosen)
    assert met > 0.8 * drawn - 1.2 * drawn**0.5  # four of five are met, less three standard deviations


@pytest.mark.parametrize("name", ["Core.failed", "Core._undo", "Core.unstorable", "Core._blame"])
def test_a_fault_where_a_failed_commit_is_told_ends_no_node(tmp_path: Path, name: str) -> None:
    calls = poison.reached(lambda: poison.evening(tmp_path / "unpoisoned").close())
    (function,) = (function for function in calls if function[1] == name)
    planted = poison.Poison(function, 1, poison.PlantedError)
    assert _played(tmp_path / "poisoned", planted) is None
    assert planted.met
