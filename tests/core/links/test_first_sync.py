"""The first synchronisation of an empty node: its phases, and which peer is asked for every entity."""

from __future__ import annotations

import pytest

from node.core.links.first_sync import PATIENCE_MS, FirstSync


@pytest.fixture
def sync() -> FirstSync:
    """With n1, whose log has 1,000 rows; begun at 0 ms."""
    return FirstSync("n1", 1_000, 0, 0)


def test_entities_come_first_then_the_history_then_it_is_over(sync: FirstSync) -> None:
    assert sync.phase == "states"
    sync.state_came(10)
    sync.states_are_here(20)
    assert sync.phase == "history"
    sync.begin_history("n1:e", 900)
    sync.operations_total = 5
    sync.history_came(899, 4, 30)
    assert not sync.complete
    sync.history_came(900, 5, 30)
    assert sync.complete
    sync.ended_ms = 30
    assert sync.phase == "over"
    assert sync.report() == {
        "peer": "n1",
        "phase": "over",
        "entities": 1,
        "entities_total": 0,
        "operations": 5,
        "operations_total": 5,
    }


def test_history_goes_on_after_a_start_where_it_was(sync: FirstSync) -> None:
    sync.states_are_here(20)
    sync.begin_history("n1:e", 900)
    sync.history_came(300, 4, 30)
    again = FirstSync.of_stored(sync.stored(), 70)
    assert again is not None
    assert (again.peer, again.via, again.after, again.upto) == ("n1", "n1:e", 300, 900)
    assert again.phase == "history"
    assert not again.complete


@pytest.mark.parametrize("text", ["", "n1:e 3", "n1:e 3 x", "n1:e -1 3"])
def test_nothing_goes_on_from_what_is_not_a_position(text: str) -> None:
    assert FirstSync.of_stored(text, 70) is None


def test_it_runs_with_its_peer_alone_and_until_it_is_over(sync: FirstSync) -> None:
    assert sync.runs_with("n1")
    assert not sync.runs_with("n2")
    sync.ended_ms = 5
    assert not sync.runs_with("n1")


def test_its_peer_is_asked_for_every_entity_though_something_was_written_here(sync: FirstSync) -> None:
    assert sync.wants_states("n1", 1_000, known=False, empty=False)
    assert not sync.wants_states("n1", 1_000, known=True, empty=False)
    sync.states_are_here(20)
    assert not sync.wants_states("n1", 1_000, known=False, empty=False)


def test_another_node_is_asked_only_where_its_log_is_much_longer(sync: FirstSync) -> None:
    assert not sync.wants_states("n2", 2_000, known=False, empty=True)
    assert sync.wants_states("n2", 2_001, known=False, empty=True)
    assert not sync.wants_states("n2", 2_001, known=False, empty=False)


def test_it_stands_still_when_no_entity_came_for_long(sync: FirstSync) -> None:
    sync.state_came(500)
    assert not sync.stands_still(499 + PATIENCE_MS)
    assert sync.stands_still(500 + PATIENCE_MS)


def test_another_peer_sends_all_entities_again_and_the_same_one_goes_on(sync: FirstSync) -> None:
    sync.state_came(10)
    sync.take_over("n1", 1_100, 20)
    assert (sync.states, sync.head) == (1, 1_100)
    sync.take_over("n2", 900, 30)
    assert (sync.peer, sync.states, sync.head, sync.moved_ms) == ("n2", 0, 900, 30)


def test_the_history_of_another_peer_is_of_another_log(sync: FirstSync) -> None:
    sync.states_are_here(20)
    sync.begin_history("n1:e", 900)
    sync.history_came(300, 4, 30)
    sync.take_over("n1", 1_100, 40)
    assert (sync.after, sync.upto) == (300, 900)
    sync.take_over("n2", 700, 50)
    assert sync.upto is None
