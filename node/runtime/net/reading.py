"""How what other sides send comes in: one task reads all sockets, or a task of its own each stream.

A task of its own costs a task switch and an epoll registration for each message of a hundred bytes, which is most of
what a message costs. So one task waits on an epoll that holds all sockets (trio watches that epoll as it would a
socket), and calls their sources. Where there is no epoll, and for streams that decrypt, `read_stream` does the same
for one source.

A source is called synchronously and runs to its end. It works through a bounded part of what it was handed, and has
another turn for the rest when all others had theirs.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from storage import system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READ_BYTES = 16 * 1024
"""One read. More comes with the next pass, so that a talkative socket has no more turns than a quiet one."""

PASS_S = 0.005
"""How long the one task works through what is readable before all other tasks have their turn."""

MOST_S = 0.05
"""The same, where those took longer themselves: it then has as long as they had, since it reads for all connections.
Else hundreds of stores that each have a turn leave it so little that a handshake waits for thousands of pings."""

SOCKETS = 4
"""After so many it is looked how long the pass has taken."""

_AT_ONCE = 256
"""Most sockets that are looked at in one pass."""


class Source(Protocol):
    """One connection, as whoever reads for it sees it. No call raises."""

    changed: Callable[[], None]
    """Set by who reads: called when one of the following may have changed."""

    @property
    def reading(self) -> bool:
        """Whether more is to be read: not while it is held back, has something left to do, or is over."""
        ...

    @property
    def over(self) -> bool:
        """Whether nothing more is ever read."""
        ...

    @property
    def unfinished(self) -> bool:
        """Whether it needs another turn for what it was handed."""
        ...

    def received(self, data: bytes, now: float) -> None:
        """The next bytes. now: trio's time. A stream's read that was under way when it was held back comes too."""
        ...

    def go_on(self) -> None:
        """Another turn."""
        ...

    def ended(self) -> None:
        """Nothing more comes."""
        ...


class SocketReader:
    """The task that reads all sockets of a server. `run` it as long as there are connections.

    looks: called before sockets are read, at least each PASS_S.
    """

    def __init__(self, looks: Callable[[], object] = lambda: None) -> None:
        self.looks = looks
        self._epoll = system.epoll()
        self._sources: dict[int, Source] = {}
        self._registered: set[int] = set()
        self._unfinished: dict[int, Source] = {}
        self._bell = system.eventfd(1)
        """Always readable. The epoll tells of it as long as a source is unfinished, so that nobody sleeps then."""
        self._epoll.register(self._bell, 0)  # later the system may have no room for one more

    @classmethod
    def here(cls, looks: Callable[[], object] = lambda: None) -> SocketReader | None:
        """None where this system has no epoll."""
        return cls(looks) if system.LINUX else None

    @contextmanager
    def watching(self, descriptor: int, source: Source) -> Iterator[None]:
        """Read a socket for a source. The socket stays open until the end of this."""
        self._sources[descriptor] = source
        source.changed = lambda: self._update(descriptor, source)
        try:
            source.changed()
            yield
        finally:
            del self._sources[descriptor]
            self._register(descriptor, wanted=False)
            self._leave(descriptor)

    def _update(self, descriptor: int, source: Source) -> None:
        if self._sources.get(descriptor) is not source:
            return
        try:
            self._register(descriptor, wanted=source.reading)
        except OSError:  # the system watches no more sockets
            source.ended()
        if source.unfinished and not source.over:
            if not self._unfinished:
                self._ring(system.EPOLLIN)
            self._unfinished[descriptor] = source
        elif self._unfinished:
            self._leave(descriptor)

    def _leave(self, descriptor: int) -> Source | None:
        """It is not unfinished any more, or has its turn."""
        source = self._unfinished.pop(descriptor, None)
        if source is not None and not self._unfinished:
            self._ring(0)
        return source

    def _ring(self, interest: int) -> None:
        if not self._epoll.closed:
            self._epoll.modify(self._bell, interest)

    def _register(self, descriptor: int, *, wanted: bool) -> None:
        """An epoll tells of a broken socket whatever it was asked for, again and again: what is not to be read is not
        registered."""
        if self._epoll.closed:  # all ends at once
            return
        if wanted and descriptor not in self._registered:
            self._epoll.register(descriptor, system.EPOLLIN)
            self._registered.add(descriptor)
        elif not wanted and descriptor in self._registered:
            self._epoll.unregister(descriptor)
            self._registered.discard(descriptor)

    async def run(self) -> None:
        """Read until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                await self._pass()
        finally:
            self._epoll.close()
            os.close(self._bell)

    async def _pass(self) -> None:
        now, until = self._begin()
        registered, sources, bell = self._registered, self._sources, self._bell
        for place, (ready, _) in enumerate(self._epoll.poll(0, _AT_ONCE)):
            for descriptor in list(self._unfinished) if ready == bell else (ready,):
                if descriptor in registered:  # a source before it may have ended it
                    self._read(descriptor, sources[descriptor], now)
                elif (source := self._leave(descriptor)) is not None:
                    source.go_on()
                if (place % SOCKETS == 0 or ready == bell) and time.monotonic() > until:
                    left_s = time.monotonic()
                    await trio.lowlevel.checkpoint()
                    now, until = self._begin(min(time.monotonic() - left_s, MOST_S))

    def _begin(self, others_s: float = 0.0) -> tuple[float, float]:
        """Now, by trio's clock, and until when others wait, by the monotonic one. others_s: how long they had."""
        self.looks()
        return trio.current_time(), time.monotonic() + max(PASS_S, others_s)

    def _read(self, descriptor: int, source: Source, now: float) -> None:
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            source.received(data, now)
        else:
            source.ended()


async def read_stream(
    stream: trio.abc.ReceiveStream, source: Source, looks: Callable[[], object] = lambda: None
) -> None:
    """Read one stream for a source, until it ends. looks: called when something was read."""
    wake = trio.Event()

    def changed() -> None:
        wake.set()

    source.changed = changed
    while not source.over:
        if source.unfinished:
            await trio.lowlevel.checkpoint()
            source.go_on()
            continue
        if not source.reading:
            wake = trio.Event()
            await wake.wait()
            continue
        try:
            data = bytes(await stream.receive_some(READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if data:
            looks()
            source.received(data, trio.current_time())
        else:
            source.ended()
