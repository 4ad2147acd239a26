"""What a write costs the node by processor time, of orders whose ten lines were changed all evening.

Each operation waits for the confirmation of the one before, so each is a commit of its own.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.rig.node_process import NodeProcess
from bench.rig.orders import batch, operation, write

if TYPE_CHECKING:
    from bench.rig.orders import Batch

WHOLE, STATUS = "the whole list, two lines changed", "the status alone"
CASES = (WHOLE, STATUS)

ORDERS, LINES = 20, 10
CHANGED = 20
"""Whole-list writes of each order before anything is measured."""


@frozen
class Cost:
    """cpu_us: of the whole node, an operation. stored: bytes of an order's row, without its log."""

    cpu_us: float
    stored: int


def cost(case: str, count: int, changed: int = CHANGED) -> Cost:
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as folder:
        node = NodeProcess(Path(folder), "node")
        node.start()
        try:
            write(node.url, _rounds(0, ORDERS * (1 + changed), WHOLE), 1)
            before = node.cpu_s()
            write(node.url, _rounds(ORDERS * (1 + changed), count, case), 1)
            cpu_s = node.cpu_s() - before
        finally:
            node.stop()
        return Cost(cpu_s / count * 1e6, _stored(Path(folder, "node", "comanda.db")))


def _stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        (size,) = database.execute(
            "SELECT avg(length(view) + length(snapshot) + length(seen)) FROM entities"
        ).fetchone()
    return int(size)


def _rounds(first: int, count: int, case: str) -> Batch:
    """Writes number `first` and following, to the orders in turn."""
    made = []
    for number in range(first, first + count):
        turn, order = divmod(number, ORDERS)
        statuses = ("preparing", "ready", "pending")
        data: dict[str, Any] = {"status": statuses[turn % 3]} if case == STATUS else _order(turn)
        made.append(operation("pos-1", number, "orders", f"o-{order}", data, 1 if turn == 0 else None))
    return batch("pos-1", made)


def _order(turn: int) -> dict[str, Any]:
    """In each turn another line has another quantity, and the line of the turn before has one again."""
    items = [
        {"id": str(n), "name": f"Prato {n}", "quantity": 1 + (turn % 7 if turn % LINES == n else 0), "status": "sent"}
        for n in range(LINES)
    ]
    return {"table": "7", "status": "pending", "total": 100 + turn, "items": items}
