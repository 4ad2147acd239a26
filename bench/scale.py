"""What everything costs by what is held: a store grown to a year, measured on the way, beside a bystander.

    python -m bench scale                                               up to 30,000 rows, some minutes
    python -m bench scale --rows 3000000 --without verify               a year
    python -m bench scale --only join --only audit --rows 300000

Of each size: start and memory, a lone operation, a join, a catch-up, lists, audit, explain, backup, verify, the first
synchronisation of an empty node, archiving. A bystander writes ten operations a second to orders that nobody has in
memory. What it felt of each: the longest wait for a confirmation, the 99th percentile, and the most CPU that the node
spent between an operation and its confirmation, which does not depend on what else the machine does.
"""

from __future__ import annotations

import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import click
import httpx
import plotext
import trio
from attrs import define, field, frozen
from rich.console import Console

from bench.rig.client import LoadClient
from bench.rig.fleet import FleetNode, new_table, parked, until
from bench.rig.growth import ENTITIES_AN_ORDER, ORDERS, ROWS_AN_ORDER, TERMINAL, GrownStore, order_id, shift
from bench.rig.machine import describe
from bench.rig.orders import write
from bench.rig.watch import BYSTANDER, Cost, Watch

LEAST = ORDERS * ROWS_AN_ORDER
STEP = math.sqrt(10)
"""From one size to the next."""

AT_ONCE = 20
"""Screens that were off, after a power cut."""

LONG_S = 3_600.0
ASKED_S = 0.5
SELDOM_ASKED_S = 3.0
"""How often a node is asked how far it is. Each time costs it about as much as an operation."""

ARCHIVED = 100_000
"""Rows archived at most, of half the log."""


@frozen
class Figure:
    """One measurement. cost: in CPU s, or in the unit that the name says; felt: nothing where nobody could wait."""

    cost: float
    felt: str = ""


Figures = Mapping[str, Figure]
"""By what was measured, in order."""


@define(eq=False)
class Stand:
    """One grown store and its running node.

    seconds: how long short measurements go on.
    wanted: whether something is measured, by its name.
    """

    folder: Path
    store: GrownStore
    seconds: float
    wanted: Callable[[str], bool]
    found: dict[str, Figure] = field(factory=dict)

    def measure(self) -> Figures:
        hub = FleetNode(self.folder, "hub")
        self.store.copy(self.folder / "hub")
        try:
            hub.start()
            self._tell("start, CPU s", hub.cpu_s())
            self._tell("memory after it, MB", hub.memory_mb()[0])
            watch = Watch(hub, self.store.orders)
            alone = watch.calibrate(self.seconds)
            self._tell("lone operation, CPU s", alone.cpu_s, alone.felt.said())
            for name, (act, at_least) in self._acts(hub).items():
                if self.wanted(name):
                    self._note(f"{name}, CPU s", watch.cost(act, self.seconds if at_least else 0.0))
            if self.wanted("verify"):
                self._verify(hub, watch)
            if self.wanted("first-sync"):
                self._first_sync(hub, watch)
            if self.wanted("first-sync alone"):
                self._first_sync_alone(hub)
            if self.wanted("archive"):
                rows = min(self.store.rows // 2, ARCHIVED)
                cost = watch.cost(lambda: _post(hub, f"/api/v1/archive?until={rows}"))
                self._note("archive, CPU s a 1,000 rows", cost, rows / 1_000)
        finally:
            hub.stop()
        return self.found

    def _note(self, name: str, cost: Cost, times: float = 1.0) -> None:
        self._tell(name, cost.cpu_s / times, cost.felt.said())

    def _tell(self, name: str, cost: float, felt: str = "") -> None:
        """Take a figure, and say it at once: a run of hours that fails has told what it found."""
        self.found[name] = Figure(cost, felt)
        click.echo(f"  {name}: {cost:.3g}{f' ({felt})' if felt else ''}", err=True)

    def _acts(self, hub: FleetNode) -> Mapping[str, tuple[Callable[[], object], bool]]:
        """What is asked, by name, and whether it is short, so that it is asked again and again."""
        entities, missed = self.store.orders * ENTITIES_AN_ORDER, min(self.store.rows, self.missed)
        one, since = order_id(self.store.orders // 2), quote("2000-01-01T00:00:00Z")
        joined = iter(range(10**9))
        return {
            "join": (lambda: trio.run(receive, [f"{hub.url}/ws/kds-{next(joined)}?type=kds"], entities), False),
            f"join of {AT_ONCE} at once": (
                lambda: trio.run(
                    receive, [f"{hub.url}/ws/kds-{next(joined)}?type=kds" for _ in range(AT_ONCE)], entities
                ),
                False,
            ),
            "catch-up": (lambda: trio.run(receive, [f"{hub.url}/ws/away-1?type=kds"], missed), False),
            f"catch-up of {AT_ONCE} at once": (
                lambda: trio.run(receive, [f"{hub.url}/ws/away-{n}?type=kds" for n in range(2, 2 + AT_ONCE)], missed),
                False,
            ),
            "list of all orders": (lambda: hub.get("/api/v1/entities/orders"), True),
            f"list of all orders of {AT_ONCE} at once": (lambda: _at_once(hub, "/api/v1/entities/orders"), False),
            "page of a list": (lambda: hub.get("/api/v1/entities/orders?limit=100"), True),
            "audit of a terminal": (lambda: hub.get(f"/api/v1/audit?terminal_id={TERMINAL}&limit=100"), True),
            "audit of a stranger": (lambda: hub.get("/api/v1/audit?terminal_id=nobody"), True),
            "audit of an id": (lambda: hub.get(f"/api/v1/audit?entity_id={one}"), True),
            "audit since long ago": (lambda: hub.get(f"/api/v1/audit?since={since}&limit=100"), True),
            "audit since the future": (lambda: hub.get("/api/v1/audit?since=2100-01-01T00:00:00Z"), True),
            "audit of a rare type": (lambda: hub.get("/api/v1/audit?entity_type=products"), True),
            "refused": (lambda: hub.get("/api/v1/refused"), True),
            "explain": (lambda: hub.get(f"/api/v1/explain/orders/{one}/status"), True),
            "backup": (lambda: _post(hub, "/api/v1/backup"), False),
        }

    @property
    def missed(self) -> int:
        return max(self.store.rows // 3, 1)

    def _verify(self, hub: FleetNode, watch: Watch) -> None:
        """In a process of its own, on the database that the node has open."""
        used = 0.0

        def verify() -> None:
            nonlocal used
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "node", "verify", "--data", str(self.folder / "hub")]
            subprocess.run(command, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        felt = watch.cost(verify).felt
        self._tell("verify, CPU s", used, felt.said())

    def _first_sync(self, hub: FleetNode, watch: Watch) -> None:
        node = FleetNode(self.folder, "node", "--upstream", hub.url)
        try:
            cost = watch.cost(lambda: _fill(node, ASKED_S))
            self._note("first-sync, CPU s of the hub", cost)
            self._tell("first-sync, CPU s of the node", node.cpu_s())
            self._tell("first-sync, s", cost.wall_s)
        finally:
            node.stop()

    def _first_sync_alone(self, hub: FleetNode) -> None:
        """Without a bystander, whose rows come to the node too, and with few questions; without the node's start."""
        node, used = FleetNode(self.folder, "alone", "--upstream", hub.url), hub.cpu_s()
        try:
            seen: list[Filled] = []
            started = _fill(node, SELDOM_ASKED_S, lambda rows: seen.append(Filled(rows, hub.cpu_s(), node.cpu_s())))
            self._tell("first-sync alone, CPU s of the hub", hub.cpu_s() - used)
            self._tell("first-sync alone, CPU s of the node", node.cpu_s() - started)
            for name, later in last_by_first(seen).items():
                self._tell(f"first-sync alone, {name}, a row of the last third by one of the first", later)
        finally:
            node.stop()


@frozen
class Filled:
    """How many rows of the history were there, and the CPU s that both nodes had used."""

    rows: int
    hub: float
    node: float

    def a_row(self, later: Filled) -> tuple[float, float]:
        """What a row cost the hub and the node from here on."""
        rows = later.rows - self.rows
        return (later.hub - self.hub) / rows, (later.node - self.node) / rows


def last_by_first(seen: Sequence[Filled]) -> dict[str, float]:
    """What a row cost in the last third of a history by what one cost in the first; nothing of a short one.

    Both are of one run, some seconds or minutes apart, so what else the machine does matters less.
    """
    way = list({at.rows: at for at in seen if at.rows}.values())
    third = len(way) // 3
    if not third:
        return {}
    first, last = way[0].a_row(way[third]), way[-1 - third].a_row(way[-1])
    return {name: late / early for name, early, late in zip(("the hub", "the node"), first, last, strict=True)}


def _fill(node: FleetNode, asked_s: float, look: Callable[[int], None] = lambda _: None) -> float:
    """Start a node, and wait until its first synchronisation is over. Returns the CPU s that its start took.

    look: called with the rows of the history that are there, each time it is asked.
    """
    node.start()
    started = node.cpu_s()

    def synchronised() -> bool:
        sync = node.links()["first_sync"]
        if sync is None:
            return False
        look(sync["operations"])
        return bool(sync["phase"] == "over")

    until(synchronised, "the first synchronisation", LONG_S, asked_s)
    wrong = parked([node])
    if wrong is not None:
        raise RuntimeError(wrong)
    return started


def _at_once(node: FleetNode, path: str) -> None:
    """AT_ONCE screens ask for the same."""

    def one(_: int) -> None:
        httpx.get(f"http://127.0.0.1:{node.port}{path}", timeout=LONG_S).raise_for_status()

    with ThreadPoolExecutor(AT_ONCE) as screens:
        list(screens.map(one, range(AT_ONCE)))


def _post(node: FleetNode, path: str) -> None:
    httpx.post(f"http://127.0.0.1:{node.port}{path}", timeout=LONG_S).raise_for_status()


async def receive(urls: Sequence[str], count: int) -> None:
    """Connect a terminal at each address, and read until so many operations or entities came to each."""

    async def one(url: str) -> None:
        got, done = 0, trio.Event()

        def on_text(payload: bytes) -> None:
            nonlocal got
            got += payload.startswith(b'{"type":"data_sync"')
            if got >= count:
                done.set()

        client = LoadClient(on_text)
        await client.connect(url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            await done.wait()
            nursery.cancel_scope.cancel()

    with trio.fail_after(LONG_S):
        async with trio.open_nursery() as everyone:
            for url in urls:
                everyone.start_soon(one, url)


@contextmanager
def template(rows: int) -> Iterator[GrownStore]:
    """What a node of its own wrote of the template's operations, to be grown to so many rows."""
    with tempfile.TemporaryDirectory(prefix="comanda-scale-") as name:
        hub = FleetNode(Path(name), "hub")
        hub.start()
        write(hub.url, shift())
        hub.stop()
        yield GrownStore(Path(name, "hub"), rows)


def sizes(rows: int, count: int) -> list[int]:
    found = {max(round(rows / STEP**place), LEAST) for place in range(count)}
    return sorted(found)


def measured(rows: int, count: int, seconds: float, wanted: Callable[[str], bool]) -> dict[int, Figures]:
    """Of each size in rows, the smallest first."""
    found: dict[int, Figures] = {}
    with template(rows) as store:
        for size in sizes(rows, count):
            begun = time.perf_counter()
            store.grow(size)
            made_s = time.perf_counter() - begun
            click.echo(f"{store.rows:,} rows, {store.orders * 3:,} entities: made in {made_s:.1f} s", err=True)
            store.away(BYSTANDER, 0)
            with tempfile.TemporaryDirectory(prefix="comanda-scale-") as folder:
                stand = Stand(Path(folder), store, seconds, wanted)
                for number in range(1, 2 + AT_ONCE):
                    store.away(f"away-{number}", stand.missed)
                found[store.rows] = stand.measure()
    return found


def shape(found: Mapping[int, Figures], name: str) -> str:
    """The power of the number of rows by which a figure grows from the third to the last size."""
    sized = [(rows, figures[name].cost) for rows, figures in found.items() if figures[name].cost > 0]
    if len(sized) < 2:
        return ""
    (few, low), (many, high) = sized[max(len(sized) - 3, 0)], sized[-1]
    return f"{math.log(high / low) / math.log(many / few):.2f}"


def report(found: Mapping[int, Figures], console: Console) -> None:
    """The tables and the plot."""
    names = list(next(iter(found.values())))
    heads = [f"{rows:,} rows" for rows in found]
    costs = new_table(f"What it costs, of the node\n{describe()}", "", *heads, "power of the rows")
    felt = new_table("What a bystander felt: longest / p99 / CPU between, ms", "", *heads)
    for name in names:
        costs.add_row(name, *(f"{figures[name].cost:.3g}" for figures in found.values()), shape(found, name))
        if any(figures[name].felt for figures in found.values()):
            felt.add_row(name.partition(",")[0], *(figures[name].felt for figures in found.values()))
    console.print(costs)
    console.print(felt)
    print(plot(found, [name for name in names if "CPU s" in name]))


def plot(found: Mapping[int, Figures], names: list[str]) -> str:
    """CPU seconds by rows, both logarithmic."""
    figure = plotext.figure
    figure.clear()
    figure.plot_size(110, 36)
    lettered = dict(zip("abcdefghijklmnopqrstuvwxyz", names, strict=False))
    for letter, name in lettered.items():
        points = [(rows, figures[name].cost) for rows, figures in found.items() if figures[name].cost > 0]
        if points:
            figure.draw(figure.signal(*zip(*points, strict=True), marker=letter))
    figure.ruler("x").scale("log")
    figure.ruler("y").scale("log")
    legend = ", ".join(f"{letter} {name.partition(',')[0]}" for letter, name in lettered.items())
    return f"{plotext.uncolorize(str(figure.build()))}\nCPU s by rows: {legend}"


@click.command()
@click.option("--rows", default=30_000, show_default=True, help="of the largest size; 3,000,000 are a year")
@click.option("--sizes", "count", default=4, show_default=True, help="each about a third of the next")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    help="how long what is short is asked again",
)
@click.option("--only", multiple=True, help="what begins so: join, list, audit, verify, first-sync ...; repeatable")
@click.option("--without", multiple=True, help="all but what begins so; repeatable")
def main(rows: int, count: int, seconds: float, only: tuple[str, ...], without: tuple[str, ...]) -> None:
    """Measure each size, and print the curve."""

    def wanted(name: str) -> bool:
        return name.startswith(only or "") and not (without and name.startswith(without))

    console = Console(width=None if sys.stdout.isatty() else 200)
    report(measured(rows, count, seconds, wanted), console)


if __name__ == "__main__":
    main()
