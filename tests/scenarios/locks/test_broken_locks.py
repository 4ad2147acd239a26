"""Whoever may breaks a lock: its holder is told, writes nothing under it any more, and nobody else's is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client, World, settle_all
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

MESA: dict[str, Any] = {"entity_type": "orders", "entity_id": "mesa-1"}


def lock(client: Client, lock_id: str, **more: Any) -> None:
    client.send({"type": "acquire_lock", **MESA, "lock_id": lock_id, "timeout": 60_000, **more})


@pytest.fixture
def people(world: World) -> list[Client]:
    """Rui has the lock of mesa-1; Ana is at a till."""
    found = [
        Client(world, name, kind).connect() for name, kind in (("rui", "waiter"), ("ana", "pos"), ("eva", "kds"))
    ]
    lock(found[0], "rui-1")
    settle_all(world, found)
    return found


def test_the_lock_is_the_breakers_and_its_holder_is_told(people: list[Client]) -> None:
    rui, ana, _ = people
    token = rui.of("lock_acquired")[0]["token"]
    lock(ana, "ana-1", breaks="rui")
    assert not rui.of("lock_failed"), "nothing of it is stored yet"
    settle_all(ana.world, people)
    (mine,) = ana.of("lock_acquired")
    assert mine["token"]["counter"] > token["counter"]
    (told,) = rui.of("lock_failed")
    assert (told["lock_id"], told["locked_by"], told["entity_id"]) == ("rui-1", "ana", "mesa-1")
    late = rui.do("orders", "mesa-1", "UPDATE", {"note": "x"}, lock_id="rui-1")
    assert (late["code"], late["kept"]) == (4009, True)
    assert ana.do("orders", "mesa-1", "UPDATE", {"note": "y"}, lock_id="ana-1")["status"] == "applied"
    rui.send({"type": "release_lock", "lock_id": "rui-1"})
    settle_all(ana.world, people)
    assert rui.of("sync_error")[-1]["code"] == 4009


@pytest.mark.parametrize("breaker", [0, 2])
def test_who_may_not_is_refused_and_breaks_nothing(people: list[Client], breaker: int) -> None:
    rui, ana, _ = people
    lock(ana, "ana-1", breaks="rui")
    settle_all(ana.world, people)
    other = people[breaker]
    other.inbox.clear()
    lock(other, "other-1", breaks="ana")
    settle_all(ana.world, people)
    assert [m["code"] for m in other.of("sync_error")] == [4008]
    assert not ana.of("lock_failed")
    assert rui.do("orders", "mesa-1", "UPDATE", {"note": "x"})["locked_by"] == "ana"


@pytest.mark.parametrize("named", ["eva", "nobody", "ana"])
def test_a_lock_of_somebody_else_than_is_named_stays(people: list[Client], named: str) -> None:
    rui, ana, _ = people
    lock(ana, "ana-1", breaks=named)
    settle_all(ana.world, people)
    assert ana.of("lock_failed")[0]["locked_by"] == "rui"
    assert not rui.of("lock_failed")
    assert rui.do("orders", "mesa-1", "UPDATE", {"note": "x"}, lock_id="rui-1")["status"] == "applied"


@pytest.mark.parametrize("stored", [False, True])
def test_it_is_broken_once_that_is_stored(people: list[Client], stored: bool) -> None:
    rui, ana, _ = people
    world = ana.world
    world.failing = not stored
    lock(ana, "ana-1", breaks="rui")
    settle_all(world, people)
    assert bool(rui.of("lock_failed")) is stored
    world.failing = False
    world.crash()
    for person in people:
        person.connect()
    holder = "ana" if stored else "rui"
    eva = people[2]
    assert eva.do("orders", "mesa-1", "UPDATE", {"note": "z"})["locked_by"] == holder


def test_who_holds_it_on_a_node_below_is_told_there(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana, rui, eva = (
        Client(hub, "ana").connect(),
        Client(node, "rui", "waiter").connect(),
        Client(node, "eva").connect(),
    )
    people = (ana, rui, eva)

    def meet() -> None:
        mesh.settle(lambda: sum(person.receive() for person in people))

    meet()
    lock(rui, "rui-1")
    meet()
    assert rui.of("lock_acquired")[0]["scope"] == "store"
    lock(eva, "eva-1", breaks="rui")
    meet()
    assert [m["code"] for m in eva.of("sync_error")] == [4008], "only its authority breaks it"
    lock(ana, "ana-1", breaks="rui")
    meet()
    assert ana.of("lock_acquired")
    assert [(m["lock_id"], m["locked_by"]) for m in rui.of("lock_failed")] == [("rui-1", "ana")]
    for person in (rui, eva):
        assert person.do("orders", "mesa-1", "UPDATE", {"note": "x"})["locked_by"] == "ana"
    mesh.close()
