"""`GET /api/v1/waiting/{type}`: which entities still wait for which node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.rights import EVERYTHING
from node.runtime.api.waiting import Receiver, waiting
from storage.answers import Unsent
from storage.records import CLASSES, FollowerRow, PeerRow
from tests.harness import Client, World
from tests.runtime.api_rig import Served, served
from tests.runtime.test_rights import asked, without

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Served]:
    """A node with writes on two orders and a product, the last of them of several at once."""
    world = World(tmp_path / "node")
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa-1", "CREATE", {"note": "x"})
    ana.do("products", "chopp", "CREATE", {"name": "Chopp"})
    ana.do("orders", "mesa-2", "CREATE", {"note": "x"})
    ana.do("orders", "mesa-2", "UPDATE", {"note": "y"})
    updates = [{"entity_id": f"mesa-{number}", "data": {"note": "z"}} for number in (1, 2)]
    ana.do("orders", None, "BULK_UPDATE", {"updates": updates})
    world.close()
    async with served(world) as node:
        yield node


def knows(node: Served, name: str, upto: int) -> None:
    """A node that was met, and has confirmed the log up to a row."""
    node.core.links.peers[name] = PeerRow(name, "e", (0,) * CLASSES, 1, b"", 0)
    node.core.cursors.nodes[name] = FollowerRow(name, node.core.links.epoch, (upto,) * CLASSES, 0)


async def told(node: Served, **query: str) -> dict[str, Mapping[str, int]]:
    path = "/api/v1/waiting/orders" + "".join(f"?{name}={value}" for name, value in query.items())
    answer = (await asked(node, EVERYTHING).ask("GET", path)).json
    return {one["entity_id"]: one["nodes"] for one in answer["entities"]}


async def test_nothing_waits_where_there_is_no_other_node(node: Served) -> None:
    assert await told(node) == {}


async def test_each_entity_says_how_much_of_it_waits_for_whom(node: Served) -> None:
    head = node.core.replica.log.committed
    knows(node, "bar", 0)
    knows(node, "till", head - 1)
    knows(node, "kitchen", head)
    assert await told(node) == {"mesa-1": {"bar": 2, "till": 1}, "mesa-2": {"bar": 3, "till": 1}}
    assert await told(node, entity_id="mesa-1") == {"mesa-1": {"bar": 2, "till": 1}}
    assert await told(node, entity_id="mesa-3") == {}


async def test_it_is_told_to_who_may_read_the_type(node: Served) -> None:
    fewer = await asked(node, without(EVERYTHING, "read", "orders")).ask("GET", "/api/v1/waiting/orders")
    assert fewer.status == 403
    assert (await asked(node, EVERYTHING).ask("GET", "/api/v1/waiting/nothing")).status == 404


def test_what_came_from_a_node_does_not_wait_for_it() -> None:
    rows = [Unsent(3, 1, ["a"], "bar:e"), Unsent(2, 1, ["b"], "bar:old"), Unsent(1, 1, ["c"], "")]
    receivers = [Receiver("bar", "bar:e", (0, 1, 9, 9)), Receiver("till", "till:e", (0, 2, 0, 0))]
    assert waiting(rows, receivers) == {"a": {"till": 1}, "b": {"bar": 1}}
