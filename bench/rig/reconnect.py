"""Two linked nodes that were apart: how soon the link is in use again, how long catching up takes, and what it sends.

Part of `python -m bench.links`.
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from rich.console import Console
from rich.progress import track

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
from bench.rig.machine import describe
from bench.rig.orders import OrderBook, write
from bench.rig.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.table import Table

    from bench.rig.orders import Batch

ORDERS = 1_000
SMOKE = 1_000
"""Share of the operations by which only whether all of it works is seen."""
OWN, SHARED = "own orders", "the same orders"


@define
class Pair:
    """A hub, a node and the wire between them."""

    folder: Path
    book: OrderBook = field(factory=OrderBook)
    hub: FleetNode = field(init=False)
    node: FleetNode = field(init=False)
    wire: Relay = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.hub = FleetNode(self.folder, "hub")
        self.wire = Relay(self.hub.port)
        self.node = FleetNode(self.folder, "node", "--upstream", self.wire.url)

    @contextmanager
    def linked(self) -> Iterator[None]:
        """Both running, level, and with the orders of the beginning."""
        ids = order_ids("t", ORDERS)
        self.hub.start()
        self.wire.mend()
        self.node.start()
        try:
            written = self.book.batch("pos-hub", ORDERS, ids, {})
            write(self.hub.url, written)
            agreement([self.hub, self.node], [written.last])
            yield
        finally:
            stop_all([self.node, self.hub])
            self.wire.cut()


@frozen
class Apart:
    """One time apart. how: stopped | cut. writers: who wrote `count` operations together, to which orders."""

    how: str
    count: int
    writers: str = "hub"
    orders: str = OWN

    def __str__(self) -> str:
        both = f"both wrote half, {self.orders}" if self.writers == "both" else "hub wrote"
        return f"node {self.how}, {both}"


def reconnect_cases(share: int) -> list[Apart]:
    if share == SMOKE:
        return [Apart("cut", 20, "both", SHARED)]
    cases = [Apart(how, count) for how in ("stopped", "cut") for count in (1_000, 10_000)]
    most = 10_000 // share
    return [*cases, Apart("cut", most, "both", OWN), Apart("cut", most, "both", SHARED)]


def reconnect(share: int) -> list[Table]:
    columns = ("time apart", "operations", "back to up s", "up to agreed s", "operations/s", "CPU s hub + node")
    sizes = ("wire MB", "bytes/operation", "of the JSON", "link says MB")
    table = new_table(f"Catching up after time apart, {ORDERS:,} orders\n{describe()}", *columns, *sizes)
    cases = reconnect_cases(share)
    with workplace() as folder:
        pair = Pair(folder)
        with pair.linked():
            for case in track(cases, console=Console(stderr=True), transient=True):
                table.add_row(str(case), f"{case.count:,}", *_apart(pair, case))
            again = _in_use_again(pair, max(15 // share, 1))
    return [table, again]


def _batches(pair: Pair, case: Apart) -> list[tuple[FleetNode, Batch]]:
    """Who writes what; both sides count on from the versions that they show."""
    hub, node, book = pair.hub, pair.node, pair.book
    ids = order_ids("t", ORDERS)
    versions = hub.versions()
    if case.writers == "hub":
        return [(hub, book.batch("pos-hub", case.count, ids, versions))]
    half = case.count // 2
    of_hub, of_node = (ids, ids) if case.orders == SHARED else (ids[::2], ids[1::2])
    return [
        (hub, book.batch("pos-hub", half, of_hub, versions)),
        (node, book.batch("pos-node", half, of_node, versions)),
    ]


def _apart(pair: Pair, case: Apart) -> list[str]:
    hub, node, wire = pair.hub, pair.node, pair.wire
    written = _batches(pair, case)
    if case.how == "stopped":
        node.stop()
    else:
        wire.cut()
        until(lambda: not node.up() and not hub.up(), "the cut is noticed", 30)
    for writer, batch in written:
        write(writer.url, batch)
    used = hub.cpu_s(), 0.0
    wire.reset()
    if case.how == "stopped":
        back = node.start()
    else:
        used = used[0], node.cpu_s()
        wire.mend()
        back = time.perf_counter()
    try:
        up = until(lambda: bool(node.up()), "the link is up", 60)
        agreed = agreement([hub, node], [batch.last for _, batch in written])
    except OverdueError as error:
        return failed(error)
    cpu = f"{hub.cpu_s() - used[0]:.1f} + {node.cpu_s() - used[1]:.1f}"
    size, raw = wire.bytes_up + wire.bytes_down, sum(batch.raw_bytes for _, batch in written)
    counted = sum(link["bytes_in"] + link["bytes_out"] for link in node.up())
    return [
        f"{up - back:.2f}",
        f"{agreed - up:.2f}",
        f"{case.count / (agreed - up):,.0f}",
        cpu,
        f"{size / 1e6:.2f}",
        f"{size / case.count:,.0f}",
        f"{size / raw:.2f}x of {raw / case.count:,.0f}",
        f"{counted / 1e6:.2f}",
    ]


def _in_use_again(pair: Pair, times: int) -> Table:
    """From the moment that the other side can be reached again until the link is up."""
    hub, node, wire = pair.hub, pair.node, pair.wire

    def restarted(away_s: float) -> float:
        hub.stop()
        until(lambda: not node.up(), "the end is noticed", 30)
        time.sleep(away_s)
        return hub.start()

    def cut(away_s: float) -> float:
        wire.cut()
        until(lambda: not node.up(), "the cut is noticed", 30)
        time.sleep(away_s)
        wire.mend()
        return time.perf_counter()

    ways: Sequence[tuple[str, Callable[[float], float], float]] = (
        ("hub restarted at once", restarted, 0.0),
        ("network cut for 0.2 s", cut, 0.2),
        ("network cut for 2 s", cut, 2.0),
    )
    table = new_table("A link in use again while the node keeps running", "after", "times", "p50 ms", "max ms")
    for name, away, seconds in ways:
        samples = []
        for _ in range(times):
            back = away(seconds)
            samples.append((until(lambda: bool(node.up()), "the link is up", 60) - back) * 1000)
        table.add_row(name, str(times), f"{statistics.median(samples):.0f}", f"{max(samples):.0f}")
    return table
