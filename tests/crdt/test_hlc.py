from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt.hlc import MAX_MS, HybridClock, iso, length, millis, pack, parse_iso, read_iso, stamp_of, time_asked

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


@given(st.integers(0, MAX_MS * 1000 - 2_001))
def test_stamps_keep_the_order_of_microseconds(at_us: int) -> None:
    assert 0 <= stamp_of(at_us) < stamp_of(at_us + 1) < 2**63


@given(st.integers(-(10**20), 10**20))
def test_any_time_has_a_stamp_that_can_be_stored(at_us: int) -> None:
    assert 0 <= stamp_of(at_us) < 2**63


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_somebody_asks_for_is_one_that_can_be_compared(text: str) -> None:
    ms, assumed = time_asked(text)
    assert 0 <= pack(ms) < 2**63
    assert assumed is None


@pytest.mark.parametrize(
    ("ms", "text"),
    [(86_280_000, "23 h 58 min"), (-600_000, "10 min"), (90_061_000, "1 d 1 h"), (3_600_500, "1 h"), (400, "0 s")],
)
def test_a_length_of_time_is_said_in_two_units(ms: int, text: str) -> None:
    assert length(ms) == text


def test_a_time_without_an_offset_is_of_the_zone_that_is_given() -> None:
    assert read_iso("2024-01-15T07:30:00", ZoneInfo("America/Sao_Paulo")) == (1_705_314_600_000_000, True)
    assert read_iso("2024-01-15T10:30:00Z", ZoneInfo("America/Sao_Paulo")) == (1_705_314_600_000_000, False)


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


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
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
