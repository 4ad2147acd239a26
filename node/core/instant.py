"""Time as an argument: the wall clock for people and stamps, the monotonic clock for leases and rates."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Instant:
    """One moment. wall_ms: Unix milliseconds. mono_ms: milliseconds of a clock that never goes back."""

    wall_ms: int
    mono_ms: int


Clock = Callable[[], Instant]
