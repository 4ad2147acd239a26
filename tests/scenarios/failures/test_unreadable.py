"""A read that fails costs what asked for it: that is told so, nothing of it is lost, and everybody else goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from crdt.records import name_of
from storage.sqlite.database import StorageError
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from pathlib import Path


def test_a_write_whose_entity_cannot_be_read_is_refused_and_the_next_one_is_taken(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "bad", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    world.crash()
    ana.connect()
    bia.connect()
    world.unreadable = lambda read, keys, *_: read == "fetch" and ("orders", "bad") in keys
    refused = ana.write("orders", "bad", "UPDATE", {"n": 2})
    taken = [ana.write("orders", "good", "CREATE", {"n": 3}), bia.write("orders", "too", "CREATE", {"n": 4})]
    settle_all(world, [ana, bia])
    error = ana.answer(refused)
    assert (error["type"], error["code"], error["retry"]) == ("sync_error", 1011, True)
    assert "cannot read" in error["error"]
    assert ana.answer(taken[0])["status"] == bia.answer(taken[1])["status"] == "applied"
    assert world.core.trouble is not None
    world.unreadable = None
    assert ana.do("orders", "bad", "UPDATE", {"n": 5})["version"] == 2
    assert world.core.trouble is None
    assert {i: e["n"] for i, e in world.view("orders").items()} == {"bad": 5, "good": 3, "too": 4}


def test_a_terminal_that_cannot_be_sent_what_it_missed_is_told_writes_on_and_gets_it_later(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    bia.disconnect()
    for n in range(100):  # more than the ring holds
        ana.do("orders", f"o-{n}", "CREATE", {"n": n})
    world.unreadable = lambda read, *_: read == "reached"
    bia.connect()
    settle_all(world, [ana, bia])
    world.advance(1_000)
    settle_all(world, [ana, bia])
    (told,) = bia.of("sync_error")
    assert told["code"] == 1011
    assert "missed" in told["error"]
    assert bia.do("orders", "own", "CREATE", {"n": 1})["status"] == "applied"
    settle_all(world, [ana, bia])
    assert ana.shown("orders")["own"] == {"n": 1}
    assert "o-7" not in bia.shown("orders")
    world.unreadable = None
    world.advance(1_000)
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == ana.shown("orders")


def test_a_first_synchronisation_goes_on_when_the_disk_can_be_read_again(world: World) -> None:
    ana = Client(world, "ana").connect()
    for n in range(100):
        ana.do("orders", f"o-{n}", "CREATE", {"n": n})
    world.unreadable = lambda read, types, after, *rest: read == "state" and after is not None
    bia = Client(world, "bia").connect(full=True)
    settle_all(world, [ana, bia])
    assert 0 < len(bia.shown("orders")) < 100
    world.unreadable = None
    world.advance(1_000)
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == ana.shown("orders")


def two_nodes(directory: Path) -> tuple[Mesh, Client]:
    """A hub with two orders that both nodes hold, and neither has in memory."""
    mesh = Mesh(directory, 2, [(1, 0, True)])
    ana = Client(mesh.worlds[0], "ana").connect()
    for entity_id in ("bad", "good"):
        ana.do("orders", entity_id, "CREATE", {"n": 0})
    mesh.settle()
    for number in range(2):
        mesh.crash(number)
    return mesh, ana.connect()


def test_an_operation_of_a_link_whose_entity_cannot_be_read_waits_and_the_rest_flows(tmp_path: Path) -> None:
    mesh, ana = two_nodes(tmp_path)
    hub, node = mesh.worlds
    node.unreadable = lambda read, keys, *_: read == "fetch" and ("orders", "bad") in keys
    for n in range(3):
        ana.do("orders", "bad", "UPDATE", {"n": n + 1})
        ana.do("orders", "good", "UPDATE", {"n": n + 1})
    mesh.settle()
    assert node.view("orders")["good"]["n"] == 3
    assert node.view("orders")["bad"]["n"] == 0
    assert [row.state for row in node.core.replica.quarantine] == ["waiting"] * 3
    assert "cannot be read" in next(iter(node.core.replica.quarantine)).reason
    mesh.crash(1)  # what waits is durable
    mesh.settle()
    assert len(node.core.replica.quarantine) == 3
    node.unreadable = None
    node.advance(1_000)
    mesh.settle()
    assert shown(hub) == shown(node)
    assert audit(hub) == audit(node)
    assert not len(node.core.replica.quarantine)
    mesh.close()


def test_a_link_whose_log_cannot_be_read_for_a_while_catches_up_after_it(tmp_path: Path) -> None:
    mesh, ana = two_nodes(tmp_path)
    hub, node = mesh.worlds
    mesh.wires[0].cut()
    for n in range(100):
        ana.do("orders", f"o-{n}", "CREATE", {"n": n})
    hub.unreadable = lambda read, *_: read in ("reached", "row_hash", "linked", "places", "wholes")
    for _ in range(20):  # it dials again and again
        mesh.connect()
        while any(wire.step(0) or wire.step(1) for wire in mesh.wires):
            hub.settle()
            node.settle()
    assert "o-7" not in node.view("orders")
    hub.unreadable = None
    hub.advance(1_000)
    mesh.settle()
    assert shown(hub) == shown(node)
    assert audit(hub) == audit(node)
    mesh.close()


def test_a_damaged_document_costs_its_entity_and_shows(world: World) -> None:
    ana = Client(world, "ana").connect()
    for entity_id in ("bad", "good"):
        ana.do("orders", entity_id, "CREATE", {"n": 1})
    world.crash()
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as database:
        database.execute("UPDATE entities SET snapshot = CAST('no document' AS BLOB) WHERE entity_id = 'bad'")
    ana.connect()
    refused = ana.write("orders", "bad", "UPDATE", {"n": 2})
    settle_all(world, [ana])
    assert ana.answer(refused)["code"] == 1011
    assert ana.do("orders", "good", "UPDATE", {"n": 2})["status"] == "applied"
    trouble: Any = world.core.trouble
    assert "orders bad is damaged" in trouble[1]


def test_a_bit_that_flips_in_a_row_of_the_log_reaches_nobody(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    bia.disconnect()
    for n in range(100):
        ana.do("orders", f"o-{n}", "CREATE", {"total": 1_000 + n})
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as database:
        database.execute(
            "UPDATE log SET message = CAST(replace(CAST(message AS TEXT), '1007', '9007') AS BLOB) WHERE seq = 8"
        )
    with pytest.raises(StorageError, match="row 8 of the log is not what was written"):
        world.reader.reached(1, 0, 100, 128)
    assert [row.seq for row in world.reader.reached(1, 8, 100, 128) or ()] == list(range(9, 101))
    with pytest.raises(StorageError, match="row 8"):
        world.reader.fetch((), (name_of("ana", "ana.op-7"),), ())


def test_a_view_that_is_damaged_is_named_and_the_rest_of_the_state_is_sent(world: World) -> None:
    ana = Client(world, "ana").connect()
    for entity_id in ("a", "bad", "c"):
        ana.do("orders", entity_id, "CREATE", {"n": 1})
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as database:
        database.execute("UPDATE entities SET view = CAST('{' AS BLOB) WHERE entity_id = 'bad'")
    bia = Client(world, "bia").connect(full=True)
    settle_all(world, [ana, bia])
    assert set(bia.shown("orders")) == {"a", "c"}
    (told,) = bia.of("sync_error")
    assert told["entity_id"] == "bad"
    assert "damaged" in told["error"]
