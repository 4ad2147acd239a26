"""What one operation costs a node: processor time and, where they are counted, user-space instructions.

    python -m bench.cost                                     the cases of one operation, three rounds, 3 min
    python -m bench.cost --case back:each:10000 --rounds 5   one case
    python -m bench.cost --against ../before                 the same of another checkout, its runs between ours

Wall time is no measure on a machine that others use; this repeats far better. The load is deterministic: each step
has so many operations under way, and ends when every author has its confirmation and every other terminal its row.
Every operation is durable first. Cases:

    live:HOW:N:K:S    N terminals that write in turn and listen; K operations under way, S steps
    back:HOW:M        one terminal that comes back after M missed operations; for each of them
    link:M            a node that comes back to another after M missed operations; for each, both nodes together

HOW is `silent` (they answer pings only), `each` (each row is confirmed, as the documented client does) or
`by position` (with `back` only: the last row of each read is confirmed). "pings" is how many the node sent for each
operation: they go by the clock, so a machine that is slow today pays for more of them. Compare silent cases where
that is alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click
import orjson
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.rig.counters import Used
from bench.rig.crowd import Crowd, Terminal, total, write_all
from bench.rig.fleet import FleetNode, until
from bench.rig.machine import describe

CASES = ("live:silent:50:1:100", "live:each:50:1:100", "live:silent:50:8:30", "live:each:50:8:30")

ENTITIES = 1_000
"""Orders that are written while a terminal or a node is away."""

WARM_UP = 60
"""Operations before a live case is measured: the orders are there, the caches warm."""

Figures = dict[str, float]
"""us: CPU time of an operation. k: thousand instructions of one, where counted. What else there is, by its name."""


def live(node: FleetNode, how: str, count: int, under_way: int, steps: int) -> Figures:
    crowd = Crowd(node.port, count, how)
    for _ in range(max(WARM_UP // under_way, 5)):
        crowd.step(under_way)
    used, pings, operations = Used(node.pid), crowd.pings, steps * under_way
    for _ in range(steps):
        crowd.step(under_way)
    found = {**_figures(used, operations), "pings": (crowd.pings - pings) / operations}
    crowd.close()
    return found


def back(node: FleetNode, how: str, missed: int) -> Figures:
    away = Terminal(node.port, "away", kind="kds")
    away.settle(0.3)
    away.close()
    write_all(node.port, range(missed), ENTITIES)
    used, begun = Used(node.pid), time.perf_counter()
    away = Terminal(node.port, "away", how, kind="kds")
    away.catch_up(missed)
    ms = (time.perf_counter() - begun) * 1000
    away.settle(0.3)  # its last confirmations are taken
    found = {**_figures(used, missed), "ms": ms}
    away.close()
    return found


def link(folder: Path, checkout: Path, missed: int) -> Figures:
    hub = FleetNode(folder, "hub", checkout=checkout)
    leaf = FleetNode(folder, "leaf", "--upstream", hub.url, checkout=checkout)
    hub.start()
    leaf.start()
    try:
        write_all(hub.port, range(ENTITIES), ENTITIES)
        _wait_for(leaf, ENTITIES - 1)
        leaf.stop()
        write_all(hub.port, range(ENTITIES, ENTITIES + missed), ENTITIES, name="second")
        leaf.start()
        used, begun = (Used(hub.pid), Used(leaf.pid)), time.perf_counter()
        _wait_for(leaf, ENTITIES + missed - 1)
        ms = (time.perf_counter() - begun) * 1000
        sender, receiver = (_figures(each, missed) for each in used)
        both = {name: sender[name] + receiver[name] for name in sender}
        return {**both, "receiver us": receiver["us"], "ms": ms}
    finally:
        leaf.stop()
        hub.stop()


def _wait_for(node: FleetNode, number: int) -> None:
    """Until a node is level, and shows the last operation."""

    def arrived() -> bool:
        shown = node.entity(("orders", f"o-{number % ENTITIES}"))
        return node.level(1) and shown.get("data", {}).get("total") == total(number)

    until(arrived, "the nodes are level", 120)


def _figures(used: Used, operations: int) -> Figures:
    us, instructions = used.cpu_us(), used.instructions()
    used.close()
    found = {"us": us / operations}
    return found if instructions is None else {**found, "k": instructions / operations / 1000}


def measure(case: str, checkout: Path) -> Figures:
    """One run of a case, on nodes of their own."""
    kind, *words = case.split(":")
    how = words.pop(0) if kind != "link" else ""
    numbers = [int(word) for word in words]
    with tempfile.TemporaryDirectory(prefix="comanda-cost-") as name:
        folder = Path(name)
        if kind == "link":
            return link(folder, checkout, *numbers)
        node = FleetNode(folder, "node", checkout=checkout)
        node.start()
        try:
            return live(node, how, *numbers) if kind == "live" else back(node, how, *numbers)
        finally:
            node.stop()


@click.command()
@click.option("--case", "cases", multiple=True, help=f"repeatable; without it {', '.join(CASES)}")
@click.option("--rounds", default=3, show_default=True)
@click.option("--against", type=click.Path(exists=True, file_okay=False, path_type=Path), help="another checkout")
@click.option("--json", "as_json", is_flag=True, help="a line of JSON for each run")
def main(cases: tuple[str, ...], rounds: int, against: Path | None, as_json: bool) -> None:
    """Run every case in alternation, and print medians."""
    checkouts = {"here": Path.cwd(), **({str(against): against} if against else {})}
    runs = [(case, name) for _ in range(rounds) for case in cases or CASES for name in checkouts]
    found: dict[tuple[str, str], list[Figures]] = {}
    for case, name in track(runs, console=Console(stderr=True), transient=True):
        figures = measure(case, checkouts[name].resolve())
        found.setdefault((case, name), []).append(figures)
        if as_json:
            print(orjson.dumps({"case": case, "of": name, **figures}).decode())
    table = Table(title=f"For each operation; medians\n{describe()}", box=box.MARKDOWN)
    for heading in ("case", "of", "CPU us", "spread", "thousand instructions", "besides"):
        table.add_column(heading)
    for (case, name), each in sorted(found.items()):
        middle = {figure: statistics.median(run[figure] for run in each) for figure in each[0]}
        us = [run["us"] for run in each]
        besides = ", ".join(f"{figure} {value:,.1f}" for figure, value in middle.items() if figure not in ("us", "k"))
        k = f"{middle['k']:,.1f}" if "k" in middle else "-"
        table.add_row(case, name, f"{middle['us']:,.1f}", f"{min(us):,.0f}-{max(us):,.0f}", k, besides)
    Console(stderr=as_json, width=130).print(table)


if __name__ == "__main__":
    main()
