"""What an operation did to an entity's conflicts, and their rows in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import define, field

from node.wire.json_text import kept
from storage.records import ConflictRow
from strategies.conflict import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crdt.records import Path
    from strategies.view import View


@define(eq=False)
class ConflictNews:
    """Conflicts an operation raised, those that are no longer, and those that now rest on other records of the same
    operations (of an operation under two writers one copy goes)."""

    raised: list[Conflict] = field(factory=list)
    gone: list[Conflict] = field(factory=list)
    restated: list[Conflict] = field(factory=list)

    def compare(self, before: Mapping[Path, Conflict], after: Mapping[Path, Conflict]) -> None:
        """Note the difference between two states of one entity's conflicts."""
        old = {conflict.id: conflict for conflict in before.values()}
        new = {conflict.id for conflict in after.values()}
        for conflict in after.values():
            earlier = old.get(conflict.id)
            if earlier is None:
                self.raised.append(conflict)
            elif earlier.candidates != conflict.candidates:
                self.restated.append(conflict)
        self.gone.extend(conflict for conflict in before.values() if conflict.id not in new)

    def replacement(self, gone: Conflict) -> Conflict | None:
        """The new conflict of the same register that still holds one of `gone`'s operations."""
        for conflict in self.raised:
            same = (conflict.entity_type, conflict.entity_id, conflict.path) == (
                gone.entity_type,
                gone.entity_id,
                gone.path,
            )
            if same and set(conflict.operations) & set(gone.operations):
                return conflict
        return None

    def status_of(self, operation_id: str) -> str | None:
        """What the confirmation says: `conflict`, `lost`, or None when the operation collided with nothing."""
        mine = [conflict for conflict in self.raised if operation_id in conflict.operations]
        if any(conflict.state == "open" for conflict in mine):
            return "conflict"
        if any(operation_id not in conflict.prevailing for conflict in mine):
            return "lost"
        return "merged" if mine else None


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
        body=kept(conflict.body()),
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
