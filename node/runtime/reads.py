"""Reads for people: what HTTP asks of the database, apart from what terminals and links wait for.

They have a thread and a connection of their own, first come first served among themselves. One that nobody waits for
any more, or that takes too long, is interrupted, so that it holds up nobody.

Long answers are made a page at a time, whoever they are for: the next page is begun when one is read and encoded, and
everybody else has had a turn. Else twenty lists are encoded in one turn, while the thread reads twenty more pages.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import trio

from node.runtime.storage_thread import StorageThread
from storage.sqlite.database import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.runtime.read_faults import ReadFaults
    from node.runtime.storage_thread import Lane
    from storage.sqlite.reader import Reader

T = TypeVar("T")

LONGEST_S = 10.0
"""How long one read may take, and wait for others. An answer is made of several where it may be long."""


class PeopleReads:
    """The connection that reads for people.

    faults: remembers what cannot be read. lane: makes what runs its calls.
    """

    def __init__(self, reader: Reader, faults: ReadFaults, lane: Callable[[str], Lane] = StorageThread) -> None:
        self.reader = reader
        self._faults = faults
        self._thread = lane("comanda-people")
        self._turn = threading.Lock()
        self._running: object = None
        self._page = trio.Lock()

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a method of `reader` on the thread; once more where the disk fails.

        Raises StorageError. Cancelled, or after LONGEST_S, the read is interrupted.
        """
        with trio.move_on_after(LONGEST_S):
            return await self._faults.tried_twice(self._once(function, *arguments), self._once, function, *arguments)
        raise Interrupted(f"reading took longer than {LONGEST_S:.0f} s; ask for less")

    async def page(
        self, encode: Callable[[T], bytes], function: Callable[..., T], *arguments: object
    ) -> tuple[T, bytes]:
        """As `read`, a page of an answer, and what `encode` makes of it. Pages are made one after the other, in the
        order in which they were asked for."""
        async with self._page:
            found = await self.read(function, *arguments)
            return found, encode(found)

    async def _once(self, function: Callable[..., T], *arguments: object) -> T:
        me = object()
        given_up = False

        def call() -> T:
            with self._turn:
                if given_up:
                    raise Interrupted("nobody waits for this any more")
                self._running = me
                self.reader.queries.interrupted = False
            try:
                return function(*arguments)
            finally:
                with self._turn:
                    self._running = None

        answer = self._thread.ask(call)
        try:
            await answer.there.wait()
        except trio.Cancelled:
            with self._turn:
                given_up = True
                if self._running is me:
                    self.reader.queries.interrupt()
            raise
        return await answer.wait()

    async def stop(self) -> None:
        self.reader.queries.interrupt()
        await self._thread.run(self.reader.close)
        self._thread.stop()
