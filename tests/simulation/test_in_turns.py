"""Evenings in which nearly every operation is decided in several turns hold the same invariants."""

from __future__ import annotations

import pytest

from node.core.operations import in_turns
from node.simulation.runner import one


@pytest.mark.parametrize("seed", range(101, 107))
def test_an_evening_in_turns_holds_what_others_hold(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(in_turns, "LARGE", 3)
    monkeypatch.setattr(in_turns, "TURN", 1)
    begun: list[in_turns.Work] = []
    begin = in_turns.InTurns.begin
    monkeypatch.setattr(in_turns.InTurns, "begin", lambda turns, work: (begun.append(work), begin(turns, work)))
    assert one(seed).problem is None
    assert begun
