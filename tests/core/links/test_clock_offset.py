"""The other node's clock: every round trip bounds the offset, and nothing else moves it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.core.links.clock_offset import ROUNDED_MS, ClockOffset
from node.core.ports import Instant

WALL_MS = 1_768_471_200_000


def sample(clock: ClockOffset, at_ms: int, rtt_ms: int, ahead_ms: int, there_ms: int) -> bool:
    """A ping at `at_ms`; the other clock is ahead by so much, and the ping takes `there_ms` of the round trip."""
    assert clock.ask(Instant(WALL_MS + at_ms, at_ms))
    theirs_ms = WALL_MS + at_ms + there_ms + ahead_ms
    return clock.answered(theirs_ms, Instant(WALL_MS + at_ms + rtt_ms, at_ms + rtt_ms))


ways = st.integers(0, 2_000).flatmap(lambda rtt_ms: st.tuples(st.just(rtt_ms), st.integers(0, rtt_ms)))


@given(st.integers(-3_600_000, 3_600_000), st.lists(ways, min_size=1, max_size=20), st.integers(-5_000, 5_000))
@settings(deadline=None)
def test_the_offset_is_as_exact_as_the_quickest_way_and_never_moves_once_it_is_right(
    ahead_ms: int, ways: list[tuple[int, int]], first_ms: int
) -> None:
    clock = ClockOffset(first_ms)
    for number, (rtt_ms, there_ms) in enumerate(ways):
        wrong_ms = abs(clock.offset_ms - ahead_ms)
        assert sample(clock, number * 10_000, rtt_ms, ahead_ms, there_ms)
        assert abs(clock.offset_ms - ahead_ms) <= wrong_ms or wrong_ms <= ROUNDED_MS
        assert clock.rtt_ms == rtt_ms
    assert abs(clock.offset_ms - ahead_ms) <= min(rtt_ms for rtt_ms, _ in ways) + ROUNDED_MS


@given(st.lists(ways, min_size=1, max_size=20))
@settings(deadline=None)
def test_clocks_that_agree_are_never_taken_apart_by_a_slow_way(ways: list[tuple[int, int]]) -> None:
    clock = ClockOffset()
    for number, (rtt_ms, there_ms) in enumerate(ways):
        sample(clock, number * 10_000, rtt_ms, 0, there_ms)
        assert clock.offset_ms == 0


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    clock = ClockOffset()
    sample(clock, 0, 10, 0, 5)
    sample(clock, 1_000, 20, 1_220, 10)
    assert abs(clock.offset_ms - 1_220) <= 10 + ROUNDED_MS


def test_a_ping_during_which_this_clock_was_set_measures_nothing() -> None:
    clock = ClockOffset()
    assert clock.ask(Instant(WALL_MS, 0))
    assert not clock.answered(WALL_MS + 5, Instant(WALL_MS + 3_600_010, 10))
    assert clock.offset_ms == 0
    assert sample(clock, 20, 10, -3_600_000, 5)
    assert abs(clock.offset_ms + 3_600_000) <= 5 + ROUNDED_MS


def test_no_second_ping_goes_out_while_one_is_under_way() -> None:
    clock = ClockOffset()
    assert clock.ask(Instant(WALL_MS, 0))
    assert not clock.ask(Instant(WALL_MS + 1_000, 1_000))


def test_a_pong_that_nobody_asked_for_is_ignored() -> None:
    clock = ClockOffset()
    assert not clock.answered(WALL_MS + 5_000, Instant(WALL_MS, 0))
    assert clock.rtt_ms is None
