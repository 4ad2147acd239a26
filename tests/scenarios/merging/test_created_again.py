"""An entity that was deleted and is created again has nothing of what it was before, whoever wrote that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELD: dict[str, Any] = {
    "note": "sem sal",
    "total": 5,
    "items": [{"id": "1", "qty": 2}],
    "payments": [{"id": "p-1", "amount": 5}],
}
NEW = {"status": "pending", "table": 7}


@pytest.fixture
def people(tmp_path: Path) -> Iterator[list[Client]]:
    world = World(tmp_path / "node")
    yield [
        Client(world, name, kind).connect() for name, kind in (("ana", "pos"), ("bia", "pos"), ("carla", "waiter"))
    ]
    world.close()


@pytest.mark.walk(3)
@pytest.mark.parametrize("version", [None, 1, 4, 50])
@pytest.mark.parametrize("creator", [0, 1, 2])
@pytest.mark.parametrize("deleter", [0, 1, 2])
def test_nothing_of_before_is_left(people: list[Client], deleter: int, creator: int, version: int | None) -> None:
    world = people[0].world
    people[0].do("orders", "mesa-7", "CREATE", HELD)
    settle_all(world, people)
    people[2].do("orders", "mesa-7", "UPDATE", {"guests": 4})
    settle_all(world, people)
    assert people[deleter].do("orders", "mesa-7", "DELETE", {})["status"] == "applied"
    settle_all(world, people)
    data = NEW if version is None else {**NEW, "version": version}
    assert people[creator].do("orders", "mesa-7", "CREATE", data)["status"] == "applied"
    settle_all(world, people)
    assert {n: v for n, v in world.view("orders")["mesa-7"].items() if n != "version"} == NEW
    for person in people:
        assert person.shown("orders")["mesa-7"] == NEW


def test_what_only_the_deleter_had_seen_is_over_too(tmp_path: Path) -> None:
    """The waiter hears of the deletion at her own node, and creates the order before she hears of anything else."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = Client(mesh.worlds[0], "ana").connect(), Client(mesh.worlds[1], "bia").connect()

    def meet() -> None:
        mesh.settle(lambda: ana.receive() + bia.receive())

    ana.do("orders", "mesa-7", "CREATE", HELD)
    meet()
    bia.do("orders", "mesa-7", "DELETE", {})
    bia.do("orders", "mesa-7", "CREATE", {**NEW, "version": 1})
    meet()
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    assert {n: v for n, v in mesh.worlds[0].view("orders")["mesa-7"].items() if n != "version"} == NEW
    mesh.close()


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.parametrize("also_there", [False, True])
@pytest.mark.parametrize("entity_type", ["orders", "products", "customers"])
def test_who_saw_one_of_two_deletions_saw_that_it_is_gone(
    tmp_path: Path, entity_type: str, also_there: bool, version: int | None
) -> None:
    """Two delete it on two nodes, and who creates it again has seen one of them. The values of before are new ones.
    The other deletion was of what was there before. also_there: it has come already, and nobody has read it."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = (Client(mesh.worlds[0], name).connect() for name in ("ana", "bia"))
    carla = Client(mesh.worlds[1], "carla").connect()
    key, data = (entity_type, "e-1"), {"a": 1, "b": 2}

    def meet(*people: Client) -> None:
        mesh.settle(lambda: sum(person.receive() for person in people))

    bia.do(*key, "CREATE", {**data, "c": 3})
    meet(ana, bia, carla)
    mesh.wires[0].cut()
    ana.do(*key, "DELETE", {})
    settle_all(mesh.worlds[0], [ana, bia])
    carla.do(*key, "DELETE", {})
    if also_there:
        meet(ana, carla)
    bia.write(*key, "CREATE", data if version is None else {**data, "version": version})
    meet(ana, bia, carla)
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    shows = [{n: v for n, v in world.view(entity_type)["e-1"].items() if n != "version"} for world in mesh.worlds]
    assert shows == [data, data]
    assert [person.shown(entity_type)["e-1"] for person in (ana, bia, carla)] == [data] * 3
    disputed = [one.conflict_id for one in mesh.worlds[0].reader.conflicts("open", limit=9)]
    assert len(disputed) == (entity_type == "customers"), "somebody decides whether she meant the new one too"
    mesh.close()


def test_who_saw_one_of_two_deletions_changes_nothing_of_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = (Client(mesh.worlds[0], name).connect() for name in ("ana", "bia"))
    carla = Client(mesh.worlds[1], "carla").connect()
    bia.do("products", "p-1", "CREATE", {"price": 5})
    mesh.settle(lambda: sum(person.receive() for person in (ana, bia, carla)))
    mesh.wires[0].cut()
    ana.do("products", "p-1", "DELETE", {})
    settle_all(mesh.worlds[0], [ana, bia])
    carla.do("products", "p-1", "DELETE", {})
    mesh.settle(lambda: ana.receive() + carla.receive())
    assert bia.do("products", "p-1", "UPDATE", {"price": 6})["code"] == 4007
    assert "p-1" not in mesh.worlds[0].view("products")
    mesh.close()


def test_who_had_not_seen_the_deletion_writes_beside_it(people: list[Client]) -> None:
    ana, bia, _ = people
    ana.do("products", "p-1", "CREATE", {"price": 5})
    settle_all(ana.world, people)
    ana.write("products", "p-1", "DELETE", {})
    ana.world.settle()
    bia.write("products", "p-1", "CREATE", {"name": "feijoada", "version": 1})
    settle_all(ana.world, people)
    view = ana.world.view("products")["p-1"]
    assert (view["price"], view["name"]) == (5, "feijoada")
