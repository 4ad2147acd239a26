"""What a list changes, over many stores: the same change in 300 of them is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from crdt.json_values import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.lists.planning import Entry, Plan

SHOWN = 300
"""Changes, and refusals, that are kept; of the others it is said how many there are."""

LONG = 300
"""Characters of a value that are kept."""


@define
class Preview:
    """changes: by entity, field and both values, in how many stores. created, changed, unchanged, left: entities of
    all stores. more: changes that are not kept. stores: how many were added. lines: that are refused."""

    changes: dict[bytes, dict[str, Any]] = field(factory=dict)
    refusals: dict[bytes, dict[str, Any]] = field(factory=dict)
    more: int = 0
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    left: int = 0
    stores: int = 0
    lines: set[int] = field(factory=set)

    def add(self, plan: Plan) -> None:
        """Of one more store."""
        self.stores += 1
        self.created += len(plan.created)
        self.changed += len(plan.changed)
        self.unchanged += plan.unchanged
        self.left += plan.left
        for entry in (*plan.changed, *plan.created):
            for change in _changes(entry):
                self._count(change)
        for refusal in plan.refused:
            self.lines.add(refusal.line)
            said = {**refusal.report(), "value": short(refusal.value)}
            if len(self.refusals) < SHOWN:
                self.refusals.setdefault(canonical([refusal.line, refusal.column, refusal.reason]), said)

    def _count(self, change: dict[str, Any]) -> None:
        known = self.changes.get(key := canonical([*change.values()]))
        if known is not None:
            known["stores"] += 1
        elif len(self.changes) < SHOWN:
            self.changes[key] = {**change, "stores": 1}
        else:
            self.more += 1

    def report(self) -> dict[str, object]:
        return {
            "stores": self.stores,
            "created": self.created,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "counters_left": self.left,
            "refused": len(self.lines),
            "changes": [*self.changes.values()],
            "more": self.more,
            "refusals": sorted(self.refusals.values(), key=lambda one: int(one["line"])),
        }


def _changes(entry: Entry) -> Iterator[dict[str, Any]]:
    """One a field. created: the entity is new there."""
    before, created = entry.before or {}, entry.before is None
    for name, value in entry.data.items():
        yield {
            "entity_id": entry.entity_id,
            "field": name,
            "created": created,
            "before": short(before.get(name)),
            "after": short(value),
        }


def short(value: object) -> object:
    """A value that is short enough to be shown with hundreds of others; of a long one, how its text begins."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else canonical(value).decode()
    if len(text) > LONG:
        return f"{text[:LONG]}..."
    return value
