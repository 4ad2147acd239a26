"""What a change of an entity's document does to what is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from strategies.conflict import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crdt.records import Path


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
