"""One task reads many sockets: nobody waits for another, and what ends is never read again."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from node.runtime.net import reading
from node.runtime.net.reading import SocketReader, read_stream
from tests.runtime.rig import until

if TYPE_CHECKING:
    import select
    from collections.abc import AsyncIterator

    import pytest


def _nothing() -> None:
    return None


@define(eq=False)
class Noting:
    """A source that notes what comes. turns: how many more each read needs; a negative one needs them for ever."""

    turns: int = 0
    got: list[bytes] = field(factory=list)
    taken: int = 0
    left: int = 0
    over: bool = False
    held: bool = False
    changed: Callable[[], None] = _nothing
    on_read: Callable[[], None] = _nothing

    @property
    def reading(self) -> bool:
        return not (self.held or self.over or self.left)

    @property
    def unfinished(self) -> bool:
        return self.left != 0

    def received(self, data: bytes, now: float) -> None:
        assert not self.over
        assert not self.left
        self.got.append(data)
        self.left = self.turns
        self.on_read()
        self.changed()

    def go_on(self) -> None:
        assert self.unfinished
        self.taken += 1
        self.left -= 1
        self.changed()

    def ended(self) -> None:
        self.over = True
        self.changed()

    def hold(self, held: bool) -> None:
        self.held = held
        self.changed()


@define(eq=False)
class Rig:
    """A running reader, with socket pairs under it."""

    reader: SocketReader
    stack: ExitStack

    def pair(self, source: Noting) -> socket.socket:
        """A socket that the source is watching; returns the other end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.stack.enter_context(theirs)
        self.stack.enter_context(ours)
        self.stack.enter_context(self.reader.watching(ours.fileno(), source))
        return theirs


@asynccontextmanager
async def running() -> AsyncIterator[Rig]:
    reader = SocketReader()
    async with trio.open_nursery() as nursery:
        with ExitStack() as stack:
            nursery.start_soon(reader.run)
            yield Rig(reader, stack)
        nursery.cancel_scope.cancel()


async def test_each_source_gets_what_its_socket_was_sent() -> None:
    async with running() as rig:
        sources = [Noting() for _ in range(20)]
        ends = [rig.pair(source) for source in sources]
        for number, end in enumerate(ends):
            end.send(b"%d" % number)
        await until(lambda: all(source.got for source in sources))
        assert [source.got for source in sources] == [[b"%d" % number] for number in range(20)]


async def test_a_source_that_is_held_back_or_over_is_not_looked_at() -> None:
    """An epoll would tell of a socket whose other side is gone for ever."""
    async with running() as rig:
        held, other = Noting(), Noting()
        end, alive = rig.pair(held), rig.pair(other)
        held.hold(True)
        end.send(b"later")
        end.close()
        passes = 0

        async def count(original: Callable[[], object] = rig.reader._pass) -> None:
            nonlocal passes
            passes += 1
            await original()  # type: ignore[misc]

        rig.reader._pass = count  # type: ignore[method-assign]
        await trio.testing.wait_all_tasks_blocked()
        alive.send(b"x")
        await until(lambda: bool(other.got))
        await trio.testing.wait_all_tasks_blocked()
        assert passes == 1
        held.hold(False)
        await until(lambda: held.over)
        assert held.got == [b"later"]


async def test_a_source_that_needs_many_turns_holds_up_nobody() -> None:
    async with running() as rig:
        busy, quiet = Noting(turns=-1), Noting()
        end, other = rig.pair(busy), rig.pair(quiet)
        end.send(b"much")
        await until(lambda: busy.taken > 3)
        for number in range(10):
            other.send(b"q")
            await until(lambda number=number: len(quiet.got) == number + 1)  # type: ignore[misc]
        end.send(b"more")
        assert busy.got == [b"much"]
        busy.left = 0
        busy.changed()
        await until(lambda: busy.got == [b"much", b"more"])


async def test_what_is_left_to_do_from_before_the_first_read_is_done() -> None:
    """Nothing comes that would wake the reader for it."""
    async with running() as rig:
        source = Noting()
        source.left = 3
        await trio.testing.wait_all_tasks_blocked()
        rig.pair(source)
        await until(lambda: source.taken == 3)


async def test_a_source_that_another_ends_in_the_same_pass_is_not_read() -> None:
    async with running() as rig:
        first, second = Noting(), Noting()
        with ExitStack() as inner:
            ends = [Rig(rig.reader, inner).pair(source) for source in (first, second)]
            first.on_read = second.on_read = inner.close
            for end in ends:
                end.send(b"x")
            await until(lambda: bool(first.got or second.got))
        assert len(first.got) + len(second.got) == 1


async def test_the_next_socket_of_the_same_number_is_another_one() -> None:
    async with running() as rig:
        gone = Noting(turns=-1)
        with ExitStack() as inner:
            end = Rig(rig.reader, inner).pair(gone)
            end.send(b"x")
            await until(lambda: gone.taken > 0)
        taken, source = gone.taken, Noting()
        rig.pair(source).send(b"new")
        await until(lambda: source.got == [b"new"])
        assert gone.taken == taken


async def test_a_pass_over_many_sockets_lets_other_tasks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in ("PASS_S", "MOST_S"):
        monkeypatch.setattr(reading, most, -1.0)  # it has taken too long whenever it looks
    async with running() as rig:
        sources = [Noting() for _ in range(33)]
        turns: list[int] = []
        for source in sources:
            rig.pair(source).send(b"x")

        async def others() -> None:
            while True:
                turns.append(sum(bool(source.got) for source in sources))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await until(lambda: all(source.got for source in sources))
            nursery.cancel_scope.cancel()
        assert len(set(turns) - {0, 33}) >= 2  # whose turn is next in a pass of the scheduler is chance


async def test_what_many_have_left_to_do_lets_other_tasks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for most in ("PASS_S", "MOST_S"):
        monkeypatch.setattr(reading, most, -1.0)
    async with running() as rig:
        sources = [Noting() for _ in range(33)]
        for source in sources:
            source.left = 1
            rig.pair(source)
        turns: list[int] = []

        async def others() -> None:
            while True:
                turns.append(sum(source.taken for source in sources))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await until(lambda: all(source.taken for source in sources))
            nursery.cancel_scope.cancel()
        assert len(set(turns) - {0, 33}) >= 2


async def test_a_pass_lasts_as_long_as_others_had_and_no_longer_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of stores that each have a turn leave it enough for thousands of links. A task of trio may have two
    turns while another one has none, so that counts may be twice what one pass takes."""
    clock = [0.0]
    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    for others_s, least, most in ((0.0, 1, 18), (0.02, 20, 108), (9.0, 50, 108)):
        async with running() as rig:
            sources = [Noting(on_read=lambda: clock.__setitem__(0, clock[0] + 0.001)) for _ in range(240)]
            for source in sources:
                rig.pair(source).send(b"x")
            read = [0]

            async def others(took_s: float, sources: list[Noting], read: list[int]) -> None:
                while True:
                    clock[0] += took_s
                    read.append(sum(bool(source.got) for source in sources))
                    await trio.lowlevel.checkpoint()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(others, others_s, sources, read)
                await until(lambda sources=sources: all(source.got for source in sources))
                nursery.cancel_scope.cancel()
            passes = [after - before for before, after in pairwise(read)]
            assert least <= max(passes) <= most


class Full:
    """An epoll for which the system has no room for one more socket."""

    def __init__(self, real: select.epoll) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def register(self, descriptor: int, interest: int) -> None:
        raise OSError(errno.ENOSPC, "no room")


async def test_a_system_that_watches_no_more_sockets_ends_nobody_but_who_needs_one() -> None:
    async with running() as rig:
        busy, other = Noting(turns=2), Noting()
        end, alive = rig.pair(busy), rig.pair(other)
        rig.reader._epoll = Full(rig.reader._epoll)  # type: ignore[assignment]
        end.send(b"x")
        await until(lambda: busy.over)
        assert busy.taken == 2
        late = Noting()
        rig.pair(late)
        assert late.over
        alive.send(b"y")
        await until(lambda: other.got == [b"y"])


async def test_a_socket_that_breaks_ends_its_source() -> None:
    async with running() as rig:
        source = Noting()
        end = rig.pair(source)
        descriptor = next(iter(rig.reader._sources))
        end.close()
        await until(lambda: source.over)
        assert descriptor not in rig.reader._registered


async def test_a_stream_is_read_as_a_socket_is() -> None:
    """Of a stream that decrypts, say: the same order, the same holding back, the same end."""
    ours, theirs = trio.testing.memory_stream_pair()
    source = Noting(turns=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_stream, ours, source)
        await theirs.send_all(b"one")
        await until(lambda: source.got == [b"one"])
        await until(lambda: source.taken == 2)
        source.hold(True)
        await theirs.send_all(b"two")  # may be read: that was under way
        await theirs.send_all(b"three")
        await trio.testing.wait_all_tasks_blocked()
        assert b"three" not in b"".join(source.got)
        source.hold(False)
        await theirs.send_eof()
        await until(lambda: source.over)
        assert b"".join(source.got) == b"onetwothree"


async def test_a_reader_that_ends_leaves_no_descriptor_open() -> None:
    async with running() as rig:
        rig.pair(Noting())
        own = [rig.reader._epoll.fileno(), rig.reader._bell]
        for descriptor in own:
            os.fstat(descriptor)
    for descriptor in own:
        with suppress(OSError):
            os.fstat(descriptor)
            raise AssertionError(f"{descriptor} is open still")
