"""A business day of a store, as the operations its terminals send."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from bench.rig.load import ITEMS
from bench.rig.orders import Batch, batch

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCTS = 200
AT_ONCE = 40
"""Orders in the kitchen at one time."""

STEPS = ("preparing", "ready", "delivered", "closing", "paid")
TERMINAL = "pos-1"


class BusinessDays:
    """The days of one store, numbered from 0; the same seed gives the same days.

    orders: a day. An order is nine operations: one creates it, five take it through the kitchen to the payment, two
    lower the stock of a product, one is of the cashier.
    """

    def __init__(self, orders: int, seed: int = 20260115) -> None:
        self.orders = orders
        self.days = 0
        self._rng = random.Random(seed)
        self._number = 0
        self._stock: dict[int, tuple[int, int]] = {}

    def day(self) -> Batch:
        """The messages of the next day."""
        made = list(self._day())
        self.days += 1
        return batch(TERMINAL, made)

    def _day(self) -> Iterator[dict[str, Any]]:
        """Forty orders at a time, each a step further in turn."""
        for first in range(0, self.orders, AT_ONCE):
            ids = [f"d{self.days:03d}-{number:04d}" for number in range(first, min(first + AT_ONCE, self.orders))]
            for step in range(len(STEPS) + 1):
                for order_id in ids:
                    yield self._order(order_id, step)
                    if step == 0:
                        yield from (self._sold(self._rng.randrange(PRODUCTS)) for _ in range(2))
            yield from map(self._payment, ids)

    def _order(self, order_id: str, step: int) -> dict[str, Any]:
        data: dict[str, Any] = {"id": order_id, "version": step + 1}
        if step == 0:
            data |= {"status": "pending", "table": self._rng.randrange(60), "waiter": f"garçom {self._number % 9}"}
            data |= {"items": ITEMS[: 1 + self._number % 3], "total": 61.7 + self._number % 100, "people": 2}
            return self._operation("orders", order_id, "CREATE", data, step + 1)
        data["status"] = STEPS[step - 1]
        if STEPS[step - 1] == "paid":
            data |= {"payment": "card", "tip": 5.0}
        return self._operation("orders", order_id, "UPDATE", data, step + 1)

    def _sold(self, product: int) -> dict[str, Any]:
        stock, version = self._stock.get(product, (100_000, 0))
        self._stock[product] = (stock - 1, version + 1)
        data: dict[str, Any] = {"stock": stock - 1, "version": version + 1}
        if not version:
            data |= {"id": f"p-{product}", "name": f"Prato {product}", "price": 12.9 + product % 40, "active": True}
        return self._operation("products", f"p-{product}", "UPDATE" if version else "CREATE", data, version + 1)

    def _payment(self, order_id: str) -> dict[str, Any]:
        data: dict[str, Any] = {"id": f"k-{order_id}", "order": order_id, "amount": 61.7 + self._number % 100}
        data |= {"method": "card", "drawer": "caixa-1", "version": 1}
        return self._operation("cashier_operations", f"k-{order_id}", "CREATE", data, 1)

    def _operation(
        self, entity_type: str, entity_id: str, kind: str, data: dict[str, Any], version: int
    ) -> dict[str, Any]:
        self._number += 1
        return {
            "id": f"{TERMINAL}-{self._number:08x}-{self._rng.getrandbits(32):08x}",
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": kind,
            "data": data,
            "version": version,
            "timestamp": "2026-01-15T10:30:00.000Z",
            "terminal_id": TERMINAL,
            "user_id": "ana",
        }
