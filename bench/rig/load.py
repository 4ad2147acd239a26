"""The load of one measurement, run in its own process: one sender, N listeners, one that pings."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import click
import orjson
import trio

from bench.rig.client import LoadClient

ITEMS = [{"id": f"i-{n}", "sku": f"prato-{n}", "qty": 1 + n % 3, "price": 12.9 + n} for n in range(3)]


def percentiles(samples: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the largest, in milliseconds."""
    ordered = sorted(samples) or [0.0]
    points = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    found = {name: ordered[min(len(ordered) - 1, int(p * len(ordered)))] for name, p in points.items()}
    return {name: round(value * 1000, 3) for name, value in {**found, "max": ordered[-1]}.items()}


class Measurement:
    """Sends `count` operations, paced (`rate` a second) or as fast as `window` in flight allow."""

    def __init__(
        self, url: str, count: int, rate: int, window: int, listeners: int, confirm: bool, first: int = 0
    ) -> None:
        self.url, self.count, self.rate, self.window, self.first = url, count, rate, window, first
        self.listeners, self.confirm = listeners, confirm
        self.sent: list[float] = []
        self.confirmed: list[float] = []
        self.delivered: list[float] = []
        self.pings: list[float] = []
        self.room = trio.Semaphore(window)
        self.done = trio.Event()
        self.left = count * listeners

    def operation(self, number: int) -> bytes:
        """A realistic order: created, then moved through the kitchen."""
        number += self.first
        entity, step = divmod(number, 4)
        status = ("pending", "preparing", "ready", "paid")[step]
        data: dict[str, Any] = {"id": f"o-{entity}", "status": status, "version": step + 1}
        if step == 0:
            data |= {"table": entity % 40, "items": ITEMS, "total": 61.7}
        operation = {
            "id": f"op-{number}",
            "entity_type": "orders",
            "entity_id": f"o-{entity}",
            "operation": "CREATE" if step == 0 else "UPDATE",
            "data": data,
            "version": step + 1,
            "timestamp": "2026-01-15T10:30:00.000Z",
            "terminal_id": "pos-1",
            "user_id": "ana",
            "requires_lock": False,
            "priority": "high",
        }
        return orjson.dumps({"type": "data_sync", "operation": operation})

    # ------------------------------------------------------------------ clients

    def on_answer(self, payload: bytes) -> None:
        message = orjson.loads(payload)
        if message["type"] == "sync_confirmation":
            number = int(message["operation_id"][3:]) - self.first
            self.confirmed.append(time.perf_counter() - self.sent[number])
            self.room.release()
            self._check()
        elif message["type"] == "sync_error":
            raise RuntimeError(payload.decode())

    def _check(self) -> None:
        if len(self.confirmed) == self.count and self.left <= 0:
            self.done.set()

    def on_row(self, client: LoadClient, name: str, payload: bytes) -> None:
        if not payload.startswith(b'{"type":"data_sync"'):
            return
        place = payload.find(b'"op-') + 4
        number = int(payload[place : payload.index(b'"', place)]) - self.first if place > 3 else -1
        if number < 0:  # the state, or an earlier measurement's
            if self.confirm:
                operation_id = orjson.loads(payload)["operation"]["id"]
                client.send(orjson.dumps({"type": "sync_confirmation", "operation_id": operation_id}))
            return
        self.delivered.append(time.perf_counter() - self.sent[number])
        self.left -= 1
        if self.confirm:
            client.send(
                b'{"type":"sync_confirmation","operation_id":"op-%d","terminal_id":"%s"}'
                % (number + self.first, name.encode())
            )
        if self.left <= 0:
            self._check()

    async def listener(self, nursery: trio.Nursery, number: int) -> None:
        name = f"kds-{number}"
        client = LoadClient(lambda payload: self.on_row(client, name, payload))
        await client.connect(f"{self.url}/ws/{name}?type=kds")
        nursery.start_soon(client.run)

    async def pinger(self, nursery: trio.Nursery) -> None:
        waiting: list[float] = []

        def on_text(payload: bytes) -> None:
            if payload.startswith(b'{"type":"pong"'):
                self.pings.append(time.perf_counter() - waiting.pop())

        client = LoadClient(on_text)
        await client.connect(f"{self.url}/ws/waiter-9?type=waiter")
        nursery.start_soon(client.run)
        while True:
            await trio.sleep(0.02)
            if not waiting:
                waiting.append(time.perf_counter())
                client.send(b'{"type":"ping"}')

    async def run(self) -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            for number in range(self.listeners):
                await self.listener(nursery, number)
            sender = LoadClient(self.on_answer)
            await sender.connect(f"{self.url}/ws/pos-1?type=pos")
            nursery.start_soon(sender.run)
            nursery.start_soon(self.pinger, nursery)
            await trio.sleep(0.3)
            begun = time.perf_counter()
            for number in range(self.count):
                if self.rate:
                    await trio.sleep(max(0.0, begun + number / self.rate - time.perf_counter()))
                else:
                    await self.room.acquire()
                self.sent.append(time.perf_counter())
                sender.send(self.operation(number))
            with trio.fail_after(120):
                await self.done.wait()
            seconds = time.perf_counter() - begun
            nursery.cancel_scope.cancel()
        return {
            "listeners": self.listeners,
            "confirming": self.confirm,
            "operations": self.count,
            "seconds": round(seconds, 3),
            "operations_per_second": round(self.count / seconds),
            "deliveries_per_second": round(self.count * self.listeners / seconds),
            "confirmation_ms": percentiles(self.confirmed),
            "delivery_ms": percentiles(self.delivered),
            "ping_ms": percentiles(self.pings),
        }


@click.command()
@click.option("--url", required=True)
@click.option("--count", default=10_000)
@click.option("--rate", default=0, help="operations a second; 0: as fast as --window allows")
@click.option("--window", default=64, help="operations in flight")
@click.option("--listeners", default=1)
@click.option("--first", default=0, help="number of the first operation; go on where another run ended")
@click.option("--confirm/--silent", default=False)
def main(url: str, count: int, rate: int, window: int, listeners: int, first: int, confirm: bool) -> None:
    """Print the measurement as JSON."""
    measurement = Measurement(url, count, rate, 10**9 if rate else window, listeners, confirm, first)
    print(json.dumps(trio.run(partial(measurement.run))))


if __name__ == "__main__":
    main()
