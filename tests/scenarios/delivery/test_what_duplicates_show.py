"""A `duplicate` says what is shown now, and a greeting that the database was set back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Client, World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ana(world: World) -> Client:
    return Client(world, "ana").connect()


@pytest.fixture
def rui(world: World) -> Client:
    return Client(world, "rui").connect()


def again(client: Client, operation: dict[str, object]) -> dict[str, object]:
    client.receive()
    client.inbox.clear()
    client.send({"type": "data_sync", "operation": operation})
    client.world.settle()
    client.receive()
    return client.answer(str(operation["id"]))


def test_it_shows_what_others_wrote_since(world: World, ana: Client, rui: Client) -> None:
    made = ana.operation("orders", "mesa-1", "CREATE", {"status": "pending"})
    ana.submit(made)
    world.settle()
    rui.do("orders", "mesa-1", "UPDATE", {"status": "ready", "table": 7})
    said = again(ana, made)
    assert said["status"] == "duplicate"
    assert said["shown"] == {"mesa-1": {"status": "ready", "table": 7, "version": 2}}
    rui.do("orders", "mesa-1", "DELETE", {})
    assert again(ana, made)["shown"] == {"mesa-1": None}


def test_it_shows_every_entity_of_a_bulk_update(world: World, ana: Client, rui: Client) -> None:
    updates = [{"entity_id": name, "data": {"price": 1}} for name in ("a", "b")]
    made = ana.operation("products", None, "BULK_UPDATE", {"updates": updates})
    ana.submit(made)
    world.settle()
    rui.do("products", "b", "UPDATE", {"price": 2})
    shown = again(ana, made)["shown"]
    assert isinstance(shown, dict)
    assert shown == world.view("products")


def test_nothing_is_told_of_what_is_not_stored(world: World, ana: Client, rui: Client) -> None:
    made = ana.operation("orders", "mesa-1", "CREATE", {"status": "pending"})
    ana.submit(made)
    world.settle()
    ana.receive()
    ana.inbox.clear()
    world.failing = True
    rui.write("orders", "mesa-1", "UPDATE", {"status": "ready"})
    ana.send({"type": "data_sync", "operation": made})
    world.settle()
    ana.receive()
    answers = [message for message in ana.inbox if message.get("operation_id") == made["id"]]
    assert [(message["type"], message.get("code")) for message in answers] == [("sync_error", 1011)]
    assert answers[0]["retry"] is True


def test_a_first_answer_says_nothing_of_it(ana: Client) -> None:
    assert "shown" not in ana.do("orders", "mesa-1", "CREATE", {"status": "pending"})


def test_only_a_node_whose_database_was_set_back_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    ana = Client(world, "ana").connect()
    ana.receive()
    assert "recovered" not in ana.of("connection_established")[0]
    world.store.set_meta({"lock_epoch": "1768471200000"})  # as node/runtime/identity.py leaves it
    world.crash()
    greetings = []
    for _ in range(2):
        ana = Client(world, "ana").connect()
        ana.receive()
        greetings.append(ana.of("connection_established")[0]["recovered"])
        ana.disconnect()
    assert greetings == [1768471200000] * 2
    world.close()
