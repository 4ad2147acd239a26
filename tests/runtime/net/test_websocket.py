"""Connections over real sockets, with a client that may break every rule."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.runtime.net import websocket
from node.runtime.net.deflate import usable_extension
from node.runtime.net.reading import SocketReader
from node.runtime.net.websocket import Connection, accept_upgrade
from node.wire.frames import Batch, Outgoing
from tests.runtime.rig import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Raw,
    Server,
    deflated,
    frame,
    inflated,
    key,
    until,
)
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("_as_on_each_system")

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
LONG = '{"name": "' + "pão de queijo " * 200 + '"}'
MIB = 1_048_576


# ---------------------------------------------------------------------- messages


async def test_text_comes_back_as_it_went(server: Server) -> None:
    client = await server.websocket()
    for text in ("", "a", "açaí 🥑", "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536, LONG):
        await client.echoes(text)


async def test_binary_goes_to_its_own_callback(server: Server) -> None:
    client = await server.websocket()
    await client.put(frame(b"\x00\xff", BINARY))
    await client.echoes()
    assert server.handler.binaries == [b"\x00\xff"]
    assert server.handler.texts == ["still here"]


async def test_one_frame_serves_those_with_and_without_compression(server: Server) -> None:
    plain, squeezing = await server.websocket("/fan"), await server.websocket("/fan", DEFLATE)
    assert squeezing.header("sec-websocket-extensions") == "permessage-deflate; server_no_context_takeover"
    await until(lambda: len(server.handler.connections) == 2)
    for _ in range(3):  # no context is taken over: each is readable by itself
        await plain.put(frame(LONG), frame("short"))
        assert await plain.next() == Frame(TEXT, LONG.encode())
        assert await plain.next() == Frame(TEXT, b"short")
        found = await squeezing.next()
        assert found is not None
        assert (found.rsv1, inflated(found.payload)) == (True, LONG.encode())
        assert await squeezing.next() == Frame(TEXT, b"short")


async def test_a_batch_arrives_whole_and_in_order(server: Server) -> None:
    client = await server.websocket("/mute")
    await until(lambda: bool(server.handler.connections))
    connection = server.handler.connections[0]
    texts = [b"%d" % number * (number + 1) for number in range(300)]
    connection.send(Batch([Outgoing(text) for text in texts]))
    connection.send(Outgoing(b"after"))
    assert [await client.next() for _ in texts] == [Frame(TEXT, text) for text in texts]
    assert await client.next() == Frame(TEXT, b"after")


async def test_fragments_are_put_together_around_a_ping(server: Server) -> None:
    client = await server.websocket()
    half = "ã".encode()
    await client.put(
        frame(b"one " + half[:1], fin=False), frame(b"now", PING), frame(half[1:], 0, fin=False), frame(b"", 0)
    )
    assert await client.next() == Frame(PONG, b"now")
    assert await client.next() == Frame(TEXT, b"one " + half)


async def test_a_ping_inside_a_compressed_message_does_not_spoil_it(server: Server) -> None:
    client = await server.websocket("/echo", DEFLATE)
    squeezed = deflated(b"squeezed " * 3)
    for _ in range(2):
        await client.put(frame(squeezed[:5], rsv=4, fin=False), frame(b"", PING), frame(squeezed[5:], 0))
        assert await client.next() == Frame(PONG, b"")
        assert await client.next() == Frame(TEXT, b"squeezed " * 3)


async def test_a_message_that_trickles_in_frame_by_frame_is_whole(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "_JOIN_PARTS", 16)
    client = await server.websocket()
    letters = [b"%d" % (number % 10) for number in range(2_000)]
    await client.put(
        frame(b"", fin=False), b"".join(frame(letter, 0, fin=False) for letter in letters), frame(b"", 0)
    )
    assert await client.next() == Frame(TEXT, b"".join(letters))
    await client.echoes()


MESSAGES = st.lists(
    st.tuples(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=3), st.booleans()), max_size=5
)


@settings(max_examples=5 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 400), max_size=8))
async def test_however_messages_are_cut_they_arrive_the_same(
    messages: list[tuple[str, list[int], bool]], cuts: list[int]
) -> None:
    wire = b""
    for text, places, squeeze in messages:
        payload = deflated(text.encode()) if squeeze else text.encode()
        edges = [0, *sorted(min(place, len(payload)) for place in places), len(payload)]
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            wire += frame(
                payload[start:end],
                0 if number else TEXT,
                fin=number == len(edges) - 2,
                rsv=4 if squeeze and not number else 0,
            )
            wire += frame(b"between", PING)
    got: list[str] = []
    async with pair() as (connection, peer):
        connection.on_text = got.append
        edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
        for start, end in itertools.pairwise(edges):
            await peer.put(wire[start:end])
        await peer.put(frame(b"", CLOSE))
        assert await peer.ends() == 0  # a close without a code is answered without one
    assert got == [text for text, _, _ in messages]


# ---------------------------------------------------------------------- pings


async def test_a_pong_carries_the_pings_payload_and_comes_behind_the_answers_before_it(server: Server) -> None:
    client = await server.websocket()
    await client.put(frame("first"), frame(b"p" * 125, PING), frame("second"))
    assert await client.next() == Frame(TEXT, b"first")
    assert await client.next() == Frame(PONG, b"p" * 125)
    assert await client.next() == Frame(TEXT, b"second")


async def test_a_ping_is_queued_behind_what_was_sent_before_it(server: Server) -> None:
    client = await server.websocket("/mute")
    await until(lambda: bool(server.handler.connections))
    connection = server.handler.connections[0]
    connection.send(Outgoing(b"x" * (8 * MIB)))
    assert connection.outbox_bytes > 0  # more than the socket takes
    connection.ping(b"17")
    found = await client.next()
    assert found is not None
    assert len(found.payload) == 8 * MIB
    assert await client.next() == Frame(PING, b"17")
    await client.put(frame(b"17", PONG))
    await until(lambda: server.handler.pongs == [b"17"])
    assert connection.outbox_bytes == 0


# ---------------------------------------------------------------------- broken rules


# ---------------------------------------------------------------------- sizes


# ---------------------------------------------------------------------- slow readers


# ---------------------------------------------------------------------- endings


async def test_a_close_of_ours_arrives_and_is_what_run_returns(server: Server) -> None:
    client = await server.websocket("/shut")
    found = await client.next()
    assert found == Frame(CLOSE, (4001).to_bytes(2, "big") + b"Invalid terminal ID")
    await client.put(frame(b"\x03\xe8", CLOSE))  # it answers 1000; that changes nothing
    assert await client.next() is None
    await until(lambda: server.handler.endings == [(4001, "Invalid terminal ID")])


@pytest.mark.usefixtures("_patient")
async def test_a_close_comes_behind_everything_sent_before_it_and_nothing_behind_it(server: Server) -> None:
    client = await server.websocket("/mute")
    await until(lambda: bool(server.handler.connections))
    connection = server.handler.connections[0]
    for _ in range(6):
        connection.send(Outgoing(b"x" * MIB))
    connection.close(4005, "ç" * 100)
    connection.send(Outgoing(b"too late"))
    connection.ping(b"too late")
    connection.close(1011, "too late")
    frames = [found async for found in _frames(client)]
    assert [len(found.payload) for found in frames[:-1]] == [MIB] * 6
    assert frames[-1].code == 4005
    assert frames[-1].payload[2:].decode() == "ç" * 60


async def test_a_client_that_answers_no_close_is_dropped(server: Server) -> None:
    client = await server.websocket("/shut")
    assert await client.ends() == 4001
    assert await client.next() is None
    await until(lambda: server.handler.endings == [(4001, "Invalid terminal ID")])


async def test_the_other_sides_close_is_answered_and_returned(server: Server) -> None:
    client = await server.websocket()
    await client.put(frame("last"), frame(b"\x0f\xa1bye", CLOSE), frame("behind the close"))
    assert await client.next() == Frame(TEXT, b"last")
    assert await client.next() == Frame(CLOSE, b"\x0f\xa1bye")
    await until(lambda: server.handler.endings == [(4001, "bye")])
    assert server.handler.texts == ["last"]


@pytest.mark.usefixtures("_patient")
async def test_the_other_side_that_closes_still_gets_what_was_sent(server: Server) -> None:
    client = await server.websocket("/mute")
    await until(lambda: bool(server.handler.connections))
    server.handler.connections[0].send(Outgoing(b"x" * (8 * MIB)))
    await client.put(frame(b"\x03\xe8", CLOSE))
    frames = [found async for found in _frames(client)]
    assert [len(found.payload) for found in frames] == [8 * MIB, 2]
    assert frames[1].code == 1000


@pytest.mark.usefixtures("_patient")
async def test_the_other_side_that_ends_only_what_it_sends_still_gets_what_was_sent() -> None:
    async with pair(extensions="") as (connection, peer):
        connection.send(Outgoing(b"x" * (8 * MIB)))
        await peer.stream.send_eof()
        found = await peer.next()
        assert found is not None
        assert len(found.payload) == 8 * MIB
        assert await peer.next() is None


async def test_a_connection_that_just_ends_is_1006(server: Server) -> None:
    for vanish in (Raw.aclose, _reset):
        client = await server.websocket()
        await client.echoes()
        await vanish(client)
    await until(lambda: server.handler.endings == [(1006, ""), (1006, "")])


async def test_a_send_after_the_end_touches_no_other_socket(server: Server) -> None:
    """The closed socket's number is soon somebody else's."""
    client = await server.websocket()
    await client.echoes()
    connection = server.handler.connections[0]
    number = connection._socket.socket.fileno()
    await client.put(frame(b"\x03\xe8", CLOSE))
    await until(lambda: bool(server.handler.endings))
    pairs = [socket.socketpair() for _ in range(20)]
    try:
        assert number in {end.fileno() for ends in pairs for end in ends}
        connection._closing = False  # as if it had not noticed yet
        connection.send(Outgoing(b"stray"))
        for end in (end for ends in pairs for end in ends):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(64)
    finally:
        for end in (end for ends in pairs for end in ends):
            end.close()


async def test_a_callback_that_raises_ends_its_own_connection_only(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    healthy, client = await server.websocket(), await server.websocket("/throw")
    await client.put(frame("one"), frame("two"))
    assert await client.ends() == 1011
    assert server.handler.texts == ["one"]
    assert "on purpose" in caplog.text
    await healthy.echoes()


async def test_a_cancelled_run_drops_the_socket_and_raises_nothing_else() -> None:
    both = pair()
    async with both as (connection, peer):
        connection.send(Outgoing(b"x" * (8 * MIB)))  # half of it under way
        await until(lambda: connection.outbox_bytes < 8 * MIB)
        await peer.take()
        both.running.cancel()
        await until(lambda: connection.finished)
        assert b"\x88" not in await peer.rest()  # no close frame in the middle of a message


# ---------------------------------------------------------------------- handshakes

OFFERS: dict[str, str | None] = {
    "permessage-deflate": "permessage-deflate",
    "permessage-deflate; client_max_window_bits": "permessage-deflate; client_max_window_bits",
    "permessage-deflate;client_max_window_bits=12": "permessage-deflate;client_max_window_bits=12",
    "permessage-deflate; server_max_window_bits=15": "permessage-deflate; server_max_window_bits=15",
    "x-webkit-deflate-frame, permessage-deflate": "permessage-deflate",
    "permessage-deflate; server_max_window_bits=9": "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=8, permessage-deflate": "permessage-deflate",
    "permessage-deflate; server_max_window_bits": None,
    "permessage-deflate; client_max_window_bits=abc": None,
    "permessage-deflate; client_max_window_bits=8": None,
    "permessage-deflate; client_max_window_bits=16": None,
    "permessage-deflate; client_max_window_bits=": None,
    'permessage-deflate; client_max_window_bits="12"': None,
    "permessage-deflate; client_max_window_bits=9; client_max_window_bits=10": None,
    "permessage-deflate; unknown": None,
    "permessage-deflate-2": None,
    "": None,
    ",;=,": None,
}


@pytest.mark.parametrize("offer", OFFERS)
def test_only_offers_that_can_be_kept_are_taken(offer: str) -> None:
    assert usable_extension(offer) == OFFERS[offer]


@pytest.mark.walk(3)
@pytest.mark.parametrize("offer", OFFERS)
async def test_a_strange_offer_only_costs_the_compression(server: Server, offer: str) -> None:
    client = await server.websocket("/echo", f"Sec-WebSocket-Extensions: {offer}")
    assert (client.header("sec-websocket-extensions") is not None) is (OFFERS[offer] is not None)
    await client.echoes()


@settings(max_examples=60, deadline=None)
@given(
    offers=st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=60)
    | st.lists(st.sampled_from(sorted(OFFERS)), max_size=3).map(", ".join),
    subprotocols=st.text(st.characters(max_codepoint=126, min_codepoint=33), max_size=20),
)
async def test_no_ascii_header_brings_the_handshake_down(offers: str, subprotocols: str) -> None:
    async with pair(extensions=offers, subprotocols=subprotocols) as (connection, peer):
        assert connection.deflate == (usable_extension(offers) is not None)
        await peer.put(frame(b"\x03\xe8", CLOSE))
        assert await peer.ends() == 1000


# ---------------------------------------------------------------------- parts


class pair:
    """A running server connection and a raw client, over a socket pair; at the end both are closed."""

    def __init__(self, extensions: str = "permessage-deflate", subprotocols: str | None = None) -> None:
        self._offers = extensions, subprotocols
        self.running = trio.CancelScope()

    async def __aenter__(self) -> tuple[Connection, Raw]:
        ours, theirs = trio.socket.socketpair()
        reader = SocketReader.here()
        self._connection = accept_upgrade(
            trio.SocketStream(ours),
            target="/",
            key=key(),
            extensions=self._offers[0],
            subprotocols=self._offers[1],
            first=b"",
            max_message_bytes=MIB,
            outbox_limit=16 * MIB,
            peer="test",
            reader=reader,
        )
        await self._connection.handshake(None)
        self._raw = Raw(trio.SocketStream(theirs))
        self._nursery = trio.open_nursery()
        (await self._nursery.__aenter__()).start_soon(self._run, reader)
        assert await self._raw.status() == 101
        return self._connection, self._raw

    async def _run(self, reader: SocketReader | None) -> None:
        async with trio.open_nursery() as nursery:
            if reader is not None:
                nursery.start_soon(reader.run)
            with self.running:
                await self._connection.run()
            nursery.cancel_scope.cancel()

    async def __aexit__(self, *error: object) -> None:
        await self._raw.aclose()
        await self._nursery.__aexit__(*error)  # type: ignore[arg-type]


async def _frames(client: Raw) -> AsyncIterator[Frame]:
    """Up to the close frame, or the end of the connection."""
    while (found := await client.next()) is not None:
        yield found
        if found.opcode == CLOSE:
            return


async def _reset(client: Raw) -> None:
    stream = getattr(client.stream, "transport_stream", client.stream)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    await client.aclose()
