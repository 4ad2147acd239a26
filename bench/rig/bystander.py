"""A terminal beside whatever is measured, in its own process: writes to orders that nobody has in memory, and waits.

Says when it is connected, and goes on until its input is closed. Then it prints of each operation when it was sent
(perf_counter, the same clock for all processes), the seconds until it was confirmed, and the seconds of CPU that the
node spent meanwhile.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

import click
import orjson
import trio

from bench.rig.client import LoadClient
from bench.rig.growth import order_id
from bench.rig.node_process import cpu_of

TERMINAL = "pos-9"
BEFORE_OTHERS = -10
"""Its priority, where it may have one: it does little, and is to see a confirmation as soon as it is there."""

LAST_S = 120
"""How long the last confirmations are waited for."""


class Bystander:
    """rate: operations a second. orders: of the store, of which each operation takes one at random."""

    def __init__(self, url: str, pid: int, rate: float, orders: int, first: int) -> None:
        self.url, self.pid, self.rate, self.orders = url, pid, rate, orders
        self._number = first
        self._sent: dict[str, tuple[float, float]] = {}
        self._samples: list[tuple[float, float, float]] = []
        self._random = random.Random(first)
        self._stop, self._answered = trio.Event(), trio.Event()

    def _on_text(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"sync_error"'):
            raise RuntimeError(payload.decode())
        if payload.startswith(b'{"type":"sync_confirmation"'):
            sent, cpu = self._sent.pop(orjson.loads(payload)["operation_id"])
            self._samples.append((sent, time.perf_counter() - sent, cpu_of(self.pid) - cpu))
            if self._stop.is_set() and not self._sent:
                self._answered.set()

    def _operation(self) -> bytes:
        self._number += 1
        operation_id = f"by-{self._number}"
        operation = {
            "id": operation_id,
            "entity_type": "orders",
            "entity_id": order_id(self._random.randrange(self.orders)),
            "operation": "UPDATE",
            "data": {"note": f"n{self._number}"},
            "timestamp": datetime.now(UTC).isoformat(),
            "terminal_id": TERMINAL,
        }
        self._sent[operation_id] = time.perf_counter(), cpu_of(self.pid)
        return orjson.dumps({"type": "data_sync", "operation": operation})

    async def _until_closed(self) -> None:
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        self._stop.set()

    async def run(self) -> list[tuple[float, float, float]]:
        async with trio.open_nursery() as nursery:
            client = LoadClient(self._on_text)
            await client.connect(f"{self.url}/ws/{TERMINAL}?type=pos")
            nursery.start_soon(client.run)
            nursery.start_soon(self._until_closed)
            print("connected", flush=True)
            while not self._stop.is_set():
                client.send(self._operation())
                with trio.move_on_after(1 / self.rate):
                    await self._stop.wait()
            if self._sent:
                with trio.fail_after(LAST_S):
                    await self._answered.wait()
            nursery.cancel_scope.cancel()
        return self._samples


@click.command()
@click.option("--url", required=True)
@click.option("--pid", required=True, type=int, help="of the node")
@click.option("--rate", default=10.0)
@click.option("--orders", required=True, type=int)
@click.option("--first", default=0, help="number of the operation before the first")
def main(url: str, pid: int, rate: float, orders: int, first: int) -> None:
    """Print the samples as JSON."""
    with suppress(OSError):  # else on a busy machine what it does not read for a while counts as the node's wait
        os.nice(BEFORE_OTHERS)
    print(json.dumps(trio.run(Bystander(url, pid, rate, orders, first).run)))


if __name__ == "__main__":
    main()
