"""Who a node is to the others: restored backups, copies, forks, links both ways, one operation sent to two nodes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.harness import Client, World
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from pathlib import Path


def alike(mesh: Mesh) -> bool:
    worlds = mesh.worlds
    same = all(shown(w) == shown(worlds[0]) and audit(w) == audit(worlds[0]) for w in worlds[1:])
    return same and not any(len(w.core.replica.quarantine) for w in worlds)


def put_back(world: World, backup: Path) -> None:
    """The machine's disk is set back to `backup`, behind the node's back: nothing on it tells."""
    world.reader.close()
    world.store.abandon()
    shutil.rmtree(world.directory)
    shutil.copytree(backup, world.directory)
    world.calls.clear()
    world.mono_ms = 0
    world.boot()


def test_a_node_set_back_to_an_old_backup_regains_what_it_lost_and_its_peers_lose_nothing(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)])
    mesh.connect()
    hub, salon, kitchen = mesh.worlds
    ana, joao = Client(salon, "ana").connect(), Client(kitchen, "joao").connect()
    for number in range(5):
        ana.do("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
        joao.do("products", f"p-{number}", "CREATE", {"price": number})
    mesh.settle()
    backup = tmp_path / "backup"
    shutil.copytree(salon.directory, backup)
    for number in range(5, 9):
        ana.do("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
        ana.do("orders", "mesa-0", "UPDATE", {"total": number})
    ana.disconnect()
    mesh.settle()
    before, writer = audit(hub), salon.core.replica.residents.writer
    for wire in mesh.wires:
        wire.cut()
    put_back(salon, backup)
    assert len(audit(salon)) < len(before)
    mesh.settle()
    assert alike(mesh)
    assert audit(hub) == before
    assert salon.core.replica.residents.writer != writer
    again = Client(salon, "bia").connect()
    assert again.do("orders", "mesa-0", "UPDATE", {"total": 99})["status"] in ("applied", "merged")
    mesh.settle()
    assert alike(mesh)
    assert hub.view("orders")["mesa-0"]["total"] == 99
    mesh.close()


def test_a_position_is_held_once_its_rows_are_stored(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.connect()
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    mesh.settle()
    held = dict(node.core.links.peers)
    ana.do("orders", "o-2", "CREATE", {"a": 2})
    node.failing = True
    while mesh.wires[0].step(0) or mesh.wires[0].step(1):
        hub.settle()
        node.settle()
    assert held
    assert node.core.links.peers == held
    node.failing = False
    node.recover()
    mesh.settle()
    assert alike(mesh)
    mesh.close()


def test_a_log_with_another_row_at_the_same_place_is_a_fork(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.connect()
    hub, node = mesh.worlds
    ana = Client(node, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    mesh.settle()
    backup = tmp_path / "backup"
    shutil.copytree(node.directory, backup)
    ana.do("orders", "o-2", "CREATE", {"a": 2})
    mesh.settle()
    ana.disconnect()
    mesh.wires[0].cut()
    epoch = node.core.links.epoch
    put_back(node, backup)
    node.core.replica.residents.write_as(next(node.writers))  # `comanda restore`, or a start that noticed
    bia = Client(node, "bia").connect()
    for number in range(3, 8):  # as long a log as the hub knows, with other rows
        bia.do("orders", f"o-{number}", "CREATE", {"a": number})
    mesh.settle()
    assert node.core.links.epoch != epoch
    assert alike(mesh)
    assert set(hub.view("orders")) == {f"o-{number}" for number in range(1, 8)}
    mesh.close()


def test_what_comes_back_over_others_tells_a_node_that_it_was_set_back(tmp_path: Path) -> None:
    """The node it meets has never read its log: only the operations themselves tell, by their writer."""
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True), (1, 2, False)])
    hub, salon, kitchen = mesh.worlds
    mesh.wires[0].connect()
    mesh.wires[1].connect()
    ana = Client(salon, "ana").connect()
    ana.do("orders", "mesa", "CREATE", {"n": 1})
    mesh.settle(reconnect=False)
    backup = tmp_path / "backup"
    shutil.copytree(salon.directory, backup)
    ana.do("orders", "mesa", "UPDATE", {"n": 2})
    ana.disconnect()
    mesh.settle(reconnect=False)
    mesh.wires[0].cut()
    put_back(salon, backup)
    writer = salon.core.replica.residents.writer
    mesh.wires[2].connect()  # the hub is out of reach
    mesh.settle(reconnect=False)
    mesh.wires[2].connect()
    mesh.settle(reconnect=False)
    assert salon.core.replica.residents.writer != writer
    assert salon.core.replica.locks.epoch > 1, "its fencing tokens may have been granted before"
    assert not len(salon.core.replica.quarantine)
    assert salon.view("orders") == kitchen.view("orders") == {"mesa": {"n": 2, "version": 2}}
    mesh.settle()
    assert alike(mesh)
    assert hub.view("orders")["mesa"]["n"] == 2
    mesh.close()


def test_two_nodes_that_dial_each_other_keep_one_link(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, False), (0, 1, False)])
    ana, bia = Client(mesh.worlds[0], "ana").connect(), Client(mesh.worlds[1], "bia").connect()
    mesh.connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    mesh.settle(reconnect=False)
    links = [list(world.core.links.by_node.values()) for world in mesh.worlds]
    assert [len(found) for found in links] == [1, 1]
    assert links[0][0].dialled != links[1][0].dialled
    bia.do("orders", "o-1", "UPDATE", {"b": 2})
    mesh.settle(reconnect=False)
    assert alike(mesh)
    assert mesh.worlds[0].view("orders")["o-1"]["b"] == 2
    mesh.close()


def test_the_link_of_a_tree_stays_before_one_side_by_side(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True), (0, 1, False)])
    mesh.connect()
    mesh.settle(reconnect=False)
    assert [next(iter(w.core.links.by_node.values())).role for w in mesh.worlds] == ["downstream", "upstream"]
    mesh.close()


def test_a_write_made_while_an_older_state_is_being_shown_is_shown_again_afterwards(tmp_path: Path) -> None:
    """It sends an operation once more that another node took: it is shown what is, as of before its next one."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    here, there = mesh.worlds
    ana = Client(here, "ana").connect()
    first = ana.operation("orders", "mesa", "UPDATE", {"items": [{"id": "a"}]})
    ana.submit(first)
    mesh.settle(ana.receive)
    ana.disconnect()
    moved = Client(there, "ana").connect(full=True)
    moved.numbers = ana.numbers
    mesh.settle(moved.receive)
    moved.send({"type": "data_sync", "operation": first})
    moved.write("orders", "mesa", "UPDATE", {"items": [{"id": "a"}, {"id": "b"}]})
    mesh.settle(moved.receive)
    assert there.view("orders")["mesa"]["items"] == [{"id": "a"}, {"id": "b"}]
    assert moved.shown("orders")["mesa"]["items"] == [{"id": "a"}, {"id": "b"}]
    mesh.close()


def test_an_operation_sent_to_two_nodes_is_one_value_counted_for_one(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    here, there = mesh.worlds
    ana, moved = Client(here, "ana").connect(), Client(there, "ana").connect()
    operation = ana.operation("customers", "c-1", "CREATE", {"name": "Rita"})
    for client in (ana, moved):
        client.send({"type": "data_sync", "operation": operation})
        client.world.settle()
    mesh.connect()
    mesh.settle(lambda: ana.receive() + moved.receive())
    assert alike(mesh)
    for world in mesh.worlds:
        assert world.view("customers")["c-1"]["name"] == "Rita"
        assert not world.core.replica.conflicts.open
    rows = [row for row in here.reader.audit("customers", "c-1") if row.operation_id == operation["id"]]
    assert len({row.origin for row in rows}) == len(rows) == 2
    mesh.close()
