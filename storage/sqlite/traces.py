"""What stays of archived rows that moved a counter: from which value somebody reckons who has been away for long, and
what one operation counted that comes again under another writer. The latest of each entity.

`meta` holds which fields are counters, by entity type; without it nothing is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from storage.records import LogRow
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

COUNTERS = "counters"
"""The key of `meta`: a JSON object of entity type -> names of its counters."""

KEPT = 1_000
"""Traces of one entity."""


def read_counters(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (COUNTERS,)).fetchone()
    found: Mapping[str, Sequence[str]] = orjson.loads(row[0]) if row is not None else {}
    return found


def leave_traces(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Within the transaction that prunes these log rows: keep what they did to counters."""
    counters = read_counters(connection)
    traces = [
        (row["entity_type"], entity_id, row["seq"], row["op_key"], row["terminal_id"], orjson.dumps(trace))
        for row in rows
        if row["kind"] in ("operation", "state") and counters.get(row["entity_type"])
        for entity_id, trace in _traces(row, counters[row["entity_type"]])
    ]
    columns = ("entity_type", "entity_id", "seq", "op_key", "terminal_id", "trace")
    insert_many(connection, "traces", columns, columns[:3], traces)
    for entity_type, entity_id in {trace[:2] for trace in traces}:
        key = (entity_type, entity_id)
        connection.execute(
            "DELETE FROM traces WHERE entity_type = ? AND entity_id = ? AND seq <= (SELECT seq FROM traces"
            " WHERE entity_type = ? AND entity_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (*key, *key, KEPT),
        )


def _traces(row: Mapping[str, Any], names: Sequence[str]) -> Iterable[tuple[str, dict[str, object]]]:
    """By entity, what a row wrote to these fields, and what they showed after it."""
    operation, changes = orjson.loads(row["operation"]), orjson.loads(row["changes"] or b"{}")
    data, after = operation.get("data") or {}, changes.get("after") or {}
    if row["entity_id"] is not None:
        items = {row["entity_id"]: (data, after)}
    else:
        written = {item["entity_id"]: item["data"] for item in data.get("updates", ())}
        items = {name: (written[name], after.get(name, {})) for name in written}
    entries = {e[1]: e for e in orjson.loads(row["updates"] or b"[]")} if row["kind"] == "operation" else {}
    for entity_id, (wrote, shown) in items.items():
        entry = entries.get(entity_id, ())
        trace: dict[str, object] = {
            "echo": bool(row["echo"]),
            "data": {name: wrote[name] for name in names if name in wrote},
            "after": {name: shown[name] for name in names if name in shown},
        }
        if row["via"]:
            trace["via"] = row["via"]
        if "acknowledged" in changes:
            trace["acknowledged"] = changes["acknowledged"]
        if entry:
            trace["counted"] = [entry[4], entry[5] if len(entry) > 5 else {}]
        if trace["data"] or trace["after"] or len(entry) > 5:
            yield entity_id, trace


def row_of(row: Mapping[str, Any], operation_id: str = "") -> LogRow:
    """A trace as the log row that it is what is left of."""
    entity_type, entity_id, left = row["entity_type"], row["entity_id"], orjson.loads(row["trace"])
    made = blank_row(operation_id)
    made.seq, made.entity_type, made.entity_id = row["seq"], entity_type, entity_id
    made.terminal_id, made.echo, made.via = row["terminal_id"], left["echo"], left.get("via", "")
    made.operation = orjson.dumps({"data": left["data"]})
    made.changes = orjson.dumps({name: left[name] for name in ("after", "acknowledged") if name in left})
    if "counted" in left:
        made.updates = orjson.dumps([[entity_type, entity_id, "", {}, *left["counted"]]])
    return made


def blank_row(operation_id: str) -> LogRow:
    """A row of which nothing is left."""
    return LogRow(
        seq=0,
        kind="operation",
        priority=0,
        entity_type="",
        entity_id=None,
        operation_id=operation_id,
        terminal_id="",
        user_id=None,
        targets=(),
        monitors=False,
        stamp=0,
        accepted=0,
        version=0,
        status="archived",
        lock_status="none",
        echo=False,
        operation=b"{}",
        message=b"",
        changes=b"",
        updates=b"",
    )
