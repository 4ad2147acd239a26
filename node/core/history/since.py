"""Where in this node's log a time lies: by halving, as a year has millions of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt.hlc import millis, time_asked
from node.core.log.rows import ACT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage.records import LogRow

DATED = ("operation", "refused", "state", ACT)
"""Kinds of rows that say when they came to this node. A notice has the time of its operation."""


def time_of(rows: Iterable[LogRow]) -> int | None:
    """When the first of some rows that says so came to this node, Unix milliseconds."""
    for row in rows:
        if row.kind not in DATED:
            continue
        if row.via and row.kind == "operation":
            arrived_at = orjson.loads(row.changes or b"{}").get("arrived_at")
            if isinstance(arrived_at, str):
                return time_asked(arrived_at)[0]
            continue
        return millis(row.accepted)
    return None


def last_before(ms: int, begins: int, head: int, time_at: Callable[[int], int | None]) -> int:
    """The last row that came before a time; `begins` - 1 where all came later. begins: the first row there is.

    time_at: of a row, when it or the next that says so came; None where none does up to the end.
    """
    low, high = begins - 1, head
    while low < high:
        middle = (low + high + 1) // 2
        at = time_at(middle)
        if at is not None and at < ms:
            low = middle
        else:
            high = middle - 1
    return low
