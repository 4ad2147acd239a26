"""Signed heads that are kept: all of the last two days, then the last of each day and epoch, for 400 days.

A head is never let go for the sake of newer ones, or whoever has a stolen key could push out the one that tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from storage.records import HeadRow

DAY_MS = 86_400_000

ALL_KEPT_MS = 2 * DAY_MS

KEPT_MS = 400 * DAY_MS


def thin_heads(connection: sqlite3.Connection, came: Sequence[HeadRow]) -> None:
    """Within a transaction: let go what is old of the nodes of which a head has come."""
    for node_id, now_ms in {head.node_id: head.received_ms for head in came}.items():
        connection.execute(
            "DELETE FROM heads WHERE node_id = ? AND received_ms < ? AND (received_ms < ? OR EXISTS ("
            "SELECT 1 FROM heads AS later WHERE later.node_id = heads.node_id AND later.epoch = heads.epoch"
            " AND later.received_ms > heads.received_ms"
            f" AND later.received_ms / {DAY_MS} = heads.received_ms / {DAY_MS}))",
            (node_id, now_ms - ALL_KEPT_MS, now_ms - KEPT_MS),
        )
