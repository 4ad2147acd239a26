"""Whatever is asked, nobody else waits long for a turn: measured in lines of Python, so that no clock decides.

A line takes about 0.15 us. What one operation does is decided in one turn, since nothing may come between; how many
fields and entities it may have is a limit. Everything else is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.config.sections import Config
from node.core import inbox, monitors
from node.core.links import link
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.turns import measured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TURN = 100_000
"""Lines of the longest turn. How many run is each Python's own: 86,000 with every cut, 120,000 without one."""

FIELD = 200
"""Lines that one field of an operation costs at most."""


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


WORST: dict[str, Callable[[World, Client], None]] = {
    of.__name__: of
    for of in (behind_the_disk, one_commit, many_terminals, many_who_had_not_seen, many_locks, a_new_screen)
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


def linked(tmp_path: Path) -> dict[str, int]:
    """A node comes back to one that accepted many BULK_UPDATEs meanwhile."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], ring_rows=1_000, window=1_000)
    mesh.connect()
    pos = Client(mesh.worlds[0], "pos-1").connect()
    pos.do("products", None, "BULK_UPDATE", bulk(20, 0))
    mesh.settle(pos.receive)
    mesh.wires[0].cut()
    for value in range(40):
        pos.write("products", None, "BULK_UPDATE", bulk(20, value))
    settle_all(mesh.worlds[0], [pos])
    with measured() as meter:
        mesh.settle(pos.receive)
    mesh.close()
    return meter.longest


def test_no_turn_of_a_link_is_long(tmp_path: Path) -> None:
    longest = linked(tmp_path)
    assert max(longest.values()) < TURN, longest


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
    assert meter.longest["Session.receive"] < 400 * (FIELD if kind == "UPDATE" else 3 * FIELD), meter.report()
    world.close()


@pytest.mark.parametrize(("module", "bound"), [(inbox, "TURN_BYTES"), (link, "TURN_MESSAGES")])
def test_without_its_cut_a_turn_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, bound: str
) -> None:
    monkeypatch.setattr(module, bound, 10**9)
    if module is link:
        assert max(linked(tmp_path).values()) > TURN
        return
    world = World(tmp_path / "data")
    with measured() as meter:
        behind_the_disk(world, Client(world, "pos-1").connect())
    assert max(meter.longest.values()) > TURN
    world.close()
