"""Whatever is asked, nobody else waits long for a turn: measured in lines of Python, so that no clock decides.

A line takes about 0.15 us. A large operation is decided in several turns (test_in_turns.py), any other one in one,
since nothing may come between. Everything else is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.config.sections import Config
from node.core import inbox, monitors
from node.core.links import link
from node.core.operations import in_turns
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.turns import measured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TURN = 100_000
"""Lines of the longest turn. How many run is each Python's own: 86,000 with every cut, 120,000 without one."""

OF_MANY = 50_000
"""Of an operation of 1,000 entities, which is cut more finely than one of 1,000 fields: 41,000 to read it."""

FIELD = 300
"""Lines that one field of an operation costs at most, with its commit and all else."""


def bulk(entities: int, value: object) -> dict[str, Any]:
    return {"updates": [{"entity_id": f"p-{n}", "data": {"a": value, "b": value}} for n in range(entities)]}


def behind_the_disk(world: World, pos: Client) -> None:
    """Many messages wait for one that reads from the disk."""
    pos.do("products", None, "BULK_UPDATE", bulk(20, 0))
    pos.disconnect()
    world.crash()
    pos.connect()
    for value in range(40):
        pos.write("products", None, "BULK_UPDATE", bulk(20, value))
    settle_all(world, [pos])


def one_commit(world: World, pos: Client) -> None:
    """The disk is slow, and all the while everybody writes."""
    for number in range(400):
        pos.write("orders", f"o-{number}", "CREATE", {"status": "pending"})
    settle_all(world, [pos])


def many_terminals(world: World, pos: Client) -> None:
    screens = [Client(world, f"kds-{n}", "monitor" if n < 3 else "kds").connect() for n in range(100)]
    settle_all(world, screens)
    for number in range(10):
        pos.write("orders", f"o-{number}", "CREATE", {"status": "pending"})
    settle_all(world, [*screens, pos])
    monitors.terminal_status(world.core)
    monitors.performance(world.core, 1.0)
    world.advance(1_000)


def many_who_had_not_seen(world: World, pos: Client) -> None:
    """Thirty candidates of one conflict."""
    others = [Client(world, f"pos-{n}", confirms=False, pongs=False).connect() for n in range(30)]
    for other in others:
        other.write("customers", "c-1", "UPDATE", {"phone": other.name, "version": 1})
    settle_all(world, others)
    conflicts = [m["conflict"]["id"] for m in pos.of("sync_conflict")] or ["none"]
    pos.send({"type": "conflict_resolution", "conflict_id": conflicts[-1], "resolution": "accept_local"})
    settle_all(world, [pos, *others])


def many_locks(world: World, pos: Client) -> None:
    for number in range(250):
        pos.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": f"o-{number}", "timeout": 1_000})
    settle_all(world, [pos])
    world.advance(5_000)
    pos.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": 1_000})
    settle_all(world, [pos])


def a_new_screen(world: World, pos: Client) -> None:
    one_commit(world, pos)
    screen = Client(world, "pos-2").connect(full=True)
    settle_all(world, [screen])


def large_operations(world: World, pos: Client) -> None:
    """As many entities and fields as one operation may have; others are shown it, and it is sent once more."""
    screens = [Client(world, f"kds-{n}", "monitor" if n else "kds").connect() for n in range(3)]
    settle_all(world, screens)
    for value in range(2):
        name = pos.write("products", None, "BULK_UPDATE", bulk(1_000, value))
        operation = pos.unanswered[name]
        settle_all(world, [*screens, pos])
        pos.submit(operation)
        settle_all(world, [*screens, pos])
        fields = {f"field-{n}": value for n in range(1_000)}
        pos.write("orders", "o-1", "UPDATE" if value else "CREATE", fields)
        settle_all(world, [*screens, pos])
    assert pos.shown("products")["p-999"] == {"a": 1, "b": 1}
    pos.write("orders", "o-1", "DELETE", {})
    settle_all(world, [*screens, pos])


def large_and_refused(world: World, pos: Client) -> None:
    """For a lock, for a deletion, and for a conflict in each entity, which is then decided by nobody."""
    other = Client(world, "pos-2", confirms=False, pongs=False).connect()
    pos.write("cashier_operations", None, "BULK_UPDATE", bulk(500, 0))
    settle_all(world, [pos])
    other.write("cashier_operations", None, "BULK_UPDATE", bulk(500, 1))  # it has not seen them
    pos.write("cashier_operations", None, "BULK_UPDATE", bulk(500, 2))
    settle_all(world, [pos, other])
    pos.write("products", None, "BULK_UPDATE", bulk(1_000, 0))
    pos.write("products", "p-7", "DELETE", {})
    settle_all(world, [pos, other])
    pos.write("products", None, "BULK_UPDATE", bulk(1_000, 3))
    settle_all(world, [pos, other])
    assert len(pos.of("sync_error")) == 2


WORST: dict[str, Callable[[World, Client], None]] = {
    of.__name__: of
    for of in (
        behind_the_disk,
        one_commit,
        many_terminals,
        many_who_had_not_seen,
        many_locks,
        a_new_screen,
        large_operations,
        large_and_refused,
    )
}


@pytest.mark.parametrize("name", WORST)
def test_no_turn_is_long(tmp_path: Path, name: str) -> None:
    world = World(tmp_path / "data", ring_rows=1_000, window=1_000)
    pos = Client(world, "pos-1").connect()
    settle_all(world, [pos])
    with measured() as meter:
        WORST[name](world, pos)
    assert max(meter.longest.values()) < TURN, meter.report()
    world.close()


def linked(tmp_path: Path, entities: int = 20, count: int = 40) -> dict[str, int]:
    """A node comes back to one that accepted many BULK_UPDATEs meanwhile."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], ring_rows=1_000, window=1_000)
    mesh.connect()
    pos = Client(mesh.worlds[0], "pos-1").connect()
    pos.do("products", None, "BULK_UPDATE", bulk(entities, 0))
    mesh.settle(pos.receive)
    mesh.wires[0].cut()
    for value in range(count):
        pos.write("products", None, "BULK_UPDATE", bulk(entities, value))
    settle_all(mesh.worlds[0], [pos])
    with measured() as meter:
        mesh.settle(pos.receive)
    mesh.close()
    return meter.longest


@pytest.mark.parametrize(("entities", "count"), [(20, 40), (1_000, 2)])
def test_no_turn_of_a_link_is_long(tmp_path: Path, entities: int, count: int) -> None:
    longest = linked(tmp_path, entities, count)
    assert max(longest.values()) < TURN, longest


def test_no_turn_of_an_operation_of_many_entities_is_half_as_long(tmp_path: Path) -> None:
    """Neither where it is written nor where it comes over a link."""
    longest = linked(tmp_path / "linked", 1_000, 2)
    assert max(longest.values()) < OF_MANY, longest
    world = World(tmp_path / "data", ring_rows=1_000, window=1_000)
    pos = Client(world, "pos-1").connect()
    settle_all(world, [pos])
    with measured() as meter:
        for value in range(2):
            pos.write("products", None, "BULK_UPDATE", bulk(1_000, value))
            settle_all(world, [pos])
    assert max(meter.longest.values()) < OF_MANY, meter.report()
    world.close()


def test_no_turn_of_a_first_synchronisation_is_long(tmp_path: Path) -> None:
    """A new node joins one whose history has large operations."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], ring_rows=1_000, window=1_000)
    pos = Client(mesh.worlds[0], "pos-1").connect()
    for value in range(2):
        pos.write("products", None, "BULK_UPDATE", bulk(1_000, value))
        pos.write("orders", "o-1", "UPDATE" if value else "CREATE", {f"field-{n}": value for n in range(1_000)})
        settle_all(mesh.worlds[0], [pos])
    with measured() as meter:
        mesh.connect()
        mesh.settle(pos.receive)
    assert max(meter.longest.values()) < TURN, meter.report()
    assert mesh.worlds[0].view("products") == mesh.worlds[1].view("products")
    mesh.close()


@pytest.mark.parametrize("kind", ["UPDATE", "BULK_UPDATE"])
def test_what_one_operation_costs_grows_with_its_fields_alone(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path / "data", config=evolve(Config()))
    pos = Client(world, "pos-1").connect()
    fields = {f"field-{n}": n for n in range(400)}
    with measured() as meter:
        for value in range(2):
            data = dict.fromkeys(fields, value)
            if kind == "UPDATE":
                pos.do("products", "p-1", "UPDATE" if value else "CREATE", data)
            else:
                pos.do("products", None, kind, bulk(200, value))
    assert meter.total < 2 * 400 * (FIELD if kind == "UPDATE" else 3 * FIELD), meter.report()
    world.close()


@pytest.mark.parametrize(("module", "bound"), [(inbox, "TURN_BYTES"), (link, "TURN_MESSAGES"), (in_turns, "LARGE")])
def test_without_its_cut_a_turn_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, bound: str
) -> None:
    monkeypatch.setattr(module, bound, 10**9)
    if module is link:
        assert max(linked(tmp_path).values()) > TURN
        return
    world = World(tmp_path / "data")
    with measured() as meter:
        (large_operations if module is in_turns else behind_the_disk)(world, Client(world, "pos-1").connect())
    assert max(meter.longest.values()) > TURN
    world.close()
