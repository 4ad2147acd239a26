"""When to dial again: the first retry at once, then exponential back-off with full jitter, capped, for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Callable

STEADY_MS = 1_000
"""A link that was up for less counts as a failed attempt, so that nobody is dialled in a circle."""


@define
class Backoff:
    """Of one configured link. attempts: failed ones in a row."""

    base_ms: int
    max_ms: int
    attempts: int = 0

    def ended(self, was_up: bool, lasted_ms: float) -> None:
        """An attempt, or the link it led to, is over."""
        self.attempts = 0 if was_up and lasted_ms > STEADY_MS else self.attempts + 1

    def wait_ms(self, uniform: Callable[[float, float], float]) -> float:
        """How long to wait before the next attempt."""
        if not self.attempts:
            return 0.0
        return uniform(0, min(self.max_ms, self.base_ms * 2 ** min(self.attempts, 16)))
