"""A seeded evening of a restaurant: the same changes for every contestant."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

DISHES = ("Feijoada", "Moqueca", "Picanha", "Pão de queijo", "Caipirinha", "Guaraná", "Pudim", "Café")
STATUSES = ("pending", "preparing", "ready", "delivered", "paid")

SHARES = {"orders": 0.82, "products": 0.08, "customers": 0.05, "cashier_operations": 0.05}
"""How often each type is written."""

ENTITIES = {"orders": 6, "products": 4, "customers": 3, "cashier_operations": 2}
"""How many of each a terminal writes; some much more often than others (Zipf).

A terminal writes entities of its own, as a waiter serves tables of his own: where two write one value at once, Yjs
delivers only one of them, so that not everybody would be asked the same.
"""


@frozen
class Change:
    """One write of one terminal. number: from 0; it names the change wherever it arrives."""

    number: int
    terminal: int
    entity_type: str
    entity_id: str
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """Of a fixed length, so that it is found in any message without reading the rest."""
        return f"op-{self.number:08}"

    def named(self) -> dict[str, Any]:
        """Its data, with its name among it: what a newcomer is sent shows which change was the last."""
        return {**self.data, "change": self.name}


def changes(seed: int, terminals: int, count: int) -> Iterator[Change]:
    """As many changes, by terminals in turn."""
    rng = random.Random(seed)
    kinds, shares = list(SHARES), list(SHARES.values())
    skew = {kind: list(accumulate(1 / (n + 1) for n in range(size))) for kind, size in ENTITIES.items()}
    written: dict[str, int] = {}
    for number in range(count):
        kind = rng.choices(kinds, shares)[0]
        place = rng.choices(range(ENTITIES[kind]), cum_weights=skew[kind])[0]
        entity_id = f"{kind}-{number % terminals}-{place}"
        step = written[entity_id] = written.get(entity_id, -1) + 1
        yield Change(number, number % terminals, kind, entity_id, _data(rng, kind, place, step))


def _data(rng: random.Random, kind: str, place: int, step: int) -> dict[str, Any]:
    if kind == "orders":
        lines = [
            {"id": f"i-{n}", "name": DISHES[(place + n) % len(DISHES)], "quantity": 1 + n % 3, "price": 12.9 + n}
            for n in range(1 + (step + place) % 5)
        ]
        total = round(sum(line["quantity"] * line["price"] for line in lines), 2)
        return {"table": place, "status": STATUSES[step % 5], "items": lines, "total": total}
    if kind == "products":
        return {"name": f"{DISHES[place % 8]} {place}", "price": round(10 + place / 3 + step % 7, 2), "active": True}
    if kind == "customers":
        return {"name": f"Cliente {place}", "phone": f"+55 11 9{rng.randrange(10**8):08}", "notes": "sem cebola"}
    return {"kind": "withdrawal", "amount": rng.randrange(1, 400), "drawer": f"caixa-{place % 4}"}
