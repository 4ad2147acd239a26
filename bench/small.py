"""A hub on a small machine: memory, bytes written to disk an operation, and what it does while nobody does anything.

    python -m bench small                     a day of 5,000 orders with 1, 8 and 30 terminals; some minutes each
    python -m bench small --orders 500 --terminals 30 --machine small

Memory is measured after the start, with the terminals there, and after the day. The day is sent as fast as the hub
takes it. `files` is what of the evening's is pages of programs and libraries, which the system drops and reads again
where memory is short. `loaded` is what a node takes with its modules, before it opens anything. Then some operations
are sent one at a time, as people write: each is a commit of its own. `disk` is what the process handed to the block
device (`write_bytes`), `asked` what its calls wrote.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import orjson
from rich.console import Console
from websockets.sync.client import connect

from bench.rig.day import TERMINAL, BusinessDays
from bench.rig.fleet import new_table
from bench.rig.machine import describe
from bench.rig.node_process import UNLIMITED, NodeProcess
from bench.rig.orders import write
from bench.rig.small import Crowd, Taken, files_mb

DAY = 5_000
PATIENCE_S = 600


LOADED = "import node.runtime.app, node.cli.serve, storage.system as s; print(s.memory_bytes() / 2**20)"


def one_at_a_time(node: NodeProcess, store: BusinessDays, count: int) -> int:
    """Operations that each wait for the one before. Returns how many."""
    texts = store.day().messages[:count]
    with connect(f"{node.url}/ws/{TERMINAL}?type=pos", max_size=None, compression=None) as socket:
        for text in texts:
            named = orjson.loads(text)["operation"]["id"]
            socket.send(text.decode())
            while named not in str(socket.recv(PATIENCE_S)):
                pass
    return len(texts)


def caught_up(crowd: Crowd, rows: int) -> None:
    until = time.monotonic() + PATIENCE_S
    while min(crowd.rows()) < rows:
        if time.monotonic() > until:
            raise RuntimeError(f"{rows} rows were sent to nobody whole: {crowd.rows()}")
        time.sleep(0.1)


def measure(
    terminals: int, orders: int, single: int, idle_s: float, settled_s: float, config: str, *flags: str
) -> list[str]:
    """A line of the table."""
    with tempfile.TemporaryDirectory(prefix="comanda-small-") as folder:
        node = NodeProcess(Path(folder), "hub", *flags)
        (Path(folder) / "comanda.toml").write_text(config)
        node.start()
        crowd = None
        try:
            memory = [node.memory_mb()[0]]
            crowd = Crowd(node.port, terminals)
            time.sleep(2)
            memory.append(node.memory_mb()[0])
            began = Taken.of(node.pid)
            time.sleep(idle_s)
            idle = Taken.of(node.pid)
            store = BusinessDays(orders)
            day = store.day()
            write(node.url, day)
            caught_up(crowd, len(day.messages))
            memory.append(node.memory_mb()[0])
            files = files_mb(node.pid)
            time.sleep(settled_s)
            before = Taken.of(node.pid)
            alone = one_at_a_time(node, store, single)
            time.sleep(settled_s)
            after = Taken.of(node.pid)
            peak = node.memory_mb()[1]
        finally:
            if crowd is not None:
                crowd.leave()
            node.stop()
    many = len(day.messages)
    return [
        str(terminals),
        *(f"{mb:.1f}" for mb in (*memory, files, peak)),
        f"{(before.written - idle.written) / many:,.0f}",
        f"{(before.asked - idle.asked) / many:,.0f}",
        f"{(after.written - before.written) / alone:,.0f}",
        f"{(after.asked - before.asked) / alone:,.0f}",
        f"{(idle.wakes - began.wakes) / idle_s:.1f}",
        f"{1000 * (idle.cpu_s - began.cpu_s) / idle_s:.1f}",
    ]


@click.command()
@click.option("--terminals", multiple=True, default=(1, 8, 30), show_default=True, help="several times: each in turn")
@click.option("--orders", default=DAY, show_default=True, help="of the day, nine operations each")
@click.option("--single", default=300, show_default=True, help="operations that each wait for the one before")
@click.option("--idle", "idle_s", default=30.0, show_default=True, help="seconds of nothing")
@click.option("--settled", "settled_s", default=35.0, show_default=True, help="until the checkpoint is over")
@click.option("--machine", type=click.Choice(["standard", "small"]), default="standard", show_default=True)
@click.option("--engine", help="CRDT engine")
def main(
    terminals: tuple[int, ...],
    orders: int,
    single: int,
    idle_s: float,
    settled_s: float,
    machine: str,
    engine: str | None,
) -> None:
    """Print what a hub takes."""
    loaded = float(subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout)
    table = new_table(
        f"A hub on a {machine} machine, {orders:,} orders; loaded {loaded:.1f} MB\n{describe()}",
        "terminals",
        *(f"{when} MB" for when in ("started", "they are here", "evening", "of it files", "most")),
        "disk B an operation",
        "asked B",
        "alone: disk B",
        "asked B",
        "idle: wake-ups/s",
        "CPU ms/s",
    )
    config = f'[node]\nmachine = "{machine}"\n{UNLIMITED}'
    flags = () if engine is None else ("--engine", engine)
    for count in terminals:
        table.add_row(*measure(count, orders, single, idle_s, settled_s, config, *flags))
    Console(width=None if sys.stdout.isatty() else 180).print(table)


if __name__ == "__main__":
    main()
