"""A fault of the node's own code costs what caused it: an operation, a resolution, a state, what is parked, a row.

Faults in any function at all are planted in test_poisoned.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node.core.entities.entity import Entity
from node.core.history.verify import Verification
from node.core.log.log import Log
from node.core.log.rows import rendered
from node.core.operations.quarantine import FAULT
from node.core.sessions.session import Session
from storage.sqlite.history_reader import HistoryReader
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, Wire
from tests.trips import ORDER

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from node.wire.messages import Operation
    from storage.records import EntityRow, LogRow


class PlantedError(Exception):
    """What nobody foresaw."""


def checked(world: World) -> None:
    """Nothing is stored that the log does not say."""
    reader = HistoryReader(world.store.path)
    try:
        found = list(Verification(reader, world.config.registry(), world.config.conservation).run())
    finally:
        reader.close()
    assert found == []


def failing_row(monkeypatch: pytest.MonkeyPatch, entity_id: str) -> None:
    row = Entity.row

    def failing(entity: Entity) -> EntityRow:
        if entity.key[1] == entity_id:
            raise PlantedError("row")
        return row(entity)

    monkeypatch.setattr(Entity, "row", failing)


def faults(world: World) -> list[tuple[str, str]]:
    """(operation id, reason) of what lies in the quarantine because our own code failed on it."""
    return [(row.operation_id, row.reason) for row in world.core.replica.quarantine if row.state == FAULT]


def test_an_entity_that_can_never_be_stored_costs_who_writes_to_it_and_nobody_of_its_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    failing_row(monkeypatch, "mesa-7")
    operation = waiter.operation("orders", "mesa-7", "CREATE", ORDER)
    other = kitchen.write("orders", "mesa-8", "CREATE", {"status": "pending"})
    waiter.submit(operation)
    mine = waiter.write("orders", "mesa-9", "CREATE", ORDER)
    lock = {"entity_type": "orders", "entity_id": "mesa-8", "lock_id": "lock-1"}
    waiter.send({"type": "acquire_lock", **lock})
    settle_all(world, [waiter, kitchen])
    answer = waiter.answer(operation["id"])
    assert (answer["type"], answer["code"], "retry" in answer) == ("sync_error", 1011, False)
    assert kitchen.answer(other)["status"] == waiter.answer(mine)["status"] == "applied"
    assert [message["lock_id"] for message in waiter.of("lock_acquired")] == ["lock-1"]
    waiter.inbox.clear()
    count = world.core.replica.faults.count
    waiter.send({"type": "data_sync", "operation": operation})
    settle_all(world, [waiter, kitchen])
    assert waiter.answer(operation["id"])["code"] == 1011
    assert world.core.replica.faults.count == count
    assert [name for name, _ in faults(world)] == [operation["id"]]
    world.crash()
    checked(world)
    assert set(world.view("orders")) == {"mesa-8", "mesa-9"}
    assert [name for name, _ in faults(world)] == [operation["id"]]


def test_a_row_that_no_disk_takes_costs_its_operation_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    append = Log.append

    def failing(log: Log, row: LogRow) -> None:
        if row.entity_id == "mesa-7":
            row.version = 2**63
        append(log, row)

    monkeypatch.setattr(Log, "append", failing)
    bad = waiter.write("orders", "mesa-7", "CREATE", ORDER)
    good = kitchen.write("orders", "mesa-8", "CREATE", {"status": "pending"})
    settle_all(world, [waiter, kitchen])
    assert waiter.answer(bad)["code"] == 1011
    assert kitchen.answer(good)["status"] == "applied"
    assert world.core.health.ok


def test_an_author_is_never_told_that_nothing_was_done_where_its_operation_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = Client(world, "waiter-1", "waiter").connect()
    decided = Session._decided

    def failing(session: Session, *arguments: Any) -> None:
        monkeypatch.setattr(Session, "_decided", decided)
        raise PlantedError("after it was accepted")

    monkeypatch.setattr(Session, "_decided", failing)
    assert waiter.do("orders", "mesa-7", "CREATE", ORDER)["status"] == "applied"
    assert world.core.replica.faults.count == 1
    assert not faults(world)


def test_a_resolution_that_failed_is_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Client(world, "pos-1").connect(), Client(world, "pos-2").connect()
    one.do("customers", "c-1", "CREATE", {"phone": "1"})
    settle_all(world, [one, other])
    one.write("customers", "c-1", "UPDATE", {"phone": "2", "version": 2})
    other.write("customers", "c-1", "UPDATE", {"phone": "3", "version": 2})
    settle_all(world, [one, other])
    conflict = next(m["conflict"] for m in one.of("sync_conflict"))
    failing_row(monkeypatch, "c-1")
    for _ in range(2):
        resolution = {"conflict_id": conflict["id"], "resolution": "accept_local"}
        one.send({"type": "conflict_resolution", **resolution})
        settle_all(world, [one, other])
        told = [m for m in one.of("sync_error") if m.get("conflict_id") == conflict["id"]]
        assert [m["code"] for m in told] == [1011] * len(told)
    assert len(told) == 2
    assert world.core.replica.faults.count == 1
    assert len(faults(world)) == 1


def test_a_state_that_failed_is_remembered_until_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = Mesh(tmp_path, 2, [])
    hub, leaf = mesh.worlds
    pos = Client(hub, "pos-1").connect()
    for entity_id in ("mesa-7", "mesa-8"):
        pos.do("orders", entity_id, "CREATE", ORDER)
    mesh.wires.append(Wire(leaf, hub, upstream=False))
    with monkeypatch.context() as patch:
        failing_row(patch, "mesa-7")
        mesh.settle()
        count = leaf.core.replica.faults.count
        assert set(leaf.view("orders")) == {"mesa-8"}
        mesh.wires[0].cut()
        leaf.core.links.states_after.clear()
        mesh.settle()
        assert leaf.core.replica.faults.count == count
    mesh.crash(1)
    mesh.settle()
    leaf.core.retry_quarantine()
    mesh.settle()
    assert set(leaf.view("orders")) == {"mesa-7", "mesa-8"}
    checked(leaf)
    mesh.close()


def test_a_parked_operation_that_fails_in_the_middle_of_its_change_is_tried_once_and_what_it_waited_for_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, leaf = mesh.worlds
    mesh.settle()
    waiter = Client(leaf, "waiter-1", "waiter").connect()
    first = waiter.write("orders", "mesa-7", "CREATE", ORDER)
    second = waiter.write("orders", "mesa-7", "UPDATE", {"note": "sem cebola"})
    leaf.settle()
    changed = rendered

    def failing(operation: Operation, *arguments: Any) -> bytes:
        if operation.id == second:
            raise PlantedError("rendered")
        return changed(operation, *arguments)

    monkeypatch.setattr("node.core.operations.remote.rendered", failing)
    mesh.wires[0].damage = lambda frame: frame.replace(first.encode(), (first[:-1] + "x").encode())
    for _ in range(6):
        if mesh.wires[0].links is None:
            mesh.connect()
        while mesh.wires[0].links is not None and (mesh.wires[0].step(0) or mesh.wires[0].step(1)):
            hub.settle()
            leaf.settle()
        mesh.wires[0].damage = None
        for world in mesh.worlds:
            world.advance(61_000)
    assert hub.core.health.ok
    assert 1 <= hub.core.replica.faults.count <= 2
    assert hub.view("orders")["mesa-7"]["status"] == "pending"
    mesh.close()
