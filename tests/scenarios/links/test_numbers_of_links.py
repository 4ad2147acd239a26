"""Every number of every message between nodes, at and past its bounds: it is taken or refused, and nothing fails.

The messages are those that a first synchronisation, locks, comparisons and operations really send. Each number in
them, wherever it stands, becomes twelve of VALUES, the next one the twelve after; with COMANDA_FUZZ=3, all.
"""

from __future__ import annotations

import copy
import os
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import orjson

from tests.archives import archive
from tests.harness import Client, World
from tests.mesh import Mesh, Wire
from tests.trips import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from node.core.links.link import Link

VALUES = (
    *(bound + step for bound in (0, 2**16, 2**31, 2**32, 2**53, 2**62, 2**63, 2**64) for step in (-1, 0, 1)),
    10**30,
    -(2**62),
    -(2**63),
    0.5,
    1e308,
    True,
    False,
    None,
)
EACH = min(12 * int(os.environ.get("COMANDA_FUZZ", "1")), len(VALUES))
Place = tuple[str | int, ...]


def numbers(value: object, place: Place = ()) -> Iterator[Place]:
    """Where numbers stand in a message, and clocks by the number of their writer."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield from numbers(child, (*place, name))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from numbers(child, (*place, number))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def shape(message: dict[str, Any]) -> str:
    """Messages with numbers at the same places are one."""
    named = [[step if isinstance(step, int) or not step.isdigit() else "n" for step in p] for p in numbers(message)]
    return str((message.get("type"), "state" in message.get("link", {}), named))


def with_number(message: dict[str, Any], place: Place, value: object) -> bytes:
    changed = copy.deepcopy(message)
    inner: Any = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return orjson.dumps(changed) if not isinstance(value, int) or abs(value) < 2**63 else _dumped(changed, value)


def _dumped(changed: dict[str, Any], value: int) -> bytes:
    """Numbers that orjson does not write."""
    import json

    return json.dumps(changed).encode()


def said(directory: Path) -> list[tuple[int, dict[str, Any]]]:
    """One message of each shape that crosses a link, and who gets it: world 0, or world 1, which dialled."""
    mesh = Mesh(directory, 2, [], ring_rows=8)
    hub, leaf = mesh.worlds
    pos, waiter = Client(hub, "pos-1").connect(), Client(leaf, "waiter-1", "waiter").connect()
    pos.do("orders", "mesa-1", "CREATE", ORDER)
    pos.do("products", "p-1", "CREATE", {"stock": 5})
    pos.do("products", "p-1", "UPDATE", {"stock": {"$inc": 1.5}})
    archive(hub, 1)
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    wire = Wire(leaf, hub, upstream=True)
    mesh.wires.append(wire)
    leaf.config = hub.config
    for number in range(2):
        wire.dialler, wire.other = leaf, hub
        if number:
            waiter.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "timeout": 900})
            pos.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1"})
            waiter.write("orders", "mesa-1", "UPDATE", {"status": "ready"})
            pos.write("products", "p-1", "UPDATE", {"stock": 3})
        for _ in range(200):
            mesh.connect()
            for world in mesh.worlds:
                world.settle()
                world.advance(1_001)
            for direction in (0, 1):
                links = wire.links
                frames = links[direction].connection.frames if links else ()
                if frames:
                    loaded = orjson.loads(frames[0])
                    for message in loaded if isinstance(loaded, list) else [loaded]:
                        found.setdefault(f"{direction} {shape(message)}", (direction, message))
                wire.step(direction)
        pos.receive()
        waiter.receive()
    mesh.close()
    return list(found.values())


def linked(directory: Path) -> tuple[Mesh, Client]:
    mesh = Mesh(directory, 2, [(1, 0, True)])
    pos = Client(mesh.worlds[0], "pos-1").connect()
    pos.do("orders", "mesa-1", "CREATE", ORDER)
    mesh.settle()
    return mesh, pos


def up(mesh: Mesh) -> tuple[Link, Link]:
    """Both ends of the link, linked again where one was closed."""
    wire = mesh.wires[0]
    for _ in range(10):
        if wire.links is not None and all(link.state == "up" for link in wire.links):
            return wire.links
        wire.cut()
        for world in mesh.worlds:
            world.advance(61_000)  # a new epoch is begun once a minute
        mesh.connect()
        while wire.links is not None and (wire.step(0) or wire.step(1)):
            for world in mesh.worlds:
                world.settle()
    raise AssertionError("the link does not come up again")


def sound(world: World) -> None:
    assert world.core.replica.faults.count == 0
    assert world.core.health.ok


def test_no_number_of_a_link_makes_a_node_fail(tmp_path: Path) -> None:
    messages = said(tmp_path / "said")
    kinds = {message["type"] for _, message in messages}
    assert {"data_sync", "log_position", "sync_confirmation", "connection_established", "pong"} <= kinds
    assert {"digest_buckets", "acquire_lock", "lock_acquired", "terminal_status_update"} <= kinds
    mesh, pos = linked(tmp_path / "linked")
    tried, values = 0, cycle(VALUES)
    for target, message in messages:
        world = mesh.worlds[target]
        for place in numbers(message):
            for value in islice(values, EACH):
                up(mesh)[1 - target].receive(with_number(message, place, value))
                world.settle()
                sound(world)
                tried += 1
        assert pos.do("orders", f"mesa-{tried}", "CREATE", ORDER)["status"] == "applied", (message, place)
    assert tried > 1_000
    for number, world in enumerate(mesh.worlds):
        mesh.crash(number)
        world.settle()
        sound(world)
    assert pos.connect().do("orders", "mesa-last", "CREATE", ORDER)["status"] == "applied"
    mesh.close()
