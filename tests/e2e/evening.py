"""An evening in a restaurant with several real nodes: links that fail, terminals on all sides, nodes that are killed.

One seed draws the topology, the nodes' limits and the script; one driver carries the script out, step by step, and
writes it down. Processes and sockets keep their own time: the same seed is the same evening, not the same moment.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import trio

from crdt.engine import DEFAULT, INSTALLED
from node.cli.demo.nodes import agreed
from tests.e2e.terminal import TYPES, Terminal
from tests.e2e.wires import Wire, topology
from tests.faulty_proxy import WAYS
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    Step = Callable[[trio.Nursery], Awaitable[str | None]]
    Edge = tuple[int, int, bool]

STEPS = (250, 700)
"""How many steps its script has."""

PAUSE_S = 0.008
"""Between two steps, on the average."""

POLL_S = 0.1
AUDITED = (
    "operation_id",
    "entity_type",
    "entity_id",
    "operation",
    "terminal_id",
    "user_id",
    "timestamp",
    "accepted_at",
    "effective_timestamp",
    "lock_status",
)
"""Fields of an audit entry that every node says alike; versions and changes are what each one saw."""


class Evening:
    """`run` it in a nursery; `close` it whatever happened. story: what was done, and when."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.shape, count, edges = topology(rng)
        self.wires = [Wire(edge, random.Random(rng.random())) for edge in edges]
        config = (
            f"[limits]\nring_rows = {rng.choice([4, 64, 16_384])}\nwindow_rows = {rng.choice([3, 32, 1_024])}\n"
            f"resident_entities = {rng.choice([1, 10, 10_000])}\n"
            "[links]\nping_s = 0.2\nfar_ping_s = 0.2\nsilence_s = 1.0\n"
        )
        self.nodes = [NodeProcess(directory / f"n{n}", *self._flags(n), config=config) for n in range(count)]
        self.up = [False] * count
        self._starting = [trio.Lock() for _ in range(count)]
        self.late = {n for n in range(count) if count > 2 and rng.random() < 0.15}
        self.epochs: dict[int, str] = {}
        self.terminals = [
            Terminal(
                f"t{number}-n{n}",
                rng.choices(["pos", "waiter"], [4, 1])[0],
                node,
                random.Random(rng.random()),
                keeps=rng.random() < 0.8,
                confirms=rng.random() < 0.85,
                skew_ms=rng.choice([0, 0, 0, 40, -2_000, 90_000]),
            )
            for n, node in enumerate(self.nodes)
            for number in range(rng.randrange(1, 3))
        ]
        self.kills = rng.randrange(4)
        late = "".join(f", n{n} comes later" for n in sorted(self.late))
        self.story = [f"{self.shape}: {' '.join(map(str, self.wires))}{late}", config.replace("\n", " ")]
        self.steps: list[tuple[float, Step]] = [
            (44, self.write),
            (10, self.lock),
            (6, self.unlock),
            (6, self.decide),
            (3, self.repeat),
            (4, self.come),
            (3, self.go),
            (4, self.sleep),
            (2, self.wake),
            (2, self.move),
            (5, self.cut),
            (8, self.fail),
            (6, self.heal),
            (2, self.kill),
            (4, self.start),
        ]
        self._began = trio.current_time()
        self._http = httpx.AsyncClient(timeout=PATIENCE_S)

    def _flags(self, number: int) -> list[str]:
        flags = ["--id", f"n{number}", "--engine", self.rng.choice([DEFAULT, DEFAULT, DEFAULT, INSTALLED[-1]])]
        for wire in self.wires:
            if wire.dialler == number:
                flags += ["--upstream" if wire.upstream else "--peer", wire.proxy.url]
        return flags

    def note(self, what: str) -> None:
        self.story.append(f"{trio.current_time() - self._began:7.3f} {what}")

    # ------------------------------------------------------------------ from opening to closing

    async def run(self, nursery: trio.Nursery) -> None:
        """Open, go through the script, and make everything well again; whether all agree is asked then."""
        await self._all_up(self.late)
        await self.come(nursery)
        weights, steps = zip(*self.steps, strict=True)
        for _ in range(self.rng.randrange(*STEPS)):
            step = self.rng.choices(steps, weights)[0]
            what = await step(nursery)
            if what is not None:
                self.note(f"{step.__name__} {what}")
            await trio.sleep(self.rng.expovariate(1 / PAUSE_S))
        self.note("all well")
        for wire in self.wires:
            await trio.to_thread.run_sync(wire.proxy.heal)
        await self._all_up()
        self.note("all up")

    async def _all_up(self, but: Collection[int] = ()) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(len(self.nodes)):
                if number not in but:
                    nursery.start_soon(self._start, number)

    async def _start(self, number: int) -> None:
        """Until it listens; also where somebody else has begun to start it."""
        node = self.nodes[number]
        async with self._starting[number]:
            if not self.up[number]:
                await trio.to_thread.run_sync(node.start)
                for wire in self.wires:
                    if wire.other == number:
                        await trio.to_thread.run_sync(wire.proxy.retarget, node.port)
                self.epochs.setdefault(number, (await self.get(number, "links"))["epoch"])
                self.up[number] = True

    async def stop(self) -> list[int]:
        """Stop every node as a person would; their exit statuses."""
        statuses = [-1] * len(self.nodes)

        async def stop(number: int) -> None:
            statuses[number] = await trio.to_thread.run_sync(self.nodes[number].stop)

        async with trio.open_nursery() as nursery:
            for number in range(len(self.nodes)):
                nursery.start_soon(stop, number)
        return statuses

    def journals(self) -> str:
        """What each terminal said and heard, line by line."""
        lines = [(at, f"{t.name} {way} {what}") for t in self.terminals for at, way, what in t.journal]
        return "\n".join(f"{at - self._began:8.3f} {line}" for at, line in sorted(lines))

    async def close(self) -> None:
        """Leave no process, thread or socket behind."""
        with trio.CancelScope(shield=True):
            await self._http.aclose()
            for node in self.nodes:
                if hasattr(node, "process"):
                    await trio.to_thread.run_sync(node.end)
            for wire in self.wires:
                await trio.to_thread.run_sync(wire.proxy.close)

    # ------------------------------------------------------------------ steps of terminals

    async def write(self, nursery: trio.Nursery) -> str:
        terminal = self.rng.choice(self.terminals)
        operation = terminal.write()
        kind, where = operation["operation"], operation.get("entity_id", "")
        return f"{operation['id']} {kind} {operation['entity_type']} {where} {operation['data']}"

    async def lock(self, nursery: trio.Nursery) -> str | None:
        terminal = self.rng.choice(self.terminals)
        key = terminal.lock()
        return key and f"{terminal.name} {key}"

    async def unlock(self, nursery: trio.Nursery) -> str | None:
        terminal = self.rng.choice(self.terminals)
        lock_id = terminal.unlock()
        return lock_id and f"{terminal.name} {lock_id}"

    async def decide(self, nursery: trio.Nursery) -> str | None:
        terminal = self.rng.choice(self.terminals)
        conflict_id = terminal.decide()
        return conflict_id and f"{terminal.name} {conflict_id}"

    async def repeat(self, nursery: trio.Nursery) -> str | None:
        return self.rng.choice(self.terminals).repeat()

    async def come(self, nursery: trio.Nursery) -> str | None:
        """Everybody who is away and whose node is up."""
        away = [t for t in self.terminals if not t.online and self.up[self.nodes.index(t.home)]]
        for terminal in away:
            await terminal.come(nursery)
        return " ".join(t.name for t in away) or None

    async def go(self, nursery: trio.Nursery) -> str:
        """One who sleeps, if there is one: rows are under way to it."""
        terminal = self.rng.choice([t for t in self.terminals if t.asleep] or self.terminals)
        terminal.go(abruptly=self.rng.random() < 0.5)
        return terminal.name

    async def sleep(self, nursery: trio.Nursery) -> str:
        terminal = self.rng.choice(self.terminals)
        terminal.sleep()
        return terminal.name

    async def wake(self, nursery: trio.Nursery) -> str:
        asleep = [t for t in self.terminals if t.asleep]
        for terminal in asleep:
            terminal.wake()
        return " ".join(t.name for t in asleep)

    async def move(self, nursery: trio.Nursery) -> str:
        """To another node, right behind a last write, of which nothing is heard."""
        terminal, home = self.rng.choice(self.terminals), self.rng.choice(self.nodes)
        last = terminal.write()["id"]
        terminal.move(home, again=self.rng.randrange(3))
        return f"{terminal.name} to {home.data.name} after {last}, again {' '.join(terminal.unanswered)}"

    # ------------------------------------------------------------------ steps of the network and of the power

    async def cut(self, nursery: trio.Nursery) -> str:
        wire = self.rng.choice(self.wires)
        reset = self.rng.choice([True, False])
        await trio.to_thread.run_sync(lambda: wire.proxy.cut(reset=reset))
        return f"{wire} {'RST' if reset else 'FIN'}"

    async def fail(self, nursery: trio.Nursery) -> str:
        rng, wire = self.rng, self.rng.choice(self.wires)
        proxy = wire.proxy
        ways = rng.choice([(), WAYS[:1], WAYS[1:]])
        ms, pieces, every_ms = rng.choice([5, 50, 300]), rng.choice([1, 20, 500]), rng.choice([30, 200, 700])
        faults: list[tuple[str, Callable[[], object]]] = [
            ("refuses", proxy.block),
            ("swallows", lambda: proxy.block(swallow=True)),
            ("swallows, cut", lambda: (proxy.block(swallow=True), proxy.cut())),
            (f"stalls {ways}", lambda: proxy.stall(*ways)),
            (f"delays {ms} ms", lambda: proxy.delay(ms)),
            (f"splits {pieces}", lambda: proxy.split(pieces)),
            (f"flaps {every_ms} ms", lambda: proxy.flap(every_ms)),
        ]
        name, fault = rng.choice(faults)
        await trio.to_thread.run_sync(fault)
        return f"{wire} {name}"

    async def heal(self, nursery: trio.Nursery) -> str:
        """One link, or one of its faults."""
        wire = self.rng.choice(self.wires)
        cure = self.rng.choice([wire.proxy.heal, wire.proxy.heal, wire.proxy.unblock, wire.proxy.resume])
        await trio.to_thread.run_sync(cure)
        return f"{wire} {cure.__name__}"

    async def kill(self, nursery: trio.Nursery) -> str | None:
        """kill -9, with whatever its terminals have just sent under way."""
        number = self.rng.randrange(len(self.nodes))
        node = self.nodes[number]
        if self.kills <= 0 or not self.up[number]:
            return None
        self.kills -= 1
        for terminal in self.terminals:
            if terminal.home is node:
                terminal.write()
        self.up[number] = False
        await trio.to_thread.run_sync(node.kill)
        return node.data.name

    async def start(self, nursery: trio.Nursery) -> str | None:
        """A node that was killed, on the same data and port, or one that is new; the evening goes on meanwhile."""
        dead = [n for n, up in enumerate(self.up) if not up and not self._starting[n].locked()]
        if not dead:
            return None
        number = self.rng.choice(dead)
        nursery.start_soon(self._start, number)
        return self.nodes[number].data.name

    # ------------------------------------------------------------------ agreeing

    async def get(self, number: int, path: str) -> Any:
        answer = await self._http.get(f"http://127.0.0.1:{self.nodes[number].port}/api/v1/{path}")
        assert answer.status_code == 200, (number, path, answer.text)
        return answer.json()

    async def agree(self, nursery: trio.Nursery) -> None:
        """Once all is well again: everything arrived, all nodes agree, each terminal shows what its node does."""
        end = trio.current_time() + PATIENCE_S
        while (differs := await self._difference(nursery)) is not None:
            assert trio.current_time() < end, f"after {PATIENCE_S:g} s: {differs}"
            await trio.sleep(POLL_S)
        said = Counter(str(message["status"]) for terminal in self.terminals for message in terminal.confirmed)
        granted = Counter(grant.scope for terminal in self.terminals for grant in terminal.grants)
        refused = sum(len(terminal.refused) for terminal in self.terminals)
        self.note(f"agreed: {dict(said)}, {refused} refused, locks {dict(granted)}")

    async def _difference(self, nursery: trio.Nursery) -> str | None:
        for node in self.nodes:
            assert node.process.poll() is None, f"{node.data.name} died by itself"
        for terminal in self.terminals:
            terminal.wake()
            if not terminal.online:
                await terminal.come(nursery)
        for terminal in self.terminals:
            if waiting := [*terminal.unanswered, *terminal.deciding]:
                return f"{terminal.name} at {terminal.home.data.name} heard nothing of {' '.join(waiting)}"
        heads = await self._heads()
        if isinstance(heads, str):
            return heads
        first = await self.state(0)
        for number, node in enumerate(self.nodes):
            state = first if number == 0 else await self.state(number)
            for name, expected in first.items():
                if state[name] != expected:
                    return f"{name} of n0 and {node.data.name} differ: {_apart(expected, state[name])}"
            for terminal in self.terminals:
                if terminal.home is node and (said := self._unlike(terminal, state)) is not None:
                    return said
        after = await self._heads()
        return None if after == heads else f"something was written meanwhile: {heads} {after}"

    async def _heads(self) -> list[int] | str:
        """The nodes' heads, once every link is up and both sides have all of each other's log."""
        heads = []
        for number, node in enumerate(self.nodes):
            report = await self.get(number, "links")
            dials = sum(wire.dialler == number for wire in self.wires)
            links = report["links"]
            if dials != sum(link["url"] is not None for link in links):
                return f"{node.data.name} should dial {dials} nodes: {links}"
            for link in links:
                if link["state"] != "up" or link["lag"] or link["behind"]:
                    return f"{node.data.name}: {link}"
            heads.append(report["head"])
        return heads

    async def state(self, number: int) -> dict[str, Any]:
        """What every node must say alike, once all is known everywhere."""
        found: dict[str, Any] = {}
        for entity_type in TYPES:
            page = await self.get(number, f"entities/{entity_type}?deleted=1")
            for entity in page["entities"]:
                del entity["lock"]
            found[entity_type] = {entity["entity_id"]: entity for entity in page["entities"]}
        page = await self.get(number, "conflicts?state=open&limit=1000")
        found["open conflicts"] = {body["id"]: agreed(body) for body in page["conflicts"]}
        audit = await self.audit(number)
        found["audit"] = Counter(tuple(str(entry[name]) for name in AUDITED) for entry in audit)
        found["quarantine"] = {row["id"]: row for row in (await self.get(number, "quarantine"))["quarantine"]}
        return found

    async def audit(self, number: int) -> list[dict[str, Any]]:
        """Every audit entry of an operation, refused ones excepted: those are each node's own."""
        return [entry for entry in await self.entries(number, "audit") if entry["status"] != "refused"]

    async def entries(self, number: int, path: str) -> list[dict[str, Any]]:
        """All pages of `audit` or `refused`."""
        entries: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = await self.get(number, f"{path}?after={after}&limit=500")
            entries += page["entries"]
            after = page["next"]
        return entries

    def _unlike(self, terminal: Terminal, state: dict[str, Any]) -> str | None:
        for entity_type in TYPES:
            shows = {
                i: {name: value for name, value in entity["data"].items() if name != "version"}
                for i, entity in state[entity_type].items()
                if not entity["deleted"]
            }
            if terminal.shown(entity_type) != shows:
                apart = _apart(shows, terminal.shown(entity_type))
                return f"{terminal.name} does not show the {entity_type} of {terminal.home.data.name}: {apart}"
        return None


def _apart(one: dict[Any, Any], other: dict[Any, Any]) -> str:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return "; ".join(f"{key}: {one.get(key)} against {other.get(key)}" for key in keys[:5])
