"""First attempts: what stays of archived rows of refused writes.

Their authors may send them again at any time, and are judged then by what they knew when they wrote them. One that
was accepted since has its own row, or what is kept of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from storage.records import RefusedRow
from storage.sqlite.rows import REFUSED
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

KEPT = 10_000
"""First attempts kept of archived rows, and read by a start in all, the latest."""

_FIRST = " ON CONFLICT (terminal_id, operation_id) DO NOTHING"


def leave_first_attempts(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Within the transaction that prunes these log rows: keep the first attempt of each refused write, and let go of
    those that were accepted later."""
    refused = []
    for row in rows:
        if row["kind"] == "refused" and (tried := orjson.loads(row["changes"] or b"{}").get("tried")) is not None:
            refused.append(RefusedRow(row["terminal_id"], row["operation_id"], row["seq"], orjson.dumps(tried)))
    if refused:
        values = map(REFUSED.values, refused)
        insert_many(connection, REFUSED.name, REFUSED.columns, (), values, conflict=_FIRST)
        connection.execute(
            "DELETE FROM refused WHERE seq <= (SELECT seq FROM refused ORDER BY seq DESC LIMIT 1 OFFSET ?)", (KEPT,)
        )
    accepted = [(row["terminal_id"], row["operation_id"]) for row in rows if row["kind"] == "operation"]
    connection.executemany("DELETE FROM refused WHERE terminal_id = ? AND operation_id = ?", accepted)
