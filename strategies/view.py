"""What an entity shows: a pure function of its document and its policy.

`View.refresh` recomputes only the registers that changed, so the cost of a write does not grow with the entity;
`view_of` builds one from nothing, and the tests hold the two against each other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from crdt.records import Path, counted_at
from strategies.conflict import Conflict, deletion_conflict, sibling_conflict
from strategies.guard import overruling
from strategies.kinds.kind import ABSENT
from strategies.kinds.kinds import LISTS
from strategies.kinds.register import winner
from strategies.paths import COUNTED, DELETED_AT, WHOLE, is_element, is_movement
from strategies.policy import EntityPolicy
from strategies.strategy import distinct, unseen_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.document import Document


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
    lists: set[str] = field(factory=set)
    """The fields that are shown as lists though they are declared to be none."""

    def refresh(self, document: Document, paths: Iterable[Path]) -> None:
        """Bring the registers at `paths`, and whether the entity is alive, up to date."""
        kinds, whole = self.policy.kinds, False
        names: dict[str, None] = {}
        fields, conflicts = document.fields, self.conflicts
        for path in paths:
            if path[:1] == DELETED_AT or path == COUNTED:
                continue
            if (path in conflicts or len(fields.get(path, ())) > 1) and (len(path) == 1 or not is_movement(path)):
                self._refresh_conflict(document, path)
            if len(path) == 1:
                if path[0] in kinds.by_name or path[0] in self.lists:
                    names[path[0]] = None
                else:
                    self._show_register(document, path)
            elif path == WHOLE:
                whole = True
            else:
                if is_element(path):
                    self._note_list(document, path[0])
                    if len(path) > 2:  # which of an element's fields are compared depends on them
                        self._refresh_conflict(document, path[:2])
                names.update(dict.fromkeys(kinds.names(path)))
        if whole:
            self.fields = self._whole(document)
            names = dict.fromkeys(name for path in _paths(document) for name in kinds.names(path))
        names.pop(DELETED_AT[0], None)
        for name in names:
            self._show(document, name)
        self._refresh_life(document)

    def _note_list(self, document: Document, name: str) -> None:
        """Whether a field that is declared to be no list holds elements of one, from an earlier configuration."""
        if not self.policy.kinds.of(name).carried:
            if any(path[:1] == (name,) and is_element(path) for path in document.fields):
                self.lists.add(name)
            else:
                self.lists.discard(name)

    def _show_register(self, document: Document, path: Path) -> None:
        """A plain field."""
        siblings = document.fields.get(path)
        if siblings is None:
            self._show_absent(document, path[0])
        else:
            shown = siblings[0] if len(siblings) == 1 else self.policy.ordered(path, siblings)[0]
            self.fields[path[0]] = shown.value

    def _show(self, document: Document, name: str) -> None:
        kind = LISTS if name in self.lists else self.policy.kinds.of(name)
        value = kind.show(document, self.policy, name)
        if value is ABSENT:
            self._show_absent(document, name)
        else:
            self.fields[name] = value

    def _show_absent(self, document: Document, name: str) -> None:
        """A field without a register: as the whole entity has it, if it was written as one value."""
        whole = self._whole(document) if WHOLE in document.fields else {}
        if name in whole:
            self.fields[name] = whole[name]
        else:
            self.fields.pop(name, None)

    def _refresh_conflict(self, document: Document, path: Path) -> None:
        self.conflicts.pop(path, None)
        siblings = document.fields.get(path, ())
        if len(siblings) < 2:
            return
        kind = self.policy.kinds.at(path)
        if not distinct(siblings, partial(kind.compared, document=document)):
            return
        strategy = self.policy.strategy
        self.conflicts[path] = sibling_conflict(
            self.entity_type,
            self.entity_id,
            path,
            self.policy.ordered(path, siblings),
            document,
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

    def _whole(self, document: Document) -> dict[str, object]:
        record = winner(document, self.policy, WHOLE)
        return dict(record.value) if record is not None and isinstance(record.value, dict) else {}

    def frozen_by(self) -> Conflict | None:
        """The open conflict that refuses further writes, where the strategy freezes."""
        if not self.policy.strategy.freezes:
            return None
        return next(iter(self.conflicts.values()), None)


def view_of(entity_type: str, entity_id: str, policy: EntityPolicy, document: Document) -> View:
    """The view from nothing: what `refresh` must always agree with."""
    view = View(entity_type, entity_id, policy)
    view.refresh(document, [*_paths(document), DELETED_AT])
    return view


def _paths(document: Document) -> list[Path]:
    """All registers and counters."""
    return [*document.fields, *map(counted_at, document.counters)]
