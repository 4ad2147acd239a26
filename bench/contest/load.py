"""The load of the contest, in a process of its own: terminals that all write and all listen.

A plan comes as JSON on the command line, the figures go out as JSON. `load_cpu` is the share of one core that this
process took: where it is near 1, the load was what was measured.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from bench.contest.dialects import DIALECTS
from bench.contest.workload import changes
from bench.rig.client import LoadClient
from bench.rig.load import percentiles
from bench.rig.node_process import cpu_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.contest.dialects import Dialect
    from bench.contest.workload import Change

QUIET_S = 0.5
"""So long nothing has come: the terminals have what was there before."""

GIVEN_UP_S = 20.0


class Terminal:
    """One terminal of the load."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.number = load, number
        self.dialect: Dialect = DIALECTS[load.dialect]()
        self.client = LoadClient(self._on_message, closes=self.dialect.closes)
        self.seen: set[bytes] = set()
        self.wanted: set[bytes] = set()
        """Names that are still to come, in whatever message."""
        self.bytes = 0
        self.last = time.perf_counter()
        self.scope = trio.CancelScope()

    async def connect(self) -> None:
        await self.client.connect(self.load.url + self.dialect.path(self.number))
        for message in self.dialect.greeting():
            self.client.send(message, self.dialect.opcode)
        self.load.nursery.start_soon(self._run)

    async def _run(self) -> None:
        with self.scope:
            await self.client.run()

    def _on_message(self, message: bytes) -> None:
        self.bytes += len(message)
        self.last = now = time.perf_counter()
        answer = self.dialect.answer(message)
        if answer is not None:
            self.client.send(answer, self.dialect.opcode)
        if self.wanted and self.dialect.state_only:
            self.wanted = {name for name in self.wanted if name not in message}
            if not self.wanted:
                self.load.tell()
        name = self.dialect.delivered(message)
        if name is not None:
            self.load.on_delivery(self, name, now)
        elif (name := self.dialect.confirmed(message)) is not None:
            self.load.on_confirmation(name, now)

    async def quiet(self) -> None:
        """Until nothing has come for a while."""
        self.last = time.perf_counter()
        while True:
            left = self.last + QUIET_S - time.perf_counter()
            if left <= 0:
                return
            await trio.sleep(left)


class Load:
    """Terminals of one server, and what they sent."""

    def __init__(self, plan: dict[str, Any], nursery: trio.Nursery) -> None:
        self.url, self.dialect, self.nursery = plan["url"], plan["dialect"], nursery
        self.seed, self.count = plan["seed"], plan["terminals"]
        self.terminals: list[Terminal] = []
        self.sent: dict[bytes, tuple[float, int]] = {}
        """When each change went out, and from which terminal."""
        self.confirmed: list[float] = []
        self.delivered: list[float] = []
        self.left = self.enough = 0
        """Deliveries that are still to come, and how few of them are waited for."""
        self.changed = trio.Event()
        self._stream = changes(self.seed, self.count, 10**8)
        for _ in range(plan.get("first", 0)):
            next(self._stream)

    async def connect(self, count: int) -> None:
        for number in range(len(self.terminals), len(self.terminals) + count):
            terminal = Terminal(self, number)
            self.terminals.append(terminal)
            await terminal.connect()
        for terminal in self.terminals:
            await terminal.quiet()

    def take(self, count: int) -> list[Change]:
        """The next changes of the evening."""
        return [next(self._stream) for _ in range(count)]

    def prepare(self, count: int) -> list[tuple[int, bytes, bytes]]:
        """(terminal, name, message) of the next changes, encoded beforehand."""
        taken, places = self.take(count), {}
        for number in {change.terminal for change in taken}:
            own = [change for change in taken if change.terminal == number]
            for change, message in zip(own, self.terminals[number].dialect.encode(own), strict=True):
                places[change.number] = (number, change.name.encode(), message)
        return [places[change.number] for change in taken]

    def send(self, number: int, name: bytes, message: bytes) -> None:
        self.sent[name] = time.perf_counter(), number
        terminal = self.terminals[number]
        terminal.client.send(message, terminal.dialect.opcode)

    def on_delivery(self, terminal: Terminal, name: bytes, now: float) -> None:
        sent = self.sent.get(name)
        if sent is not None:
            if sent[1] == terminal.number:  # some servers send everything to its author, too
                return
            self.delivered.append(now - sent[0])
            self.left -= 1
            if self.left <= self.enough:
                self.tell()
        else:
            terminal.seen.add(name)
            if name in terminal.wanted:
                terminal.wanted.discard(name)
                if not terminal.wanted:
                    self.tell()

    def on_confirmation(self, name: bytes, now: float) -> None:
        sent = self.sent.get(name)
        if sent is not None:
            self.confirmed.append(now - sent[0])
            self.tell()

    def tell(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def paced(self, rate: float, seconds: float) -> dict[str, Any]:
        """So many changes a second, by terminals in turn, each to all others."""
        prepared = self.prepare(max(len(self.terminals), round(rate * seconds)))
        self.sent.clear()
        self.confirmed, self.delivered = [], []
        self.left = len(prepared) * (len(self.terminals) - 1)
        wanted = len(prepared) if self.terminals[0].dialect.confirms else 0
        cpu, begun = time.process_time(), time.perf_counter()
        for place, (number, name, message) in enumerate(prepared):
            await trio.sleep(max(0.0, begun + place / rate - time.perf_counter()))
            self.send(number, name, message)
        with trio.move_on_after(GIVEN_UP_S) as late:
            while self.left > 0 or len(self.confirmed) < wanted:
                await self.changed.wait()
        taken = time.perf_counter() - begun
        return {
            "rate": rate,
            "changes": len(prepared),
            "seconds": taken,
            "all_came": not late.cancelled_caught,
            "delivery_ms": percentiles(self.delivered),
            "confirmation_ms": percentiles(self.confirmed) if wanted else None,
            "load_cpu": (time.process_time() - cpu) / taken,
        }


# ------------------------------------------------------------------------------------------------- plans


async def latency(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    await load.connect(plan["terminals"])
    warm = await load.paced(plan["rate"], min(1.0, plan["seconds"]))
    found = await load.paced(plan["rate"], plan["seconds"])
    if not load.delivered:
        raise RuntimeError("nothing was delivered")
    return {**found, "changes_in_all": warm["changes"] + found["changes"]}


async def sustained(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    """The highest rate whose deliveries stay under `within_ms` in their 99th percentile: doubled, then halved in."""
    await load.connect(plan["terminals"])
    await load.paced(plan["from"], min(1.0, plan["seconds"]))  # warm
    tried: list[dict[str, Any]] = []

    async def held(rate: float) -> bool:
        # A machine that is shared holds a rate if it holds it once of two tries.
        for _ in range(2):
            found = await load.paced(rate, plan["seconds"])
            found["held"] = found["all_came"] and found["delivery_ms"]["p99"] < plan["within_ms"]
            tried.append(found)
            if found["held"]:
                return True
            await trio.sleep(QUIET_S)
        return False

    best, rate = 0.0, float(plan["from"])
    while rate <= plan["to"] and await held(rate):
        best, rate = rate, rate * 2
    low, high = best, min(rate, plan["to"])
    while low and high / low > 1.15:
        middle = (low * high) ** 0.5
        if await held(middle):
            low = middle
        else:
            high = middle
    return {"sustained": low, "tried": tried, "load_cpu": max(found["load_cpu"] for found in tried)}


async def missed(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    """A terminal that was there goes, so many changes are made without it, and it comes back."""
    await load.connect(2)
    away = load.terminals.pop()
    away.scope.cancel()
    writer = load.terminals[0]
    taken = [evolve(change, terminal=0) for change in load.take(plan["missed"])]
    pending = iter(writer.dialect.encode(taken))
    names = [change.name.encode() for change in taken]
    if writer.dialect.confirms:
        load.sent = dict.fromkeys(names, (0.0, 0))
        for number, message in enumerate(pending, 1):
            writer.client.send(message, writer.dialect.opcode)
            while number - len(load.confirmed) >= 256:
                await load.changed.wait()
        while len(load.confirmed) < len(taken):
            await load.changed.wait()
        load.sent = {}
    else:
        for flying, message in enumerate(pending):
            writer.client.send(message, writer.dialect.opcode)
            if flying % 64 == 63:
                await trio.sleep(0.01)
        await trio.sleep(2 * QUIET_S)
    back = Terminal(load, 1)
    back.wanted = latest(taken) if back.dialect.state_only else set(names)
    noted = Noted(plan["server"])
    await back.connect()
    await until_all_came(load, [back])
    return {**noted.so_far(), "bytes": back.bytes}


async def apart(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    """Two terminals that each wrote half of the changes offline come back at the same moment."""
    halves: list[list[Change]] = [[], []]
    for change in load.take(plan["missed"]):
        halves[change.terminal].append(change)
    sides = [Terminal(load, number) for number in range(2)]
    queued = [side.dialect.together(half) for side, half in zip(sides, halves, strict=True)]
    for side, other in zip(sides, reversed(halves), strict=True):
        side.wanted = latest(other)
    noted = Noted(plan["server"])
    for side, messages in zip(sides, queued, strict=True):
        await side.connect()
        for message in messages:
            side.client.send(message, side.dialect.opcode)
    await until_all_came(load, sides)
    return {**noted.so_far(), "bytes": sum(side.bytes for side in sides)}


def latest(taken: Iterable[Change]) -> set[bytes]:
    """The name of the last change of each entity: what a terminal has seen that is level."""
    return set({(change.entity_type, change.entity_id): change.name.encode() for change in taken}.values())


class Noted:
    """Time and processor time from its making on. server: the process id of the server."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._cpu, self._served, self._begun = time.process_time(), cpu_of(server), time.perf_counter()

    def so_far(self) -> dict[str, float]:
        seconds = time.perf_counter() - self._begun
        share = (time.process_time() - self._cpu) / seconds
        return {"seconds": seconds, "load_cpu": share, "server_cpu_s": cpu_of(self._server) - self._served}


async def until_all_came(load: Load, sides: list[Terminal]) -> None:
    with trio.fail_after(300):
        while any(side.wanted for side in sides):
            await load.changed.wait()


async def fill(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    """So many changes by a few terminals, as fast as they are delivered."""
    await load.connect(plan["terminals"])
    prepared = load.prepare(plan["changes"])
    others = len(load.terminals) - 1
    load.enough = 64 * others
    begun = time.perf_counter()
    for number, name, message in prepared:
        load.left += others
        load.send(number, name, message)
        while load.left > load.enough:
            await load.changed.wait()
    load.enough = 0
    while load.left:
        await load.changed.wait()
    return {"seconds": time.perf_counter() - begun, "changes": len(prepared)}


async def newcomer(load: Load, plan: dict[str, Any]) -> dict[str, Any]:
    """A terminal that was never there gets what `fill` left: of each entity its last change."""
    new = Terminal(load, plan["terminals"])
    new.wanted = latest(load.take(plan["changes"]))
    entities = len(new.wanted)
    begun = time.perf_counter()
    await new.connect()
    await until_all_came(load, [new])
    return {"entities": entities, "seconds": time.perf_counter() - begun}


PLANS = {
    "latency": latency,
    "sustained": sustained,
    "missed": missed,
    "apart": apart,
    "fill": fill,
    "newcomer": newcomer,
}


async def _main(plan: dict[str, Any]) -> None:
    async with trio.open_nursery() as nursery:
        found = await PLANS[plan["do"]](Load(plan, nursery), plan)
        nursery.cancel_scope.cancel()
    print(json.dumps(found))


if __name__ == "__main__":
    trio.run(_main, json.loads(sys.argv[1]))
