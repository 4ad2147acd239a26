"""Evenings of the client's core and the real node's core, over connections that break anywhere.

No socket and no clock: messages lie in queues, and of what is on its way when a connection breaks, chance decides how
much is lost.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson

from crdt import hlc
from node.client.core import Core
from node.client.values import Operation, Progress, State, text_of
from node.core.sessions.identity import Identity
from node.screen import without_version
from tests.harness import Connection, World

if TYPE_CHECKING:
    from pathlib import Path

    from node.client.ready import Ready

TYPES = ("orders", "products", "customers")
IDS = ("a", "b", "c")
STEPS = 60
HABITS = {"write": 9, "cut": 1, "dial": 3, "restart": 1, "up": 5, "take": 6, "confirm": 5, "node": 0.5, "settle": 5}
"""What happens next, and how often."""


class Machine:
    """A terminal's program and its disk. disk: its queue, which survives `restart`. settled: id -> final states."""

    def __init__(self, world: World, name: str, kind: str, rng: random.Random) -> None:
        self.world, self.name, self.kind, self.rng = world, name, kind, rng
        self.disk: dict[str, Operation] = {}
        self.wrote: list[Operation] = []
        self.numbers = itertools.count()
        self.session: Any = None
        self.up: deque[dict[str, Any]] = deque()
        """On its way to the node."""
        self.to_confirm: deque[str] = deque()
        self.core = Core(name, None)

    def restart(self) -> None:
        self.cut()
        kept = [Operation(o.id, orjson.loads(text_of(o.message))) for o in self.disk.values()]
        self.disk = {operation.id: operation for operation in kept}
        self.core = Core(self.name, None, unanswered=kept)

    def now(self) -> float:
        return self.world.mono_ms / 1000

    # ------------------------------------------------------------------ the connection

    def dial(self) -> None:
        identity = Identity(self.name, self.kind, None, f"s-{next(self.world.ids)}")
        self.connection = Connection(self)  # type: ignore[arg-type]
        self.session = self.world.core.sessions.connect(identity, self.connection, full=self.core.full)
        self.do(self.core.opened(self.now()))

    def cut(self) -> None:
        """The connection breaks: some of what is on its way arrives, the rest is lost."""
        if self.session is None:
            return
        self.deliver_up(self.rng.randrange(len(self.up) + 1))
        self.take(self.rng.randrange(len(self.connection.frames) + 1))
        session, self.session = self.session, None
        self.up.clear()
        self.to_confirm.clear()
        self.world.core.sessions.disconnect(session)
        self.core.ended(1006, "", 0.5)

    def deliver_up(self, most: int) -> None:
        while self.up and most and self.session is not None:
            most -= 1
            self.session.receive(text_of(self.up.popleft()))

    def take(self, most: int) -> int:
        """Read so many frames, and confirm some of the rows that the program took."""
        taken = 0
        while taken < most and self.session is not None and self.connection.frames:
            taken += 1
            frame = self.connection.frames.popleft()
            if isinstance(frame, tuple):
                self.session.pong(int(frame[1]))
                continue
            self.do(self.core.received(orjson.loads(frame), self.now()))
        return taken

    def confirm(self) -> None:
        while self.to_confirm:
            self.up.append(self.core.taken(self.to_confirm.popleft(), hlc.iso(self.world.wall_ms)))

    def do(self, ready: Ready) -> None:
        for operation in ready.settled:
            del self.disk[operation.id]
        self.up += ready.send
        if ready.confirm is not None:
            self.to_confirm.append(ready.confirm)
        for event in ready.tell:
            if isinstance(event, Progress):
                assert event.operation.id in self.disk or event.state.final
        if ready.hang_up is not None:
            self.cut()

    # ------------------------------------------------------------------ a person

    def write(self) -> None:
        rng, number = self.rng, next(self.numbers)
        kind = rng.choices(["CREATE", "UPDATE", "DELETE", "BULK_UPDATE"], [3, 6, 1, 1])[0]
        entity_type = rng.choice(TYPES if self.kind == "pos" else ("orders", "customers"))

        def fields() -> dict[str, Any]:
            found: dict[str, Any] = dict.fromkeys(rng.sample("xyz", 2), f"{self.name}-{number}")
            if entity_type == "products" and rng.random() < 0.6:
                found["stock"] = rng.choice([{"$inc": -1}, {"$inc": 2}, {"$set": 9}, 5])
            if entity_type == "orders" and rng.random() < 0.4:
                found["items"] = [{"id": i, "note": f"{self.name}-{number}"} for i in rng.sample("123", 2)]
            return found

        entity_id, data = rng.choice(IDS), fields()
        if kind == "BULK_UPDATE":
            data = {"updates": [{"entity_id": i, "data": fields()} for i in rng.sample(IDS, 2)]}
        at = hlc.iso(self.world.wall_ms)
        where = None if kind == "BULK_UPDATE" else entity_id
        if rng.random() < 0.03:
            entity_type = "no_such_type"  # refused, and nothing follows
        made = self.core.operation(f"{self.name}.{number}", at, kind, entity_type, where, data)
        self.disk[made.id] = made
        self.wrote.append(made)
        self.do(self.core.wrote(made, self.now()))


def rest(world: World, machines: list[Machine]) -> None:
    """Until everybody is connected and nothing is on its way."""
    for _ in range(2_000):
        moved = 0
        for machine in machines:
            if machine.session is None:
                machine.dial()
            machine.confirm()
            moved += len(machine.up)
            machine.deliver_up(10**6)
            world.settle()
            moved += machine.take(10**6)
        world.advance(10)
        if not moved and not any(machine.to_confirm or machine.core.queue for machine in machines):
            return
        for machine in machines:
            machine.do(machine.core.due(machine.now(), hlc.iso(world.wall_ms)))
    raise AssertionError("the evening never ends")


def evening(folder: Path, seed: int) -> None:
    """One evening; asserts that every operation is settled once and that each screen is the node's."""
    with closing(World(folder)) as world:
        _evening(world, seed)


def _evening(world: World, seed: int) -> None:
    rng = random.Random(seed)
    machines = [Machine(world, f"t-{n}", "pos" if n else "waiter", rng) for n in range(3)]
    for _ in range(STEPS):
        machine = rng.choice(machines)
        world.advance(rng.randrange(1, 3_000))
        match rng.choices([*HABITS], [*HABITS.values()])[0]:
            case "write":
                machine.write()
            case "cut":
                machine.cut()
            case "dial" if machine.session is None:
                machine.dial()
            case "restart":
                machine.restart()
            case "up":
                machine.deliver_up(rng.randrange(1, 5))
            case "take":
                machine.take(rng.randrange(1, 9))
            case "confirm":
                machine.confirm()
            case "node":  # killed
                for one in machines:
                    one.cut()
                world.crash()
            case "settle":
                world.settle()
    rest(world, machines)
    for machine in machines:
        assert not machine.disk
        for entity_type in TYPES:
            shown, there = machine.core.screen.entities(entity_type), without_version(world.view(entity_type))
            assert shown == there, (seed, machine.name, entity_type)
        assert not machine.core.screen.entities("no_such_type")
    logged = [row.name for row in world.reader.audit(limit=10**6, kinds=("operation",))]
    assert len(logged) == len(set(logged))
    for machine in machines:
        made = [f"{machine.name}/{operation.id}" for operation in machine.wrote]
        assert [name for name in logged if name in made] == [name for name in made if name in logged]
        for operation in machine.wrote:
            known = machine.core.recent.get(operation.id, operation)
            assert (known.state is not State.REFUSED) == (f"{machine.name}/{operation.id}" in logged), operation
