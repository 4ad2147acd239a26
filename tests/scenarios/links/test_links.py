"""Nodes that work apart and agree when they meet: the real cores and stores, in random topologies and outages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.screen import without_version
from tests.mesh import audit, shown
from tests.scenarios.evening import TYPES, Evening, EveningOfDecisions
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("evenings", [Evening, EveningOfDecisions])
@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_agree_whatever_happened_between_them(
    tmp_path: Path, seed: int, evenings: type[Evening], kept_out: list[tuple[str, str]]
) -> None:
    evening = evenings(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    assert not kept_out, seed
    worlds = evening.mesh.worlds
    first, log = shown(worlds[0]), audit(worlds[0])
    for world in worlds:
        assert not len(world.core.replica.quarantine), (seed, world.node_id)
        assert audit(world) == log, (seed, world.node_id)
        assert shown(world) == first, (seed, world.node_id)
        assert world.core.replica.held.digests.roots() == worlds[0].core.replica.held.digests.roots()
        held = {row[0] for row in log}
        missing = evening.confirmed - held
        assert not missing, (seed, "confirmed and lost", missing)
    for client in evening.clients:
        for entity_type in TYPES:
            assert client.shown(entity_type) == without_version(client.world.view(entity_type)), (seed, client.name)
    evening.mesh.close()
