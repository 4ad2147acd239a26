"""The client's core: random evenings with the node's, and what it does by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.client.core import Core
from node.client.values import State, Waits
from tests.client.evening import evening
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", SEEDS)
def test_every_operation_is_settled_once_and_the_screen_is_the_nodes(tmp_path: Path, seed: int) -> None:
    evening(tmp_path, seed)


@given(draws=st.lists(st.floats(0, 1), min_size=1, max_size=60), code=st.sampled_from([None, 1000, 1006, 1013, 4004]))
def test_it_dials_for_ever_after_a_random_part_of_a_growing_delay(draws: list[float], code: int | None) -> None:
    core, waits = Core("t", None), Waits()
    for tries, draw in enumerate(draws):
        delay, _ = core.ended(code, "", draw)
        assert delay == draw * min(waits.first_delay * 2.0**tries, waits.longest_delay)
    core.opened(0.0)
    core.received({"type": "connection_established"}, 0.0)
    assert core.ended(1006, "", 1.0)[0] == waits.first_delay


@pytest.mark.parametrize("code", [4001, 4002, 4003])
def test_it_stays_away_until_somebody_mends_the_cause(code: int) -> None:
    core = Core("t", None)
    assert core.ended(code, "", 0.5)[0] is None
    assert core.stays_away
    core.resume()
    assert not core.stays_away


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": "data_sync"},
        {"type": "data_sync", "operation": []},
        {"type": "data_sync", "operation": {"id": "x"}},
        {"type": "sync_conflict", "conflict": {}},
        {"type": "conflict_resolution"},
        {"type": "lock_acquired", "lock_id": []},
        {"type": "sync_confirmation", "operation_id": {"a": 1}, "shown": 3, "status": "duplicate"},
    ],
)
def test_a_message_that_nobody_understands_changes_nothing(message: dict[str, object]) -> None:
    core = Core("t", None)
    core.opened(0.0)
    ready = core.received(message, 0.0)
    assert not ready.send
    assert ready.confirm is None
    assert ready.hang_up is None
    assert not list(core.screen)


def test_the_answer_to_another_terminal_whose_operation_has_the_same_id_is_none() -> None:
    core = Core("t", None)
    core.opened(0.0)
    made = core.operation("x", "2026-01-15T19:30:00.000Z", "CREATE", "orders", "o", {"a": 1})
    core.wrote(made, 0.0)
    for kind in ("sync_confirmation", "sync_error"):
        core.received({"type": kind, "operation_id": "x", "terminal_id": "other", "status": "applied"}, 0.0)
        assert made.state is State.SENT
    core.received({"type": "sync_confirmation", "operation_id": "x", "terminal_id": "t", "status": "applied"}, 0.0)
    assert made.state is State.CONFIRMED


def test_everything_is_asked_for_until_the_node_has_stored_that_nothing_is_kept() -> None:
    core = Core("t", None)
    greeting = {"type": "connection_established", "terminal_id": "t", "server_time": "2026-01-15T19:30:00Z"}
    for extra, again in (({"sync": "full"}, True), ({"sync": "full"}, True), ({}, False), ({}, False)):
        core.opened(0.0)
        core.received({**greeting, **extra}, 0.0)
        assert core.full is again
        core.ended(1006, "", 0.0)
