"""What the others feel of a terminal that reads nothing, one that never answers, and one away for 100,000 operations.

    python -m bench.backlog            about three minutes
    python -m bench.backlog --missed 10000

Ten confirming listeners get 300 operations a second, first alone, then while the three misbehave; the node's memory
is read before and after.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.table import Table

from bench.rig.client import LoadClient
from bench.rig.machine import describe
from bench.rig.node_process import running_node

RATE = 300
SECONDS = 20


def load(url: str, count: int, first: int, *flags: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "bench.rig.load",
        "--url",
        url,
        "--count",
        str(count),
        "--first",
        str(first),
        *flags,
    ]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1_048_576


async def remember_place(url: str) -> None:
    """Connect once as the terminal that will be away, so that the node has a cursor for it."""
    async with trio.open_nursery() as nursery:
        hello = trio.Event()
        client = LoadClient(lambda _: hello.set())
        await client.connect(f"{url}/ws/away-1?type=kds")
        nursery.start_soon(client.run)
        await hello.wait()
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()


async def misbehave(url: str, missed: int, caught_up: list[float], stop: threading.Event) -> None:
    """The deaf one, the one that never answers, and the one that comes back and catches up."""
    got = 0
    done = trio.Event()

    def on_text(payload: bytes) -> None:
        nonlocal got
        got += payload.startswith(b'{"type":"data_sync"')
        if got >= missed:
            done.set()

    deaf = LoadClient(lambda _: None)
    await deaf.connect(f"{url}/ws/deaf-1?type=kds")  # its socket is never read
    never = LoadClient(lambda _: None)
    never.send = lambda _: None  # type: ignore[method-assign]
    await never.connect(f"{url}/ws/never-1?type=kds")
    away = LoadClient(on_text)
    await away.connect(f"{url}/ws/away-1?type=kds")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(never.run)
        begun = time.perf_counter()
        nursery.start_soon(away.run)
        await done.wait()
        caught_up.append(time.perf_counter() - begun)
        await trio.to_thread.run_sync(stop.wait)
        nursery.cancel_scope.cancel()


@click.command()
@click.option("--missed", default=100_000, help="operations the absent terminal misses")
@click.option("--seconds", default=SECONDS, show_default=True, help="of live traffic, twice")
def main(missed: int, seconds: int) -> None:
    """Print both measurements."""
    console = Console(width=130)
    with running_node() as (url, node):
        trio.run(remember_place, url)
        filled = load(url, missed, 0, "--window", "256", "--listeners", "0")
        before = memory_mb(node.pid)
        paced = ["--rate", str(RATE), "--listeners", "10", "--confirm"]
        load(url, RATE, missed, *paced)  # the listeners' first synchronisation, not measured
        first = missed + RATE
        alone = load(url, RATE * seconds, first, *paced)
        caught_up: list[float] = []
        stop = threading.Event()
        thread = threading.Thread(target=partial(trio.run, misbehave, url, missed, caught_up, stop))
        thread.start()
        together = load(url, RATE * seconds, first + RATE * seconds, *paced)
        stop.set()
        thread.join()
        after = memory_mb(node.pid)
    table = Table(title=f"10 confirming listeners, {RATE} operations/s\n{describe()}")
    for name in ("", "delivery p50 ms", "delivery p99 ms", "ping p50 ms", "node memory MB"):
        table.add_column(name)
    for name, found, memory in (("alone", alone, before), ("with the three", together, after)):
        delivery, ping = found["delivery_ms"], found["ping_ms"]
        table.add_row(name, str(delivery["p50"]), str(delivery["p99"]), str(ping["p50"]), f"{memory:.0f}")
    console.print(table)
    console.print(
        f"{missed:,} operations written at {filled['operations_per_second']:,}/s; "
        f"caught up in {caught_up[0]:.1f} s ({missed / caught_up[0]:,.0f} operations/s) beside the live traffic"
    )


if __name__ == "__main__":
    main()
