"""An operation that was refused and is sent again: whose it is, what its author knew, and what it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crdt import hlc
from tests.harness import Client, settle_all

if TYPE_CHECKING:
    from tests.harness import World


def test_one_id_of_two_terminals_is_two_operations_of_which_each_knows_its_own_authors_screen(world: World) -> None:
    ana, bia, cai = (Client(world, name).connect() for name in ("ana", "bia", "cai"))
    for name in ("locked", "mesa"):
        ana.do("orders", name, "CREATE", {"items": []})
    settle_all(world, [ana, bia, cai])
    cai.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "locked", "timeout": 30_000})
    bia.confirms = bia.pongs = False  # it takes nothing more
    cai.do("orders", "mesa", "UPDATE", {"items": [{"id": "a"}]})
    settle_all(world, [ana, cai])
    for client, entity_id in ((ana, "locked"), (bia, "mesa")):
        operation = client.operation("orders", entity_id, "UPDATE", {"items": []}, id="op-1")
        client.send({"type": "data_sync", "operation": operation})
        settle_all(world, [ana, cai])
    assert world.view("orders")["mesa"]["items"] == [{"id": "a"}]


def test_what_its_author_read_over_http_and_was_not_sent_yet_does_not_undo_it_on_the_screen(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"price": 1})
    settle_all(world, [ana, bia])
    bia.do("products", "p", "UPDATE", {"price": 2})
    settle_all(world, [bia])
    world.core.replica.has_read("ana", ("products", "p"), world.core.replica.committed)
    world.failing = True
    refused = ana.operation("products", "p", "UPDATE", {"price": 3})
    ana.submit(refused)
    settle_all(world, [bia])
    world.failing = False
    world.recover()
    ana.send({"type": "data_sync", "operation": refused})
    settle_all(world, [ana, bia])
    assert world.view("products")["p"]["price"] == ana.shown("products")["p"]["price"] == 3


@pytest.mark.parametrize("lost", ["the disk", "a lock"])
def test_its_author_is_shown_the_outcome_over_what_it_wrote_since(world: World, lost: str) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "m", "CREATE", {"price": 1})
    settle_all(world, [ana, bia])
    world.failing = lost == "the disk"
    if not world.failing:
        bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "m", "timeout": 1_000})
        settle_all(world, [ana, bia])
    ahead = hlc.iso(world.wall_ms + 30_000)
    refused = ana.operation("orders", "m", "UPDATE", {"price": 3}, timestamp=ahead)
    ana.submit(refused)
    settle_all(world, [ana, bia])
    if world.failing:
        world.failing = False
        world.recover()
    world.advance(2_000)
    ana.do("orders", "m", "UPDATE", {"price": 2})
    settle_all(world, [ana, bia])
    ana.send({"type": "data_sync", "operation": refused})
    settle_all(world, [ana, bia])
    assert ana.shown("orders")["m"]["price"] == world.view("orders")["m"]["price"] == 3


@pytest.mark.parametrize("failing", [False, True])
def test_it_knows_of_no_row_that_took_the_place_of_one_that_was_undone(world: World, failing: bool) -> None:
    """What was refused in a group whose commit failed came after rows that never were."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "m", "CREATE", {"items": [{"id": "a"}]})
    settle_all(world, [ana, bia])
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "m", "timeout": 1_000})
    settle_all(world, [ana, bia])
    world.failing = failing
    bia.write("customers", "c", "CREATE", {"n": 1})
    refused = ana.operation("orders", "m", "UPDATE", {"items": []})
    ana.send({"type": "data_sync", "operation": refused})
    settle_all(world, [ana, bia])
    if failing:
        world.failing = False
        world.recover()
    world.advance(2_000)
    ana.do("orders", "m", "UPDATE", {"items": [{"id": "a"}, {"id": "c"}]})
    settle_all(world, [ana, bia])
    ana.send({"type": "data_sync", "operation": refused})
    settle_all(world, [ana, bia])
    assert world.view("orders")["m"]["items"] == [{"id": "c"}]


@pytest.mark.parametrize("restarted", [False, True])
def test_what_the_disk_refused_comes_over_what_was_written_later_on_every_screen(
    world: World, restarted: bool
) -> None:
    """Of what it could not store the node knows nothing after a restart."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "m", "CREATE", {"price": 1})
    settle_all(world, [ana, bia])
    world.failing = True
    refused = ana.operation("orders", "m", "UPDATE", {"price": 3})
    ana.submit(refused)
    settle_all(world, [ana, bia])
    world.failing = False
    world.recover()
    ana.do("orders", "m", "UPDATE", {"price": 2})
    settle_all(world, [ana, bia])
    if restarted:
        for client in (ana, bia):
            client.disconnect()
        world.settle()
        world.crash()
        for client in (ana, bia):
            client.connect()
    ana.send({"type": "data_sync", "operation": refused})
    settle_all(world, [ana, bia])
    for client in (ana, bia):
        assert client.shown("orders")["m"]["price"] == world.view("orders")["m"]["price"]


def test_of_two_that_were_refused_the_second_takes_off_nothing_of_the_first(world: World) -> None:
    """Whether its author still had that on the screen, or had been shown that it was refused, nobody knows."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "m", "CREATE", {"items": [{"id": "a"}]})
    settle_all(world, [ana, bia])
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "m", "timeout": 1_000})
    settle_all(world, [ana, bia])
    refused = [ana.operation("orders", "m", "UPDATE", {"items": [{"id": "a"}, {"id": name}]}) for name in ("b", "c")]
    for advance in (2_000, 0):
        for operation in refused:
            ana.send({"type": "data_sync", "operation": operation})
            settle_all(world, [ana, bia])
        world.advance(advance)
    assert sorted(entry["id"] for entry in world.view("orders")["m"]["items"]) == ["a", "b", "c"]


def test_a_damaged_row_of_a_refused_write_does_not_keep_the_node_from_starting(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "m"})
    settle_all(world, [ana, bia])
    for name in ("one", "two", "three"):
        ana.send({"type": "data_sync", "operation": ana.operation("orders", "m", "UPDATE", {"a": 1}, id=name)})
    settle_all(world, [ana, bia])
    with world.store._connection as connection:
        connection.execute("UPDATE log SET changes = x'' WHERE operation_id = 'one'")
        connection.execute("""UPDATE log SET changes = '{"tried":{"head":1}}' WHERE operation_id = 'two'""")
    world.crash()
    assert {operation_id for _, operation_id in world.core.replica.tried} == {"three"}
