"""What a store keeps: disk and memory a day, with its history archived each night and without, and in a year.

    python -m bench.year                        three days each, about a minute
    python -m bench.year --days 365 --every 5   a whole year, about an hour

The node is stopped after each `--every` days, measured on disk, started and measured in memory, so that its memory
at the start is what it must hold, and what it has more in the evening is what a day adds until the next restart.
Caches, which are bounded, are made small, so that they are full on the first day. A year is the last day measured and
the mean growth since a third of the days for the rest.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from attrs import frozen
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.rig.day import BusinessDays
from bench.rig.machine import describe
from bench.rig.node_process import UNLIMITED, NodeProcess
from bench.rig.orders import write
from crdt.engine import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

YEAR = 365
SMALL = UNLIMITED + "resident_entities = 500\nring_rows = 1000\nring_bytes = 2000000\n"
MB = 1_048_576
TABLES = ("log", "entities", "archived")


@frozen
class EveningFigures:
    """What was measured in the evening of `day`. Sizes are in MB.

    operations: written since the first day. before, after: the node's memory before and after its restart.
    start_s, archiving_s: how long the start and the archiving took.
    """

    day: int
    operations: int
    database: float
    tables: dict[str, float]
    archives: float
    before: float
    after: float
    start_s: float
    archiving_s: float


class Measured(NodeProcess):
    """A node whose caches are small."""

    def __init__(self, folder: Path, engine: str) -> None:
        super().__init__(folder, "store", "--engine", engine)
        (folder / "comanda.toml").write_text(SMALL)
        self.data = folder / "store"

    def sizes(self) -> tuple[float, dict[str, float], float]:
        """Of the stopped node: the database, its largest tables with their indexes, the archives."""
        with closing(sqlite3.connect(self.data / "comanda.db")) as database:
            rows = database.execute(
                "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
            ).fetchall()
        tables = {name: size / MB for name, size in rows}
        archives = sum(path.stat().st_size for path in (self.data / "archives").glob("*.gz"))
        return (self.data / "comanda.db").stat().st_size / MB, {t: tables.get(t, 0.0) for t in TABLES}, archives / MB

    def archive(self) -> float:
        """Everything there is; the seconds it took."""
        begun = time.perf_counter()
        answer = httpx.post(f"http://127.0.0.1:{self.port}/api/v1/archive?until=999999999", timeout=600)
        answer.raise_for_status()
        return time.perf_counter() - begun

    def restart(self) -> float:
        """The seconds until it is ready."""
        begun = time.perf_counter()
        return self.start() - begun


def measure(days: int, every: int, orders: int, engine: str, *, archiving: bool) -> list[EveningFigures]:
    store, evenings = BusinessDays(orders), []
    name = "archived each night" if archiving else "nothing archived"
    with tempfile.TemporaryDirectory(prefix="comanda-year-") as folder:
        node = Measured(Path(folder), engine)
        node.start()
        try:
            operations, took = 0, 0.0
            for day in track(range(1, days + 1), name, console=Console(stderr=True), transient=True):
                written = store.day()
                operations += len(written.messages)
                write(node.url, written)
                took = node.archive() if archiving else 0.0
                if day % every == 0 or day in (1, days):
                    before = node.memory_mb()[0]
                    node.stop()
                    database, tables, archives = node.sizes()
                    start_s = node.restart()
                    after = node.memory_mb()[0]
                    evenings.append(
                        EveningFigures(day, operations, database, tables, archives, before, after, start_s, took)
                    )
        finally:
            node.stop()
    return evenings


def in_a_year(evenings: Sequence[EveningFigures], name: str) -> float:
    """The last value, and the growth a day since a third of the days for the rest of the year."""
    last = evenings[-1]
    since = next(e for e in evenings if e.day * 3 >= last.day)
    grown = getattr(last, name) - getattr(since, name)
    a_day = grown / (last.day - since.day) if last.day > since.day else 0.0
    return float(getattr(last, name) + a_day * max(YEAR - last.day, 0))


def table(title: str, evenings: Sequence[EveningFigures]) -> Table:
    made = Table(title=f"{title}\n{describe()}", box=box.MARKDOWN)
    columns = ("day", "operations", "database MB", "log / entities / keys MB", "archives MB", "evening MB")
    for column in (*columns, "after restart MB", "start s", "archiving s"):
        made.add_column(column, justify="right")
    shown = sorted({0, len(evenings) // 4, len(evenings) // 2, 3 * len(evenings) // 4, len(evenings) - 1})
    for evening in (evenings[place] for place in shown):
        tables = " / ".join(f"{evening.tables[name]:.1f}" for name in TABLES)
        sizes = (f"{evening.database:.1f}", tables, f"{evening.archives:.1f}")
        memory = (f"{evening.before:.1f}", f"{evening.after:.1f}", f"{evening.start_s:.2f}")
        made.add_row(str(evening.day), f"{evening.operations:,}", *sizes, *memory, f"{evening.archiving_s:.1f}")
    if evenings[-1].day < YEAR and len(evenings) > 1:
        year = [in_a_year(evenings, name) for name in ("operations", "database", "archives", "after")]
        texts = (
            f"{year[0]:,.0f}",
            f"{year[1]:,.0f}",
            "",
            f"{year[2]:,.0f}",
            "",
            f"{year[3]:.0f}",
            "",
            "",
        )
        made.add_row("365, extrapolated", *texts)
    return made


@click.command()
@click.option("--days", default=3, show_default=True)
@click.option("--every", default=1, show_default=True, help="restart and measure after so many days")
@click.option("--orders", default=1_000, show_default=True, help="a day, nine operations each")
@click.option("--engine", default=DEFAULT, show_default=True)
@click.option("--only", type=click.Choice(["archived", "not"]), help="one of the two")
def main(days: int, every: int, orders: int, engine: str, only: str | None) -> None:
    """Run both and print their tables."""
    console = Console(width=None if sys.stdout.isatty() else 180)
    for archiving in (True, False):
        if only in (None, "archived" if archiving else "not"):
            evenings = measure(days, every, orders, engine, archiving=archiving)
            what = "archived each night" if archiving else "never archived"
            console.print(table(f"{orders:,} orders a day on {engine}, {what}", evenings))


if __name__ == "__main__":
    main()
