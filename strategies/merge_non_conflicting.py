"""`merge_non_conflicting` (customers): a contested field keeps its first-written value until somebody decides.

Fields that only one side wrote merge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.strategy import OPEN, by_rank, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.records import FieldRecord


class MergeNonConflicting:
    name = "merge_non_conflicting"
    whole_entity = False
    conflict_type = "field_conflict"
    conflict_state = OPEN
    freezes = False
    first_written = True

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        return sorted(siblings, key=by_rank)

    def superseded(
        self, siblings: Sequence[FieldRecord], seen: Sequence[FieldRecord], terminal: str
    ) -> list[FieldRecord]:
        """On a contested field an ordinary write replaces the shown record and its author's own only."""
        if len(siblings) < 2 or not distinct(siblings):
            return list(seen)
        shown = self.ordered(siblings)[0]
        return [record for record in seen if record is shown or record.terminal == terminal]

    def survives(self, deletions: Sequence[FieldRecord], unseen: Sequence[FieldRecord]) -> bool:
        """While a deletion is contested the entity stays: it was there first."""
        return bool(unseen)
