"""Several real cores over real stores, linked without sockets: frames move one at a time, links in any order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from node.core.links.link import Link
from node.core.operations.quarantine import WAITING
from node.simulation.invariants import operations
from node.wire.frames import Batch, Outgoing
from node.wire.links.handshake import Hello
from tests.harness import Client, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


IDLE_TURNS = 10
"""Seconds that what is parked gets to go on."""


class End:
    """One end of a link: what `name` sent and `other` has not read yet."""

    def __init__(self, name: str, other: str) -> None:
        self.name, self.other = name, other
        self.frames: deque[bytes] = deque()
        self.outbox_bytes = self.bytes_in = self.bytes_out = 0
        self.closed: tuple[int, str] | None = None

    def send(self, what: Outgoing | Batch) -> None:
        if self.closed is not None:
            return
        for message in what.messages if isinstance(what, Batch) else (what,):
            self.frames.append(message.payload)
            self.outbox_bytes += len(message.payload)
            self.bytes_out += len(message.payload)

    def ping(self, payload: bytes) -> None:
        return None

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None


class Wire:
    """A link between two nodes, and both its ends while it is connected. upstream: whether `other` is above."""

    def __init__(self, dialler: World, other: World, *, upstream: bool) -> None:
        self.dialler, self.other, self.upstream = dialler, other, upstream
        self.links: tuple[Link, Link] | None = None
        self.damage: Callable[[bytes], bytes] | None = None

    def connect(self) -> None:
        a, b = self.dialler.core, self.other.core
        hello = Hello(a.node_id, a.links.epoch, a.replica.log.committed, self.other.wall_ms, "", None)
        role = "downstream" if self.upstream else "peer"
        accepted = Link(
            host=b.links, role=role, connection=End(b.node_id, a.node_id), session_id="session", hello=hello
        )
        role = "upstream" if self.upstream else "peer"
        dialled = Link(
            host=a.links, role=role, connection=End(a.node_id, b.node_id), session_id="session", url="ws://other"
        )
        self.links = (dialled, accepted)
        accepted.open()

    def cut(self) -> None:
        """Whatever was on the way is lost."""
        if self.links is not None:
            for link in self.links:
                link.host.unlink(link)
            self.links = None

    def step(self, direction: int) -> bool:
        """Move one frame. A connection that one side closed is over."""
        if self.links is None:
            return False
        ends = [link.connection for link in self.links]
        assert isinstance(ends[0], End)
        assert isinstance(ends[1], End)
        source, target = ends[direction], self.links[1 - direction]
        if not source.frames:
            if source.closed is not None:
                self.cut()
                return True
            return False
        frame = source.frames.popleft()
        source.outbox_bytes -= len(frame)
        target.receive(self.damage(frame) if self.damage is not None else frame)
        return True


class Mesh:
    """Nodes by number. `edges`: (dialler, other, whether other is upstream)."""

    def __init__(self, directory: Path, count: int, edges: list[tuple[int, int, bool]], **world: Any) -> None:
        above = {dialler for dialler, _, upstream in edges if upstream}
        self.worlds = [
            World(directory / f"n{n}", node_id=f"n{n}", upstream=n in above, **world) for n in range(count)
        ]
        self.wires = [Wire(self.worlds[a], self.worlds[b], upstream=u) for a, b, u in edges]

    def connect(self) -> None:
        for wire in self.wires:
            if wire.links is None:
                wire.connect()

    def crash(self, number: int) -> None:
        """Power off and on; its links are gone."""
        world = self.worlds[number]
        for wire in self.wires:
            if world in (wire.dialler, wire.other):
                wire.cut()
        world.crash()

    def settle(self, extra: Callable[[], int] = lambda: 0, *, reconnect: bool = True) -> None:
        """Until no node has anything to commit, to read or to send, and all have compared."""
        idle = 0
        for _ in range(20_000):
            moved = 0
            for world in self.worlds:
                world.settle()
            for wire in self.wires:
                while wire.step(0) or wire.step(1):
                    moved += 1
            moved += extra()
            if reconnect:
                moved += sum(wire.links is None for wire in self.wires)
                self.connect()
            if not moved and not any(w.calls or w.core.replica.log.group.pending() for w in self.worlds):
                idle += 1
                if idle > 1 and self._compared() and (idle > IDLE_TURNS or not self._waiting()):
                    return
                for world in self.worlds:
                    world.advance(1_001)
        raise AssertionError("the nodes never come to rest")

    def _waiting(self) -> bool:
        """Whether a parked operation may still go on, once a comparison brings what it waits for."""
        return any(row.state == WAITING for world in self.worlds for row in world.core.replica.quarantine)

    def _compared(self) -> bool:
        links = [link for wire in self.wires if wire.links is not None for link in wire.links if link.state == "up"]
        return all(not link.compare_owed and (link.compared_ms is not None or not link.dialled) for link in links)

    def close(self) -> None:
        for world in self.worlds:
            world.close()


def each_message(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """For `Wire.damage`: call `change` with every message of a frame."""

    def damage(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        for message in loaded if isinstance(loaded, list) else [loaded]:
            change(message)
        return orjson.dumps(loaded)

    return damage


def each_operation(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """For `Wire.damage`: call `change` with every operation of a frame."""

    def operation(message: dict[str, Any]) -> None:
        if message.get("type") == "data_sync" and "updates" in message.get("link", {}):
            change(message)

    return each_message(operation)


def moved(client: Client, to: World) -> Client:
    """The terminal comes to another node, and asks for everything."""
    client.disconnect()
    there = Client(to, client.name)
    there.numbers = client.numbers
    return there.connect(full=True)


def shown(world: World) -> dict[str, object]:
    """What every node that holds the same operations must agree on."""
    types = [policy.entity_type for policy in world.core.replica.registry.all()]
    entities = {
        f"{row.entity_type} {row.entity_id}": (row.deleted, orjson.loads(row.view))
        for entity_type in types
        for row in world.reader.entities(entity_type, None, 100_000, deleted=True)
    }
    conflicts = {row.conflict_id: orjson.loads(row.body) for row in world.reader.conflicts("open", limit=100_000)}
    return {"entities": entities, "conflicts": conflicts}


def audit(world: World) -> set[tuple[object, ...]]:
    """Every operation with its author, its times, where it was accepted and its lock status."""
    found = operations(world.reader)
    assert len(set(found)) == len(found), "an operation is in the log twice"
    return set(found)
