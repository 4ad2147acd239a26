"""What somebody has seen who was sent an entity whole: all that its node held of it, also what has no rows there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from node.simulation.invariants import Checks
from node.simulation.runner import one
from tests.simulation.replayed import HOW_MANY

SEEDS = [72, 153, 8, 41] if HOW_MANY == "all" else [72, 153]
"""Of several nodes that archive; set back; and others."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_state_holds_what_its_node_holds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    at_end, compared = Checks.at_end, 0

    def compare(checks: Checks, *everything: Any) -> None:
        nonlocal compared
        at_end(checks, *everything)
        for machine in checks.machines:
            held: dict[tuple[str, str], set[str]] = {}
            for row in (row for other in checks.machines for row in other.logged("operation")):
                for entity_type, entity_id, *_ in orjson.loads(row.updates):
                    if machine.core.replica.held.digests.holds(entity_type, row.link_key or 0):
                        held.setdefault((entity_type, entity_id), set()).add(row.name)
            for key, names in held.items():
                found = machine.reader.entity(*key)
                assert found is not None
                assert set(checks.holdings.of(machine, key, found.version)) == names
                assert set(checks.holdings.of(machine, key, 0)) == set()
                compared += len(names)

    monkeypatch.setattr(Checks, "at_end", compare)
    assert one(seed).problem is None
    assert compared
