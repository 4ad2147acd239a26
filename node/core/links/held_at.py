"""How far another node's log was held at rows of this one."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.delivery.sendings import thin
from node.core.log.entries import NO_POSITION

if TYPE_CHECKING:
    from collections.abc import Sequence


@define(eq=False)
class HeldAt:
    """How far another node's log was held at rows of this one."""

    _rows: list[int] = field(factory=list)
    _held: list[tuple[int, ...]] = field(factory=list)

    def note(self, row: int, held: Sequence[int]) -> None:
        """With this row and those before, the other log is held up to here."""
        if self._rows and self._rows[-1] == row:
            self._held[-1] = tuple(held)
            return
        self._rows.append(row)
        self._held.append(tuple(held))
        thin(self._rows, self._held)

    def translated(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Positions in this log as positions in the other one: at least so much of it lies before them."""
        return tuple(self._at(row, priority) for priority, row in enumerate(positions))

    def _at(self, row: int, priority: int) -> int:
        place = bisect_right(self._rows, row)
        return self._held[place - 1][priority] if place else NO_POSITION
