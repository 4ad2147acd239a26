"""`last_write_wins` (orders): of each field the latest value is shown.

The conflict is settled by this rule; the author of the value that is not shown is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.strategy import SETTLED, by_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.records import FieldRecord


class LastWriteWins:
    name = "last_write_wins"
    whole_entity = False
    conflict_type = "version_conflict"
    conflict_state = SETTLED
    freezes = False
    first_written = False

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        return sorted(siblings, key=by_time, reverse=True)

    def superseded(
        self, siblings: Sequence[FieldRecord], seen: Sequence[FieldRecord], terminal: str
    ) -> list[FieldRecord]:
        return list(seen)

    def survives(self, deletions: Sequence[FieldRecord], unseen: Sequence[FieldRecord]) -> bool:
        """Of a deletion and a concurrent update, the later prevails."""
        return bool(unseen) and max(map(by_time, unseen)) > max(map(by_time, deletions))
