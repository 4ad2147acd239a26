"""Six ways that messages take, as transcripts: the text files beside this one are what a run on real cores gives.

COMANDA_WRITE_WALKS=1 writes them again; read the difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.walks.recorder import Recorder, compare, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REWRITE = os.environ.get("COMANDA_WRITE_WALKS") == "1"
ORDER = {"table": 7, "status": "pending", "total": 42.5}


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return watched(monkeypatch)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """n1 below its upstream n0, linked and compared."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.settle()
    yield mesh
    mesh.close()


def is_as_written(walk: Recorder, name: str, title: str) -> None:
    compare(walk, Path(__file__).with_name(f"{name}.txt"), title, rewrite=REWRITE)


def settling(mesh: Mesh, *clients: Client) -> Callable[[], None]:
    """Until nobody has anything to say; a link that is cut stays so."""

    def settle() -> None:
        mesh.settle(lambda: sum(client.receive() for client in clients), reconnect=False)

    settle()
    return settle


def test_an_operation_is_committed_then_confirmed_then_delivered(world: World, walk: Recorder) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    settle_all(world, [waiter, kitchen])
    walk.tell("A waiter sends an order.")
    waiter.write("orders", "mesa-7", "CREATE", ORDER)
    settle_all(world, [waiter, kitchen])
    walk.tell("The kitchen begins, and the waiter sees it.")
    kitchen.write("orders", "mesa-7", "UPDATE", {"status": "preparing"})
    settle_all(world, [waiter, kitchen])
    walk.tell("A second later the node stores what both have confirmed.")
    world.advance(1_000)
    settle_all(world, [waiter, kitchen])
    is_as_written(walk, "operation", "An operation is decided and delivered")


def test_an_operation_reaches_a_terminal_of_the_other_node(mesh: Mesh, walk: Recorder) -> None:
    waiter = Client(mesh.worlds[1], "waiter-1", "waiter").connect()
    kitchen = Client(mesh.worlds[0], "kds-1", "kds").connect()
    settle = settling(mesh, waiter, kitchen)
    walk.tell("A waiter at n1 sends an order. The kitchen's screen is at n0, the upstream.")
    waiter.write("orders", "mesa-7", "CREATE", ORDER)
    settle()
    is_as_written(walk, "link", "An operation goes through a link to a terminal of the other node")


def test_a_terminal_that_comes_back_is_sent_what_it_missed(world: World, walk: Recorder) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    waiter.do("orders", "mesa-7", "CREATE", ORDER)
    settle_all(world, [waiter, kitchen])
    kitchen.disconnect()
    walk.tell("The kitchen's screen is out of reach. The waiter goes on.")
    waiter.write("orders", "mesa-7", "UPDATE", {"note": "sem cebola"})
    waiter.write("orders", "mesa-8", "CREATE", {"table": 8, "status": "pending"})
    settle_all(world, [waiter])
    walk.tell("The screen is back under its name, and is sent the rows after the last that it confirmed.")
    kitchen.connect()
    settle_all(world, [waiter, kitchen])
    is_as_written(walk, "back", "A terminal comes back and is sent what it missed")


def test_two_writes_collide_on_a_customer_and_somebody_decides(mesh: Mesh, walk: Recorder) -> None:
    ana, bia = Client(mesh.worlds[1], "ana").connect(), Client(mesh.worlds[0], "bia").connect()
    ana.write("customers", "c-1", "CREATE", {"name": "Carla", "phone": "1"})
    settle = settling(mesh, ana, bia)
    mesh.wires[0].cut()
    walk.tell("The link is down. Ana at n1 and Bia at n0 both write down another phone number.")
    ana.write("customers", "c-1", "UPDATE", {"phone": "2"})
    settle()
    bia.write("customers", "c-1", "UPDATE", {"phone": "3"})
    settle()
    walk.tell("The link is up again.")
    mesh.connect()
    settle()
    walk.tell("Ana asks the customer, and keeps Bia's number.")
    (conflict,) = [message["conflict"] for message in ana.of("sync_conflict")]
    ana.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": "accept_remote"})
    settle()
    is_as_written(walk, "collision", "Two writes collide on a customer, and somebody decides")


def test_a_lock_is_granted_by_the_upstream(mesh: Mesh, walk: Recorder) -> None:
    ana, bia = Client(mesh.worlds[1], "ana").connect(), Client(mesh.worlds[0], "bia").connect()
    settle = settling(mesh, ana, bia)
    lock = {"entity_type": "orders", "entity_id": "mesa-7", "timeout": 60_000}
    walk.tell("Ana at n1 asks for a lock. The authority is n0, its upstream.")
    ana.send({"type": "acquire_lock", "terminal_id": "ana", "lock_id": "lock-1", **lock})
    settle()
    walk.tell("Bia at n0 asks for the same, and writes without it.")
    bia.send({"type": "acquire_lock", "terminal_id": "bia", "lock_id": "lock-2", **lock})
    settle()
    bia.write("orders", "mesa-7", "CREATE", ORDER)
    settle()
    walk.tell("Ana releases it.")
    ana.send({"type": "release_lock", "terminal_id": "ana", "lock_id": "lock-1"})
    settle()
    is_as_written(walk, "lock", "A lock through the upstream")


def test_a_commit_fails_and_the_node_recovers(world: World, walk: Recorder) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    settle_all(world, [waiter, kitchen])
    walk.tell("The disk is full when a waiter sends an order.")
    world.failing = True
    operation = waiter.operation("orders", "mesa-7", "CREATE", ORDER)
    waiter.submit(operation)
    settle_all(world, [waiter, kitchen])
    walk.tell("There is room again. The node goes on from what is stored, and tells nobody.")
    world.failing = False
    world.recover()
    settle_all(world, [waiter, kitchen])
    walk.tell("The waiter sends the same operation again.")
    waiter.submit(operation)
    settle_all(world, [waiter, kitchen])
    is_as_written(walk, "failed_commit", "A commit fails, and the node recovers")
