"""The rows under way on one connection: what moves the acknowledged positions, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.delivery.sendings import Sendings
from node.core.delivery.window import UNHEARD, Window
from node.core.log.entries import NO_POSITION, NOTICE, PASSED


@pytest.fixture
def window() -> Window:
    """Three rows under way: 11 and 13 of class 1, 12 of class 2. All classes were at 10."""
    window = Window.at([10, 10, 10, 10], 8)
    window.sending([(11, 1, "a"), (12, 2, "b"), (13, 1, "c")])
    window.passed([13, 13, 13, 13])
    assert window.dirty, "what was sent is kept with the cursor"
    window.dirty = False
    return window


def test_what_was_only_sent_is_not_acknowledged(window: Window) -> None:
    assert window.positions == (10, 10, 10, 10)
    assert window.sent == (13, 13, 13, 13)
    assert (window.under_way, window.room) == (3, 5)
    assert not window.dirty


def test_a_confirmation_of_the_first_row_acknowledges_it(window: Window) -> None:
    assert window.confirm("a")
    assert window.positions == (10, 11, 10, 10)
    assert window.dirty


def test_idle_classes_catch_up_once_nothing_is_under_way(window: Window) -> None:
    assert all(window.confirm(operation_id) for operation_id in "abc")
    assert window.positions == (13, 13, 13, 13)


def test_a_row_that_is_not_under_way_is_not_confirmed(window: Window) -> None:
    assert window.confirm("a")
    assert not window.confirm("a")
    assert not window.confirm("z")


def test_a_confirmation_out_of_order_counts_when_its_turn_comes() -> None:
    """The rows before it may still be lost."""
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "a"), (2, 1, "b")])
    window.passed([2, 2, 2, 2])
    assert window.confirm("b")
    assert window.positions == (0, 0, 0, 0)
    assert window.confirm("a")
    assert window.positions == (2, 2, 2, 2)


def test_one_id_of_two_terminals_confirms_the_older_row_first() -> None:
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "op-1"), (2, 1, "op-1")])
    window.passed([2, 2, 2, 2])
    assert window.confirm("op-1")
    assert window.positions == (0, 1, 0, 0)
    assert window.confirm("op-1")
    assert window.positions == (2, 2, 2, 2)
    assert not window.confirm("op-1")


def test_one_id_of_two_terminals_is_confirmed_twice_also_out_of_order() -> None:
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "a"), (2, 1, "op-1"), (3, 1, "op-1")])
    window.passed([3, 3, 3, 3])
    assert [window.confirm("op-1") for _ in range(3)] == [True, True, False]
    assert window.positions == (0, 0, 0, 0)
    assert window.confirm("a")
    assert window.positions == (3, 3, 3, 3)


def test_a_confirmation_that_came_early_is_spent_by_one_row() -> None:
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "a"), (2, 1, "op-1"), (3, 1, "op-1")])
    window.passed([3, 3, 3, 3])
    assert window.confirm("op-1")
    assert window.confirm("a")
    assert (window.positions, window.under_way) == ((0, 2, 0, 0), 1)


def test_a_pong_acknowledges_what_was_sent_before_its_ping(window: Window) -> None:
    serial = window.serial
    window.sending([(14, 1, "d")])
    window.passed([14, 14, 14, 14])
    window.pong(serial)
    assert window.positions == (10, 13, 12, 10)
    assert window.under_way == 1


def test_a_pong_that_comes_after_the_confirmations_changes_nothing(window: Window) -> None:
    serial = window.serial
    assert all(window.confirm(operation_id) for operation_id in "abc")
    window.sending([(14, 1, "d")])
    window.pong(serial)
    assert window.under_way == 1


def test_a_confirmation_by_sequence_stands_for_all_that_was_sent_before(window: Window) -> None:
    assert window.confirm_seq(12)
    assert window.positions == (10, 11, 12, 10)
    assert not window.confirm_seq(12)


def test_a_confirmation_by_position_never_reaches_past_what_was_sent(window: Window) -> None:
    window.confirm_upto([99, 11, 12, 99])
    assert window.positions == (13, 11, 12, 13)
    assert window.under_way == 1


def test_a_row_that_was_passed_needs_no_confirmation() -> None:
    window = Window(8)
    window.sending([(NO_POSITION, 0, "state"), (7, 0, PASSED)])
    window.passed([7, NO_POSITION, NO_POSITION, NO_POSITION])
    assert window.acknowledged(0) == NO_POSITION
    assert window.confirm("state")
    assert window.acknowledged(0) == 7


def test_a_notice_is_passed_when_something_after_it_is_confirmed() -> None:
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, NOTICE), (2, 1, "a")])
    window.passed([2, 2, 2, 2])
    assert window.under_way == 2
    assert window.confirm("a")
    assert window.under_way == 0


def test_a_window_remembers_where_its_connection_began(window: Window) -> None:
    window.confirm("c")
    assert window.at_connect == (10, 10, 10, 10)


def test_a_pong_makes_room_for_a_terminal_that_confirms_and_tells_nothing_else(window: Window) -> None:
    window.confirm("a")
    window.pong(window.serial)
    assert (window.under_way, window.room) == (0, 8)
    assert window.positions == (10, 11, 10, 10)
    assert window.confirm("b")
    assert window.confirm("c")
    assert window.positions == (13, 13, 13, 13)


def test_a_row_that_the_program_skipped_is_passed_once_it_has_arrived_and_a_later_one_is_confirmed(
    window: Window,
) -> None:
    window.confirm("a")
    window.confirm("c")
    assert window.positions == (10, 11, 10, 10)
    window.pong(window.serial)
    assert window.positions == (13, 13, 13, 13)


def test_a_notice_needs_its_pong_only(window: Window) -> None:
    assert all(window.confirm(operation_id) for operation_id in "abc")
    window.sending([(14, 1, NOTICE)])
    window.passed([14, 14, 14, 14])
    window.pong(window.serial)
    assert window.positions == (14, 14, 14, 14)


def test_a_terminal_that_lets_a_whole_window_go_by_does_not_confirm(window: Window) -> None:
    window.confirm("a")
    for seq in range(14, 23):
        window.sending([(seq, 1, f"r{seq}")])
        window.passed([seq] * 4)
        window.pong(window.serial)
    assert not window.confirms
    assert window.positions == (22, 22, 22, 22)


def test_a_late_confirmation_is_of_the_row_that_a_pong_acknowledged_and_of_no_other_of_that_id() -> None:
    """Two tills number alike. The library has answered for the first `op-1`, and its program confirms it only now."""
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "op-1"), (2, 1, "op-2")])
    window.passed([2, 2, 2, 2])
    window.pong(window.serial)
    assert window.positions == (2, 2, 2, 2)
    window.sending([(3, 1, "op-1")])
    window.passed([3, 3, 3, 3])
    assert not window.first
    assert window.confirm("op-1")
    assert window.acknowledged(1) == 2
    assert window.confirm("op-2")
    assert window.acknowledged(1) == 2
    assert window.first == "op-1"
    assert window.confirm("op-1")
    assert window.positions == (3, 3, 3, 3)


def test_what_a_pong_acknowledged_is_not_surely_read_before_its_own_confirmation() -> None:
    """A whole window went by while its program was busy. Then it confirms again, one row after the other."""
    window = Window.at([0, 0, 0, 0], 2)
    window.confirm("before")
    window.sendings = Sendings((0, 0, 0, 0))
    window.sending([(1, 1, "a"), (2, 1, "b"), (3, 1, "c")])
    window.passed([3, 3, 3, 3])
    window.pong(window.serial)
    window.sendings.arrived(1_000, (0, 0, 0, 0))
    assert window.positions == (3, 3, 3, 3)
    for name in "ab":
        assert window.confirm(name)
        assert (window.heard, window.read(1_100)) == (False, (0, 0, 0, 0))
    assert window.confirm("c")
    assert (window.heard, window.read(1_100)) == (True, (3, 3, 3, 3))


def test_who_confirms_a_later_row_has_read_what_a_pong_acknowledged() -> None:
    window = Window.at([0, 0, 0, 0], 8)
    window.sending([(1, 1, "op-1")])
    window.passed([1, 1, 1, 1])
    window.pong(window.serial)
    window.sending([(2, 1, "b"), (3, 1, "op-1")])
    window.passed([3, 3, 3, 3])
    assert window.confirm("b")
    assert window.confirm("op-1")
    assert window.positions == (3, 3, 3, 3)


def test_what_was_read_late_of_a_terminal_that_never_confirms_is_bounded() -> None:
    window = Window.at([0, 0, 0, 0], 4)
    for seq in range(1, UNHEARD + 5):
        window.sending([(seq, 1, f"op-{seq}")])
        window.pong(window.serial)
    assert not window.confirm("op-1")
    assert window.confirm("op-19")


def test_whose_id_was_let_go_is_not_confirmed_before_a_later_row_is() -> None:
    """Nobody can tell whether the first `op-1` is meant, which the program reads late, or the last."""
    window = Window.at([0, 0, 0, 0], 4)
    ids = ["op-1", *(f"b-{number}" for number in range(UNHEARD)), "op-1", "op-2"]
    for seq, name in enumerate(ids[:-2], 1):
        window.sending([(seq, 1, name)])
        window.passed([seq] * 4)
        window.pong(window.serial)
    window.sending([(seq, 1, name) for seq, name in enumerate(ids[-2:], len(ids) - 1)])
    window.passed([len(ids)] * 4)
    assert not window.confirm("op-1")
    assert window.acknowledged(1) == len(ids) - 2
    assert window.confirm("b-7")
    assert window.confirm("op-1"), "what was let go lies before that, and has been read"
    assert window.acknowledged(1) == len(ids) - 1


@given(
    ids=st.lists(st.sampled_from(["op-1", "op-2", "op-3"]), min_size=8, max_size=16),
    steps=st.lists(st.sampled_from(["send", "send", "pong", "read"]), min_size=20, max_size=60),
    most=st.integers(1, 3),
    unheard=st.integers(1, 2),
)
def test_no_confirmation_acknowledges_what_its_program_has_not_read(
    ids: list[str], steps: list[str], most: int, unheard: int
) -> None:
    """A library answers pings at once. Its program reads in order and confirms each row that it has read. Terminals
    number alike."""
    window = Window.at([0, 0, 0, 0], most)
    sent = read = answered = 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("node.core.delivery.window.UNHEARD", unheard)
        for step in steps:
            if step == "send" and sent < len(ids) and window.room:
                sent += 1
                window.sending([(sent, 1, ids[sent - 1])])
                window.passed([sent] * 4)
            elif step == "pong":
                window.pong(window.serial)
                answered = max(answered, window.acknowledged(1))
            elif step == "read" and read < sent:
                read += 1
                window.confirm(ids[read - 1])
            assert window.acknowledged(1) <= max(read, answered)
