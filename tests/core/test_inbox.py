"""The inbound queue of a connection: in order, one at a time, and the socket waits when many do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.core.inbox import ITEM_BYTES, TURN_BYTES, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable


class Socket:
    """Counts; a port of the core needs no more here."""

    outbox_bytes = bytes_in = bytes_out = 0

    def __init__(self) -> None:
        self.calls: list[str] = []

    def send(self, what: object) -> None:
        raise AssertionError

    def ping(self, payload: bytes) -> None:
        raise AssertionError

    def close(self, code: int, reason: str) -> None:
        raise AssertionError

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class Reader:
    """Handles letters; an upper-case one waits for the disk."""

    def __init__(self, most: int = 2) -> None:
        self.socket = Socket()
        self.handled = ""
        self.later: list[Callable[[], None]] = []
        self.in_debt = False
        self.inbox: Inbox[str] = Inbox(
            handle=self.handle,
            failed=self.failed,
            later=self.later.append,
            resume=self.answered,
            connection=self.socket,
            most=most,
            most_bytes=10,
            may_read=lambda: not self.in_debt,
        )

    def handle(self, letter: str) -> None:
        self.handled += letter
        self.inbox.waiting = letter.isupper()

    def failed(self, error: Exception) -> None:
        self.handled += "!"

    def answered(self) -> None:
        self.inbox.waiting = False
        self.inbox.drain()


def test_what_arrives_is_handled_at_once_while_nothing_waits() -> None:
    reader = Reader()
    for letter in "abc":
        reader.inbox.put(letter)
    assert reader.handled == "abc"
    assert not reader.inbox.unfinished


def test_what_arrives_behind_a_waiting_message_is_handled_after_it_in_order() -> None:
    reader = Reader()
    for letter in "aBcDe":
        reader.inbox.put(letter)
    assert reader.handled == "aB"
    assert reader.inbox.unfinished
    reader.answered()
    assert reader.handled == "aBcD"
    reader.answered()
    assert reader.handled == "aBcDe"


def test_the_socket_is_paused_above_the_bound_and_read_again_when_all_is_handled() -> None:
    reader = Reader(most=2)
    for letter in "Abc":
        reader.inbox.put(letter)
    assert reader.socket.calls == []
    reader.inbox.put("d")
    reader.inbox.put("e")
    assert reader.socket.calls == ["pause"]
    reader.answered()
    assert reader.socket.calls == ["pause", "resume"]


def test_what_is_only_enqueued_keeps_its_place_and_pauses_nothing() -> None:
    reader = Reader(most=0)
    reader.inbox.put("A")
    reader.inbox.enqueue("p")
    assert reader.socket.calls == []
    reader.answered()
    assert reader.handled == "Ap"


def test_the_socket_stays_paused_while_its_owner_may_not_read() -> None:
    reader = Reader()
    reader.inbox.pause()
    reader.in_debt = True
    reader.inbox.drain()
    assert reader.socket.calls == ["pause"]
    reader.in_debt = False
    reader.inbox.drain()
    assert reader.socket.calls == ["pause", "resume"]


def test_a_closed_inbox_handles_nothing_more() -> None:
    reader = Reader()
    for letter in "Abc":
        reader.inbox.put(letter)
    reader.inbox.closed = True
    reader.answered()
    assert reader.handled == "A"


def test_large_messages_that_wait_pause_the_socket_however_few_they_are() -> None:
    reader = Reader(most=5)
    reader.inbox.put("A")
    reader.inbox.put("b" * 10)
    assert reader.socket.calls == []
    reader.inbox.put("c")
    assert reader.socket.calls == ["pause"]
    reader.inbox.hold_first("D" * 3)
    assert reader.inbox.size == 14
    reader.answered()  # and the three letters wait for the disk again
    assert (reader.inbox.size, reader.socket.calls) == (11, ["pause"])
    reader.answered()
    assert (reader.inbox.size, reader.socket.calls) == (0, ["pause", "resume"])


def test_what_waited_is_handled_in_several_turns_and_in_order() -> None:
    reader = Reader(most=1_000)
    at_once = TURN_BYTES // ITEM_BYTES
    for letter in "A" + "b" * 3 * at_once:
        reader.inbox.put(letter)
    reader.answered()
    for turn in (1, 2):
        assert len(reader.handled) == 1 + turn * at_once
        reader.inbox.put("c")
        reader.later.pop()()
    assert reader.handled == "A" + "b" * 3 * at_once
    reader.later.pop()()
    assert reader.handled.endswith("bcc")
    assert not reader.later
    assert not reader.inbox.unfinished
