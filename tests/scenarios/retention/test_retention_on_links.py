"""Linked nodes whose history is archived on one side, before the other had it or after."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import orjson

from node.core.operations.quarantine import BAD
from storage.packed import unpack_operations
from tests.archives import archive
from tests.harness import Client
from tests.mesh import Mesh, shown
from tests.scenarios.links.test_first_sync import store
from tests.scenarios.links.test_link_identity import put_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def agree(mesh: Mesh) -> bool:
    """Entities, versions, open conflicts; and which operations are held."""
    first = mesh.worlds[0]
    return all(
        shown(world) == shown(first)
        and world.core.replica.held.digests.roots() == first.core.replica.held.digests.roots()
        and not len(world.core.replica.quarantine)
        for world in mesh.worlds
    )


def messages(frame: bytes) -> list[dict[str, object]]:
    found = orjson.loads(frame)
    return found if isinstance(found, list) else [found]


def noting(came: list[dict[str, object]]) -> Callable[[bytes], bytes]:
    def note(frame: bytes) -> bytes:
        came.extend(messages(frame))
        return frame

    return note


def test_an_empty_node_is_filled_from_one_that_has_archived_everything(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    archive(hub)
    mesh.settle()
    assert agree(mesh)
    sync = node.core.links.first_sync
    assert sync is not None
    assert sync.phase == "over"
    assert sync.operations == sync.operations_total == hub.core.replica.held.digests.count
    mesh.close()


def test_an_empty_node_gets_what_history_there_is(tmp_path: Path) -> None:
    mesh = store(tmp_path, 3)
    hub = mesh.worlds[0]
    archive(hub, hub.store.head // 2)
    mesh.settle()
    assert agree(mesh)
    held = {row.link_key for row in hub.reader.audit(kinds=("operation",), limit=10_000)}
    for world in mesh.worlds[1:]:
        assert {row.link_key for row in world.reader.audit(kinds=("operation",), limit=10_000)} == held
    assert mesh.worlds[1].core.links.first_sync is not None
    assert mesh.worlds[1].core.links.first_sync.phase == "over"
    mesh.close()


def test_a_first_synchronisation_from_an_archive_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub = mesh.worlds[0]
    archive(hub)
    wire = mesh.wires[0]
    came: list[dict[str, object]] = []
    wire.damage = noting(came)
    for turn in range(12):
        wire.connect()
        assert wire.links is not None
        for link in wire.links:
            link.delivery.page = 8
        for _ in range(8):
            for world in mesh.worlds:
                world.settle()
            wire.step(0)
            wire.step(1)
        wire.cut()
        if turn == 5:
            mesh.crash(1)
    mesh.settle()
    assert agree(mesh)
    states = [m["operation"]["entity_id"] for m in came if m["type"] == "data_sync"]  # type: ignore[index]
    assert len(states) < 3 * len(set(states))
    mesh.close()


def test_a_node_behind_the_archive_gets_what_has_changed_since_and_no_more(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub = mesh.worlds[0]
    mesh.settle()
    ana = Client(hub, "carla").connect()
    ana.do("products", "p-9", "UPDATE", {"price": 9})
    mesh.settle()
    mesh.wires[0].cut()
    for number in range(5):
        ana.do("orders", f"o-{number}", "UPDATE", {"table": number})
        ana.do("orders", f"o-{number}", "UPDATE", {"total": number})
    ana.do("products", None, "BULK_UPDATE", {"updates": [{"entity_id": f"p-{n}", "data": {"x": 1}} for n in (1, 2)]})
    archive(hub)
    ana.do("orders", "o-1", "UPDATE", {"note": "late"})
    mesh.crash(0)  # what the node has in memory reaches further back
    came: list[dict[str, object]] = []
    mesh.wires[0].damage = noting(came)
    epoch = hub.core.links.epoch
    mesh.settle()
    assert agree(mesh)
    assert hub.core.links.epoch == epoch, "taken for a fork"
    states = [m["operation"]["entity_id"] for m in came if "state" in m.get("link", {})]  # type: ignore[operator, index]
    assert sorted(states) == ["o-0", "o-1", "o-2", "o-3", "o-4", "p-1", "p-2"]
    mesh.close()


def test_what_a_linked_node_has_not_confirmed_stays_unless_forced(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, _ = mesh.worlds
    mesh.settle()
    mesh.wires[0].cut()
    hub.settle()
    confirmed = hub.store.head
    ana = Client(hub, "carla").connect()
    ana.do("orders", "o-1", "UPDATE", {"table": 1})
    assert archive(hub, force=False) == confirmed
    hub.crash()
    assert archive(hub, force=False) == 0
    mesh.settle()
    hub.core.store_cursors()
    hub.settle()
    assert archive(hub, force=False) == hub.store.head - confirmed
    assert agree(mesh)
    mesh.close()


def test_a_link_goes_on_while_its_place_is_archived(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub = mesh.worlds[0]
    ana = Client(hub, "carla").connect()
    wire = mesh.wires[0]
    mesh.settle()
    for number in range(200):
        ana.write("orders", f"o-{number % 50}", "UPDATE", {"n": number})
        hub.settle()
        if number % 3 == 0:
            wire.step(0)
            wire.step(1)
        if number % 20 == 0:
            archive(hub, batch=7)
    mesh.settle(ana.receive)
    assert agree(mesh)
    assert not hub.reader.rows(None, 0, 100, 1)
    mesh.close()


def test_a_node_set_back_to_a_backup_from_before_the_archive_regains_what_it_lost(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)])
    hub, salon, kitchen = mesh.worlds
    ana, joao = Client(salon, "ana").connect(), Client(kitchen, "joao").connect()
    for number in range(5):
        ana.do("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
        joao.do("products", f"p-{number}", "CREATE", {"price": number})
    mesh.settle()
    backup = tmp_path / "backup"
    shutil.copytree(salon.directory, backup)
    lost = []
    for number in range(5, 9):
        lost.append(ana.operation("orders", f"mesa-{number}", "CREATE", {"status": "pending"}))
        ana.submit(lost[-1])
        ana.do("orders", "mesa-0", "UPDATE", {"total": number})
    ana.disconnect()
    mesh.settle()
    for world in mesh.worlds:
        assert archive(world, force=False)
    before = shown(hub)
    for wire in mesh.wires:
        wire.cut()
    put_back(salon, backup)
    mesh.settle()
    assert agree(mesh)
    assert shown(hub) == before
    ana = Client(salon, "ana").connect()
    for operation in lost:
        ana.send({"type": "data_sync", "operation": operation})
        mesh.settle(ana.receive)
        assert ana.answer(str(operation["id"]))["status"] == "duplicate"
    assert shown(salon) == before
    mesh.close()


def test_a_damaged_operation_that_is_archived_meanwhile_is_retried_as_a_state(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    mesh.settle()

    def damage(frame: bytes) -> bytes:
        found = messages(frame)
        for message in found:
            link = message.get("link")
            if isinstance(link, dict) and "updates" in link:
                link["updates"][0][2] = "AQEB" + link["updates"][0][2]
        return orjson.dumps(found)

    mesh.wires[0].damage = damage
    ana = Client(hub, "carla").connect()
    ana.do("orders", "o-1", "UPDATE", {"table": 1})
    mesh.settle()
    assert [row.state for row in node.core.replica.quarantine] == [BAD]
    archive(hub)
    mesh.wires[0].damage = None
    mesh.settle()
    assert len(node.core.replica.quarantine) == 1
    node.core.retry_quarantine()
    mesh.settle()
    assert agree(mesh)
    mesh.close()


def test_an_operation_of_two_entities_is_held_only_with_both(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    both = [{"entity_id": name, "data": {"price": 1}} for name in ("p-1", "p-2")]
    ana.do("products", None, "BULK_UPDATE", {"updates": both})
    archive(hub)

    def damage(frame: bytes) -> bytes:
        found = messages(frame)
        for message in found:
            operation, link = message.get("operation"), message.get("link")
            if isinstance(operation, dict) and isinstance(link, dict) and operation["entity_id"] == "p-2":
                link["state"] = "AQEB" + str(link["state"])
        return orjson.dumps(found)

    mesh.wires[0].damage = damage
    wire = mesh.wires[0]
    wire.connect()
    for _ in range(30):
        for world in mesh.worlds:
            world.settle()
        wire.step(0)
        wire.step(1)
    assert set(node.view("products")) == {"p-1"}
    assert node.core.replica.held.digests.empty
    mesh.crash(1)
    assert node.core.replica.held.digests.empty
    assert list(node.core.replica.held.partial.values()) == [{"p-1"}]
    mesh.wires[0].damage = None
    mesh.settle()
    assert agree(mesh)
    assert not node.core.replica.held.partial
    node.crash()
    assert node.core.replica.held.digests.count == 1
    assert not node.core.replica.held.partial
    mesh.close()


def test_what_a_failed_commit_was_told_is_held_counts_for_nothing(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    archive(hub)
    node.failing = True
    mesh.connect()
    for _ in range(40):
        for world in mesh.worlds:
            world.settle()
        for wire in mesh.wires:
            wire.step(0)
            wire.step(1)
    assert not node.core.health.ok
    assert node.core.replica.held.digests.empty
    assert not len(node.core.replica.held.archived)
    node.failing = False
    node.recover()
    mesh.settle()
    assert agree(mesh)
    mesh.close()


def test_a_node_with_a_log_of_its_own_is_told_by_entities_what_it_lacks(tmp_path: Path) -> None:
    """Two nodes that never met: neither is empty, and both have archived."""
    mesh = Mesh(tmp_path, 2, [(1, 0, False)])
    for world in mesh.worlds:
        client = Client(world, f"t-{world.node_id}").connect()
        for number in range(30):
            client.do("orders", f"{world.node_id}-{number}", "CREATE", {"status": "pending"})
            client.do("customers", "c-1", "UPDATE", {"phone": f"{world.node_id} {number}"})
        archive(world, world.store.head - 10)
    mesh.settle()
    assert agree(mesh)
    assert len(mesh.worlds[0].view("orders")) == 60
    mesh.close()


def test_keys_that_come_without_anything_new_are_passed_on_soon(tmp_path: Path) -> None:
    """The middle node has the entity, and passed it on, before what it is made of is archived."""
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 1, True)])
    near, far = mesh.wires
    hub, middle, node = mesh.worlds
    Client(node, "ana").connect().do("orders", "o-1", "CREATE", {"table": 1})
    far.connect()
    while not middle.view("orders"):
        for world in mesh.worlds:
            world.settle()
        far.step(0)
        far.step(1)
    assert middle.core.replica.held.digests.empty
    far.cut()
    near.connect()
    mesh.settle(reconnect=False)
    assert shown(hub) == shown(node)
    archive(node)
    mesh.settle()
    assert agree(mesh)
    mesh.close()


def test_a_hot_entity_is_sent_with_all_of_its_archived_operations(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from node.core.links import feed

    monkeypatch.setattr(feed, "RECORDS_BYTES", 7 * 32)
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    for number in range(40):
        ana.do("products", "p-1", "UPDATE", {"stock": number})
        if number % 11 == 0:
            archive(hub)
    archive(hub)
    mesh.settle()
    assert agree(mesh)
    records = node.reader.archived.records_of([("products", "p-1")])["products", "p-1"]
    assert len({one.op_key for one in unpack_operations(records)}) == len(unpack_operations(records)) == 40
    mesh.close()
