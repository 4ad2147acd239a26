"""Hybrid logical clock (Kulkarni et al., 2014) packed into one integer: Unix milliseconds << 16 | counter.

An operation's *stamp* is its documented timestamp, clamped; a record's *accepted* is this node's clock. Both
are ordered as plain integers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from attrs import define

COUNTER_BITS = 16
MAX_MS = (2**63 - 1) >> COUNTER_BITS


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


def parse_iso(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if microseconds < 0:
        raise ValueError(f"{text!r} is before 1970")
    return microseconds


def stamp(timestamp_us: int, now_ms: int, max_skew_ms: int) -> tuple[int, int]:
    """The stamp of a documented timestamp, and by how many milliseconds (rounded up) it was clamped (0: not).

    A stamp is never more than `max_skew_ms` ahead of this node's clock: a clock set to 2030 must not win for ever.
    """
    limit = now_ms + max_skew_ms
    ahead_us = timestamp_us - limit * 1000
    if ahead_us > 0:
        return pack(limit), -(-ahead_us // 1000)
    return pack(*divmod(timestamp_us, 1000)), 0


@define
class Clock:
    """A node's clock: strictly growing, never behind the physical clock."""

    last: int = 0

    def tick(self, now_ms: int) -> int:
        """The stamp of an event here: greater than every earlier one."""
        self.last = max(pack(now_ms), self.last + 1)
        return self.last

    def observe(self, other: int, now_ms: int, max_skew_ms: int) -> int:
        """Merge a foreign stamp; it never moves this clock beyond `now_ms + max_skew_ms`."""
        foreign = min(other, pack(now_ms + max_skew_ms))
        self.last = max(pack(now_ms), self.last + 1, foreign + 1)
        return self.last
