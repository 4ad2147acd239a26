"""What one linked node may cost within a minute. A link that passes it is not read until the minute is over.

Other links go on. A node keeps its budget when it connects again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define

if TYPE_CHECKING:
    from node.config.links import LinksSection

MINUTE_MS = 60_000

EPOCH_INTERVAL_MS = 600_000
"""The shortest time between two new epochs that one node's claims make this one begin."""


@define(eq=False)
class Budget:
    """One linked node's minute. most, spent: by what it is spent on."""

    most: Mapping[str, int]
    began_ms: int
    spent: dict[str, int] = field(factory=dict)
    over: str | None = None
    """What was passed in this minute."""
    epoch_ms: int | None = None
    """When a claim of this node made this one begin a new epoch."""

    def spend(self, what: str, amount: int, now_ms: int) -> bool:
        """Returns whether the budget is passed with it for the first time in this minute."""
        self.renew(now_ms)
        spent = self.spent[what] = self.spent.get(what, 0) + amount
        if self.over is not None or spent <= self.most[what]:
            return False
        self.over = what
        return True

    def renew(self, now_ms: int) -> bool:
        """Returns whether nothing is passed, or another minute begins."""
        if now_ms - self.began_ms >= MINUTE_MS:
            self.began_ms, self.over = now_ms, None
            self.spent.clear()
        return self.over is None

    def may_begin_epoch(self, now_ms: int) -> bool:
        """Whether a claim of this node may make this one begin a new epoch; notes that it does."""
        if self.epoch_ms is not None and now_ms - self.epoch_ms < EPOCH_INTERVAL_MS:
            return False
        self.epoch_ms = now_ms
        return True


def minute_of(links: LinksSection) -> dict[str, int]:
    """What one linked node may cost within a minute, as it is configured."""
    return {
        "frames": links.minute_frames,
        "bytes": links.minute_bytes,
        "lists of terminals": links.minute_tables,
        "questions about terminals": links.minute_questions,
        "visits of terminals": links.minute_visits,
        "lists of signed heads": links.minute_heads,
    }
