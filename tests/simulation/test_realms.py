"""A store that has a name is the same store: its evening is the same, to the last byte that a terminal is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from node.simulation import restaurant
from node.simulation.evening import simulate
from node.simulation.terminal import Terminal
from tests.simulation.replayed import HOW_MANY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", [3, 4, 8] if HOW_MANY == "all" else [3, 4])
def test_an_evening_of_a_store_with_a_name_is_the_same_evening(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed, receive, sent, evenings = restaurant._parsed(), Terminal._received, list[bytes](), []

    def kept(terminal: Terminal, payload: bytes) -> None:
        sent.append(payload)
        receive(terminal, payload)

    monkeypatch.setattr(Terminal, "_received", kept)
    for site in (None, "loja-017"):
        named = evolve(unnamed, node=evolve(unnamed.node, site=site))
        monkeypatch.setattr(restaurant, "_cache", [named])
        sent.clear()
        said: list[str] = []
        outcome = simulate(seed, tmp_path / (site or "unnamed"), said.append)
        assert outcome.problem is None
        evenings.append((said, [*sent], outcome.faults))
    assert evenings[0] == evenings[1]
    assert len(evenings[0][1]) > 10
