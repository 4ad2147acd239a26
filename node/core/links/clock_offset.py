"""How far the other node's clock is from this one's, measured by pings (Cristian's algorithm).

A pong tells the other clock at some moment between the ping and the pong. The sample with the shortest way there and
back is the most exact one and is kept: half of the round trip bounds its error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from node.core.ports import Instant

FORGET_PINGS = 600
"""After this many samples the best one so far is replaced: clocks drift."""

CLOCK_MOVED_MS = 1_000
"""A sample that differs from the best one by more than this and its round trip: one of the clocks was set."""


@define(eq=False)
class ClockOffset:
    """One link's measurement.

    offset_ms: by how much the other clock is ahead.
    rtt_ms: the round trip of the sample that `offset_ms` is taken from.
    """

    offset_ms: int = field(default=0, init=False)
    rtt_ms: int | None = field(default=None, init=False)
    far: bool = field(default=False, init=False)
    """The other clock is too far from this one to be followed."""
    _samples: int = field(default=0, init=False)
    _asked_ms: int | None = field(default=None, init=False)

    def ask(self, now: Instant) -> bool:
        """Whether to send a ping now. False while one is under way."""
        if self._asked_ms is not None:
            return False
        self._asked_ms = now.mono_ms
        return True

    def answered(self, theirs_ms: int, now: Instant) -> bool:
        """A pong came. theirs_ms: the other wall clock. Returns whether the offset was taken from it."""
        if self._asked_ms is None:
            return False
        rtt_ms, self._asked_ms = now.mono_ms - self._asked_ms, None
        self._samples += 1
        offset_ms = theirs_ms - (now.wall_ms - rtt_ms // 2)
        was_set = abs(offset_ms - self.offset_ms) > rtt_ms + CLOCK_MOVED_MS
        if self.rtt_ms is None or rtt_ms <= self.rtt_ms or was_set or self._samples % FORGET_PINGS == 0:
            self.rtt_ms, self.offset_ms = rtt_ms, offset_ms
            return True
        return False
