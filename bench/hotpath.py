"""The hot path: durable operations a second, and latencies at a paced 1,000 a second.

    python -m bench.hotpath            all of it, about two minutes
    python -m bench.hotpath --quick    a tenth of it

Every operation is fsynced (synchronous FULL) before it is confirmed or delivered. Server and load share the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

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


@click.command()
@click.option("--quick", is_flag=True, help="a tenth of the operations")
@click.option("--json", "as_json", is_flag=True, help="one JSON line a case")
def main(quick: bool, as_json: bool) -> None:
    """Run every case and print a table."""
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else 150)
    table = Table(title=f"Comanda hot path, durable (FULL)\n{describe()}")
    for name in ("load", "listeners", "ops/s", "deliveries/s", "confirmation ms", "delivery ms", "ping ms"):
        table.add_column(name)
    for name, count, rate, listeners, confirm in track(CASES, console=Console(stderr=True), transient=True):
        result = measure(count // 10 if quick else count, rate, listeners, confirm)
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


if __name__ == "__main__":
    main()
