"""The hot path: durable operations a second, and latencies at a paced 1,000 a second.

    python -m bench.hotpath            all of it, about two minutes
    python -m bench.hotpath --quick    a tenth of it
    python -m bench.hotpath --part lines    what an order of ten lines costs the node, half a minute
    python -m bench.hotpath --part large    the same of one large operation, its longest turn, and how others wait

Every operation is fsynced (synchronous FULL) before it is confirmed or delivered. Server and load share the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys

import click
from attrs import asdict
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.rig.large import CASES as LARGE
from bench.rig.large import cost as cost_of_large
from bench.rig.lines import CASES as LINES
from bench.rig.lines import CHANGED, cost
from bench.rig.machine import describe
from bench.rig.node_process import running_node

CASES = (
    ("as fast as it goes, 64 in flight", 20_000, 0, 1, False),
    ("as fast as it goes, 64 in flight", 20_000, 0, 10, False),
    ("as fast as it goes, 64 in flight", 10_000, 0, 49, False),
    ("as fast as it goes, 64 in flight", 10_000, 0, 10, True),
    ("paced 1,000/s", 10_000, 1_000, 1, False),
    ("paced 1,000/s", 10_000, 1_000, 10, True),
    ("paced 1,000/s", 10_000, 1_000, 49, False),
)


def measure(count: int, rate: int, listeners: int, confirm: bool) -> dict[str, object]:
    with running_node() as (url, _):
        command = [sys.executable, "-m", "bench.rig.load", "--url", url, "--count", str(count), "--rate", str(rate)]
        command += ["--listeners", str(listeners), "--confirm" if confirm else "--silent"]
        finished = subprocess.run(command, capture_output=True, text=True, check=True)
        result: dict[str, object] = json.loads(finished.stdout)
        return result


def _lines(console: Console, *, share: int, as_json: bool) -> None:
    table = Table(title=f"An order of ten lines, a commit an operation\n{describe()}", box=box.MARKDOWN)
    for name in ("what is written", "node CPU us an operation", "stored B an order"):
        table.add_column(name, justify="right")
    for name in track(LINES, console=Console(stderr=True), transient=True):
        found = cost(name, max(3_000 // share, 5), CHANGED if share <= 10 else 1)
        if as_json:
            print(json.dumps({"write": name, "cpu_us": found.cpu_us, "stored": found.stored}))
        table.add_row(name, f"{found.cpu_us:,.0f}", f"{found.stored:,}")
    console.print(table)


def _load(console: Console, *, share: int, as_json: bool) -> None:
    cases = CASES[::5] if share > 10 else CASES
    table = Table(title=f"Comanda hot path, durable (FULL)\n{describe()}")
    for name in ("load", "listeners", "ops/s", "deliveries/s", "confirmation ms", "delivery ms", "ping ms"):
        table.add_column(name)
    for name, count, rate, listeners, confirm in track(cases, console=Console(stderr=True), transient=True):
        result = measure(count // share, rate, listeners, confirm)
        if as_json:
            print(json.dumps({"load": name, **result}))
        table.add_row(
            name,
            f"{listeners} {'confirming' if confirm else 'silent'}",
            f"{result['operations_per_second']:,}",
            f"{result['deliveries_per_second']:,}",
            *(_shown(result[key]) for key in ("confirmation_ms", "delivery_ms", "ping_ms")),
        )
    console.print(table)


def _shown(points: object) -> str:
    assert isinstance(points, dict)
    return f"p50 {points['p50']:.2f} / p99 {points['p99']:.2f}"


def _large(console: Console, *, share: int, as_json: bool) -> None:
    table = Table(title=f"One large operation\n{describe()}", box=box.MARKDOWN)
    for name in ("what is written", "node CPU ms an operation", "its longest turn, ms", "others wait, CPU ms"):
        table.add_column(name, justify="right")
    for name in track(LARGE, console=Console(stderr=True), transient=True):
        found = cost_of_large(name, max(30 // share, 1 if share > 10 else 5))
        if as_json:
            print(json.dumps({"write": name, **asdict(found)}))
        table.add_row(name, f"{found.operation_ms:,.0f}", f"{found.turn_ms:,.1f}", f"{found.others_ms:,.0f}")
    console.print(table)


PARTS = {"load": _load, "lines": _lines, "large": _large}


@click.command()
@click.option("--quick", "share", flag_value=10, type=int, help="a tenth of the operations")
@click.option("--smoke", "share", flag_value=1_000, type=int, help="hardly any: whether all of it works")
@click.option("--json", "as_json", is_flag=True, help="one JSON line a case")
@click.option("--part", type=click.Choice(["all", *PARTS]), default="all", help="one of the tables")
def main(share: int | None, as_json: bool, part: str) -> None:
    """Run every case and print a table."""
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else 150)
    for name, run in PARTS.items():
        if part in ("all", name):
            run(console, share=share or 1, as_json=as_json)


if __name__ == "__main__":
    main()
