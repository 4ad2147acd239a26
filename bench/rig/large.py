"""What one large operation costs the node by processor time, and how long others wait meanwhile."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.rig.node_process import NodeProcess
from bench.rig.orders import batch, operation, write
from bench.rig.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable


def _fields(count: int, turn: int) -> dict[str, Any]:
    return {f"field-{number}": turn for number in range(count)}


def _update(turn: int) -> dict[str, Any]:
    return operation("pos-1", turn, "products", "p-0", _fields(1_000, turn), None)


def _bulk(entities: int, turn: int) -> dict[str, Any]:
    made = operation("pos-1", turn, "products", "p-0", {}, None)
    updates = [{"entity_id": f"p-{number}", "data": _fields(4, turn)} for number in range(entities)]
    return {**made, "operation": "BULK_UPDATE", "data": {"updates": updates}}


CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "UPDATE of 1,000 fields": _update,
    "BULK_UPDATE of 4 fields of 100": lambda turn: _bulk(100, turn),
    "BULK_UPDATE of 4 fields of 1,000": lambda turn: _bulk(1_000, turn),
}
FIRST = 3
"""Operations before anything is measured: the first makes the entities."""


BYSTANDER_RATE, BYSTANDER_ORDERS = 50.0, 20
"""Of a terminal that writes meanwhile: operations a second, and the orders that it writes to."""


@frozen
class Cost:
    """operation_ms: of the whole node for one operation, which is a commit of its own. turn_ms: of its longest turn.
    others_ms: the most that the node spent while somebody else waited for a confirmation. All are processor time."""

    operation_ms: float
    turn_ms: float
    others_ms: float


def cost(case: str, count: int) -> Cost:
    """Of so many operations, and of as many beside a bystander."""
    with tempfile.TemporaryDirectory(prefix="comanda-bench-") as folder:
        node = NodeProcess(Path(folder), "node")
        notes = node.timed()
        node.start()
        try:
            write(node.url, batch("pos-1", [CASES[case](turn) for turn in range(FIRST)]), 1)
            before, began = node.cpu_s(), time.monotonic()
            write(node.url, batch("pos-1", [CASES[case](FIRST + turn) for turn in range(count)]), 1)
            spent, ended_s = (node.cpu_s() - before) / count * 1_000, time.monotonic()
            beside = batch("pos-1", [CASES[case](FIRST + count + turn) for turn in range(count)])
            felt = Watch(node, BYSTANDER_ORDERS, BYSTANDER_RATE).cost(lambda: write(node.url, beside, 1)).felt
        finally:
            node.stop()
        turns = (line.split() for line in notes.read_text().splitlines())
        longest = max((float(took) for ended, took in turns if began < float(ended) < ended_s), default=0.0)
        return Cost(spent, longest, felt.cpu)
