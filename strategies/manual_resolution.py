"""`manual_resolution` (cashier operations): a person decides every conflict.

The register is the whole entity. Its first-written state stays, and takes no further writes, until somebody decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.merge_non_conflicting import MergeNonConflicting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.records import FieldRecord


class ManualResolution(MergeNonConflicting):
    name = "manual_resolution"
    whole_entity = True
    conflict_type = "version_conflict"
    freezes = True

    def superseded(
        self, siblings: Sequence[FieldRecord], seen: Sequence[FieldRecord], terminal: str
    ) -> list[FieldRecord]:
        return list(seen)
