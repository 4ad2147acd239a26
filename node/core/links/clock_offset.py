"""How far the other node is, and its clock from this one's, measured by pings.

A pong tells the other clock at some moment between the ping and the pong. So each round trip bounds the offset from
both sides, and a slow one bounds it widely. The offset is moved only as far as such a bound proves it wrong: stamps
are made with it, and an offset that followed every measurement's error would put two operations of one node into the
order in which they were not written.
"""

from __future__ import annotations

from attrs import field

from crdt.classes import define
from node.core.ports import Instant

ROUNDED_MS = 1
"""Clocks are read in whole milliseconds."""


@define(eq=False)
class ClockOffset:
    """One link's measurement.

    offset_ms: by how much the other clock is ahead.
    rtt_ms: the round trip of the latest ping that was answered. least_ms: the shortest one.
    answers: how many pings were answered.
    """

    offset_ms: int = 0
    rtt_ms: int | None = field(default=None, init=False)
    least_ms: int = field(default=0, init=False)
    answers: int = field(default=0, init=False)
    far: bool = field(default=False, init=False)
    """The other clock is too far from this one to be followed."""
    _asked: Instant | None = field(default=None, init=False)

    def ask(self, now: Instant) -> bool:
        """Whether to send a ping now. False while one is under way."""
        if self._asked is not None:
            return False
        self._asked = now
        return True

    def answered(self, theirs_ms: int, now: Instant) -> bool:
        """A pong came. theirs_ms: the other wall clock. Returns whether it measured the offset.

        It does not where nobody asked, or where this node's clock was set while the ping was under way.
        """
        asked, self._asked = self._asked, None
        if asked is None:
            return False
        self.rtt_ms = now.mono_ms - asked.mono_ms
        self.least_ms = min(self.least_ms, self.rtt_ms) if self.answers else self.rtt_ms
        self.answers += 1
        if abs(now.wall_ms - asked.wall_ms - self.rtt_ms) > ROUNDED_MS:
            return False
        least, most = theirs_ms - now.wall_ms - ROUNDED_MS, theirs_ms - asked.wall_ms + ROUNDED_MS
        self.offset_ms = min(max(self.offset_ms, least), most)
        return True
