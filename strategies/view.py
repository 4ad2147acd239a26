"""What an entity shows: a pure function of its document and its policy.

`View.refresh` recomputes only the registers that changed, so the cost of a write does not grow with the entity;
`view_of` builds one from nothing, and the tests hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from crdt.document import Document, Path
from strategies.conflict import Conflict, deletion_conflict, sibling_conflict
from strategies.policy import EntityPolicy
from strategies.registers import DELETED_AT, WHOLE, distinct, unseen_by

if TYPE_CHECKING:
    from collections.abc import Iterable


@define(eq=False)
class View:
    """The shown state of one entity.

    alive: whether it exists for a reader. fields: top-level field -> value (kept for a dead entity too).
    conflicts: register -> its conflict, open or settled. deleted_at: ISO time of the deletion that counts.
    """

    entity_type: str
    entity_id: str
    policy: EntityPolicy
    alive: bool = False
    fields: dict[str, object] = field(factory=dict)
    conflicts: dict[Path, Conflict] = field(factory=dict)
    deleted_at: str | None = None

    def refresh(self, document: Document, paths: Iterable[Path]) -> None:
        """Bring the registers at `paths`, and whether the entity is alive, up to date."""
        strategy = self.policy.strategy
        for path in paths:
            siblings = document.fields.get(path)
            if path == DELETED_AT:
                continue
            self.conflicts.pop(path, None)
            if siblings is None:
                self._drop(path)
                continue
            if len(siblings) == 1:
                self._show(path, siblings[0].value)
                continue
            ordered = strategy.ordered(siblings)
            self._show(path, ordered[0].value)
            if distinct(siblings):
                self.conflicts[path] = sibling_conflict(
                    self.entity_type,
                    self.entity_id,
                    path,
                    ordered,
                    type=strategy.conflict_type,
                    state=strategy.conflict_state,
                )
        self._refresh_life(document)

    def _refresh_life(self, document: Document) -> None:
        deletions = document.fields.get(DELETED_AT)
        self.conflicts.pop(DELETED_AT, None)
        if deletions is None:
            self.alive = bool(document.headers)
            self.deleted_at = None
            return
        records = list(document.records())
        # A write is contested when no live deletion had seen it.
        unseen = unseen_by(deletions[0], records)
        for deletion in deletions[1:]:
            unseen = unseen_by(deletion, unseen)
        strategy = self.policy.strategy
        self.alive = strategy.survives(deletions, unseen)
        latest = max(deletions, key=lambda r: (r.stamp, r.terminal, r.operation))
        value = latest.value
        at = value.get("at") if isinstance(value, dict) else None
        self.deleted_at = at if isinstance(at, str) else None
        if unseen:
            self.conflicts[DELETED_AT] = deletion_conflict(
                self.entity_type,
                self.entity_id,
                deletions,
                unseen,
                alive=self.alive,
                state=strategy.conflict_state,
            )

    def _show(self, path: Path, value: object) -> None:
        if path == WHOLE:
            self.fields = dict(value) if isinstance(value, dict) else {}
        else:
            self.fields[path[0]] = value

    def _drop(self, path: Path) -> None:
        if path == WHOLE:
            self.fields = {}
        else:
            self.fields.pop(path[0], None)

    def frozen_by(self) -> Conflict | None:
        """The open conflict that refuses further writes, where the strategy freezes."""
        if not self.policy.strategy.freezes:
            return None
        return next(iter(self.conflicts.values()), None)


def view_of(entity_type: str, entity_id: str, policy: EntityPolicy, document: Document) -> View:
    """The view from nothing: what `refresh` must always agree with."""
    view = View(entity_type, entity_id, policy)
    view.refresh(document, [*document.fields, DELETED_AT])
    return view
