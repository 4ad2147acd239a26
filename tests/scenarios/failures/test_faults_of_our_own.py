"""A fault of the node's own code costs the message that met it: planted in every function that a message enters.

The functions are those that a trip of tests/trips.py entered, one after the other. Each fails once. The node lives,
its other terminals are served, what was confirmed is there after the next start, and nothing is stored that the log
does not say.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from crdt.engine import EngineError
from node.core.entities.entity import Entity
from node.core.history.verify import Verification
from node.core.log.rows import rendered
from storage.sqlite.history_reader import HistoryReader
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.trips import ORDER, ROOT, trips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.wire.messages import Operation
    from storage.records import EntityRow

DECIDE = ("crdt", "strategies", "node/core/operations", "node/core/entities", "node/core/log", "node/core/clock")


class PlantedError(Exception):
    """What nobody foresaw."""


class Mine:
    """A function that fails on its first call after `arm`. Its code is swapped in place, as slips.py does."""

    def __init__(self, function: FunctionType, error: type[Exception] = PlantedError) -> None:
        self.function, self.code, self.error = function, function.__code__, error
        self.defaults = function.__defaults__, function.__kwdefaults__
        self.met = False

    def arm(self) -> None:
        inner = FunctionType(self.code, self.function.__globals__, self.function.__name__)
        inner.__defaults__, inner.__kwdefaults__ = self.defaults
        mine = self

        def spring(*arguments: Any, **named: Any) -> Any:
            if not mine.met:
                mine.met = True
                raise mine.error(mine.function.__qualname__)
            return inner(*arguments, **named)

        MINES[self.function.__qualname__] = spring
        scope: dict[str, Any] = {}
        exec(TRAP.format(name=self.function.__qualname__), scope)
        self.function.__defaults__ = self.function.__kwdefaults__ = None
        self.function.__code__ = scope["trap"].__code__

    def disarm(self) -> None:
        self.function.__code__ = self.code
        self.function.__defaults__, self.function.__kwdefaults__ = self.defaults
        del MINES[self.function.__qualname__]


MINES: dict[str, Callable[..., Any]] = {}

TRAP = """
def trap(*arguments, **named):
    from tests.scenarios.failures.test_faults_of_our_own import MINES
    return MINES[{name!r}](*arguments, **named)
"""


def functions(found: set[tuple[str, str]]) -> Iterator[tuple[str, FunctionType]]:
    """What can be mined of what a trip entered."""
    for file, name in sorted(found):
        place = str(Path(file).relative_to(ROOT))
        if not place.startswith(DECIDE) or "<" in name:
            continue
        owner: Any = importlib.import_module(place[:-3].replace("/", "."))
        for step in name.split("."):
            owner = owner.__dict__.get(step) if hasattr(owner, "__dict__") else None
            if owner is None:
                break
        owner = getattr(owner, "__func__", getattr(owner, "fget", owner))
        if isinstance(owner, FunctionType) and owner.__closure__ is None:
            yield f"{place}:{name}", owner


def checked(world: World) -> None:
    """Nothing is stored that the log does not say."""
    reader = HistoryReader(world.store.path)
    try:
        found = list(Verification(reader, world.config.registry(), world.config.conservation).run())
    finally:
        reader.close()
    assert found == []


def test_a_fault_in_any_function_costs_the_message_that_met_it(tmp_path: Path) -> None:
    entered = trips(tmp_path / "trips")["an operation is decided"].functions
    tried = 0
    for number, (name, function) in enumerate(functions(entered)):
        world = World(tmp_path / f"w{number}")
        waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
        waiter.do("orders", "mesa-7", "CREATE", ORDER)
        settle_all(world, [waiter, kitchen])
        operation = waiter.operation("orders", "mesa-7", "UPDATE", {"status": "ready"})
        mine = Mine(function)
        mine.arm()
        try:
            waiter.submit(operation)
            world.settle()
        finally:
            mine.disarm()
        tried += mine.met
        if not world.core.health.ok:
            world.recover()
        waiter.receive()
        assert not mine.met or waiter.answer(operation["id"])["type"] == "sync_error", name
        answer = kitchen.do("orders", "mesa-8", "CREATE", {"status": "pending"})
        assert answer.get("status") == "applied", (name, answer)
        world.crash()
        checked(world)
        assert set(world.view("orders")) == {"mesa-7", "mesa-8"}, name
        assert world.view("orders")["mesa-7"]["status"] == ("pending" if mine.met else "ready"), name
        world.close()
    assert tried > 40


@pytest.mark.parametrize("error", [PlantedError, EngineError])  # the latter is what a bad operation raises too
def test_a_fault_met_by_another_nodes_operation_parks_that_one_and_everything_else_flows(
    tmp_path: Path, error: type[Exception]
) -> None:
    entered = trips(tmp_path / "trips")["an operation of another node is decided"].functions
    tried = 0
    for number, (name, function) in enumerate(functions(entered)):
        mesh = Mesh(tmp_path / f"m{number}", 2, [(1, 0, True)])
        hub, leaf = mesh.worlds
        mesh.settle()
        waiter, cashier = Client(leaf, "waiter-1", "waiter").connect(), Client(hub, "pos-1").connect()
        waiter.do("orders", "mesa-7", "CREATE", ORDER)
        mesh.settle()
        waiter.do("orders", "mesa-7", "UPDATE", {"status": "ready"})
        leaf.settle()
        mine = Mine(function, error)
        mine.arm()
        try:
            while mesh.wires[0].links is not None and mesh.wires[0].step(0):  # what the leaf has sent reaches the hub
                pass
            hub.commit()
        finally:
            mine.disarm()
        tried += mine.met
        if not hub.core.health.ok:
            hub.recover()
        assert cashier.do("orders", "mesa-8", "CREATE", {"status": "pending"})["status"] == "applied", name
        waiter.do("orders", "mesa-9", "CREATE", ORDER)
        mesh.settle()
        assert "mesa-9" in hub.view("orders"), name
        assert "mesa-8" in leaf.view("orders"), name
        mesh.crash(0)
        mesh.settle()
        hub.core.retry_quarantine()
        mesh.settle()
        assert hub.view("orders")["mesa-7"]["status"] == "ready", name
        assert not len(hub.core.replica.quarantine), name
        checked(hub)
        mesh.close()
    assert tried > 25


def test_an_entity_that_can_never_be_stored_costs_who_writes_to_it_and_is_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    row = Entity.row

    def failing(entity: Entity) -> EntityRow:
        if entity.key[1] == "mesa-7":
            raise PlantedError("row")
        return row(entity)

    monkeypatch.setattr(Entity, "row", failing)
    operation = waiter.operation("orders", "mesa-7", "CREATE", ORDER)
    waiter.submit(operation)
    world.settle()
    assert not world.core.health.ok
    world.recover()
    for _ in range(2):
        waiter.receive()
        waiter.inbox.clear()
        waiter.send({"type": "data_sync", "operation": operation})
        world.settle()
        waiter.receive()
        answer = waiter.answer(operation["id"])
        assert (answer["type"], answer["code"]) == ("sync_error", 1011)
        assert "retry" not in answer
        assert world.core.health.ok
    assert kitchen.do("orders", "mesa-8", "CREATE", {"status": "pending"})["status"] == "applied"


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
            mesh.wires[0].damage = None
            mesh.connect()
        while mesh.wires[0].links is not None and (mesh.wires[0].step(0) or mesh.wires[0].step(1)):
            hub.settle()
            leaf.settle()
        if not hub.core.health.ok:
            hub.recover()
        for world in mesh.worlds:
            world.advance(61_000)
    assert hub.core.health.ok
    assert hub.core.replica.faults.count <= 2
    assert hub.view("orders")["mesa-7"]["status"] == "pending"
    mesh.close()
