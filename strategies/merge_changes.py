"""`merge_changes` (products): as `last_write_wins`, but an update brings a concurrently deleted entity back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.last_write_wins import LastWriteWins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.records import FieldRecord


class MergeChanges(LastWriteWins):
    name = "merge_changes"

    def survives(self, deletions: Sequence[FieldRecord], unseen: Sequence[FieldRecord]) -> bool:
        return bool(unseen)
