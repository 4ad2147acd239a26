"""When a terminal was sent what: nobody knew, when they wrote, what was sent to them afterwards.

The positions of a terminal are kept twice a second while they move, over all its connections since the node started.
The older half is thinned out when there are many. Between two that are kept, the earlier one counts.

A terminal that never confirms is known by its pongs, and a pong says only that its library has read. Its program may
have written in that moment, and read afterwards.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from attrs import evolve, field

from crdt.classes import define
from node.core.log.entries import NO_POSITION

if TYPE_CHECKING:
    from collections.abc import Sequence

APART_MS = 500
"""Rows that were sent within this of each other count as sent at once."""

KEPT = 256
"""Positions kept of one terminal, or of one linked node."""

BEFORE_START = -(1 << 62)
"""On the monotonic clock: what a terminal was sent, and what it wrote then, is not known."""

UNREAD_MS = 4_000
"""How long after its library a program may read what came."""


def thin(*lists: list[Any]) -> None:
    """Drop every second entry of the older half of lists that go together, once there are too many."""
    if len(lists[0]) > KEPT:
        for entries in lists:
            del entries[1 : KEPT // 2 : 2]


@define(eq=False)
class Sendings:
    """earliest: the positions that count for times before the first that is kept.

    away: from when to when the terminal had no connection, the last time that it had none.
    wrote: whether it has sent an operation on its connection. One on which it sends none may be over before it sends
        what it wrote, which waits for the next.
    """

    earliest: tuple[int, ...]
    away: tuple[int, int] = (0, 0)
    wrote: bool = False
    _begun_ms: int | None = None
    """When its connection began."""
    _waits_ms: int | None = None
    """When the first connection began that was there since it sent an operation, counting the one on which it did."""
    _times: list[int] = field(factory=list)
    _sent: list[tuple[int, ...]] = field(factory=list)
    _after: list[tuple[int, ...]] = field(factory=list)
    """For each time, positions after which nothing is known to have been sent before it: rows are sent again."""
    _arrivals: list[tuple[int, tuple[int, ...]]] = field(factory=list)
    """Times of the latest pongs, with what was acknowledged before each."""

    def as_now(self) -> Sendings:
        """The same, whatever is sent from now on."""
        times, sent, after = [*self._times], [*self._sent], [*self._after]
        return evolve(self, times=times, sent=sent, after=after, arrivals=[*self._arrivals])

    def note(self, mono_ms: int, sent: Sequence[int]) -> None:
        """Up to here the terminal has been sent the log, by class. mono_ms: now, on the monotonic clock."""
        times, last = self._times, self._sent[-1] if self._sent else self.earliest
        # After a reconnect rows are sent again.
        now = tuple(sent) if min(sent) >= max(last) else tuple(map(max, sent, last))
        if times and mono_ms - times[-1] < APART_MS:
            self._sent[-1] = now
            return
        self._begin(mono_ms, now, tuple(sent))

    def followed(self, mono_ms: int, previous: tuple[int, ...], sent: tuple[int, ...]) -> None:
        """As `note`, of a commit's rows. previous, sent: the log's level before the commit and with it."""
        if self._sent and self._sent[-1] is previous and mono_ms - self._times[-1] < APART_MS:
            self._sent[-1] = sent
        else:
            self.note(mono_ms, sent)

    def connected(self, mono_ms: int, positions: Sequence[int]) -> None:
        """The terminal has a new connection, on which it is sent what comes after these positions."""
        self.away = self._times[-1] if self._times else mono_ms, mono_ms
        if self.wrote and self._begun_ms is not None:
            self._waits_ms = self._begun_ms
        elif self._waits_ms is None:
            self._waits_ms = mono_ms if max(self.earliest) == NO_POSITION else BEFORE_START
        self.wrote, self._begun_ms = False, mono_ms
        self.again(mono_ms, positions)

    def again(self, mono_ms: int, positions: Sequence[int]) -> None:
        """What comes after these positions is sent, whatever of it was sent before."""
        last = self._sent[-1] if self._sent else self.earliest
        self._begin(mono_ms, last, tuple(positions))

    def _begin(self, mono_ms: int, sent: tuple[int, ...], after: tuple[int, ...]) -> None:
        self._times.append(mono_ms)
        self._sent.append(sent)
        self._after.append(after)
        if len(self._times) > KEPT:
            for place in range(1, KEPT // 2, 2):  # what a dropped one sent counts with both beside it
                for beside in (place - 1, place + 1):
                    self._after[beside] = tuple(map(min, self._after[beside], self._after[place]))
            thin(self._times, self._sent, self._after)

    def arrived(self, mono_ms: int, before: tuple[int, ...]) -> None:
        """A pong acknowledged something of a terminal that never confirms. before: what was acknowledged by then."""
        arrivals = self._arrivals
        while arrivals and arrivals[0][0] <= mono_ms - UNREAD_MS - APART_MS:
            del arrivals[0]
        if not arrivals or mono_ms - arrivals[-1][0] >= APART_MS:
            arrivals.append((mono_ms, before))

    def read(self, mono_ms: int, acknowledged: tuple[int, ...]) -> tuple[int, ...]:
        """Of what its pongs have acknowledged, what the program of such a terminal has surely read."""
        last_ms = mono_ms - UNREAD_MS - APART_MS
        before = next((before for at_ms, before in self._arrivals if at_ms > last_ms), None)
        return acknowledged if before is None else tuple(map(min, acknowledged, before))

    def by(self, mono_ms: int, priority: int) -> int:
        """The last row of a class that had been sent by then."""
        place = bisect_right(self._times, mono_ms)
        return (self._sent[place - 1] if place else self.earliest)[priority]

    def confirmed_by(self, mono_ms: int, priority: int, confirmed: int) -> int:
        """Of what a terminal has confirmed of a class, what it may have confirmed by then: it was sent a row again
        because it had not."""
        place = bisect_right(self._times, mono_ms)
        return min((positions[priority] for positions in self._after[place:]), default=confirmed)

    def since(self, mono_ms: int, priority: int) -> int:
        """A row of a class before every row that was sent from then on, also those that were sent again.

        Of what was sent before the node started nothing is known, so it may be any row.
        """
        place = bisect_right(self._times, mono_ms)
        if not place:
            return NO_POSITION
        return min(positions[priority] for positions in self._after[place - 1 :])

    def waiting(self, priority: int) -> int:
        """A row of a class before every row that was sent since it may have written what comes only now."""
        return NO_POSITION if self._waits_ms is None else self.since(self._waits_ms, priority)
