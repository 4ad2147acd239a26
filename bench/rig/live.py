"""Paced traffic for as long as it is wanted, run in its own process: goes on until its input is closed.

Prints when each delivery arrived (perf_counter, the same clock for all processes) and how long it took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
import trio

from bench.rig.client import LoadClient
from bench.rig.load import Measurement

MOST = 10**7
"""Operations, never reached."""


class Live(Measurement):
    """A measurement whose end is not known when it begins."""

    def __init__(self, url: str, rate: int, listeners: int, first: int) -> None:
        super().__init__(url, MOST, rate, MOST, listeners, True, first)
        self.arrived: list[float] = []
        self._stop = trio.Event()

    def on_row(self, client: LoadClient, name: str, payload: bytes) -> None:
        super().on_row(client, name, payload)
        if len(self.delivered) > len(self.arrived):
            self.arrived.append(time.perf_counter())

    async def _until_closed(self) -> None:
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        self._stop.set()

    async def run(self) -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            for number in range(self.listeners):
                await self.listener(nursery, number)
            sender = LoadClient(self.on_answer)
            await sender.connect(f"{self.url}/ws/pos-1?type=pos")
            nursery.start_soon(sender.run)
            nursery.start_soon(self._until_closed)
            begun = time.perf_counter()
            number = 0
            while not self._stop.is_set():
                await trio.sleep(max(0.0, begun + number / self.rate - time.perf_counter()))
                self.sent.append(time.perf_counter())
                sender.send(self.operation(number))
                number += 1
            self.left -= (MOST - number) * self.listeners
            self.count = number
            self._check()
            with trio.fail_after(60):
                await self.done.wait()
            nursery.cancel_scope.cancel()
        return {"operations": number, "deliveries": list(zip(self.arrived, self.delivered, strict=True))}


@click.command()
@click.option("--url", required=True)
@click.option("--rate", default=300)
@click.option("--listeners", default=10)
@click.option("--first", default=0, help="number of the first operation")
def main(url: str, rate: int, listeners: int, first: int) -> None:
    """Print the samples as JSON."""
    print(json.dumps(trio.run(Live(url, rate, listeners, first).run)))


if __name__ == "__main__":
    main()
