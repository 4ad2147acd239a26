"""The other node's clock: the sample with the shortest way there and back counts."""

from __future__ import annotations

from node.core.links.clock_offset import CLOCK_MOVED_MS, FORGET_PINGS, ClockOffset
from node.core.ports import Instant

WALL_MS = 1_768_471_200_000


def sample(clock: ClockOffset, at_ms: int, rtt_ms: int, ahead_ms: int, there_ms: int | None = None) -> bool:
    """A ping at `at_ms`; the other clock is ahead by so much, and the ping takes `there_ms` of the round trip."""
    there_ms = rtt_ms // 2 if there_ms is None else there_ms
    assert clock.ask(Instant(WALL_MS + at_ms, at_ms))
    theirs_ms = WALL_MS + at_ms + there_ms + ahead_ms
    return clock.answered(theirs_ms, Instant(WALL_MS + at_ms + rtt_ms, at_ms + rtt_ms))


def test_half_the_round_trip_is_taken_as_the_way_there() -> None:
    clock = ClockOffset()
    assert sample(clock, 0, 40, 700)
    assert (clock.offset_ms, clock.rtt_ms) == (700, 40)


def test_a_slower_sample_changes_nothing() -> None:
    clock = ClockOffset()
    sample(clock, 0, 10, 700)
    assert not sample(clock, 1_000, 500, 700, there_ms=490)
    assert (clock.offset_ms, clock.rtt_ms) == (700, 10)


def test_a_clock_that_was_set_is_noticed_by_a_slower_sample_too() -> None:
    clock = ClockOffset()
    sample(clock, 0, 10, 0)
    moved = CLOCK_MOVED_MS + 200
    assert sample(clock, 1_000, 20, moved)
    assert clock.offset_ms == moved


def test_no_second_ping_goes_out_while_one_is_under_way() -> None:
    clock = ClockOffset()
    assert clock.ask(Instant(WALL_MS, 0))
    assert not clock.ask(Instant(WALL_MS + 1_000, 1_000))


def test_a_pong_that_nobody_asked_for_is_ignored() -> None:
    clock = ClockOffset()
    assert not clock.answered(WALL_MS + 5_000, Instant(WALL_MS, 0))
    assert clock.rtt_ms is None


def test_the_best_sample_is_let_go_after_many_because_clocks_drift() -> None:
    clock = ClockOffset()
    sample(clock, 0, 2, 0)
    taken = [sample(clock, number * 1_000, 10, 5) for number in range(1, FORGET_PINGS)]
    assert taken.index(True) == FORGET_PINGS - 2
    assert (clock.offset_ms, clock.rtt_ms) == (5, 10)
