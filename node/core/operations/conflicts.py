"""The conflicts that a node has in memory, and their rows in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from node.wire.outgoing import compact_json
from storage.records import ConflictRow, Key
from strategies.conflict import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strategies.view import View

CLOSED_KEPT = 10_000
"""Closed conflicts kept in memory. Older ones are read from disk when somebody names them."""


@define(eq=False)
class Conflicts:
    """Every open conflict, and the latest closed ones.

    known: conflict id -> row. open: entity -> the ids of its open conflicts.
    """

    known: dict[str, ConflictRow] = field(factory=dict)
    open: dict[Key, list[str]] = field(factory=dict)

    def remember(self, row: ConflictRow) -> None:
        """Note a conflict and, while it is open, that its entity has it."""
        self.known[row.conflict_id] = row
        key = (row.entity_type, row.entity_id)
        of_entity = [c for c in self.open.get(key, []) if c != row.conflict_id]
        if row.state == "open":
            of_entity.append(row.conflict_id)
        if of_entity:
            self.open[key] = of_entity
        else:
            self.open.pop(key, None)

    def provide(self, rows: Iterable[ConflictRow]) -> None:
        """Take what was read from disk."""
        for row in rows:
            if row.conflict_id not in self.known:
                self.remember(row)

    def let_go(self, committed: int) -> None:
        """Drop the closed ones once too many are known."""
        if len(self.known) > CLOSED_KEPT:
            for row in [row for row in self.known.values() if row.state != "open" and row.seq <= committed]:
                del self.known[row.conflict_id]

    def start_again(self, rows: Iterable[ConflictRow]) -> None:
        """Writing works again after a failure: go on from the open conflicts that are stored."""
        self.known.clear()
        self.open.clear()
        for row in rows:
            self.remember(row)


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
    """The conflict that `row` names, while one of its operations is live; None once it is closed."""
    path = tuple(orjson.loads(row.path))
    current = view.conflicts.get(path)
    if current is not None and current.id == row.conflict_id:
        return current
    if current is None or (row.state == "closed" and not row.outcome.startswith(b'{"replaced_by"')):
        return None
    named = set(row.operations)
    left = tuple(r for r in current.candidates if r.name in named)
    if not left:
        return None
    # Its other operations are gone. A resolution decides what is left; what arrived since raises its own conflict.
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
        current.kinds,
    )
