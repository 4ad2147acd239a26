"""What arrived on one connection and is not handled yet: messages are handled in order, one at a time.

A message that waits for the disk makes the rest of its connection wait. Once many wait, the socket is not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from attrs import field

from crdt.classes import define
from node.core.ports import Connection

T = TypeVar("T")

TURN_BYTES = 4 * 1024
"""Of what waited, so much is handled before everybody else gets a turn: some 100,000 lines of Python at most."""

ITEM_BYTES = 1024
"""What an item counts for at least."""


@define(eq=False, kw_only=True)
class Inbox(Generic[T]):
    """The inbound queue of one session, or one link.

    most, most_bytes: items, and bytes of those that are text, that may wait while the socket is still read.
    """

    handle: Callable[[T], None]
    failed: Callable[[Exception], None]
    """Our own code failed on what arrived: nothing tells what it left half done, so the connection ends."""
    later: Callable[[Callable[[], None]], None]
    """Calls something in a turn of its own."""
    resume: Callable[[], None]
    """Called in such a turn where `drain` stopped; it ends the waiting, and drains."""
    connection: Connection
    most: int
    most_bytes: int
    may_read: Callable[[], bool] = lambda: True
    """Asked when everything is handled: whether the socket may be read again."""
    waiting: bool = False
    """The item that was handled last waits for the disk.

    The code that sets this calls `drain` when the disk answered.
    """
    paused: bool = False
    """The socket is not read."""
    closed: bool = False
    """Nothing more is handled."""
    _queue: deque[T] = field(factory=deque)
    size: int = 0
    """Of the text that waits."""

    @property
    def unfinished(self) -> bool:
        """Whether something that arrived is still to be handled."""
        return self.waiting or bool(self._queue)

    def guarded(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something of this connection. What our own code raises ends the connection, and nothing else."""
        try:
            act(*arguments)
        except Exception as error:
            self.failed(error)

    def put(self, item: T) -> None:
        """Handle this item: now, or after those that wait."""
        if self.enqueue(item) and (len(self._queue) > self.most or self.size > self.most_bytes):
            self.pause()

    def hold_first(self, item: T) -> None:
        """Handle an item before all that wait, once `drain` is called."""
        self._queue.appendleft(item)
        self.size += _size(item)

    def put_first(self, items: Sequence[T]) -> None:
        """Handle items before all that wait."""
        self._queue.extendleft(reversed(items))
        self.size += sum(map(_size, items))
        self.drain()

    def enqueue(self, item: T) -> bool:
        """As `put`, for items too small to pause the socket. Returns whether the item has to wait."""
        if self.waiting or self._queue:
            self._queue.append(item)
            self.size += _size(item)
            return True
        self.handle(item)
        return False

    def pause(self) -> None:
        """Read the socket no further, until `drain` finds everything handled."""
        if not self.paused:
            self.paused = True
            self.connection.pause_reading()

    def drain(self) -> None:
        """Handle the items that wait, until one of them waits for the disk itself. Many take several turns."""
        left = TURN_BYTES
        while self._queue and not self.waiting and not self.closed:
            if left <= 0:
                self.waiting = True
                self.later(partial(self.guarded, self.resume))
                return
            item = self._queue.popleft()
            size = _size(item)
            self.size -= size
            left -= max(size, ITEM_BYTES)
            self.handle(item)
        if self.paused and not self._queue and self.may_read():
            self.paused = False
            self.connection.resume_reading()


def _size(item: object) -> int:
    return len(item) if isinstance(item, str | bytes) else 0
