"""What an operation did to an entity's conflicts, and their rows in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.wire.json_text import compact_json
from storage.records import ConflictRow
from strategies.conflict import Conflict

if TYPE_CHECKING:
    from strategies.view import View


def conflict_row(conflict: Conflict, seq: int, *, closed_by: str | None = None, outcome: bytes = b"") -> ConflictRow:
    """The stored row of a conflict; closed when `closed_by` names the operation that ended it."""
    return ConflictRow(
        conflict_id=conflict.id,
        entity_type=conflict.entity_type,
        entity_id=conflict.entity_id,
        path=orjson.dumps(conflict.path),
        operations=conflict.operations,
        type=conflict.type,
        state="closed" if closed_by is not None else conflict.state,
        body=compact_json(conflict.body()),
        created_at=conflict.created_at,
        closed_by=closed_by,
        outcome=outcome,
        seq=seq,
    )


def live_conflict(view: View, row: ConflictRow) -> Conflict | None:
    """The conflict `row` names, as long as one of its operations is live; None once it is closed."""
    path = tuple(orjson.loads(row.path))
    current = view.conflicts.get(path)
    if current is not None and current.id == row.conflict_id:
        return current
    if current is None or (row.state == "closed" and not row.outcome.startswith(b'{"replaced_by"')):
        return None
    named = set(row.operations)
    left = tuple(r for r in current.candidates if r.operation in named)
    if not left:
        return None
    # Its other operations are gone: what is left of it is decided, what arrived since reopens by itself.
    candidates = left if len(left) > 1 else (current.shown, left[0])
    return Conflict(
        row.conflict_id,
        row.type,
        row.state,
        row.entity_type,
        row.entity_id,
        path,
        candidates,
        row.operations,
        current.prevailing,
    )
