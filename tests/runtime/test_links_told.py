"""What a node says of links that are down: /readyz, /metrics and /api/v1/links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from node.core.links.outages import Seen
from node.core.ports import Instant
from node.rights import OF_NODES, Rights, Visitor
from storage.records import CLASSES, FollowerRow, PeerRow
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, Served, request, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HUB = "ws://hub:8001"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Served]:
    """A node with three orders, which knows `till`; that has confirmed the first row."""
    world = World(tmp_path / "node")
    ana = Client(world, "ana").connect()
    for number in range(3):
        ana.do("orders", f"mesa-{number}", "CREATE", {"note": "x"})
    world.close()
    async with served(world) as node:
        one = (1,) * CLASSES
        node.core.links.peers["till"] = PeerRow("till", "e", one, 1, b"", 1_700_000_000_000)
        node.core.cursors.nodes["till"] = FollowerRow("till", node.core.links.epoch, one, 1_700_000_000_000)
        yield node


async def body(node: Served, path: str, visitor: Visitor = ADMIN, **query: str) -> tuple[int, bytes]:
    asked = request(path, {name: [value] for name, value in query.items()})
    answer = await node.api.answer(asked, visitor)
    assert isinstance(answer.body, bytes)
    return answer.status, answer.body


async def test_ready_looks_at_links_only_where_it_is_asked_to(node: Served) -> None:
    node.core.links.outages.look(Instant(0, 0), {HUB: Seen(False, "refused")})
    assert (await body(node, "/readyz"))[0] == 200
    status, said = await body(node, "/readyz", links="1")
    assert (status, orjson.loads(said)["links"]) == (503, [HUB])
    stranger = Visitor(Rights())
    assert orjson.loads((await body(node, "/readyz", stranger, links="1"))[1]) == {"error": "not ready"}
    node.core.links.outages.look(Instant(0, 0), {HUB: Seen(True)})
    assert (await body(node, "/readyz", links="1"))[0] == 200


async def test_what_waits_for_a_node_that_is_away_is_counted(node: Served) -> None:
    head = node.core.replica.log.committed
    (away,) = orjson.loads((await body(node, "/api/v1/links"))[1])["away"]
    assert (away["peer"], away["lag"]) == ("till", head - 1)
    text = (await body(node, "/metrics", Visitor(OF_NODES)))[1].decode().splitlines()
    assert 'comanda_link_up{link="till"} 0.0' in text
    assert f'comanda_link_lag_rows{{link="till"}} {float(head - 1)}' in text
    assert 'comanda_quarantine_operations{state="bad"} 0.0' in text
    assert "comanda_conflicts_open 0.0" in text
