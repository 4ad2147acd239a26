"""One batch of a commit's rows, shared by all sessions that are sent exactly these rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from node.wire.frames import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from node.core.log.entries import Entry
    from node.core.log.ring import RingRow


class Reader(Protocol):
    """A terminal, as far as it tells what it is sent. reads: entity types; None for all. by_position: its rows carry
    their numbers."""

    @property
    def terminal_id(self) -> str: ...
    @property
    def monitor(self) -> bool: ...
    @property
    def reads(self) -> Set[str] | None: ...
    @property
    def by_position(self) -> bool: ...


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

    def batch_of(self, reader: Reader) -> Batch | None:
        """The batch for a terminal that is sent all of these rows and nothing else; None for any other."""
        if not self._for_all or reader.monitor or reader.terminal_id in self._authors:
            return None
        reads, numbered = reader.reads, reader.by_position
        if not (reads is None or self._types <= reads):
            return None
        return self._batches.get(numbered) or self._batch(numbered=numbered)

    def _batch(self, *, numbered: bool) -> Batch:
        """Encoded once."""
        frames = [frame for row in self._rows for frame in (row.numbered if numbered else row.frames)]
        batch = self._batches[numbered] = Batch(frames)
        return batch
