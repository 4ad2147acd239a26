"""When a terminal was sent what, against everything that it was sent."""

from __future__ import annotations

import random

import pytest

from node.core.delivery.sendings import APART_MS, KEPT, UNREAD_MS, Sendings

ONE_CLASS = (-1,)


@pytest.mark.parametrize("seed", range(40))
def test_what_was_sent_since_a_time_comes_after_the_row_that_is_told(seed: int) -> None:
    """Connections begin anywhere, so that rows come again. What is thinned out or sent at once is told vaguely."""
    rng = random.Random(seed)
    sendings, now_ms, sent, position, most = Sendings(ONE_CLASS), 0, [], -1, -1
    begun: list[tuple[int, int]] = []
    for _ in range(rng.choice([5, 40, 3 * KEPT])):
        now_ms += rng.choice([10, 200, APART_MS, 4 * APART_MS])
        if rng.random() < 0.2:
            position = rng.randrange(-1, most + 1) if most >= 0 else -1
            begun.append((now_ms, position))
            if rng.random() < 0.5:
                sendings.connected(now_ms, (position,))
            else:
                sendings.again(now_ms, (position,))
        else:
            upto = position + rng.randrange(1, 5)
            sent += [(now_ms, row) for row in range(position + 1, upto + 1)]
            position, most = upto, max(most, upto)
            sendings.note(now_ms, (position,))
    assert len(sendings._times) == len(sendings._sent) == len(sendings._after) <= KEPT
    for asked_ms in (-1, *(rng.randrange(now_ms + 1) for _ in range(50))):
        later = [row for at_ms, row in sent if at_ms >= asked_ms + APART_MS]
        assert sendings.since(asked_ms, 0) < min(later, default=most + 1)
        earlier = [row for at_ms, row in sent if at_ms <= asked_ms + APART_MS]
        assert sendings.by(asked_ms, 0) <= max(earlier, default=-1)
        again = [after for at_ms, after in begun if at_ms > asked_ms]
        assert sendings.confirmed_by(asked_ms, 0, most) <= min(again, default=most)


def test_rows_that_came_once_are_not_told_as_sent_again() -> None:
    sendings = Sendings(ONE_CLASS)
    sendings.connected(0, (-1,))
    for row in range(10):
        sendings.note(row * APART_MS, (row,))
    assert sendings.since(4 * APART_MS, 0) == 4
    sendings.connected(20 * APART_MS, (9,))
    assert sendings.since(15 * APART_MS, 0) == 9
    sendings.connected(30 * APART_MS, (2,))
    assert [sendings.since(at * APART_MS, 0) for at in (1, 15, 40)] == [1, 2, 2]


def test_what_was_confirmed_by_a_time_is_what_no_later_connection_began_before() -> None:
    sendings = Sendings(ONE_CLASS)
    sendings.connected(0, (-1,))
    for row in range(10):
        sendings.note(row * APART_MS, (row,))
    assert min(sendings.confirmed_by(5 * APART_MS, 0, 9), sendings.by(5 * APART_MS, 0)) == 5
    for began, after in ((20, 7), (30, 2), (40, 9)):
        sendings.connected(began * APART_MS, (after,))
    assert [sendings.confirmed_by(at * APART_MS, 0, 9) for at in (15, 25, 35, 45)] == [2, 2, 9, 9]


def test_what_a_pong_acknowledged_may_be_unread_for_a_while() -> None:
    """Of pongs that come close together the first counts: no position is told as read too early."""
    sendings = Sendings(ONE_CLASS)
    assert sendings.read(0, (3,)) == (3,)
    for row in range(100):
        sendings.arrived(row * 100, (row - 1,))
    last_ms = 99 * 100
    for late_ms in range(0, UNREAD_MS + 2 * APART_MS, 100):
        read = sendings.read(last_ms + late_ms, (99,))[0]
        told = [row for row in range(100) if row * 100 <= last_ms + late_ms - UNREAD_MS]
        assert max(told) - 2 * APART_MS // 100 <= read <= max(told)
    assert len(sendings._arrivals) <= UNREAD_MS // APART_MS + 2
    assert sendings.read(last_ms + UNREAD_MS + 2 * APART_MS, (99,)) == (99,)
    assert sendings.read(last_ms, (5,)) == (5,)
