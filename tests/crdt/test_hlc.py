from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.hlc import HybridClock, iso, millis, pack, parse_iso, stamp

NOW = 1_700_000_000_000


@given(st.lists(st.integers(NOW - 10**6, NOW + 10**6), min_size=1, max_size=50))
def test_a_clock_only_grows_however_the_wall_clock_jumps(times: list[int]) -> None:
    clock = HybridClock()
    ticks = [clock.tick(now) for now in times]
    assert ticks == sorted(set(ticks))
    assert all(millis(tick) >= now for tick, now in zip(ticks, times, strict=True))


@given(st.integers(0, 2**62))
def test_a_foreign_stamp_never_moves_the_clock_beyond_the_allowed_skew(other: int) -> None:
    clock = HybridClock()
    assert millis(clock.observe(other, NOW, 60_000)) <= NOW + 60_001


def test_a_timestamp_of_2030_is_clamped_and_the_skew_is_told() -> None:
    far = NOW + 10**10
    assert stamp(far * 1000, NOW, 60_000) == (pack(NOW + 60_000), far - NOW - 60_000)


@given(st.integers(0, (NOW + 60_000) * 1000))
def test_a_timestamp_within_the_skew_keeps_its_order(timestamp_us: int) -> None:
    mine, skew = stamp(timestamp_us, NOW, 60_000)
    later, _ = stamp(timestamp_us + 1, NOW + 1, 60_000)
    assert skew == 0
    assert mine < later


@given(st.integers(0, 4_000_000_000_000))
def test_iso_times_survive_the_round_trip(ms: int) -> None:
    assert parse_iso(iso(ms)) == ms * 1000


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2024-01-15T10:30:00.000Z", 1_705_314_600_000_000),
        ("2024-01-15T07:30:00-03:00", 1_705_314_600_000_000),
        ("2024-01-15T10:30:00.123456", 1_705_314_600_123_456),
    ],
)
def test_offsets_and_fractions_are_read(text: str, us: int) -> None:
    assert parse_iso(text) == us


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z", "1969-12-31T23:59:59Z"])
def test_what_is_no_time_since_1970_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_iso(text)


DAY = 86_400_000


def test_a_jump_that_is_taken_back_is_undone_and_nothing_from_before_it_comes_again() -> None:
    clock = HybridClock()
    before = clock.tick(NOW)
    clock.follow(NOW + 1_400 * DAY)
    clock.tick(NOW + 1_400 * DAY + 3_600_000)
    clock.follow(NOW + 3_600_000)
    assert clock.taken_back == 1
    assert before < clock.tick(NOW + 3_600_000) < pack(NOW + 3_600_001)
    assert clock.steps == []


def test_a_clock_set_back_further_than_it_had_jumped_is_not_followed() -> None:
    clock = HybridClock()
    clock.tick(NOW)
    clock.tick(NOW + 30 * DAY)  # the node was off for a month
    last = clock.tick(NOW + 200 * DAY)
    assert clock.tick(NOW - 165 * DAY) == last + 1


def test_two_jumps_are_taken_back_at_once() -> None:
    clock = HybridClock()
    before = clock.tick(NOW)
    clock.tick(NOW + 400 * DAY)
    clock.tick(NOW + 900 * DAY)
    assert before < clock.tick(NOW + 60_000) <= pack(NOW + 60_000)


@given(st.lists(st.integers(-2_000, 2_000), max_size=12))
def test_within_a_run_of_jumps_the_clock_is_never_behind_the_physical_one(days: list[int]) -> None:
    clock, now = HybridClock(), NOW
    for number in days:
        now = max(now + number * DAY, 0)
        assert millis(clock.tick(now)) >= now
