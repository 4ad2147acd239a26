"""`GET /api/v1/terminals`: every terminal that a node knows, here, elsewhere and away; `GET /api/v1/performance`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crdt.hlc import iso
from node.core.figures import POINT_MS
from node.core.monitors import every_terminal
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.runtime.api_rig import ADMIN, served
from tests.runtime.test_conflicts import answer

if TYPE_CHECKING:
    from pathlib import Path


def test_each_says_where_it_is_how_its_clock_is_and_what_waits_for_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, leaf = mesh.worlds
    rui, lia = Client(hub, "rui").connect(), Client(leaf, "lia", "waiter").connect()
    away, deaf = Client(hub, "away", "kds").connect(), Client(hub, "deaf", confirms=False, pongs=False).connect()

    def meet() -> None:
        mesh.settle(lambda: sum(client.receive() for client in (rui, lia, away, deaf) if client.session))

    meet()
    rui.do("orders", "o-1", "CREATE", {"n": 0})
    meet()
    away.disconnect()
    for number in range(5):
        rui.do("orders", "o-1", "UPDATE", {"n": number})
    meet()
    leaf.advance(2_000)
    hub.core.links.neighbours.say(force=True)
    leaf.core.links.neighbours.say(force=True)
    meet()
    rui.send({"type": "ping", "timestamp": iso(hub.wall_ms + 90_000)})
    found = every_terminal(hub.core, None, 100)
    told = {one["terminal_id"]: one for one in found["terminals"]}  # type: ignore[attr-defined]
    assert list(told) == ["away", "deaf", "lia", "rui"]
    assert (told["rui"]["status"], told["rui"]["node"], told["rui"]["type"]) == ("online", "n0", "pos")
    assert told["rui"]["clock_skew_ms"] == pytest.approx(90_000, abs=100)
    assert told["rui"]["waiting"] == 0
    assert (told["away"]["status"], told["away"]["type"], told["away"]["waiting"]) == ("offline", "kds", 5)
    assert told["away"]["last_seen"] < told["rui"]["last_seen"]
    assert told["deaf"]["waiting"] >= 5
    assert (told["lia"]["status"], told["lia"]["node"], told["lia"]["waiting"]) == ("online", "n1", None)
    assert told["away"]["clock_skew_ms"] is None or abs(told["away"]["clock_skew_ms"]) < 5_000
    for wire in mesh.wires:
        wire.cut()
    (gone,) = every_terminal(hub.core, "deaf", 1)["terminals"]  # type: ignore[attr-defined, misc]
    assert (gone["terminal_id"], gone["status"]) == ("lia", "unreachable")
    mesh.close()


@pytest.mark.parametrize("limit", [1, 2, 5, 7])
async def test_pages_of_terminals_name_each_once(tmp_path: Path, limit: int) -> None:
    world = World(tmp_path / "node")
    clients = [Client(world, f"t-{number}").connect() for number in range(5)]
    settle_all(world, clients)
    for client in clients:
        client.disconnect()
    world.settle()
    world.close()
    async with served(world) as node:
        found: list[str] = []
        after: dict[str, object] = {}
        while True:
            page = await answer(node.api, "/api/v1/terminals", limit=limit, **after)
            found += [one["terminal_id"] for one in page["terminals"]]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert found == [f"t-{number}" for number in range(5)]


async def test_the_figures_are_those_of_the_hours_that_are_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path / "node")
    world.close()
    async with served(world) as node:
        core, now = node.core, node.core.clock()
        for ago in (3 * 3_600_000, 0):
            core.figures.take(now.wall_ms - ago, 10**9 - ago, core.statistics, core.replica.counts, 1, 2)
        assert len((await answer(node.api, "/api/v1/performance"))["points"]) == 2
        found = await answer(node.api, "/api/v1/performance", ADMIN, hours=1)
        assert (len(found["points"]), found["every_ms"], found["outages"]) == (1, POINT_MS, [])
        for hours in (0, 5, "x"):
            assert (await answer(node.api, "/api/v1/performance", hours=hours))["status"] == 400
