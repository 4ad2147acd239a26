"""Linked nodes: catching up after time apart, a comparison, a star that agrees, a first synchronisation, traffic.

    python -m bench.links              about five minutes
    python -m bench.links --quick      about one and a half
    python -m bench.links --part live --part star

Times are polled every 20 ms and count only if every entity of every node is equal afterwards. Bytes on the wire are
what a TCP relay between the nodes saw, both directions, WebSocket frames and handshake included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import click
from attrs import frozen
from rich.console import Console
from rich.progress import track

from bench.rig.comparison import comparison
from bench.rig.fleet import (
    FleetNode,
    OverdueError,
    agreement,
    failed,
    new_table,
    order_ids,
    stop_all,
    until,
    workplace,
)
from bench.rig.load import percentiles
from bench.rig.machine import describe
from bench.rig.orders import OrderBook, restaurant, write
from bench.rig.reconnect import SMOKE, Pair, reconnect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.table import Table

    from bench.rig.orders import Batch

RATE = 300
LISTENERS = 10


# ------------------------------------------------------------------ a star


def star(share: int) -> list[Table]:
    operations = 500 if share < SMOKE else 20
    columns = ("nodes around the hub", "operations", "agreed after s", "operations/s", "rows delivered/s", "CPU s")
    table = new_table(
        f"A star agrees after the hub was away and each node wrote {operations}: 40 orders of its own, 10 of all\n"
        f"{describe()}",
        *columns,
    )
    for count in track((2, 4, 6) if share < SMOKE else (2,), console=Console(stderr=True), transient=True):
        total = operations * count
        with workplace() as folder:
            row = _star(folder, count, operations)
        table.add_row(str(count), f"{total:,}", *row)
    return [table]


def _star(folder: Path, count: int, operations: int) -> list[str]:
    hub = FleetNode(folder, "hub")
    nodes = [FleetNode(folder, f"node-{n}", "--upstream", hub.url) for n in range(1, count + 1)]
    everyone = [hub, *nodes]
    book = OrderBook()
    try:
        with ThreadPoolExecutor(len(everyone)) as pool:
            list(pool.map(FleetNode.start, everyone))
        agreement(everyone, [])
        hub.stop()
        batches = []
        for node in nodes:
            ids = order_ids(node.name, 40) + order_ids("all", 10)
            batches.append(book.batch(f"pos-{node.name}", operations, ids, {}))
            write(node.url, batches[-1])
        used = sum(node.cpu_s() for node in nodes)
        back = hub.start()
        agreed = agreement(everyone, [batch.last for batch in batches]) - back
        used = sum(node.cpu_s() for node in everyone) - used
    except OverdueError as error:
        return failed(error)
    finally:
        stop_all(everyone)
    total = operations * count
    return [f"{agreed:.2f}", f"{total / agreed:,.0f}", f"{total * count / agreed:,.0f}", f"{used:.1f}"]


# ------------------------------------------------------------------ first synchronisation


def first(share: int) -> list[Table]:
    columns = ("entities", "operations", "orders complete s", "all and audit s", "operations/s", "CPU s hub + node")
    sizes = ("wire MB", "of the JSON", "hub MB at start, peak", "node MB at start, peak")
    table = new_table(f"First synchronisation of an empty node, from its link up\n{describe()}", *columns, *sizes)
    counts = [100_000 // share] if share == SMOKE else [10_000 // share, 100_000 // share]
    for count in track(counts, console=Console(stderr=True), transient=True):
        written = restaurant("pos-hub", count)
        with workplace() as folder:
            table.add_row(f"{count:,}", f"{len(written.messages):,}", *_first(Pair(folder), written))
    return [table]


def _first(pair: Pair, written: Batch) -> list[str]:
    hub, node, wire = pair.hub, pair.node, pair.wire
    orders_at: list[float] = []
    try:
        hub.start()
        write(hub.url, written)
        hub.stop()  # so that its peak memory is the synchronisation's
        hub.start()
        last, expected = hub.entity(written.last), hub.entities("orders")
        hub_mb, used = hub.memory_mb()[0], hub.cpu_s()

        def watch() -> None:
            """Whether the order written last is there is cheap to ask; then all of them count."""
            if not orders_at and node.entity(written.last) == last:
                at = time.perf_counter()
                if node.entities("orders") == expected:
                    orders_at.append(at)

        wire.mend()
        node.start()
        node_mb = node.memory_mb()[0]
        up = until(lambda: bool(node.up()), "the link is up", 60)
        agreed = agreement([hub, node], [written.last], 600, watch)
        cpu = f"{hub.cpu_s() - used:.1f} + {node.cpu_s():.1f}"
        size = wire.bytes_up + wire.bytes_down
        peaks = hub.memory_mb()[1], node.memory_mb()[1]
        missing = set(hub.audit_ids()) - set(node.audit_ids())
    except OverdueError as error:
        return failed(error)
    finally:
        stop_all([node, hub])
        wire.cut()
    count = len(written.messages)
    return [
        f"{orders_at[0] - up:.2f}" if orders_at else "?",
        f"{agreed - up:.2f}" + (f", but {len(missing):,} audit entries are missing" if missing else ""),
        f"{count / (agreed - up):,.0f}",
        cpu,
        f"{size / 1e6:.1f}",
        f"{size / written.raw_bytes:.2f}x",
        f"{hub_mb:.0f}, {peaks[0]:.0f}",
        f"{node_mb:.0f}, {peaks[1]:.0f}",
    ]


# ------------------------------------------------------------------ live traffic beside a catch-up


def live(share: int) -> list[Table]:
    backlog = 100_000 // share
    traffic = f"{LISTENERS} confirming listeners, {RATE} operations/s"
    columns = ("", "deliveries", "delivery p50 ms", "p99 ms", "max ms", "lasted s", "operations/s", "CPU hub + node")
    table = new_table(f"{traffic}, beside a node {backlog:,} operations behind\n{describe()}", *columns)
    with workplace() as folder:
        hub = FleetNode(folder, "hub")
        nodes = [FleetNode(folder, name, "--upstream", hub.url) for name in ("node", "nice")]
        try:
            for row in _live(hub, nodes, backlog, max(20 / share, 0.5)):
                table.add_row(*row)
        except OverdueError as error:
            table.add_row(*failed(error))
        finally:
            stop_all([*nodes, hub])
    return [table]


def _live(hub: FleetNode, nodes: Sequence[FleetNode], backlog: int, alone_s: float) -> list[list[str]]:
    for started in (hub, *nodes):
        started.start()
    agreement([hub, *nodes], [])
    stop_all(nodes)
    written = OrderBook().batch("pos-back", backlog, order_ids("b", backlog // 10), {})
    write(hub.url, written)
    command = [sys.executable, "-m", "bench.rig.load", "--url", hub.url, "--count", str(RATE), "--rate", str(RATE)]
    command += ["--listeners", str(LISTENERS), "--confirm"]
    subprocess.run(command, check=True, capture_output=True)  # the listeners' own first synchronisation
    command = [sys.executable, "-m", "bench.rig.live", "--url", hub.url, "--rate", str(RATE)]
    command += ["--listeners", str(LISTENERS), "--first", str(RATE)]
    traffic = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(3)
        begun, used = time.perf_counter(), hub.cpu_s()
        time.sleep(alone_s)
        spans = [Span("alone", begun, time.perf_counter(), "", f"{(hub.cpu_s() - used) / alone_s:.0%}")]
        # The second one leaves the processor to the others, as a node on a machine of its own would.
        names = ("while a node catches up", "the same, node at nice 19")
        for name, node, nice in zip(names, nodes, (0, 19), strict=True):
            spans.append(_catch_up(name, hub, node, nice, backlog))
            node.stop()
            time.sleep(1)
    finally:
        printed = traffic.communicate()[0]
    for node in nodes:
        node.start()
    agreement([hub, *nodes], [written.last])
    samples: list[tuple[float, float]] = json.loads(printed)["deliveries"]
    return [span.row(samples) for span in spans]


def _catch_up(name: str, hub: FleetNode, node: FleetNode, nice: int, backlog: int) -> Span:
    node.start(nice)
    up = until(lambda: bool(node.up()), "the link is up", 60)
    used, used_by_node = hub.cpu_s(), node.cpu_s()
    # Level but for the live traffic of a tenth of a second, seen from the side that sends.
    level = until(lambda: any(link["lag"] <= RATE // 10 for link in hub.up()), "caught up", 600)
    shares = f"{(hub.cpu_s() - used) / (level - up):.0%} + {(node.cpu_s() - used_by_node) / (level - up):.0%}"
    return Span(name, up, level, f"{backlog / (level - up):,.0f}", shares)


@frozen
class Span:
    """A time (perf_counter, seconds) whose deliveries count together, and what else is to be said of it."""

    name: str
    begun: float
    ended: float
    rate: str
    cpu: str

    def row(self, samples: Sequence[tuple[float, float]]) -> list[str]:
        """samples: when each delivery arrived, and the seconds that it took."""
        within = [seconds for at, seconds in samples if self.begun <= at <= self.ended]
        found = percentiles(within)
        points = [f"{found[name]:.1f}" for name in ("p50", "p99", "max")]
        return [self.name, f"{len(within):,}", *points, f"{self.ended - self.begun:.1f}", self.rate, self.cpu]


PARTS = {"reconnect": reconnect, "comparison": comparison, "star": star, "first": first, "live": live}


@click.command()
@click.option("--quick", "share", flag_value=10, type=int, help="a tenth of the operations")
@click.option("--smoke", "share", flag_value=SMOKE, type=int, help="hardly any: whether all of it works")
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="only this; repeatable")
def main(share: int | None, parts: tuple[str, ...]) -> None:
    """Run the parts and print their tables."""
    console = Console(width=None if sys.stdout.isatty() else 220)
    for name in parts or PARTS:
        for table in PARTS[name](share or 1):
            console.print(table)


if __name__ == "__main__":
    main()
