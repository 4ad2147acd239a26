"""The port `Connection`, over everything that stands in for it: a socket, the simulator's network, harness and mesh.

A `Side` holds the node's side of one connection, and plays the other one.
"""

from __future__ import annotations

import random
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from node.simulation.event_queue import Clockwork
from node.simulation.network import End, Line, Network, Route
from node.simulation.transcript import Transcript
from node.wire.frames import Batch, Outgoing
from tests import harness, mesh
from tests.runtime.rig import CLOSE, PING, TEXT, Raw, Server, frame, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from node.core.ports import Connection

Taken = tuple[str, bytes]
"""What the other side got: text and its payload, ping and its payload, or close and its code."""


class Side:
    """The node's side of a connection. pings, reads: whether this one carries pings, and what comes in."""

    connection: Connection
    pings = True
    reads = True

    async def take(self, count: int) -> list[Taken]:
        """The other side takes what was sent; at most `count` of it."""
        raise NotImplementedError

    async def put(self, text: bytes) -> None:
        """The other side sends a message, which has time to arrive."""
        raise NotImplementedError

    def got(self) -> list[bytes]:
        """Messages that were handed to the node."""
        raise NotImplementedError


class SocketSide(Side):
    """A real socket on this machine."""

    def __init__(self, server: Server, client: Raw) -> None:
        self.server, self.client = server, client
        self.connection = server.handler.connections[0]

    async def take(self, count: int) -> list[Taken]:
        taken: list[Taken] = []
        while len(taken) < count and (found := await self.client.next()) is not None:
            kind = {TEXT: "text", PING: "ping", CLOSE: "close"}[found.opcode]
            taken.append((kind, b"%d" % found.code if kind == "close" else found.payload))
        return taken

    async def put(self, text: bytes) -> None:
        await self.client.put(frame(text))

    def got(self) -> list[bytes]:
        return [text.encode() for text in self.server.handler.texts]


class NotingEnd(End):
    """The other side in the simulator, which notes what comes."""

    def __init__(self, line: Line, side: int) -> None:
        super().__init__(line, side)
        self.arrived: list[Taken] = []

    def take(self, frame: Taken) -> None:
        kind, content = frame
        self.arrived.append((kind, content.split(b" ")[0] if kind == "close" else content))
        super().take(frame)


class SimulatedSide(Side):
    """The simulator's network, whose time the test moves."""

    def __init__(self) -> None:
        self.clockwork = Clockwork(Transcript(deque()))
        route = Route(Network(self.clockwork, random.Random(1)), "a - b", 1, 40)
        line = route.network.open(route)
        self.connection, _ = line.ends
        self.other = NotingEnd(line, 1)
        line.ends = (self.connection, self.other)
        self.texts: list[bytes] = []
        self.connection.on_text = self.texts.append

    def _pass(self) -> None:
        self.clockwork.run(self.clockwork.now_ms + 1_000)

    async def take(self, count: int) -> list[Taken]:
        self._pass()
        arrived = self.other.arrived
        taken, self.other.arrived = arrived[:count], arrived[count:]
        return taken

    async def put(self, text: bytes) -> None:
        self.other.send_text(text)
        self._pass()

    def got(self) -> list[bytes]:
        if not self.connection.paused:
            self._pass()
        return self.texts


class QueueSide(Side):
    """What the harness and the mesh use: frames wait in a queue until the test takes them. Nothing comes in here: a
    client calls its session itself."""

    reads = False

    def __init__(self, connection: Any, *, pings: bool) -> None:
        self.connection, self.queue, self.pings = connection, connection, pings

    async def take(self, count: int) -> list[Taken]:
        taken: list[Taken] = []
        while self.queue.frames and len(taken) < count:
            found = self.queue.frames.popleft()
            if isinstance(found, tuple):
                taken.append(found)
            else:
                self.queue.outbox_bytes -= len(found)
                taken.append(("text", found))
        if self.queue.closed is not None and len(taken) < count:
            taken.append(("close", b"%d" % self.queue.closed[0]))
        return taken


@asynccontextmanager
async def a_socket() -> AsyncIterator[Side]:
    async with serving() as server:
        client = await server.websocket("/mute")
        await until(lambda: bool(server.handler.connections))
        yield SocketSide(server, client)


@asynccontextmanager
async def a_simulated_one() -> AsyncIterator[Side]:
    yield SimulatedSide()


@asynccontextmanager
async def the_harness() -> AsyncIterator[Side]:
    client: Any = None
    yield QueueSide(harness.Connection(client), pings=True)


@asynccontextmanager
async def the_mesh() -> AsyncIterator[Side]:
    yield QueueSide(mesh.End("n0", "n1"), pings=False)


EVERY = pytest.mark.parametrize("side", [a_socket, a_simulated_one, the_harness, the_mesh])
OPEN = Any  # one of the functions above


def texts(*payloads: bytes) -> list[Taken]:
    return [("text", payload) for payload in payloads]


@EVERY
async def test_messages_and_batches_arrive_whole_and_in_order(side: OPEN) -> None:
    async with side() as here:
        here.connection.send(Outgoing(b'{"n":1}'))
        here.connection.send(Batch([Outgoing(b'{"n":2}'), Outgoing(b'{"n":3}')]))
        here.connection.send(Outgoing(b'{"n":4}'))
        assert await here.take(4) == texts(b'{"n":1}', b'{"n":2}', b'{"n":3}', b'{"n":4}')


@EVERY
async def test_a_ping_comes_behind_everything_sent_before_it(side: OPEN) -> None:
    async with side() as here:
        if not here.pings:
            pytest.skip("links confirm by position; the mesh carries no pings")
        here.connection.send(Outgoing(b'"before"'))
        here.connection.ping(b"7")
        here.connection.send(Outgoing(b'"after"'))
        assert await here.take(3) == [("text", b'"before"'), ("ping", b"7"), ("text", b'"after"')]


@EVERY
async def test_a_close_comes_behind_what_was_sent_and_ends_it(side: OPEN) -> None:
    """Whatever is asked of a closed connection is no error: the core may not have heard yet."""
    async with side() as here:
        here.connection.send(Outgoing(b'"last"'))
        here.connection.close(4004, "Terminal already connected")
        here.connection.send(Outgoing(b'"too late"'))
        here.connection.ping(b"8")
        here.connection.close(1000, "again")
        here.connection.pause_reading()
        here.connection.resume_reading()
        assert (await here.take(2))[:2] == [("text", b'"last"'), ("close", b"4004")]
        if not isinstance(here, QueueSide):
            assert await here.take(1) == []


@EVERY
async def test_what_waits_is_counted_until_it_is_taken_and_what_left_for_ever(side: OPEN) -> None:
    async with side() as here:
        assert here.connection.outbox_bytes == 0
        before = here.connection.bytes_out
        for _ in range(20):
            here.connection.send(Outgoing(b'"' + b"x" * 1_000 + b'"'))
        assert here.connection.outbox_bytes >= 0
        assert len(await here.take(20)) == 20
        await until(lambda: here.connection.outbox_bytes == 0)
        assert here.connection.bytes_out - before >= 20_000


@EVERY
async def test_a_paused_connection_hands_nothing_on_until_it_is_resumed(side: OPEN) -> None:
    async with side() as here:
        if not here.reads:
            pytest.skip("nothing comes in here")
        await here.put(b'"before"')
        await until(_came(here, 1))
        here.connection.pause_reading()
        # A socket may have one read under way; what comes behind that waits.
        await here.put(b'"under way"')
        await here.put(b'"held"')
        assert b'"held"' not in here.got() or isinstance(here, SocketSide)
        here.connection.resume_reading()
        await until(_came(here, 3))
        assert here.got() == [b'"before"', b'"under way"', b'"held"']
        assert here.connection.bytes_in > 0


def _came(here: Side, count: int) -> Callable[[], bool]:
    return lambda: len(here.got()) == count
