"""Head office with many stores and links in one process: memory, and CPU at rest and while stores write.

    python -m bench chain                             300 stores with 10 links each, 150 operations a second together
    python -m bench chain --stores 1 --links 300      today's tree: one realm, where each link is sent each operation

It takes a machine of its own: what else runs there is waited for by everybody who dials.

A terminal of each realm writes orders at head office, and each link of the realm is sent each of them. What is at the
other end of a link answers and confirms as a node does, `--away` milliseconds away, and holds nothing; so what is
compared once a minute is not in the figures. It stops while all links end at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from bench.rig.fleet import new_table
from bench.rig.linked import Distance, Linked, Writer
from bench.rig.machine import describe
from bench.rig.node_process import UNLIMITED, NodeProcess
from bench.rig.orders import OrderBook
from bench.rig.small import Taken
from node.config.sections import REALMS
from node.runtime.api.tokens import made
from storage.sqlite.backup import back_up
from storage.sqlite.database import DATABASE
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE_S = 300
"""After which what has arrived is counted, of a machine that does not take so much."""

SETTLED_S = 3
CONFIG = f"""{UNLIMITED}connections = 20000
connections_per_address = 20000
[backup]
every_h = 0
[links]
silence_s = 600
[time]
idle_timeout_s = 3600
"""
"""Here all links come from one machine, whose thread may be late."""

DIALLING = 8
"""Connections that are made at one time."""

ORDERS = 20
"""A writer's, in turn."""


def store_of(folder: Path, names: Sequence[tuple[str, str]]) -> tuple[Path, Mapping[str, str]]:
    """A database with a token for each of (id, type); and the tokens by id."""
    rows = {name: made(name, kind, "", "2026-01-15T10:00:00.000Z", {}, None) for name, kind in names}
    with closing(Store.open(folder, "office", lambda: uuid.uuid4().hex)) as store:
        store.put_tokens([row for _, row in rows.values()])
        return store.path, {name: token for name, (token, _) in rows.items()}


def cpu_ms(pid: int, seconds: float) -> float:
    """CPU of a process, ms a second."""
    before = Taken.of(pid)
    time.sleep(seconds)
    return 1000 * (Taken.of(pid).cpu_s - before.cpu_s) / seconds


def measure(stores: int, links: int, rate: int, seconds: float, away_ms: int) -> list[str]:
    """A line of the table."""
    with tempfile.TemporaryDirectory(prefix="comanda-chain-") as written, tempfile.TemporaryDirectory() as elsewhere:
        folder, names = Path(written), [(f"hub-{n}", "node") for n in range(links)]
        database, tokens = store_of(Path(elsewhere) / "store", [*names, ("pos-1", "pos")])
        office, realms = NodeProcess(folder, "office"), [f"loja-{n}" for n in range(stores)]
        for realm in realms:
            kept = folder / "office" / REALMS / realm
            kept.mkdir(parents=True, mode=0o700)
            back_up(database, kept / DATABASE)
        (folder / "office").chmod(0o700)
        (folder / "comanda.toml").write_text(CONFIG)
        office.start()
        distance = None
        try:
            time.sleep(SETTLED_S)
            alone_mb = office.memory_mb()[0]
            distance = Distance(away_ms)
            with ThreadPoolExecutor(DIALLING) as pool:
                for writer in pool.map(lambda realm: Writer(office.port, realm, "pos-1", tokens["pos-1"]), realms):
                    distance.take(writer)
            time.sleep(SETTLED_S)
            open_mb = office.memory_mb()[0]
            ends = [(realm, name) for name, _ in names for realm in realms]
            with ThreadPoolExecutor(DIALLING) as pool:
                for linked in pool.map(lambda end: Linked(office.port, *end, tokens[end[1]]), ends):
                    distance.take(linked)
            time.sleep(seconds)  # ten round trips say how far away they are
            idle = cpu_ms(office.pid, seconds)
            linked_mb = office.memory_mb()[0]
            each = max(1, int(rate * seconds) // stores)
            book, ids = OrderBook(), [f"mesa-{n}" for n in range(ORDERS)]
            messages = [book.batch("pos-1", each, ids, {}).messages for _ in realms]
            before, began = Taken.of(office.pid), time.monotonic()
            distance.write(messages, rate)
            while not distance.written and time.monotonic() < began + PATIENCE_S:
                if distance.failed is not None:
                    raise distance.failed
                time.sleep(0.05)
            took, after = time.monotonic() - began, Taken.of(office.pid)
            sent, busy = distance.delivered, 1000 * (after.cpu_s - before.cpu_s) / took
            busy_mb = office.memory_mb()[0]
            again = sum(linked.tries - 1 for linked in distance.nodes)
            descriptors = len(os.listdir(f"/proc/{office.pid}/fd"))
        finally:
            if distance is not None:
                distance.end()
            stopping = time.monotonic()
            office.stop()
            stopped_s = time.monotonic() - stopping
    return [
        str(stores),
        str(stores * links),
        f"{alone_mb:.0f}",
        f"{open_mb:.0f}",
        f"{linked_mb:.0f}",
        f"{busy_mb:.0f}",
        f"{1024 * (linked_mb - open_mb) / (stores * links):.0f}",
        f"{idle:.0f}",
        f"{sent / took:.0f}",
        f"{busy:.0f}",
        f"{1000 * (busy - idle) * took / sent:.0f}",
        str(descriptors),
        str(again),
        f"{stopped_s:.1f}",
    ]


@click.command()
@click.option("--stores", default=300, show_default=True)
@click.option("--links", default=10, show_default=True, help="of each")
@click.option("--rate", default=150, show_default=True, help="operations a second, of all together")
@click.option("--seconds", default=30.0, show_default=True, help="of nothing, and of writing")
@click.option("--away", "away_ms", default=40, show_default=True, help="ms that the other ends answer later")
def main(stores: int, links: int, rate: int, seconds: float, away_ms: int) -> None:
    """Print what stores and their links cost head office."""
    table = new_table(
        f"Head office, its stores and their links\n{describe()}",
        "stores",
        "links",
        "MB without",
        "open",
        "linked",
        "written",
        "KB a link",
        "idle CPU ms/s",
        "operations/s",
        "CPU ms/s",
        "us an operation",
        "descriptors",
        "dialled again",
        "s to stop",
    )
    table.add_row(*measure(stores, links, rate, seconds, away_ms))
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    main()
