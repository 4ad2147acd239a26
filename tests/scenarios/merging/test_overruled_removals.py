"""Who removed a line that stays, as somebody changed it unseen, is told; of a moved line both are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node.config.reading import parse
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.knowledge.test_moves import calm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node.config.sections import Config

BEER, WINE = {"id": "beer", "name": "Cerveja", "quantity": 1}, {"id": "wine", "name": "Vinho", "quantity": 1}
CHANGED = {**BEER, "quantity": 2}
COUNTED = parse("""
[entities.orders.fields.items]
kind = "keyed_list"
[entities.orders.fields.items.fields]
quantity = "counter"
""")


WAYS = pytest.mark.parametrize("way", ["one operation", "added, then removed", "removed, then added"])


def notices(client: Client) -> list[dict[str, Any]]:
    """By id, each once: a terminal may be told by several nodes."""
    found = {message["conflict"]["id"]: message["conflict"] for message in client.of("sync_conflict")}
    return list(found.values())


class Two:
    """Two waiters with one order on their screens, at one node or at two that are cut off from each other."""

    def __init__(self, directory: Path, nodes: int, config: Config | None = None) -> None:
        self.mesh = Mesh(directory, nodes, [(1, 0, True)] if nodes == 2 else [], config=config)
        self.mesh.connect()
        here, there = self.mesh.worlds[0], self.mesh.worlds[-1]
        self.ana, self.bia = Client(here, "ana", "waiter").connect(), Client(there, "bia", "waiter").connect()
        self.monitor = Client(here, "screen", "monitor").connect()
        self.all = (self.ana, self.bia, self.monitor)
        self.ana.do("orders", "o", "CREATE", {"items": [BEER, WINE]})
        self.ana.do("orders", "p", "CREATE", {"items": []})
        self.ana.do("orders", "q", "CREATE", {"items": []})
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
        for client, _ in self._queued:
            if client is self._queued[-1][0]:
                between()
            self.send(client, apart=apart)
        calm(self.mesh, *self.all)

    def send(self, client: Client, *, apart: bool) -> None:
        """What this one wrote comes to its node."""
        if client.session is None:
            client.connect()
        for operation in next(queue for one, queue in self._queued if one is client):
            client.submit(operation)
            if apart:
                client.world.settle()
        client.world.settle()


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


def moves(way: str, to: str = "p", beer: dict[str, Any] = BEER) -> list[tuple[str, str | None, dict[str, Any]]]:
    """The beer goes from one order to another, as a terminal may say it."""
    there: tuple[str, str | None, dict[str, Any]] = ("UPDATE", to, {"items": [beer]})
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


@pytest.mark.walk(4)
@pytest.mark.parametrize(
    ("memory", "apart"), [("memory", False), ("memory", True), ("disk", False), ("restart", False)]
)
@WAYS
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


@pytest.mark.walk(3)
@pytest.mark.parametrize(("mover", "changed"), [("ana", True), ("carla", False), ("carla", True)])
@pytest.mark.parametrize("moved_first", [True, False], ids=["moved first", "changed first"])
@WAYS
def test_a_line_that_was_moved_on_is_told_where_it_is(
    tmp_path: Path, way: str, moved_first: bool, mover: str, changed: bool
) -> None:
    """The guests change their seats twice, and the second time perhaps another waiter moves the beer."""
    two = Two(tmp_path, 2)
    carla = Client(two.mesh.worlds[0], "carla", "waiter").connect()
    calm(two.mesh, *two.all, carla, reconnect=False)

    def seats_change() -> None:
        two.write(two.ana, *moves(way))
        two.send(two.ana, apart=changed)
        calm(two.mesh, *two.all, carla, reconnect=False)
        beer = {**BEER, "note": "gelada"} if changed else BEER
        if changed:
            two.ana.do("orders", "p", "UPDATE", {"items": [beer]})
            calm(two.mesh, *two.all, carla, reconnect=False)
        updates = [{"entity_id": "p", "data": {"items": []}}, {"entity_id": "q", "data": {"items": [beer]}}]
        (two.ana if mover == "ana" else carla).do("orders", None, "BULK_UPDATE", {"updates": updates})

    def change() -> None:
        two.write(two.bia, removes(CHANGED, WINE))
        two.send(two.bia, apart=changed)

    for act in (seats_change, change) if moved_first else (change, seats_change):
        act()
    calm(two.mesh, *two.all, carla)
    for world in two.mesh.worlds:
        orders = world.view("orders")
        assert [name for name in "opq" if "beer" in {item["id"] for item in orders[name]["items"]}] == ["o", "q"]
    for client in (two.ana, two.bia, two.monitor):
        assert [told["also_in"] for told in notices(client)] == ["q"]
    two.mesh.close()


@pytest.mark.walk(3)
@pytest.mark.parametrize(("memory", "apart"), [("memory", False), ("memory", True), ("disk", False)])
@WAYS
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_line_that_two_moved_to_two_places_is_told_to_both(
    tmp_path: Path, nodes: int, way: str, memory: str, apart: bool
) -> None:
    two = Two(tmp_path, nodes)
    two.write(two.ana, *moves(way))
    two.write(two.bia, *moves(way, "q"))
    two.meet(lambda: forget(two, memory), apart=apart)
    for world in two.mesh.worlds:
        orders = world.view("orders")
        assert {name: [item["id"] for item in orders[name]["items"]] for name in "opq"} == {
            "o": ["wine"],
            "p": ["beer"],
            "q": ["beer"],
        }
    for client in two.all:
        (told,) = notices(client)
        assert (told["state"], told["path"], told["entity_id"], told["also_in"]) == (
            "settled",
            ["items", "beer"],
            "p",
            "q",
        )
        assert told["local_data"]["items"] == told["remote_data"]["items"] == [BEER]
        assert [one["terminal_id"] for one in told["candidates"]] == ["ana", "bia"]
    two.mesh.close()


@pytest.mark.parametrize("apart", [False, True])
def test_a_line_that_two_moved_to_one_place_or_only_one_moved_is_in_one(tmp_path: Path, apart: bool) -> None:
    others = [moves("one operation"), [removes(WINE)], moves("removed, then added")]
    for number, theirs in enumerate(others):
        two = Two(tmp_path / str(number), 2)
        two.write(two.ana, *moves("removed, then added"))
        two.write(two.bia, *theirs)
        two.meet(apart=apart)
        orders = two.mesh.worlds[0].view("orders")
        assert [item["id"] for name in "opq" for item in orders[name]["items"]] == ["wine", "beer"]
        assert not [one for client in two.all for one in notices(client)]
        two.mesh.close()


@WAYS
@pytest.mark.parametrize("second", ["moves it", "changes it"])
def test_a_line_is_the_same_whatever_was_counted_of_it(tmp_path: Path, second: str, way: str) -> None:
    two = Two(tmp_path, 1, COUNTED)
    two.bia.do("orders", "o", "UPDATE", {"items": [{**BEER, "quantity": 4}, WINE]})
    calm(two.mesh, *two.all)
    beer = {**BEER, "quantity": 4}
    theirs = moves(way, "q", beer) if second == "moves it" else [removes({**beer, "quantity": 5}, WINE)]
    two.write(two.ana, *moves(way, "p", beer))
    two.write(two.bia, *theirs)
    two.meet()
    for client in two.all:
        (told,) = notices(client)
        assert {told["entity_id"], told["also_in"]} == ({"p", "q"} if second == "moves it" else {"o", "p"})
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
