"""The engine decides nothing: an evening is the same on either, and where nodes and starts take turns with both.

Every simulated machine changes its engine at each start, and its neighbours run on the other one.
"""

from __future__ import annotations

import os

import pytest

from crdt.engine import INSTALLED
from node.simulation import machine
from node.simulation.runner import one

SEEDS = (4, 7, 5, *range(8, 8 + int(os.environ.get("COMANDA_SEEDS", "30")) // 100))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_evening_is_the_same_on_any_engine(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taking_turns = one(seed)
    assert taking_turns.problem is None
    for engine in INSTALLED:
        monkeypatch.setattr(machine, "INSTALLED", (engine,))
        assert one(seed).digest == taking_turns.digest, engine
