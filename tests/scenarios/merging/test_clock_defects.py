"""The checks of wrong clocks, tried: each slip in how clocks are measured and used is found by one of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.core import test_terminal_clocks as measured
from tests.harness import World
from tests.scenarios.merging import test_wrong_clocks as told
from tests.simulation.slips import Defect, defect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLOCK, CLOCKS = "node.core.terminal_clocks:TerminalClock", "node.core.terminal_clocks:TerminalClocks"
MINUTE = 60_000

DEFECTS = (
    defect(
        "never-corrected",
        "what was measured is not used",
        (f"{CLOCKS}.written", "timestamp_us + offset_ms * 1000", "timestamp_us"),
    ),
    defect(
        "wrong-way",
        "a clock ahead is corrected forward",
        (f"{CLOCKS}.written", "timestamp_us + offset_ms", "timestamp_us - offset_ms"),
    ),
    defect(
        "queue-measured",
        "what waited in a queue measures a clock",
        (f"{CLOCK}.take", "if live or wrong_ms < 0:", "if True:"),
    ),
    defect(
        "set-back-unnoticed",
        "a clock that is set back is not found out",
        (f"{CLOCK}._contradict", "self.begin(min(lag_ms, self.other[1]), mono_ms, live=False)", "pass"),
    ),
    defect(
        "set-right-unnoticed",
        "a clock that is set right is corrected as before",
        (f"{CLOCK}.take", "if -TOLERANCE_MS <= wrong_ms <= TOLERANCE_MS and", "if not mono_ms and"),
    ),
    defect(
        "order-ignored",
        "an operation counts before what its author wrote before it",
        (f"{CLOCKS}.written", "latest_us <= now_us:", "latest_us < 0:"),
    ),
    defect(
        "never-set-believed",
        "a clock that shows 1970 is believed",
        (f"{CLOCKS}.written", "timestamp_us < EARLIEST_US", "timestamp_us is None"),
    ),
    defect(
        "forgotten",
        "what was measured is not kept with the cursor",
        (
            f"{CLOCKS}.stored",
            "[self.measured_ms(terminal_id, now), clock.latest_us, other_ms]",
            "[None, clock.latest_us, None]",
        ),
    ),
    defect(
        "seen-ignored",
        "a write may count before what its author had seen",
        ("node.core.entities.writes:Stamp.after", "seen < self.stamp or", "True or"),
    ),
)


def checks(world: Callable[[], World]) -> list[Callable[[], None]]:
    ways = [
        partial(measured.test_an_operation_counts_from_when_it_was_written_whether_it_waited_or_not, ahead)
        for ahead in (10 * MINUTE, -10 * MINUTE)
    ]
    return [
        *ways,
        measured.test_a_queue_that_comes_first_says_nothing_of_a_clock,
        partial(measured.test_a_clock_that_is_set_while_all_is_well_is_found_out_within_two_pings, 0, -10 * MINUTE),
        partial(measured.test_a_clock_that_is_set_right_between_writing_and_sending, 10 * MINUTE),
        measured.test_an_operation_that_is_older_than_its_author_s_last_counts_from_acceptance_unless_it_is_sent_again,
        partial(measured.test_a_clock_that_was_never_set_is_not_believed, 0),
        partial(measured.test_what_was_measured_is_known_after_a_restart_and_a_night, -10 * MINUTE),
        measured.test_a_clock_that_drifts_is_followed,
        lambda: measured_set_once(10 * MINUTE),
        lambda: told.test_who_saw_the_other_value_does_not_lose_against_a_third_that_is_older(world()),
    ]


def measured_set_once(before: int) -> None:
    """Set right while nothing waits, and an operation before the next ping."""
    tablet = measured.Tablet(ahead_ms=before)
    tablet.pings(3)
    tablet.ahead_ms = 0
    tablet.true_ms += 2 * before
    tablet.writes()
    said, true = tablet.queues(MINUTE)
    tablet.true_ms += MINUTE
    assert tablet.right(tablet.arrives(said), true)


@pytest.mark.parametrize("found", DEFECTS, ids=lambda found: found.name)
def test_each_slip_is_found(tmp_path: Path, found: Defect) -> None:
    numbers = iter(range(100))
    tries = checks(lambda: World(tmp_path / f"node-{next(numbers)}"))
    for check in tries:
        check()
    broken = []
    with found.present():
        for check in tries:
            try:
                check()
            except AssertionError:
                broken.append(check)
    assert broken, found.breaks
