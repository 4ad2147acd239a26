"""Conflicts that are closed, on their way with their entity's state: whoever answers one on a node that never saw it
open is told how it ended.

Each is [body, operations, closed by, outcome]; its id names its entity, path and operations, and is checked. One that
is not as our own nodes write it is left out: nothing but that answer depends on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from node.wire.codec import LONGEST_ID
from storage.answers import MOST_CLOSED
from storage.records import ConflictRow
from strategies.conflict import conflict_id

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_OPERATIONS = 64
LONGEST_NAME = 2 * LONGEST_ID + 1
LONGEST_TEXT = 16_384
"""Bytes of one conflict's body, or outcome."""


def closed_fields(rows: Sequence[ConflictRow]) -> list[object]:
    travel = [row for row in rows if max(len(row.body), len(row.outcome)) <= LONGEST_TEXT]
    return [
        [orjson.Fragment(row.body), row.operations, row.closed_by, orjson.Fragment(row.outcome or b"null")]
        for row in travel
        if len(row.operations) <= MOST_OPERATIONS
    ]


def read_closed(value: object, key: tuple[str, str]) -> tuple[ConflictRow, ...]:
    """Of an entity, those that can be read; their rows have no place in the log yet."""
    entries = value[:MOST_CLOSED] if isinstance(value, list) else []
    return tuple(row for entry in entries if (row := _row(entry, key)) is not None)


def _row(entry: Any, key: tuple[str, str]) -> ConflictRow | None:
    match entry:
        case [
            {"id": str(name), "type": str(kind), "path": list(path), "created_at": str(at)} as body,
            list(ids),
            *rest,
        ]:
            texts = [*ids, *path, kind, at]
        case _:
            return None
    match rest:
        case [str(closed_by), dict(outcome)] if len(closed_by) <= LONGEST_ID:
            pass
        case _:
            return None
    if len(texts) > MOST_OPERATIONS + 8 or not all(isinstance(t, str) and len(t) <= LONGEST_NAME for t in texts):
        return None
    if conflict_id(*key, tuple(path), ids) != name:
        return None
    try:
        written, ended = orjson.dumps({**body, "entity_type": key[0], "entity_id": key[1]}), orjson.dumps(outcome)
    except TypeError:  # nested deeper than can be written
        return None
    if max(len(written), len(ended)) > LONGEST_TEXT:
        return None
    return ConflictRow(name, *key, orjson.dumps(path), tuple(ids), kind, "closed", written, at, closed_by, ended, 0)
