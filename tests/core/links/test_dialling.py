"""When a link is dialled: at once, then more and more slowly, never while the other side has dialled us."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.links.dialling import (
    ACCEPTED_POLL_MS,
    LONGEST_ANSWER_MS,
    REFUSED,
    STEADY_MS,
    Backoff,
    Dial,
    Dialling,
    Wait,
)

PAUSED_MS = 15_000


def dialling(links: dict[str, Any] | None = None) -> Dialling:
    """Its jitter is always the longest wait."""
    return Dialling(
        links={} if links is None else links,
        attempts=itertools.count(1),
        backoff=Backoff(50, 800),
        paused_ms=PAUSED_MS,
        connect_timeout_ms=1_000,
        uniform=lambda least, most: most,
    )


def link(peer: str = "n1", *, was_up: bool = True, dialled: bool = True, state: str = "up") -> Any:
    return SimpleNamespace(peer_id=peer, was_up=was_up, dialled=dialled, state=state)


def wait_after(link_ended: Dialling, now_ms: float, code: int | None) -> float:
    link_ended.ended(now_ms, code)
    step = link_ended.next(now_ms)
    assert isinstance(step, Wait)
    return step.ms


def test_a_node_that_starts_dials_at_once() -> None:
    assert dialling().next(0) == Dial(1, 1_000, 1_000)


def test_attempts_are_numbered_over_all_links_of_a_process() -> None:
    numbers = itertools.count(1)
    one, other = dialling(), dialling()
    one.attempts = other.attempts = numbers
    assert (one.next(0), other.next(0)) == (Dial(1, 1_000, 1_000), Dial(2, 1_000, 1_000))


def test_after_failures_in_a_row_the_waits_double_up_to_the_longest() -> None:
    here = dialling()
    waits = []
    for _ in range(7):
        assert isinstance(here.next(0), Dial)
        waits.append(wait_after(here, 0, None))
    assert waits == [100, 200, 400, 800, 800, 800, 800]


def test_each_failure_gives_the_next_attempt_more_time() -> None:
    here = dialling()
    given = []
    for _ in range(7):
        step = here.next(0)
        assert isinstance(step, Dial)
        given.append(step.answer_ms)
        assert step.connect_ms <= 2_000
        wait_after(here, 0, None)
    assert given == [1_000, 2_000, 4_000, 8_000, 16_000, LONGEST_ANSWER_MS, LONGEST_ANSWER_MS]
    here.next(0)
    here.connected(link())
    wait_after(here, STEADY_MS + 1, 1006)
    assert here.next(0) == Dial(9, 1_000, 1_000)


def test_a_time_that_is_configured_longer_is_not_cut() -> None:
    here = dialling()
    here.connect_timeout_ms = 60_000
    assert here.next(0) == Dial(1, 60_000, 60_000)


def test_a_link_that_was_up_for_a_while_is_dialled_again_at_once() -> None:
    here = dialling()
    here.next(0)
    wait_after(here, 0, None)
    here.next(1_000)
    here.connected(link())
    assert wait_after(here, 1_000 + STEADY_MS + 1, 1006) == 0


@pytest.mark.parametrize(("was_up", "lasted_ms"), [(True, STEADY_MS), (False, 10 * STEADY_MS)])
def test_a_link_that_was_never_up_or_for_a_moment_counts_as_a_failure(was_up: bool, lasted_ms: int) -> None:
    here = dialling()
    here.next(0)
    here.connected(link(was_up=was_up))
    assert wait_after(here, lasted_ms, 1000) > 0


@pytest.mark.parametrize("code", REFUSED)
def test_after_a_refusal_a_node_waits_longer_and_says_that_it_is_paused(code: int) -> None:
    here = dialling()
    here.next(0)
    here.connected(link(was_up=False))
    assert wait_after(here, 10, code) == PAUSED_MS
    assert here.state == "paused"


def test_a_refused_node_goes_on_slowly_until_it_reaches_the_other_one_again() -> None:
    here = dialling()
    here.next(0)
    here.connected(link(was_up=False))
    wait_after(here, 10, 4003)
    here.next(20_000)
    assert wait_after(here, 20_000, None) == PAUSED_MS
    here.next(40_000)
    here.connected(link())
    assert not here.paused
    assert wait_after(here, 50_000, 1006) == 0


def test_a_shell_that_failed_by_itself_counts_as_a_failed_attempt() -> None:
    here = dialling()
    here.next(0)
    here.connected(link())
    assert wait_after(here, 10 * STEADY_MS, None) > 0


def test_while_the_other_node_has_dialled_us_we_ask_again_and_do_not_dial() -> None:
    links: dict[str, Any] = {}
    here = dialling(links)
    here.next(0)
    here.connected(link("n1"))
    wait_after(here, 5_000, 1000)
    links["n1"] = link("n1", dialled=False)
    assert here.next(5_000) == Wait(ACCEPTED_POLL_MS)
    assert here.state == "up"
    del links["n1"]
    assert isinstance(here.next(5_200), Dial)


def test_before_a_node_was_met_nobody_knows_whose_address_it_is() -> None:
    here = dialling({"n1": link("n1", dialled=False)})
    assert isinstance(here.next(0), Dial)


def test_a_link_of_our_own_dialling_is_no_reason_to_wait() -> None:
    links = {"n1": link("n1", dialled=True)}
    here = dialling(links)
    here.next(0)
    here.connected(links["n1"])
    wait_after(here, 5_000, 1006)
    assert isinstance(here.next(5_000), Dial)


def test_the_state_is_up_while_the_link_is_up_and_down_else() -> None:
    here = dialling()
    assert here.state == "down"
    here.next(0)
    here.connected(link(state="handshake"))
    assert here.state == "down"
    here.connected(link(state="up"))
    assert here.state == "up"
    here.ended(10, 1006)
    assert here.state == "down"


@given(st.lists(st.booleans(), max_size=40))
def test_no_wait_is_longer_than_the_longest(ends: list[bool]) -> None:
    here, now = dialling(), 0.0
    for was_up in ends:
        assert isinstance(here.next(now), Dial)
        if was_up:
            here.connected(link())
        now += 2 * STEADY_MS
        waited = wait_after(here, now, 1006 if was_up else None)
        assert 0 <= waited <= 800
        now += waited
