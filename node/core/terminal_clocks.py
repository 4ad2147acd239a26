"""How far each terminal's clock is from this machine's, and from it when an operation was written.

A terminal shows its clock in the timestamps it sends. What was sent at once comes a little later than its timestamp
says, and what waited in a queue comes much later, but nothing comes before it was written. So the smallest of (time
of receipt minus timestamp) is how far the clock is behind, plus the quickest way here; it is negative where the clock
is ahead. An offline queue makes that difference larger and never smaller, so it does not disturb the smallest.

What tells something of a clock:

- A `ping` is sent at once, and so is the confirmation of a row that no earlier connection was sent. They measure a
  clock of which nothing was known, and let the past be forgotten.
- Any timestamp that is ahead of what was measured: the clock is ahead by at least so much.
- A timestamp that is this machine's time: the clock is right, whatever it was before.
- Two timestamps, received some seconds apart, that are wrong by the same: nothing of that waited, since a queue is
  sent faster than it was written. So a clock that was set back is found out, and a terminal that sends no pings.

No other documented message has a timestamp.

Receipt is timed by the monotonic clock, so that it does not matter when this machine's clock is set. What is kept
while a terminal is away, and across a restart, is measured against the machine's clock.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from crdt.hlc import length, parse_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.ports import Instant

logger = logging.getLogger("comanda.clock")

TOLERANCE_MS = 2_000
"""A clock that is wrong by less is taken as right: the way of a message may take as long."""

AT_ONCE_MS = 20
"""What is older than this by its author's measured clock may have waited while its author read."""

FORGET_MS = 600_000
"""After twice this, what was measured counts no more, if something was heard since."""

APART_MS = 5_000
"""Two timestamps that come within this are no two measurements: a queue is sent as fast."""

EARLIEST_US = parse_iso("2020-01-01T00:00:00Z")
"""No operation was written before this. A clock that says so was never set."""

SHOWN = 50
"""Wrong clocks that status and metrics name, the worst ones."""

SAID = "timestamp"
MEASURED = "measured"
ACCEPTED = "accepted"


@define
class Written:
    """When an operation was written, by this machine's clock.

    at_us: Unix microseconds, never later than now.
    said_us: what its author's clock says, also where that contradicts what its author wrote before.
    by: what that rests on. `timestamp`: as its author said. `measured`: corrected by its author's clock. `accepted`:
        its timestamp cannot be, or there is none, so it counts as written when it was accepted.
    sure: its author's clock is known, so it was not written later than that, and hardly earlier.
    """

    at_us: int
    said_us: int
    by: str
    sure: bool


@define(eq=False)
class TerminalClock:
    """What is known of one terminal's clock.

    lag_ms: the smallest monotonic time of receipt minus timestamp; None where nothing tells.
    before_ms: the smallest of the stretch before this one.
    least: the smaller of the two.
    since_ms: when this stretch began, on the monotonic clock.
    other: (when, lag) of a timestamp that contradicts `lag_ms`. A second one that agrees with it replaces that.
    latest_us: when its latest operation was written, Unix microseconds of this machine's clock.
    heard_ms: when the latest timestamp came, on the monotonic clock.
    exact: something that was sent at once measured it.
    """

    lag_ms: int | None = None
    before_ms: int = 0
    least: int | None = None
    since_ms: int = 0
    other: tuple[int, int] | None = None
    latest_us: int = 0
    heard_ms: int = -APART_MS
    exact: bool = False
    warned: bool = False

    def begin(self, lag_ms: int, mono_ms: int, *, live: bool) -> None:
        """Forget what was measured before."""
        self.lag_ms = self.before_ms = self.least = lag_ms
        self.since_ms, self.other, self.exact = mono_ms, None, live

    def take(self, lag_ms: int, mono_ms: int, wrong_ms: int, *, live: bool) -> None:
        """A timestamp came. wrong_ms: how far it is behind this machine's clock. live: it was sent at once."""
        least = self.least
        if -TOLERANCE_MS <= wrong_ms <= TOLERANCE_MS and (least is None or lag_ms > least + TOLERANCE_MS):
            self.begin(lag_ms, mono_ms, live=live)  # its clock is right, or was set right
        elif least is None:
            if live or wrong_ms < 0:
                self.begin(lag_ms, mono_ms, live=live)
            else:
                self._contradict(lag_ms, mono_ms)
        elif lag_ms < least - TOLERANCE_MS:
            self.begin(lag_ms, mono_ms, live=live)  # set forward, or it was measured by what had waited
        elif lag_ms <= least + TOLERANCE_MS:
            self._confirm(lag_ms, mono_ms, live=live)
        else:
            self._contradict(lag_ms, mono_ms)
        self.exact |= live and self.other is None

    def _confirm(self, lag_ms: int, mono_ms: int, *, live: bool) -> None:
        assert self.lag_ms is not None
        self.other = None
        if live and mono_ms - self.since_ms >= FORGET_MS:
            self.before_ms, self.lag_ms, self.since_ms = self.lag_ms, lag_ms, mono_ms
            self.least = min(lag_ms, self.before_ms)
        elif lag_ms < self.lag_ms:
            self.lag_ms, self.least = lag_ms, min(lag_ms, self.before_ms)

    def _contradict(self, lag_ms: int, mono_ms: int) -> None:
        """It waited somewhere, or the clock was set back."""
        if self.other is None or abs(lag_ms - self.other[1]) > TOLERANCE_MS:
            self.other = mono_ms, lag_ms
        elif mono_ms - self.other[0] >= APART_MS:
            self.begin(min(lag_ms, self.other[1]), mono_ms, live=False)


@define(eq=False)
class TerminalClocks:
    """The clocks of the terminals that this node knows, by terminal id.

    changed: terminals of which something is to be stored that is not.
    """

    clocks: dict[str, TerminalClock] = field(factory=dict)
    changed: set[str] = field(factory=set)

    # ------------------------------------------------------------------ measuring

    def heard(self, terminal_id: str, timestamp_us: int, now: Instant, *, live: bool) -> None:
        """A message of the terminal says what its clock showed when it was made.

        timestamp_us: Unix microseconds. live: messages of this kind wait in no queue.
        """
        clock = self.clocks.get(terminal_id)
        if clock is None:
            clock = self.clocks[terminal_id] = TerminalClock()
        lag_ms, least, other = now.mono_ms - timestamp_us // 1000, clock.least, clock.other
        wrong_ms = lag_ms + now.wall_ms - now.mono_ms
        clock.take(lag_ms, now.mono_ms, wrong_ms, live=live)
        clock.heard_ms, after = now.mono_ms, clock.least
        if after is None:
            if clock.other != other:
                self.changed.add(terminal_id)
        elif least is None or abs(after - least) > TOLERANCE_MS:
            self.changed.add(terminal_id)
            self._warn(terminal_id, clock, now)

    def due(self, terminal_id: str, now: Instant) -> bool:
        """Whether a timestamp may tell something that the one before it did not."""
        clock = self.clocks.get(terminal_id)
        return clock is None or clock.lag_ms is None or now.mono_ms - clock.heard_ms >= APART_MS

    def _warn(self, terminal_id: str, clock: TerminalClock, now: Instant) -> None:
        offset_ms = self.offset_ms(terminal_id, now)
        if offset_ms and not clock.warned:
            logger.warning(
                "the clock of terminal %(terminal_id)s is %(offset)s: what it writes counts as written "
                "that much %(way)s",
                {
                    "terminal_id": terminal_id,
                    "offset": told(offset_ms),
                    "way": "later" if offset_ms > 0 else "earlier",
                },
            )
        clock.warned = bool(offset_ms)

    def measured_ms(self, terminal_id: str, now: Instant) -> int | None:
        """How far the terminal's clock is behind this machine's, as it was measured; None where nothing is known."""
        clock = self.clocks.get(terminal_id)
        least = clock.least if clock is not None else None
        return None if least is None else least + now.wall_ms - now.mono_ms

    def offset_ms(self, terminal_id: str, now: Instant) -> int | None:
        """What is added to the terminal's timestamps; 0 where its clock is right; None where nothing is known."""
        offset_ms = self.measured_ms(terminal_id, now)
        return offset_ms if offset_ms is None or abs(offset_ms) >= TOLERANCE_MS else 0

    def brought(self, terminal_id: str, offset_ms: int, now: Instant) -> None:
        """Another node measured the clock of a terminal. It counts where nothing was measured here."""
        if self.measured_ms(terminal_id, now) is None:
            clock = self.clocks.setdefault(terminal_id, TerminalClock())
            clock.begin(offset_ms - now.wall_ms + now.mono_ms, now.mono_ms, live=False)
            self._warn(terminal_id, clock, now)

    def age_ms(self, terminal_id: str, timestamp_us: int | None, now: Instant) -> int | None:
        """How long ago that was by the terminal's clock, as it was measured, and 0 within AT_ONCE_MS of now.

        None without a timestamp, and for one that is yet to come by this machine's clock, where nothing that was sent
        at once has measured the terminal's: its clock is ahead, or was until it was set, and then it may have waited.
        For an earlier one the clock may be right there: then it is the longer of two times.
        """
        if timestamp_us is None:
            return None
        clock = self.clocks.get(terminal_id)
        age_ms = said_ms = now.wall_ms - timestamp_us // 1000
        least = None if clock is None else clock.least
        if said_ms < -AT_ONCE_MS and not (clock is not None and clock.exact):
            return None
        if clock is not None and least is not None:
            age_ms = now.mono_ms - timestamp_us // 1000 - least
            age_ms = age_ms if clock.exact else max(age_ms, said_ms)
        return age_ms if age_ms > AT_ONCE_MS else 0

    def wrong(self, now: Instant) -> dict[str, int]:
        """Terminals whose clock is wrong: what is added to their timestamps, in milliseconds. The worst first."""
        wrong = {terminal_id: offset for terminal_id in self.clocks if (offset := self.offset_ms(terminal_id, now))}
        return dict(sorted(wrong.items(), key=lambda entry: (-abs(entry[1]), entry[0])))

    # ------------------------------------------------------------------ the true time of an operation

    def written(self, terminal_id: str, timestamp_us: int | None, now: Instant, *, again: bool = False) -> Written:
        """When an operation that is decided now was written.

        again: it was refused before and is sent again, so it may well be older than what its author wrote since.
        """
        now_us = now.wall_ms * 1000
        if timestamp_us is None:
            return Written(now_us, now_us, ACCEPTED, sure=False)
        clock = self.clocks.get(terminal_id)
        offset_ms = self.offset_ms(terminal_id, now)
        at_us, by = timestamp_us, SAID
        if offset_ms is None and timestamp_us < EARLIEST_US:
            return Written(now_us, now_us, ACCEPTED, sure=False)
        if offset_ms and abs(now_us - timestamp_us) > TOLERANCE_MS * 1000:
            at_us, by = timestamp_us + offset_ms * 1000, MEASURED
        if at_us > now_us:
            if at_us - now_us > TOLERANCE_MS * 1000:
                return Written(now_us, now_us, ACCEPTED, sure=False)
            at_us = now_us
        latest_us = 0 if clock is None or again else clock.latest_us
        if latest_us - TOLERANCE_MS * 1000 > at_us and latest_us <= now_us:
            # It comes after what was written later by this reckoning: the clock was set in between.
            return Written(now_us, at_us, ACCEPTED, sure=False)
        return Written(at_us, at_us, by, sure=offset_ms is not None)

    def wrote(self, terminal_id: str, at_us: int) -> None:
        """The terminal's latest operation was written then. The next one is not older."""
        clock = self.clocks.get(terminal_id)
        if clock is None:
            clock = self.clocks[terminal_id] = TerminalClock()
        clock.latest_us = max(clock.latest_us, at_us)

    def forget(self, terminal_id: str) -> None:
        """The terminal is not known any more."""
        self.clocks.pop(terminal_id, None)
        self.changed.discard(terminal_id)

    # ------------------------------------------------------------------ storing

    def stored(self, terminal_id: str, now: Instant) -> str:
        """What is kept with the terminal's cursor."""
        clock = self.clocks.get(terminal_id)
        if clock is None:
            return ""
        other_ms = clock.other and clock.other[1] + now.wall_ms - now.mono_ms
        return orjson.dumps([self.measured_ms(terminal_id, now), clock.latest_us, other_ms]).decode()

    @classmethod
    def load(cls, stored: Mapping[str, str], now: Instant) -> TerminalClocks:
        """stored: what was kept, by terminal id."""
        clocks = cls()
        for terminal_id, text in stored.items():
            if text:
                offset_ms, latest_us, other_ms = orjson.loads(text)
                clock, since = TerminalClock(latest_us=latest_us), now.wall_ms - now.mono_ms
                if offset_ms is not None:
                    clock.begin(offset_ms - since, now.mono_ms, live=False)
                    clock.warned = abs(offset_ms) >= TOLERANCE_MS
                if other_ms is not None:
                    clock.other = now.mono_ms, other_ms - since
                clocks.clocks[terminal_id] = clock
        return clocks


def told(offset_ms: int) -> str:
    """An offset for people: `23 h 58 min ahead`."""
    return f"{length(offset_ms)} {'behind' if offset_ms > 0 else 'ahead'}"
