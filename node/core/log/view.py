"""The end of the committed log, as every delivery sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define

from node.core.log.ring import Ring
from storage.records import ConflictRow
from strategies.policy import Registry


@define(eq=False)
class LogView:
    """What every session shares: the committed log's end."""

    ring: Ring
    registry: Registry
    node_id: str
    class_heads: list[int]
    """The last committed row of each priority class."""
    open_conflicts: Callable[[int], Sequence[ConflictRow]]
    """Open conflicts of one priority class."""
    now_iso: Callable[[], str]
    mono_ms: Callable[[], int]

    @property
    def head(self) -> int:
        return self.ring.head
