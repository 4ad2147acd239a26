"""Hybrid logical clock (Kulkarni et al., 2014) packed into one integer: Unix milliseconds << 16 | counter.

An operation's *stamp* is when it was written, as its timestamp and its terminal's clock tell; a record's *accepted*
is this node's clock. Both are ordered as plain integers.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from attrs import Factory

from crdt.classes import define, frozen

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTER_BITS = 16
MAX_MS = (2**63 - 1) >> COUNTER_BITS


@frozen
class Zone:
    """A time zone with its IANA name."""

    name: str
    zone: tzinfo


UTC_ZONE = Zone("UTC", UTC)

STEP_MS = 86_400_000
"""A physical clock that moves further at once has jumped (or the machine was off)."""

STEPS = 4
"""Jumps remembered."""


def pack(ms: int, counter: int = 0) -> int:
    """One HLC value from milliseconds since the epoch and a counter below 2**16."""
    return (ms << COUNTER_BITS) | counter


def millis(stamp: int) -> int:
    """The physical part, in milliseconds since the epoch."""
    return stamp >> COUNTER_BITS


def iso(ms: int) -> str:
    """`2024-01-15T10:30:00.000Z`, as the protocol document writes times."""
    second, rest = divmod(ms, 1000)
    return f"{_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso(text: str, zone: tzinfo = UTC) -> int:
    """Microseconds since the epoch of an ISO 8601 time, as `read_iso`. Raises ValueError."""
    return read_iso(text, zone)[0]


def read_iso(text: str, zone: tzinfo) -> tuple[int, bool]:
    """Microseconds since the epoch of an ISO 8601 time, and whether its zone had to be assumed. Raises ValueError.

    zone: where a time without an offset was written. Before 1970 the result is negative.
    """
    moment = datetime.fromisoformat(text)
    assumed = moment.tzinfo is None
    if assumed:
        moment = moment.replace(tzinfo=zone)
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, assumed


def time_asked(text: str, where: Zone = UTC_ZONE) -> tuple[int, str | None]:
    """Milliseconds since the epoch of an ISO 8601 time that somebody asks for, as near as an HLC comes to it, and the
    zone that was assumed, if it names none. Raises ValueError."""
    at_us, assumed = read_iso(text, where.zone)
    return min(max(at_us // 1000, 0), MAX_MS - 1), where.name if assumed else None


def stamp_of(at_us: int) -> int:
    """The HLC of Unix microseconds. What no HLC can hold becomes the first or the last one."""
    return min(max(pack(*divmod(at_us, 1000)), 0), pack(MAX_MS - 1))


def length(ms: int) -> str:
    """A length of time for people, in its two largest units: `23 h 58 min`."""
    rest = round(abs(ms) / 1000)
    words: list[str] = []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, seconds)
        if count and len(words) < 2:
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words) or "0 s"


@define
class HybridClock:
    """A node's clock: strictly growing, never behind the physical clock.

    It cannot tell whether a physical clock that jumps ahead was wrong before or is now, so it follows, and remembers
    where it was. When the physical clock comes back to where it would be without the jump, so does this one (the
    paper's section on self-stabilization), and is still past everything from before the jump: a clock that showed
    2030 for an hour must not have every later event stamped 2030. A clock that is set back by itself is not followed.

    steps: (the last stamp before a jump, by how many milliseconds), the latest last. taken_back: how many were.
    """

    last: int = 0
    steps: list[tuple[int, int]] = Factory(list)
    taken_back: int = 0

    def tick(self, now_ms: int) -> int:
        """The stamp of an event here: greater than every earlier one, but for those of a jump that was taken back."""
        self._jumped(now_ms)
        self.last = max(pack(now_ms), self.last + 1)
        return self.last

    def observe(self, other: int, now_ms: int, max_skew_ms: int) -> int:
        """Merge a foreign stamp; it never moves this clock beyond `now_ms + max_skew_ms`."""
        self._jumped(now_ms)
        foreign = min(other, pack(now_ms + max_skew_ms))
        self.last = max(pack(now_ms), self.last + 1, foreign + 1)
        return self.last

    def follow(self, now_ms: int) -> None:
        """The physical clock is here now; to be told often, so that a jump shows."""
        self._jumped(now_ms)
        self.last = max(self.last, pack(now_ms))

    def _jumped(self, now_ms: int) -> None:
        """Remember a jump, or take one back."""
        ahead = millis(self.last) - now_ms
        if self.last and -ahead > STEP_MS:
            self.steps = [*self.steps, (self.last, -ahead)][-STEPS:]
        elif ahead > STEP_MS:
            self._take_back(now_ms)

    def _take_back(self, now_ms: int) -> None:
        """Undo the latest jumps without which the clock would be where it is, or behind it: it went on meanwhile, and
        may have been off."""
        jumped = 0
        for place in reversed(range(len(self.steps))):
            before, by_ms = self.steps[place]
            jumped += by_ms
            if now_ms >= millis(self.last) - jumped - STEP_MS:
                self.last = before
                del self.steps[place:]
                self.taken_back += 1
                return
