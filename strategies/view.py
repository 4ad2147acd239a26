"""What an entity shows: a pure function of its document and its policy.

`View.refresh` recomputes only the registers that changed, so the cost of a write does not grow with the entity;
`view_of` builds one from nothing, and the tests hold the two against each other.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
from attrs import define, field

from crdt.decimals import (
    amount_of,
    decimal_of,
    is_total,
    plus,
    shown,
)
from crdt.records import CANONICAL, FieldRecord, Path
from strategies.conflict import Conflict, deletion_conflict, sibling_conflict
from strategies.keyed_list import element_of, shown_list
from strategies.kinds import COUNTED, COUNTER, GROUP, KEYED_LIST, SETTLEMENT, group_path
from strategies.policy import EntityPolicy
from strategies.registers import DELETED_AT, WHOLE, distinct, unseen_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

    def refresh(self, document: Document, paths: Iterable[Path]) -> None:
        """Bring the registers at `paths`, and whether the entity is alive, up to date."""
        kinds = self.policy.kinds
        counters: set[str] = set()
        lists: set[str] = set()
        for path in paths:
            if path in (DELETED_AT, COUNTED):
                continue
            if path[:1] == (SETTLEMENT,):
                counters.update(kinds.names(path))
                continue
            self._refresh_conflict(document, path)
            if path == WHOLE:
                self._show_whole(document)
            elif path[0] != GROUP and (len(path) > 1 or kinds.of(path[0]).kind == KEYED_LIST):
                lists.add(path[0])
            elif kinds.of(path[0]).kind == COUNTER:
                counters.add(path[0])
            else:
                for name in kinds.names(path):
                    self._show_field(document, name)
        for name in counters:
            self._show_counter(document, name)
        for name in lists:
            self._show_list(document, name)
        self._refresh_life(document)

    def _winner(self, document: Document, path: Path) -> FieldRecord | None:
        siblings = document.fields.get(path)
        if siblings is None:
            return None
        return siblings[0] if len(siblings) == 1 else self.policy.ordered(path, siblings)[0]

    def _refresh_conflict(self, document: Document, path: Path) -> None:
        self.conflicts.pop(path, None)
        siblings = document.fields.get(path, ())
        if len(siblings) < 2 or not (distinct(siblings, _element_text) if len(path) > 1 else distinct(siblings)):
            return
        strategy = self.policy.strategy
        self.conflicts[path] = sibling_conflict(
            self.entity_type,
            self.entity_id,
            path,
            self.policy.ordered(path, siblings),
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

    def _show_whole(self, document: Document) -> None:
        record = self._winner(document, WHOLE)
        self.fields = dict(record.value) if record is not None and isinstance(record.value, dict) else {}

    def _show_field(self, document: Document, name: str) -> None:
        """A plain field, or one that shares its register with others."""
        group = self.policy.kinds.group_of(name)
        together = self._winner(document, group_path(group)) if group is not None else None
        if together is not None and isinstance(together.value, dict) and name in together.value:
            self.fields[name] = together.value[name]
            return
        record = self._winner(document, (name,))
        if record is None:
            self.fields.pop(name, None)
        else:
            self.fields[name] = record.value

    def _show_counter(self, document: Document, name: str) -> None:
        amount = counter_amount(document, self.policy, name)
        if isinstance(amount, Decimal):
            self.fields[name] = shown(amount)
        elif amount is None:
            self.fields.pop(name, None)
        else:
            self.fields[name] = amount.value

    def _show_list(self, document: Document, name: str) -> None:
        elements: dict[Path, FieldRecord] = {}
        for path in document.fields:
            if len(path) == 2 and path[0] == name:
                record = self._winner(document, path)
                if record is not None:
                    elements[path] = record
        presence = self._winner(document, (name,))
        if presence is None and not elements:
            self.fields.pop(name, None)
        else:
            self.fields[name] = shown_list(presence, elements)

    def frozen_by(self) -> Conflict | None:
        """The open conflict that refuses further writes, where the strategy freezes."""
        if not self.policy.strategy.freezes:
            return None
        return next(iter(self.conflicts.values()), None)


def counter_amount(document: Document, policy: EntityPolicy, name: str) -> Decimal | FieldRecord | None:
    """What a counter amounts to: its opening and all that was counted since, an operation under two writers once.

    The opening's record where that is no number; None where there is neither an opening nor a count.
    """
    openings = document.fields.get((name,))
    opening = policy.ordered((name,), openings)[0] if openings else None
    if opening is None and name not in document.counters:
        return None
    start = amount_of(opening.value) if opening is not None else Decimal(0)
    if start is None:
        return opening
    return plus((start, document.counters.get(name, Decimal(0)), *_settled(document, name)))


def _settled(document: Document, name: str) -> Iterator[Decimal]:
    for path, records in document.fields.items():
        if path[0:1] == (SETTLEMENT,):
            value = records[0].value  # all siblings say the same
            total = value.get(name) if isinstance(value, dict) else None
            if is_total(total):
                yield decimal_of(total)  # type: ignore[arg-type]


def _element_text(record: FieldRecord) -> bytes:
    """Two equal elements at different places are one value."""
    return orjson.dumps(element_of(record), option=CANONICAL)


def view_of(entity_type: str, entity_id: str, policy: EntityPolicy, document: Document) -> View:
    """The view from nothing: what `refresh` must always agree with."""
    view = View(entity_type, entity_id, policy)
    view.refresh(document, [*document.fields, *((name,) for name in document.counters), DELETED_AT])
    return view
