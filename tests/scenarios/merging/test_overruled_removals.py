"""Who removed a line that stays, as somebody changed it unseen, is told; of a moved line both are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.knowledge.test_moves import calm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEER, WINE = {"id": "beer", "name": "Cerveja", "quantity": 1}, {"id": "wine", "name": "Vinho", "quantity": 1}
CHANGED = {**BEER, "quantity": 2}


def notices(client: Client) -> list[dict[str, Any]]:
    """By id, each once: a terminal may be told by several nodes."""
    found = {message["conflict"]["id"]: message["conflict"] for message in client.of("sync_conflict")}
    return list(found.values())


class Two:
    """Two waiters with one order on their screens, at one node or at two that are cut off from each other."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self.mesh = Mesh(directory, nodes, [(1, 0, True)] if nodes == 2 else [])
        self.mesh.connect()
        here, there = self.mesh.worlds[0], self.mesh.worlds[-1]
        self.ana, self.bia = Client(here, "ana", "waiter").connect(), Client(there, "bia", "waiter").connect()
        self.monitor = Client(here, "screen", "monitor").connect()
        self.all = (self.ana, self.bia, self.monitor)
        self.ana.do("orders", "o", "CREATE", {"items": [BEER, WINE]})
        self.ana.do("orders", "p", "CREATE", {"items": []})
        calm(self.mesh, *self.all)
        for wire in self.mesh.wires:
            wire.cut()

    def write(self, client: Client, *operations: tuple[str, str | None, dict[str, Any]]) -> None:
        """Without having read what the other wrote."""
        if len(self.mesh.worlds) == 1:
            client.disconnect()
        queue = [client.operation("orders", entity_id, kind, data) for kind, entity_id, data in operations]
        self._queued = (*getattr(self, "_queued", ()), (client, queue))

    def meet(self, between: Callable[[], object] = lambda: None, *, apart: bool = False) -> None:
        """between: is done before what the second of them wrote comes. apart: each write is durable first."""
        for client, queue in self._queued:
            if client is self._queued[-1][0]:
                between()
            if client.session is None:
                client.connect()
            for operation in queue:
                client.submit(operation)
                if apart:
                    client.world.settle()
            client.world.settle()
        calm(self.mesh, *self.all)


def removes(*kept: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "UPDATE", "o", {"items": list(kept)}


@pytest.mark.parametrize("removed_first", [True, False], ids=["removed first", "changed first"])
@pytest.mark.parametrize("nodes", [1, 2])
def test_whoever_removed_a_line_that_somebody_changed_is_told(
    tmp_path: Path, nodes: int, removed_first: bool
) -> None:
    two = Two(tmp_path, nodes)
    acts = [(two.ana, removes(WINE)), (two.bia, removes(CHANGED, WINE))]
    for client, operation in acts if removed_first else reversed(acts):
        two.write(client, operation)
    two.meet()
    for world in two.mesh.worlds:
        assert {item["id"]: item["quantity"] for item in world.view("orders")["o"]["items"]} == {"beer": 2, "wine": 1}
    (told,) = notices(two.ana)
    assert (told["state"], told["path"], told["entity_id"]) == ("settled", ["items", "beer"], "o")
    assert told["local_data"]["items"] == [CHANGED]
    assert told["remote_data"]["items"] == []
    assert notices(two.monitor) == [told]
    assert not notices(two.bia)
    two.mesh.close()


def moves(way: str) -> list[tuple[str, str | None, dict[str, Any]]]:
    """The beer goes from one order to the other, as a terminal may say it."""
    there: tuple[str, str | None, dict[str, Any]] = ("UPDATE", "p", {"items": [BEER]})
    if way == "one operation":
        updates = [{"entity_id": entity_id, "data": data} for _, entity_id, data in (there, removes(WINE))]
        return [("BULK_UPDATE", None, {"updates": updates})]
    return [there, removes(WINE)] if way == "added, then removed" else [removes(WINE), there]


def forget(two: Two, memory: str) -> None:
    """What the nodes have in memory of their orders."""
    for world in two.mesh.worlds:
        if memory == "disk":
            residents = world.core.replica.residents
            most, residents.most = residents.most, 0
            residents.let_go(world.core.replica.log.committed, {})
            residents.most = most
            assert not residents.entities
        elif memory == "restart":
            world.crash()
    for client in two.all if memory == "restart" else ():
        client.session = None
        client.connect()


@pytest.mark.parametrize(
    ("memory", "apart"), [("memory", False), ("memory", True), ("disk", False), ("restart", False)]
)
@pytest.mark.parametrize("way", ["one operation", "added, then removed", "removed, then added"])
@pytest.mark.parametrize("moved_first", [True, False], ids=["moved first", "changed first"])
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_line_that_was_moved_while_somebody_changed_it_is_told_to_both(
    tmp_path: Path, nodes: int, moved_first: bool, way: str, memory: str, apart: bool
) -> None:
    """memory: where the other order is when the two meet."""
    two = Two(tmp_path, nodes)
    acts = [(two.ana, moves(way)), (two.bia, [removes(CHANGED, WINE)])]
    for client, operations in acts if moved_first else reversed(acts):
        two.write(client, *operations)
    two.meet(lambda: forget(two, memory), apart=apart)
    for world in two.mesh.worlds:
        assert "beer" in {item["id"] for item in world.view("orders")["o"]["items"]}
        assert "beer" in {item["id"] for item in world.view("orders")["p"]["items"]}
    for client in two.all:
        (told,) = notices(client)
        assert (told["path"], told["also_in"]) == (["items", "beer"], "p")
    two.mesh.close()


@pytest.mark.parametrize("other", ["elsewhere by another", "long before", "not there any more"])
def test_a_line_of_the_same_name_that_was_not_moved_is_not_told_of(tmp_path: Path, other: str) -> None:
    two = Two(tmp_path, 1)
    if other == "long before":
        two.ana.do("orders", "p", "UPDATE", {"items": [{**BEER, "quantity": 7}]})
    elif other == "elsewhere by another":
        two.monitor.disconnect()
        Client(two.mesh.worlds[0], "carla", "waiter").connect().do("orders", "p", "UPDATE", {"items": [BEER]})
    calm(two.mesh, *two.all)
    gone: list[tuple[str, str | None, dict[str, Any]]] = [("UPDATE", "p", {"items": []})]
    two.write(two.ana, *(moves("added, then removed") + gone if other == "not there any more" else [removes(WINE)]))
    two.write(two.bia, removes(CHANGED, WINE))
    two.meet()
    (told,) = notices(two.ana)
    assert "also_in" not in told
    two.mesh.close()


def test_nobody_is_told_of_a_removal_that_came_to_be(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o", "CREATE", {"items": [BEER, WINE]})
    settle_all(world, [ana, bia])
    bia.do("orders", "o", "UPDATE", {"items": [CHANGED, WINE]})
    settle_all(world, [ana, bia])
    ana.do("orders", "o", "UPDATE", {"items": [WINE]})
    settle_all(world, [ana, bia])
    bia.do("orders", "o", "UPDATE", {"items": [BEER, WINE]})  # it has seen that the beer is gone, and orders one
    ana.disconnect()
    bia.do("orders", "o", "UPDATE", {"note": "x"})
    stale = ana.operation("orders", "o", "UPDATE", {"items": [WINE], "note": "y"})
    ana.connect().submit(stale)
    settle_all(world, [ana, bia])
    assert {item["id"] for item in world.view("orders")["o"]["items"]} == {"beer", "wine"}
    assert not [one for client in (ana, bia) for one in notices(client) if one["path"][0] == "items"]
