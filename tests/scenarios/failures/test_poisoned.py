"""Poisoned everywhere: any function that a message reaches may fail, and what it costs is what met it.

Evenings pass through everything that messages reach (evenings.py). For each function that one calls, it is played
again with that function raising on one of its calls. No node dies, everybody is answered, what was confirmed is
there, and once every node was started again all of them show the same. COMANDA_POISON says how many functions are
poisoned: a number, the name of an evening (those that only it reaches), or `all`.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import traceback
from functools import partial
from typing import TYPE_CHECKING

import pytest

from crdt.engine import EngineError
from tests.scenarios.failures import poison
from tests.scenarios.failures.evenings import EVENINGS, FAILS_ALREADY
from tests.scenarios.failures.unreached import RARE, UNREACHED, functions
from tests.scenarios.seeds import FIRST

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

HOW_MANY = os.environ.get("COMANDA_POISON", "4")
ERRORS = (poison.PlantedError, ValueError, KeyError, EngineError)
"""What nobody foresaw, and what a bad message raises too."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Counter[poison.Function], str | None]]:
    """Of each evening, how often each function is called, and what is wrong after it."""
    found = {}
    for name, play in EVENINGS.items():
        stores: list[poison.Store] = []
        directory = tmp_path_factory.mktemp(name)
        called = poison.reached(partial(_keep, stores, play, directory))
        (store,) = stores
        faults = sum(world.core.replica.faults.count for world in store.worlds)
        wrong = None if (faults > 0) == (name in FAILS_ALREADY) else f"{faults} faults"
        found[name] = called, wrong or poison.problem(store)
        store.close()
    return found


def _keep(stores: list[poison.Store], play: Callable[[Path], poison.Store], directory: Path) -> None:
    stores.append(play(directory))


def test_evenings_themselves_end_well(played: dict[str, tuple[Counter[poison.Function], str | None]]) -> None:
    assert {name: wrong for name, (_, wrong) in played.items() if wrong is not None} == {}


@pytest.fixture(scope="module")
def calls(played: dict[str, tuple[Counter[poison.Function], str | None]]) -> dict[str, Counter[poison.Function]]:
    """By evening, how often each function is called."""
    return {name: called for name, (called, _) in played.items()}


def test_evenings_reach_what_messages_reach(calls: dict[str, Counter[poison.Function]]) -> None:
    every = functions()
    missed = {f"{place}:{name}" for place, name, _ in every.difference(*calls.values())}
    assert len(every) > 1_400
    unsaid = {name for name in missed if not any(name.startswith(prefix) for prefix in UNREACHED)}
    assert len(unsaid) < RARE, "\n".join(sorted(unsaid))


def _played(evening: str, directory: Path, planted: poison.Poison) -> str | None:
    """What is wrong after an evening. What ended a node is a finding like any other, so that the walk goes on."""
    try:
        with planted:
            store = EVENINGS[evening](directory)
        found = poison.problem(store)
        store.close()
    except Exception:
        return traceback.format_exc()
    return found


def _chosen(calls: dict[str, Counter[poison.Function]]) -> list[tuple[str, poison.Function, int]]:
    """Each function once, in the first evening that reaches it: (evening, function, its calls)."""
    first = {
        function: (evening, function, count)
        for evening in reversed(calls)
        for function, count in calls[evening].items()
    }
    every = [first[function] for function in sorted(first)]
    if HOW_MANY == "all":
        return every
    if HOW_MANY in calls:
        return [chosen for chosen in every if chosen[0] == HOW_MANY]
    return random.Random(FIRST).sample(every, int(HOW_MANY))


def test_a_fault_in_any_function_costs_what_met_it(
    tmp_path: Path, calls: dict[str, Counter[poison.Function]]
) -> None:
    rng = random.Random(FIRST)
    problems, met = [], 0
    chosen = _chosen(calls)
    logging.getLogger("comanda").setLevel(logging.CRITICAL)
    for number, (evening, function, count) in enumerate(chosen):
        call, error = rng.randrange(1, count + 1), rng.choice(ERRORS)
        directory = tmp_path / f"{number}"
        planted = poison.Poison(function, call, error)
        found = _played(evening, directory, planted)
        met += planted.met
        if found is not None:
            said = f"{evening}: {function} raising {error.__name__} on call {call}: {found}"
            print(said[:4_000], flush=True)
            problems.append(said)
        shutil.rmtree(directory, ignore_errors=True)
    assert not problems, f"COMANDA_SEED={FIRST}: " + "; ".join(problems)
    drawn = len(chosen)
    assert met > 0.8 * drawn - 1.2 * drawn**0.5  # four of five are met, less three standard deviations


@pytest.mark.walk(2)
@pytest.mark.parametrize("name", ["Core.failed", "Core._undo", "Core.unstorable", "Core._blame"])
def test_a_fault_where_a_failed_commit_is_told_ends_no_node(
    tmp_path: Path, calls: dict[str, Counter[poison.Function]], name: str
) -> None:
    (function,) = (function for function in calls["floor"] if function[1] == name)
    planted = poison.Poison(function, 1, poison.PlantedError)
    assert _played("floor", tmp_path / "poisoned", planted) is None
    assert planted.met
