"""The committed log as every delivery sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define

from crdt import hlc
from node.core.log.ring import Ring
from node.core.ports import Clock
from storage.records import ConflictRow
from strategies.policy import Registry


@define(eq=False, kw_only=True)
class LogView:
    """What the deliveries of all sessions and links share.

    class_heads: the last committed row of each priority class.
    conflicts: entity types -> their open conflicts that are durable.
    """

    ring: Ring
    registry: Registry
    node_id: str
    class_heads: list[int]
    conflicts: Callable[[Sequence[str]], Sequence[ConflictRow]]
    clock: Clock

    @property
    def head(self) -> int:
        return self.ring.head

    def open_conflicts(self, priority: int) -> Sequence[ConflictRow]:
        """Open conflicts of one priority class."""
        return self.conflicts(self.registry.of_class(priority))

    def now_iso(self) -> str:
        return hlc.iso(self.clock().wall_ms)

    def mono_ms(self) -> int:
        return self.clock().mono_ms
