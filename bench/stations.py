"""Where the time of one operation goes, by the clock, from its socket to all others:

    python -m bench.stations                     50 terminals that confirm nothing, 50 operations a second
    TMPDIR=/dev/shm python -m bench.stations     the same without the disk's fsync

The load is that of `comanda bench latency`. Only operations that were alone in their commit count.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path

import click
from attrs import evolve
from rich import box
from rich.console import Console
from rich.table import Table

from bench.contest.runs import Size, latency
from bench.contest.servers import ALL
from bench.rig.machine import describe

TIMED = str(Path(__file__).with_name("rig") / "timed_node.py")

STATIONS = {
    "read": "",
    "decided": "checked, decided",
    "sealed": "the pass of the scheduler ends, the group is sealed, the writer's thread has it",
    "stored": "stored, with its fsync",
    "back": "the first thread has it back",
    "answered": "the author is answered",
    "sent": "handed to all others: window, frame, a system call each",
}
"""In the order in which an operation passes them, each with what is done on the way to it."""


def measure(terminals: int, rate: int, seconds: float) -> list[dict[str, float]]:
    """When each operation passed each station, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "stations")
        plain = ALL[0]
        timed = evolve(
            plain,
            command=lambda port, data: [(c := plain.command(port, data))[0], TIMED, str(kept), *c[3:]],
        )
        latency(evolve(Size(), terminals=terminals, rate=rate, seconds=seconds), 1, timed)
        found: list[dict[str, float]] = json.loads(kept.read_text())
    times = [[one.get(name, 0.0) for name in STATIONS] for one in found]
    return [one for one, at in zip(found, times, strict=True) if at[0] and at == sorted(at)]


@click.command()
@click.option("--terminals", default=50, show_default=True)
@click.option("--rate", default=50, show_default=True, help="operations a second")
@click.option("--seconds", default=6.0, show_default=True)
def main(terminals: int, rate: int, seconds: float) -> None:
    """Print the medians."""
    found = measure(terminals, rate, seconds)
    table = Table(title=f"{len(found)} operations, p50 and p90 in ms\n{describe()}", box=box.MARKDOWN)
    for heading in ("on the way", "p50", "p90"):
        table.add_column(heading)
    for before, after in [*pairwise(STATIONS), ("read", "sent")]:
        took = sorted((one[after] - one[before]) * 1e3 for one in found)
        whole = (before, after) == ("read", "sent")
        p90 = took[len(took) * 9 // 10]
        table.add_row("in all" if whole else STATIONS[after], f"{statistics.median(took):.2f}", f"{p90:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
