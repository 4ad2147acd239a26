"""Simulated time: what is to happen, in order, and nothing waits for a real clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from attrs import define, field

from node.simulation.transcript import Transcript

Event = tuple[int, int, Callable[[], None]]


@define(eq=False)
class Clockwork:
    """now_ms: milliseconds since the evening began. Of two events at one time the one set first comes first."""

    transcript: Transcript
    now_ms: int = 0
    _events: list[Event] = field(factory=list)
    _number: int = 0

    def later(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Do `action` in `delay_ms`."""
        self._number += 1
        heapq.heappush(self._events, (self.now_ms + max(int(delay_ms), 0), self._number, action))

    @property
    def next_ms(self) -> int | None:
        """When something happens next."""
        return self._events[0][0] if self._events else None

    def run(self, until_ms: int) -> None:
        """Everything that happens up to then."""
        while self._events and self._events[0][0] <= until_ms:
            at, _, action = heapq.heappop(self._events)
            self.now_ms = self.transcript.now_ms = at
            action()
        self.now_ms = self.transcript.now_ms = until_ms
