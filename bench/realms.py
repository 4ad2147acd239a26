"""Head office with many stores in one process: what a realm costs that is open and where nothing happens.

    python -m bench realms                          300 stores, each empty
    python -m bench realms --stores 20 --orders 50  20 with 50 orders each, nine operations an order

Each realm is opened by a question to it. Then all are left alone, and nobody is linked: what an idle link costs is in
README.md, and is the same however many realms there are.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

import click
from rich.console import Console

from bench.rig.day import BusinessDays
from bench.rig.fleet import new_table
from bench.rig.machine import describe
from bench.rig.node_process import UNLIMITED, NodeProcess
from bench.rig.orders import write
from bench.rig.small import Taken
from node.cli.asking import CONTROL, ask
from node.config.sections import REALMS
from storage.sqlite.backup import back_up
from storage.sqlite.database import DATABASE
from storage.sqlite.store import Store

SETTLED_S = 3
OPEN_S = 86_400


def store_of(folder: Path, orders: int) -> Path:
    """The database of a store that has written so many orders."""
    if not orders:
        with closing(Store.open(folder / "store", "office", lambda: uuid.uuid4().hex)) as store:
            return store.path
    node = NodeProcess(folder, "office")
    node.start()
    try:
        write(node.url, BusinessDays(orders).day())
    finally:
        node.stop()
    copy = folder / "store.db"
    back_up(folder / "office" / DATABASE, copy)
    return copy


def measure(stores: int, orders: int, idle_s: float) -> list[str]:
    """A line of the table."""
    with tempfile.TemporaryDirectory(prefix="comanda-realms-") as made, tempfile.TemporaryDirectory() as elsewhere:
        database = store_of(Path(elsewhere), orders)
        office = NodeProcess(Path(made), "office")
        for number in range(stores):
            folder = Path(made) / "office" / REALMS / f"loja-{number}"
            folder.mkdir(parents=True, mode=0o700)
            back_up(database, folder / DATABASE)
        (Path(made) / "office").chmod(0o700)
        (Path(made) / "comanda.toml").write_text(f"{UNLIMITED}[time]\nrealm_rest_s = {OPEN_S}\n")
        office.start()
        try:
            time.sleep(SETTLED_S)
            alone_mb = office.memory_mb()[0]
            before = Taken.of(office.pid)
            time.sleep(idle_s)
            alone = Taken.of(office.pid)
            began, door = time.perf_counter(), f"{CONTROL}{Path(made) / 'office'}"
            for number in range(stores):
                ask(door, f"/api/v1/websocket/stats?realm=loja-{number}")
            opened_s = time.perf_counter() - began
            rows = ask(door, "/api/v1/realms")["realms"]
            if sum(row["open"] for row in rows) != stores:
                raise RuntimeError(f"not all are open: {rows}")
            time.sleep(SETTLED_S)
            start = Taken.of(office.pid)
            time.sleep(idle_s)
            end = Taken.of(office.pid)
            memory_mb = office.memory_mb()[0]
            process = Path(f"/proc/{office.pid}")
            descriptors, threads = (len(list((process / of).iterdir())) for of in ("fd", "task"))
        finally:
            office.stop()
    idle_ms = 1000 * (end.cpu_s - start.cpu_s) / idle_s
    alone_ms = 1000 * (alone.cpu_s - before.cpu_s) / idle_s
    return [
        str(stores),
        str(rows[0]["head"]),
        f"{alone_mb:.1f}",
        f"{memory_mb:.1f}",
        f"{(memory_mb - alone_mb) / stores:.2f}",
        f"{alone_ms:.1f}",
        f"{idle_ms:.1f}",
        f"{1000 * (idle_ms - alone_ms) / stores:.0f}",
        str(descriptors),
        str(threads),
        f"{1000 * opened_s / stores:.0f}",
    ]


@click.command()
@click.option("--stores", multiple=True, default=(300,), show_default=True, help="several times: each in turn")
@click.option("--orders", default=0, show_default=True, help="that each has, nine operations an order")
@click.option("--idle", "idle_s", default=20.0, show_default=True, help="seconds of nothing")
def main(stores: tuple[int, ...], orders: int, idle_s: float) -> None:
    """Print what realms cost that are open and idle."""
    table = new_table(
        f"Realms of one process\n{describe()}",
        "stores",
        "rows each",
        "MB without",
        "MB with",
        "MB each",
        "idle CPU ms/s without",
        "with",
        "us/s each",
        "descriptors",
        "threads",
        "ms to open",
    )
    for count in stores:
        table.add_row(*measure(count, orders, idle_s))
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    main()
