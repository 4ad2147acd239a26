"""Terminals whose clocks are wrong, drift and are set, against what is said of when their operations were written."""

from __future__ import annotations

import logging

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from node.core.ports import Instant
from node.core.terminal_clocks import ACCEPTED, MEASURED, SAID, TOLERANCE_MS, TerminalClocks, Written

START_MS = 1_768_471_200_000  # 2026-01-15T10:00:00Z
SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000
WRONG = [0, 1_500, -1_500, 10 * MINUTE, -10 * MINUTE, DAY, -DAY, -3 * 3_600_000, 10 * 365 * DAY, -50 * 365 * DAY]
"""By how much a clock is ahead; the last was never set, and shows 1976."""


@define
class Tablet:
    """A terminal, and the node's clock. ahead_ms: how far its clock is ahead."""

    clocks: TerminalClocks = field(factory=TerminalClocks)
    true_ms: int = START_MS
    ahead_ms: int = 0
    node_ms: int = 0
    """How far the node's own clock is ahead."""

    def now(self) -> Instant:
        return Instant(self.true_ms + self.node_ms, self.true_ms - START_MS)

    def shows(self) -> int:
        return (self.true_ms + self.ahead_ms) * 1000

    def ping(self, delay_ms: int = 5) -> None:
        shown = self.shows()
        self.true_ms += delay_ms
        self.clocks.heard("t", shown, self.now(), live=True)

    def pings(self, count: int) -> None:
        for _ in range(count):
            self.true_ms += 30 * SECOND
            self.ping()

    def arrives(self, timestamp_us: int) -> Written:
        self.clocks.heard("t", timestamp_us, self.now(), live=False)
        written = self.clocks.written("t", timestamp_us, self.now())
        self.clocks.wrote("t", written.at_us)
        return written

    def writes(self, delay_ms: int = 5) -> Written:
        shown = self.shows()
        self.true_ms += delay_ms
        return self.arrives(shown)

    def queues(self, after_ms: int) -> tuple[int, int]:
        """Write without a connection. Returns the timestamp and the true time."""
        self.true_ms += after_ms
        return self.shows(), self.true_ms

    def right(self, written: Written, true_ms: int) -> bool:
        return abs(written.at_us / 1000 - true_ms - self.node_ms) <= TOLERANCE_MS


@pytest.mark.parametrize("ahead", WRONG)
def test_an_operation_counts_from_when_it_was_written_whether_it_waited_or_not(ahead: int) -> None:
    tablet = Tablet(ahead_ms=ahead)
    tablet.pings(3)
    assert tablet.right(tablet.writes(), tablet.true_ms)
    queue = [tablet.queues(7 * MINUTE) for _ in range(5)]
    tablet.true_ms += MINUTE
    assert [tablet.right(tablet.arrives(said), true) for said, true in queue] == [True] * 5
    tablet.pings(2)
    assert tablet.right(tablet.writes(), tablet.true_ms)


@pytest.mark.parametrize("ahead", WRONG)
def test_what_was_measured_is_known_after_a_restart_and_a_night(ahead: int) -> None:
    tablet = Tablet(ahead_ms=ahead)
    tablet.pings(2)
    stored = {"t": tablet.clocks.stored("t", tablet.now()), "new": ""}
    tablet.true_ms += DAY // 2
    tablet.clocks = TerminalClocks.load(stored, tablet.now())
    said, true = tablet.queues(10 * MINUTE)
    tablet.true_ms += 20 * MINUTE
    assert tablet.right(tablet.arrives(said), true)


@pytest.mark.parametrize("node_ms", [0, 45 * MINUTE, -DAY])
def test_the_node_s_own_clock_may_be_set_meanwhile(node_ms: int) -> None:
    tablet = Tablet(ahead_ms=10 * MINUTE)
    tablet.pings(3)
    tablet.node_ms = node_ms
    assert tablet.right(tablet.writes(), tablet.true_ms)


@pytest.mark.parametrize("ahead", [w for w in WRONG if w > TOLERANCE_MS])
def test_a_clock_ahead_is_found_out_by_the_first_operation(ahead: int) -> None:
    tablet = Tablet(ahead_ms=ahead)
    assert tablet.right(tablet.writes(), tablet.true_ms)


def test_a_queue_that_comes_first_says_nothing_of_a_clock() -> None:
    tablet = Tablet()
    queue = [tablet.queues(3 * MINUTE) for _ in range(4)]
    tablet.true_ms += 5 * MINUTE
    written = [tablet.arrives(said) for said, _ in queue]
    assert [w.at_us for w in written] == [said for said, _ in queue]
    assert {(w.by, w.sure) for w in written} == {(SAID, False)}


def test_a_terminal_that_never_pings_is_measured_by_what_it_writes() -> None:
    tablet = Tablet(ahead_ms=-10 * MINUTE)
    tablet.writes()
    for _ in range(2):
        tablet.true_ms += 8 * SECOND
        written = tablet.writes()
    assert tablet.right(written, tablet.true_ms)


def test_of_two_operations_that_are_wrong_by_the_same_the_first_may_have_come_before_a_restart() -> None:
    tablet = Tablet(ahead_ms=-10 * MINUTE)
    tablet.writes()
    assert tablet.clocks.changed == {"t"}
    tablet.clocks = TerminalClocks.load({"t": tablet.clocks.stored("t", tablet.now())}, tablet.now())
    tablet.true_ms += 8 * SECOND
    assert tablet.right(tablet.writes(), tablet.true_ms)


@pytest.mark.parametrize("timestamp_us", [-10, 0, 1_577_836_799_000_000])
def test_a_clock_that_was_never_set_is_not_believed(timestamp_us: int) -> None:
    tablet = Tablet()
    written = tablet.arrives(timestamp_us)
    assert (written.at_us, written.by) == (tablet.now().wall_ms * 1000, ACCEPTED)


@pytest.mark.parametrize("before", WRONG)
@pytest.mark.parametrize("after", WRONG)
def test_a_clock_that_is_set_while_all_is_well_is_found_out_within_two_pings(before: int, after: int) -> None:
    tablet = Tablet(ahead_ms=before)
    tablet.pings(5)
    tablet.ahead_ms = after
    tablet.pings(2)
    assert tablet.right(tablet.writes(), tablet.true_ms)


@pytest.mark.parametrize("before", [w for w in WRONG if abs(w) > TOLERANCE_MS])
def test_a_clock_that_is_set_right_between_writing_and_sending(before: int) -> None:
    """What was written before still counts as it was measured; what comes after is never older than that."""
    tablet = Tablet(ahead_ms=before)
    tablet.pings(3)
    first = tablet.queues(MINUTE)
    tablet.ahead_ms = 0
    second = tablet.queues(MINUTE)
    tablet.true_ms += 3 * MINUTE
    assert tablet.right(tablet.arrives(first[0]), first[1])
    later = tablet.arrives(second[0])
    assert later.at_us == tablet.now().wall_ms * 1000
    assert tablet.right(tablet.writes(), tablet.true_ms)


def test_an_operation_that_is_older_than_its_author_s_last_counts_from_acceptance_unless_it_is_sent_again() -> None:
    tablet = Tablet()
    tablet.pings(2)
    tablet.writes()
    said = tablet.shows() - 10 * MINUTE * 1000
    now = tablet.now()
    assert tablet.clocks.written("t", said, now) == Written(now.wall_ms * 1000, said, ACCEPTED, sure=False)
    assert tablet.clocks.written("t", said, now, again=True) == Written(said, said, SAID, sure=True)


@pytest.mark.parametrize("ahead", [0, 10 * MINUTE, -10 * MINUTE])
def test_a_ping_that_comes_late_changes_nothing(ahead: int) -> None:
    tablet = Tablet(ahead_ms=ahead)
    tablet.pings(3)
    tablet.ping(delay_ms=40 * SECOND)
    assert tablet.right(tablet.writes(), tablet.true_ms)


def test_a_clock_that_drifts_is_followed() -> None:
    tablet = Tablet(ahead_ms=5 * MINUTE)
    for _ in range(480):  # four hours, and a second lost or won every ten minutes
        tablet.pings(1)
        tablet.ahead_ms -= 50
    assert tablet.right(tablet.writes(), tablet.true_ms)
    for _ in range(480):
        tablet.pings(1)
        tablet.ahead_ms += 50
    assert tablet.right(tablet.writes(), tablet.true_ms)


def test_a_wrong_clock_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    tablet = Tablet(ahead_ms=86_280_000)
    with caplog.at_level(logging.WARNING):
        tablet.pings(30)
        tablet.writes()
    assert [record.message for record in caplog.records] == [
        "the clock of terminal t is 23 h 58 min ahead: what it writes counts as written that much earlier"
    ]
    assert tablet.clocks.wrong(tablet.now()).keys() == {"t"}


steps = st.one_of(
    st.tuples(st.just("ping"), st.integers(0, 90_000)),
    st.tuples(st.just("write"), st.integers(0, 90_000)),
    st.tuples(st.just("set"), st.integers(-DAY, DAY)),
    st.tuples(st.just("wait"), st.integers(0, DAY)),
    st.tuples(st.just("odd"), st.integers(-(10**17), 10**18)),
)


@given(st.lists(steps, max_size=40))
def test_whatever_a_terminal_says_nothing_was_written_after_it_was_accepted(evening: list[tuple[str, int]]) -> None:
    tablet = Tablet()
    for step, number in evening:
        if step == "ping":
            tablet.ping(number)
        elif step == "set":
            tablet.ahead_ms = number
        elif step == "wait":
            tablet.true_ms += number
        else:
            written = tablet.writes(number) if step == "write" else tablet.arrives(number)
            assert written.at_us <= tablet.now().wall_ms * 1000
            assert (written.by == MEASURED) <= written.sure
        again = TerminalClocks.load({"t": tablet.clocks.stored("t", tablet.now())}, tablet.now())
        assert again.offset_ms("t", tablet.now()) == tablet.clocks.offset_ms("t", tablet.now())
