"""How much of the other node's log this one holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.log.entries import NO_POSITION
from storage.records import CLASSES, PeerRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.wire.links.handshake import Hello


@define(eq=False)
class PeerLog:
    """How far one other log is held.

    positions: the last row held, by priority class.
    last_row: the last row that came or was passed over, and its chain hash.
    head: the last row of that log, as far as its node told.
    """

    positions: list[int] = field(factory=lambda: [NO_POSITION] * CLASSES)
    last_row: tuple[int, bytes] = (0, b"")
    head: int = 0

    @property
    def known(self) -> bool:
        """Whether anything of that log is held."""
        return max(self.positions) != NO_POSITION

    @property
    def behind(self) -> int:
        """Rows that are still missing here."""
        return self.head - min(self.positions)

    def resume(self, hello: Hello, row: PeerRow | None) -> None:
        """The other side said who it is. The stored position counts if its log still has the same epoch."""
        self.head = hello.head
        if row is not None and row.epoch == hello.epoch:
            self.positions, self.last_row = list(row.positions), (row.mark, row.mark_hash)

    def moved(self, positions: Sequence[int], last_row: tuple[int, bytes], head: int) -> None:
        """With the rows that came, this log is held up to here."""
        self.positions = [max(old, new) for old, new in zip(self.positions, positions, strict=True)]
        if last_row[0] > self.last_row[0]:
            self.last_row = last_row
        self.head = max(self.head, head)

    def row(self, hello: Hello, now_ms: int) -> PeerRow:
        """The stored form. now_ms: wall clock."""
        return PeerRow(hello.node_id, hello.epoch, tuple(self.positions), *self.last_row, now_ms)
