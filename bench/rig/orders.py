"""Realistic operations, encoded beforehand, and a terminal that writes them as fast as the node takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import trio
from attrs import frozen

from bench.rig.client import LoadClient
from bench.rig.load import ITEMS

STATUSES = ("pending", "preparing", "ready", "delivered")
WINDOW = 512
"""Operations in flight."""


@frozen
class Batch:
    """Messages of one terminal. raw_bytes: of the authored operations as JSON; last: the entity written last."""

    terminal: str
    messages: Sequence[bytes]
    raw_bytes: int
    last: tuple[str, str]


def order(terminal: str, number: int, entity_id: str, version: int) -> dict[str, Any]:
    """About 390 bytes: an order with two items, or one of its steps through the kitchen."""
    data: dict[str, Any] = {"id": entity_id, "status": STATUSES[version % 4], "version": version}
    data |= {"total": 61.7 + number % 100, "items": ITEMS[:2]}
    return operation(terminal, number, "orders", entity_id, data, version)


def record(terminal: str, number: int, entity_type: str, entity_id: str) -> dict[str, Any]:
    """A new product or customer."""
    data: dict[str, Any] = {"id": entity_id, "name": f"Nome {number}", "active": True, "version": 1}
    if entity_type == "products":
        data |= {"price": 12.9 + number % 50, "stock": number % 300, "category": f"c-{number % 12}"}
    else:
        data |= {"phone": f"+55 11 9{number:08d}", "email": f"n{number}@example.com", "points": number % 900}
    return operation(terminal, number, entity_type, entity_id, data, 1)


def operation(
    terminal: str, number: int, entity_type: str, entity_id: str, data: dict[str, Any], version: int | None
) -> dict[str, Any]:
    """version: 1 for a CREATE; None for a client that gives none."""
    said: dict[str, Any] = {} if version is None else {"version": version}
    return {
        "id": f"w-{terminal}-{number}",
        "entity_type": entity_type,
        "entity_id": entity_id,
        "operation": "CREATE" if version == 1 else "UPDATE",
        "data": data,
        **said,
        "timestamp": "2026-01-15T10:30:00.000Z",
        "terminal_id": terminal,
        "user_id": "ana",
        "requires_lock": False,
        "priority": "high",
    }


def batch(terminal: str, operations: Iterable[dict[str, Any]]) -> Batch:
    messages, size, last = [], 0, ("", "")
    for operation in operations:
        encoded = orjson.dumps(operation)
        messages.append(b'{"type":"data_sync","operation":' + encoded + b"}")
        size += len(encoded)
        last = (operation["entity_type"], operation["entity_id"])
    return Batch(terminal, messages, size, last)


class OrderBook:
    """Makes batches of orders, each number once. A terminal counts on from the versions that it is shown."""

    def __init__(self) -> None:
        self._number = 0

    def batch(self, terminal: str, count: int, ids: Sequence[str], versions: Mapping[str, int]) -> Batch:
        """`count` operations, the orders `ids` in turn."""
        seen = dict(versions)
        made = []
        for step in range(count):
            entity_id = ids[step % len(ids)]
            seen[entity_id] = seen.get(entity_id, 0) + 1
            made.append(order(terminal, self._number, entity_id, seen[entity_id]))
            self._number += 1
        return batch(terminal, made)


def restaurant(terminal: str, entities: int) -> Batch:
    """Of ten entities five products, three customers and two orders, each written twice, in the order of a day."""
    made: list[dict[str, Any]] = []
    for number in range(entities):
        kind = number % 10
        if kind < 8:
            entity_type = "products" if kind < 5 else "customers"
            made.append(record(terminal, len(made), entity_type, f"{entity_type[0]}-{number:06d}"))
        else:
            made.append(order(terminal, len(made), f"o-{number:06d}", 1))
            made.append(order(terminal, len(made), f"o-{number:06d}", 2))
    return batch(terminal, made)


def write(url: str, written: Batch, in_flight: int = WINDOW) -> float:
    """Send a batch; returns the seconds until all of it was confirmed."""
    return trio.run(_write, url, written, in_flight)


async def _write(url: str, written: Batch, in_flight: int) -> float:
    room, done = trio.Semaphore(in_flight), trio.Event()
    left = len(written.messages)
    errors: list[bytes] = []

    def on_text(payload: bytes) -> None:
        nonlocal left
        if payload.startswith(b'{"type":"sync_confirmation"'):
            left -= 1
            room.release()
            if not left:
                done.set()
        elif payload.startswith(b'{"type":"sync_error"'):
            errors.append(payload)
            done.set()
            room.release()

    async with trio.open_nursery() as nursery:
        client = LoadClient(on_text)
        await client.connect(f"{url}/ws/{written.terminal}?type=pos")
        nursery.start_soon(client.run)
        begun = trio.current_time()
        for message in written.messages:
            await room.acquire()
            if errors:
                break
            client.send(message)
        with trio.fail_after(300):
            await done.wait()
        seconds = trio.current_time() - begun
        nursery.cancel_scope.cancel()
    if errors:
        raise RuntimeError(errors[0].decode())
    return seconds
