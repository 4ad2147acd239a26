"""Traces: what stays of archived rows that moved a counter.

A terminal that has been away for long reckons from the value it last knew, and an operation may come again under
another writer; a trace tells the value and what the operation counted. The latest traces of each entity are kept.
`meta` tells which fields are counters, by entity type; without that nothing is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from storage.records import UPDATE_KINDS, LogRow
from storage.sqlite.meta import COUNTERS, read_fact
from storage.sqlite.rows import TRACES
from storage.sqlite.statements import insert_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

KEPT_CHANGES = ("after", "acknowledged", "minds")
KEPT = 1_000
"""Traces of one entity, the latest."""


def read_counters(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    """Names of counters by entity type."""
    text = read_fact(connection, COUNTERS)
    found: Mapping[str, Sequence[str]] = orjson.loads(text) if text is not None else {}
    return found


def leave_traces(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Within the transaction that prunes these log rows: keep what they did to counters."""
    counters = read_counters(connection)
    traces = [
        (row["entity_type"], entity_id, row["seq"], row["op_key"], row["terminal_id"], orjson.dumps(trace))
        for row in rows
        if row["kind"] in UPDATE_KINDS and counters.get(row["entity_type"])
        for entity_id, trace in _traces(row, counters[row["entity_type"]])
    ]
    insert_many(connection, TRACES.name, TRACES.columns, TRACES.key, TRACES.with_sums(traces))
    for entity_type, entity_id in {trace[:2] for trace in traces}:
        key = (entity_type, entity_id)
        connection.execute(
            "DELETE FROM traces WHERE entity_type = ? AND entity_id = ? AND seq <= (SELECT seq FROM traces"
            " WHERE entity_type = ? AND entity_id = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (*key, *key, KEPT),
        )


def _traces(row: Mapping[str, Any], names: Sequence[str]) -> Iterable[tuple[str, dict[str, object]]]:
    """What a row wrote to these fields and what they showed after it, by entity."""
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
            "link_key": row["link_key"],
            "echo": bool(row["echo"]),
            "version": row["version"],
            "data": {name: wrote[name] for name in names if name in wrote},
            "after": {name: shown[name] for name in names if name in shown},
        }
        if row["via"]:
            trace["via"] = row["via"]
        if "acknowledged" in changes:
            trace["acknowledged"] = changes["acknowledged"]
        minds = (changes.get("minds") or {}).get(entity_id)
        if minds is not None:
            trace["minds"] = {entity_id: minds}
        if entry:
            trace["counted"] = [entry[4], entry[5] if len(entry) > 5 else {}]
        if trace["data"] or trace["after"] or len(entry) > 5:
            yield entity_id, trace


def row_of_trace(row: Mapping[str, Any], name: str = "") -> LogRow:
    """The log row that a trace (a row of `traces`) is left of, as far as it is left. name: of the operation.

    Raises DamagedRow.
    """
    TRACES.check(row)
    entity_type, entity_id, left = row["entity_type"], row["entity_id"], orjson.loads(row["trace"])
    made = row_without_trace(name)
    made.seq, made.entity_type, made.entity_id = row["seq"], entity_type, entity_id
    made.version = left["version"]
    made.terminal_id, made.echo, made.via = row["terminal_id"], left["echo"], left.get("via", "")
    made.link_key = left["link_key"]
    made.operation = orjson.dumps({"data": left["data"]})
    made.changes = orjson.dumps({name: left[name] for name in KEPT_CHANGES if name in left})
    if "counted" in left:
        made.updates = orjson.dumps([[entity_type, entity_id, "", {}, *left["counted"]]])
    return made


def row_without_trace(name: str) -> LogRow:
    """An archived operation's log row of which nothing is left. name: of the operation."""
    terminal_id, _, operation_id = name.partition("/")
    return LogRow(0, "operation", 0, "", None, operation_id, terminal_id, status="archived", operation=b"{}")
