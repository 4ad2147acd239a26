"""One batch of a commit's rows, shared by all sessions that are sent exactly these rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.wire.frames import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from node.core.log.entries import Entry
    from node.core.log.ring import RingRow


class SharedBatch:
    """The frames of a commit's rows, joined once for each way of numbering them."""

    def __init__(self, rows: Sequence[RingRow]) -> None:
        plain = [row for row in rows if row.audience is None]
        self._for_all = len(plain) == len(rows)
        self._authors = {row.author for row in plain if not row.echo}
        self._rows = rows
        self._types = {row.row.entity_type for row in rows}
        self._batches: dict[bool, Batch] = {}
        # A row that shows nothing, as the history of a state does, cannot be confirmed.
        self.entries: list[Entry] = [row.entry for row in rows if row.frames]

    def suits(self, terminal_id: str, *, monitor: bool, reads: Set[str] | None) -> bool:
        """Whether a terminal is sent all of these rows and nothing else. reads: entity types; None for all."""
        mine = self._for_all and not monitor and terminal_id not in self._authors
        return mine and (reads is None or self._types <= reads)

    def batch(self, *, numbered: bool) -> Batch:
        """The batch; encoded once. numbered: for terminals that confirm by position."""
        if numbered not in self._batches:
            frames = [frame for row in self._rows for frame in (row.numbered if numbered else row.frames)]
            self._batches[numbered] = Batch(frames)
        return self._batches[numbered]
