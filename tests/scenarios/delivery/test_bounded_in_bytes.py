"""Memory and turns are bounded in bytes, not only in rows: pages, frames, the ring, what is resident.

A menu of large photos goes to a new screen and to a new node, and a history of large updates is caught up with. No
turn hands over more than a page, and one entity more; so nothing that the node queued itself fills an outbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.config.sections import Config
from node.core.links.link import TURN_MESSAGES
from storage.answers import PAGE_BYTES
from tests.harness import Client, Connection, World, settle_all
from tests.mesh import Mesh, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from node.wire.frames import Batch, Outgoing

PHOTO = 180 * 1024
MENU = 16
"""Two times and a half what may be queued at once."""


def menu(world: World) -> Client:
    pos = Client(world, "pos-1").connect()
    for number in range(MENU):
        pos.write("products", f"p-{number:03}", "CREATE", {"name": str(number), "photo": str(number % 10) * PHOTO})
        if number % 8 == 7:
            settle_all(world, [pos])
    settle_all(world, [pos])
    return pos


@pytest.fixture
def largest(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that each connection had queued at most, as a socket that takes nothing would have them."""
    most = [0]
    send = Connection.send

    def sending(connection: Connection, what: Outgoing | Batch) -> None:
        send(connection, what)
        most[0] = max(most[0], connection.outbox_bytes)

    monkeypatch.setattr(Connection, "send", sending)
    return most


def test_a_new_screen_gets_a_menu_of_large_photos_page_by_page(world: World, largest: list[int]) -> None:
    menu(world).disconnect()
    largest[0] = 0
    screen = Client(world, "pos-2").connect(full=True)
    settle_all(world, [screen])
    assert len(screen.shown("products")) == MENU
    assert largest[0] < 3 * PAGE_BYTES + 2 * PHOTO


@pytest.mark.parametrize("confirms", [True, False])
def test_a_new_screen_is_told_of_many_large_open_conflicts_page_by_page(
    world: World, largest: list[int], confirms: bool
) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    world.settle()
    for number in range(MENU):
        ana.write("customers", f"c-{number}", "CREATE", {"notes": "a" * PHOTO})
        bia.write("customers", f"c-{number}", "CREATE", {"notes": "b" * PHOTO})
    settle_all(world, [ana, bia])
    ana.disconnect()
    bia.disconnect()
    largest[0] = 0
    screen = Client(world, "pos-3", confirms=confirms).connect()
    for _ in range(MENU):
        settle_all(world, [screen])
        world.advance(1_000)
    assert len({message["conflict"]["id"] for message in screen.of("sync_conflict")}) == MENU
    assert largest[0] < 3 * PAGE_BYTES + 5 * PHOTO


@pytest.mark.parametrize("ring_rows", [8, 1_000])
def test_who_is_behind_by_large_rows_catches_up_page_by_page(
    tmp_path: Path, ring_rows: int, largest: list[int]
) -> None:
    world = World(tmp_path, ring_rows=ring_rows, window=1_000)
    screen = Client(world, "pos-2").connect()
    world.settle()
    screen.receive()
    screen.disconnect()
    menu(world).disconnect()
    largest[0] = 0
    settle_all(world, [screen.connect()])
    assert len(screen.shown("products")) == MENU
    assert largest[0] < 3 * PAGE_BYTES + 2 * PHOTO
    world.close()


def test_a_commit_of_many_large_rows_does_not_fill_the_outbox_of_who_is_here(
    world: World, largest: list[int]
) -> None:
    pos, screen = Client(world, "pos-1").connect(), Client(world, "pos-2").connect()
    world.settle()
    for number in range(MENU):
        pos.write("products", f"p-{number}", "CREATE", {"photo": "x" * PHOTO})
    largest[0] = 0
    world.commit()
    assert largest[0] < 3 * PAGE_BYTES + 2 * PHOTO
    settle_all(world, [pos, screen])
    assert len(screen.shown("products")) == MENU


def test_a_new_node_gets_a_menu_of_large_photos_page_by_page_and_its_history(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [])
    hub, leaf = mesh.worlds
    menu(hub)
    mesh.wires.append(Wire(leaf, hub, upstream=True))
    mesh.connect()
    links = mesh.wires[0].links
    assert links is not None
    sent = [0]
    send = links[1].connection.send

    def sending(what: Any) -> None:
        before = links[1].connection.bytes_out
        send(what)
        sent[-1] += links[1].connection.bytes_out - before

    links[1].connection.send = sending  # type: ignore[method-assign]
    while mesh.wires[0].links is not None and len(leaf.view("products")) < MENU:
        for world in mesh.worlds:
            while world.calls:
                sent.append(0)
                world.calls.popleft()()
            sent.append(0)
            world.commit()
        while mesh.wires[0].links is not None and (mesh.wires[0].step(0) or mesh.wires[0].step(1)):
            sent.append(0)
    assert max(sent) < 3 * PAGE_BYTES
    mesh.settle()
    assert leaf.view("products") == hub.view("products")
    mesh.close()


def test_the_ring_what_is_remembered_of_operations_and_entities_in_memory_are_bounded_in_bytes(
    tmp_path: Path,
) -> None:
    limits = evolve(Config().limits, resident_bytes=2**21)
    world = World(tmp_path, ring_rows=100_000, config=evolve(Config(), limits=limits))
    world.core.log.ring.max_bytes = world.core.replica.held.most_bytes = 2**21
    pos = menu(world)
    for number in range(MENU):
        pos.write("products", "p-000", "UPDATE", {"photo": str(number % 10) * PHOTO})
        settle_all(world, [pos])
    for name, level, limit in world.core.levels():
        assert level <= limit, name
    residents = world.core.replica.residents
    assert 0 < residents.bytes == sum(entity.counted for entity in residents.entities.values())
    held = world.core.replica.held
    assert held.size == sum(row.size for rows in held.recent.values() for row in rows)
    world.close()


def test_a_bulk_update_of_many_entities_leaves_no_more_in_memory_than_the_limit(tmp_path: Path) -> None:
    world = World(tmp_path, resident=50)
    pos = Client(world, "pos-1").connect()
    for part in range(4):
        updates = [{"entity_id": f"p-{part}-{n}", "data": {"stock": 1}} for n in range(100)]
        pos.do("products", None, "BULK_UPDATE", {"updates": updates})
    pos.do("products", "p-last", "CREATE", {"stock": 1})
    pos.do("products", "p-last", "UPDATE", {"stock": 2})
    assert len(world.core.replica.residents.entities) <= 51
    world.close()


def test_a_frame_of_very_many_messages_is_taken_in_turns(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.settle()
    hub = mesh.worlds[0]
    pos = Client(hub, "pos-1").connect()
    links = mesh.wires[0].links
    assert links is not None
    answered = links[1].connection.bytes_out
    links[1].receive(b"[" + b",".join([b'{"type":"ping"}'] * 2_000) + b"]")
    turns = 0
    while hub.calls:
        before = links[1].connection.bytes_out
        hub.calls.popleft()()
        turns += 1
        assert links[1].connection.bytes_out - before <= TURN_MESSAGES * 100
        if turns == 3:
            assert pos.do("orders", "mesa-1", "CREATE", {"status": "pending"})["status"] == "applied"
    assert links[1].connection.bytes_out - answered > 2_000 * 40
    mesh.close()
