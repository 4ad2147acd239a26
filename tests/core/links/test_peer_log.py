"""What this node holds of another one's log."""

from __future__ import annotations

import pytest

from node.core.links.peer_log import PeerLog
from node.wire.links.handshake import Hello
from storage.records import PeerRow

HELLO = Hello("n1", "e-1", 90, 0, "n1", None)


@pytest.fixture
def log() -> PeerLog:
    """A log of 90 rows, held up to 40."""
    log = PeerLog()
    log.resume(HELLO, PeerRow("n1", "e-1", (40, 41, 42, 43), 43, b"hash", 0))
    return log


def test_a_log_is_gone_on_with_where_it_was_left(log: PeerLog) -> None:
    assert log.known
    assert (log.positions, log.last_row, log.head) == ([40, 41, 42, 43], (43, b"hash"), 90)
    assert log.behind == 50


def test_of_a_log_that_was_begun_anew_nothing_is_held() -> None:
    log = PeerLog()
    log.resume(HELLO, PeerRow("n1", "e-0", (40, 41, 42, 43), 43, b"hash", 0))
    assert not log.known
    assert log.head == 90


def test_a_position_never_goes_back(log: PeerLog) -> None:
    log.moved((10, 60, 10, 60), (20, b"old"), 50)
    assert (log.positions, log.last_row, log.head) == ([40, 60, 42, 60], (43, b"hash"), 90)


def test_what_is_stored_is_what_was_held(log: PeerLog) -> None:
    log.moved((50, 50, 50, 50), (50, b"new"), 95)
    assert log.row(HELLO, 7) == PeerRow("n1", "e-1", (50, 50, 50, 50), 50, b"new", 7)
