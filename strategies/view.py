"""What an entity shows: a pure function of its document and its policy.

`View.refresh` recomputes only the registers that changed, so the cost of a write does not grow with the entity;
`view_of` builds one from nothing, and the tests hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from crdt.records import Path
from strategies.conflict import Conflict, deletion_conflict, sibling_conflict
from strategies.guard import overruling
from strategies.kinds.kind import ABSENT
from strategies.kinds.kinds import kind_at
from strategies.kinds.register import winner
from strategies.paths import COUNTED, DELETED_AT, WHOLE, is_element, is_movement
from strategies.policy import EntityPolicy
from strategies.strategy import distinct, unseen_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.document import Document
    from strategies.kinds.kind import Kind


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
        kinds = self.policy.kinds
        composed: dict[str, Kind] = {}
        for path in paths:
            if path in (DELETED_AT, COUNTED):
                continue
            if len(path) == 1:
                self._refresh_conflict(document, path)
                kind = kinds.by_name.get(path[0])
                if kind is None:
                    self._show_register(document, path)
                elif kind.composed:
                    composed.setdefault(path[0], kind)
                else:
                    self._show(document, path[0], kind)
                continue
            if not is_movement(path):
                self._refresh_conflict(document, path)
            if path == WHOLE:
                self._show_whole(document)
            elif is_element(path):
                composed[path[0]] = kind_at(path)  # shown as a list, whatever its field is declared to be now
            else:
                self._show_shared(document, path, composed)
        for name, kind in composed.items():
            self._show(document, name, kind)
        self._refresh_life(document)

    def _show_shared(self, document: Document, path: Path, composed: dict[str, Kind]) -> None:
        """The fields that a register of several fields shows in; those of several registers are shown at the end."""
        kinds = self.policy.kinds
        for name in kinds.names(path):
            kind = kinds.of(name)
            if kind.composed:
                composed.setdefault(name, kind)
            else:
                self._show(document, name, kind)

    def _show_register(self, document: Document, path: Path) -> None:
        """A plain field."""
        siblings = document.fields.get(path)
        if siblings is None:
            self.fields.pop(path[0], None)
        else:
            shown = siblings[0] if len(siblings) == 1 else self.policy.ordered(path, siblings)[0]
            self.fields[path[0]] = shown.value

    def _show(self, document: Document, name: str, kind: Kind) -> None:
        value = kind.show(document, self.policy, name)
        if value is ABSENT:
            self.fields.pop(name, None)
        else:
            self.fields[name] = value

    def _refresh_conflict(self, document: Document, path: Path) -> None:
        self.conflicts.pop(path, None)
        siblings = document.fields.get(path, ())
        if len(siblings) < 2:
            return
        kind = self.policy.kinds.at(path)
        if not distinct(siblings, kind.compared):
            return
        strategy = self.policy.strategy
        self.conflicts[path] = sibling_conflict(
            self.entity_type,
            self.entity_id,
            path,
            self.policy.ordered(path, siblings),
            self.policy.kinds,
            type=strategy.conflict_type,
            state=strategy.conflict_state,
        )

    def _refresh_life(self, document: Document) -> None:
        deletions = document.fields.get(DELETED_AT)
        self.conflicts.pop(DELETED_AT, None)
        if deletions is None:
            self.alive = bool(document.headers)
            self.deleted_at = None
            return
        records = list(document.by_id.values())
        # A write is contested when no live deletion had seen it.
        unseen = unseen_by(deletions[0], records)
        for deletion in deletions[1:]:
            unseen = unseen_by(deletion, unseen)
        strategy = self.policy.strategy
        held = overruling(self.policy.kinds, document, deletions) if self.policy.kinds.finals else []
        self.alive = bool(held) or strategy.survives(deletions, unseen)
        latest = max(deletions, key=lambda r: (r.stamp, r.terminal, r.operation))
        value = latest.value
        at = value.get("at") if isinstance(value, dict) else None
        self.deleted_at = at if isinstance(at, str) else None
        if unseen or held:
            self.conflicts[DELETED_AT] = deletion_conflict(
                self.entity_type,
                self.entity_id,
                deletions,
                (*held, *(record for record in unseen if record not in held)),
                self.policy.kinds,
                alive=self.alive,
                overruled=len(held),
                state=strategy.conflict_state,
            )

    def _show_whole(self, document: Document) -> None:
        record = winner(document, self.policy, WHOLE)
        self.fields = dict(record.value) if record is not None and isinstance(record.value, dict) else {}

    def frozen_by(self) -> Conflict | None:
        """The open conflict that refuses further writes, where the strategy freezes."""
        if not self.policy.strategy.freezes:
            return None
        return next(iter(self.conflicts.values()), None)


def view_of(entity_type: str, entity_id: str, policy: EntityPolicy, document: Document) -> View:
    """The view from nothing: what `refresh` must always agree with."""
    view = View(entity_type, entity_id, policy)
    view.refresh(document, [*document.fields, *((name,) for name in document.counters), DELETED_AT])
    return view
