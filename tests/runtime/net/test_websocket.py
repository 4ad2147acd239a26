"""Connections over real sockets, with a client that may break every rule."""

from __future__ import annotations

import itertools
import socket
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType
from wsproto.frame_protocol import CloseReason, FrameDecoder, Opcode, RsvBits

from node.runtime.net import websocket
from node.runtime.net.client import ConnectError, connect
from node.runtime.net.deflate import usable_extension
from node.runtime.net.listener import ListenerLimits
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
    serving,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
LONG = '{"name": "' + "pão de queijo " * 200 + '"}'
MIB = 1_048_576


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read much behind a close: however slow the machine, it is not cut short."""
    monkeypatch.setattr(websocket, "CLOSE_GRACE_S", 60.0)


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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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

BAD_FRAMES: dict[str, tuple[int, bytes]] = {
    "not masked": (1002, frame("hi", mask=False)),
    "invalid UTF-8": (1007, frame(b"\xc3\x28")),
    "UTF-8 that ends in the middle of a character": (1007, frame("ã".encode()[:1])),
    "a surrogate": (1007, frame(b"\xed\xa0\x80")),
    "UTF-8 gone bad in a later fragment": (1007, frame("ok", fin=False) + frame(b"\xff", 0)),
    "a reserved bit": (1002, frame("hi", rsv=2)),
    "compressed though not agreed": (1002, frame("hi", rsv=4)),
    "an unknown opcode": (1002, frame("hi", 3)),
    "an unknown control opcode": (1002, frame(b"", 0xB)),
    "a continuation of nothing": (1002, frame("hi", 0)),
    "a message inside a message": (1002, frame("a", fin=False) + frame("b")),
    "a fragmented ping": (1002, frame(b"a", PING, fin=False)),
    "a long ping": (1002, frame(b"a" * 126, PING)),
    "a length in more bytes than needed": (1002, frame("hi", wide=2)),
    "a length in eight bytes where two do": (1002, frame("hi", wide=8)),
    "a length of 2**63": (1002, frame("hi", length=1 << 63)),
    "a close of one byte": (1002, frame(b"\x03", CLOSE)),
    "a close with a code that is never sent": (1002, frame(b"\x03\xed", CLOSE)),
    "a close with a code out of range": (1002, frame(b"\x13\x88", CLOSE)),
    "a close whose reason is no UTF-8": (1007, frame(b"\x03\xe8\xff", CLOSE)),
}


@pytest.mark.parametrize("shape", BAD_FRAMES)
async def test_a_broken_rule_closes_with_its_code_and_hurts_nobody_else(server: Server, shape: str) -> None:
    code, sent = BAD_FRAMES[shape]
    healthy, client = await server.websocket(), await server.websocket()
    await client.echoes()
    await client.put(sent)
    assert await client.ends() == code
    assert await client.next() is None
    await client.aclose()
    await until(lambda: bool(server.handler.endings))
    assert server.handler.endings[0][0] == code
    await healthy.echoes()


@pytest.mark.usefixtures("_patient")
async def test_a_broken_rule_hangs_up_without_waiting_for_an_answer(server: Server) -> None:
    client = await server.websocket()
    await client.put(frame("hi", 3), *[b"\0" * 65_536] * 50)
    assert await client.ends() == 1002
    assert await client.next() is None
    await client.aclose()
    await until(lambda: bool(server.handler.endings))


async def test_what_follows_a_broken_rule_is_not_read_as_messages(server: Server) -> None:
    client = await server.websocket("/mute")
    await client.put(frame("hi", 3) + frame("too late"), frame("later still"))
    assert await client.ends() == 1002
    await client.aclose()
    await until(lambda: bool(server.handler.endings))
    assert server.handler.texts == []


async def test_random_bytes_never_end_the_server(server: Server) -> None:
    healthy = await server.websocket()
    for seed in range(40):
        client = await server.websocket("/echo", DEFLATE)
        await client.put(bytes((seed * 37 + at * at * 11) % 256 for at in range(200)))
        await client.aclose()
    await healthy.echoes()


# ---------------------------------------------------------------------- sizes


async def test_the_size_limit_counts_bytes_not_characters() -> None:
    async with serving(ListenerLimits(message_bytes=1_000)) as server:
        client = await server.websocket()
        await client.echoes("ã" * 500)
        await client.put(frame("ã" * 500 + "a"))
        assert await client.ends() == 1009


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_the_size_limit_holds_for_fragments_together(opcode: int) -> None:
    async with serving(ListenerLimits(message_bytes=1_000)) as server:
        healthy, client = await server.websocket(), await server.websocket()
        await client.put(frame(b"a" * 600, opcode, fin=False), frame(b"a" * 401, 0, fin=False))
        assert await client.ends() == 1009
        await healthy.echoes()


async def test_a_huge_announced_length_is_refused_by_what_arrives(server: Server) -> None:
    client = await server.websocket()
    await client.put(frame(b"", BINARY, length=1 << 62), *[b"\0" * 65_536] * 17)
    assert await client.ends() == 1009
    assert server.handler.binaries == []


async def test_a_message_has_a_bounded_number_of_frames(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "FRAGMENTS", 50)
    monkeypatch.setattr(websocket, "FRAGMENT_BYTES", MIB)
    client = await server.websocket()
    await client.put(frame(b"", fin=False), *[frame(b"", 0, fin=False) for _ in range(48)], frame(b"", 0))
    assert await client.next() == Frame(TEXT, b"")
    await client.put(frame(b"", fin=False), *[frame(b"", 0, fin=False) for _ in range(50)])
    assert await client.ends() == 1009


async def test_a_compressed_message_may_grow_to_the_limit_and_not_past_it() -> None:
    async with serving(ListenerLimits(message_bytes=MIB)) as server:
        client = await server.websocket("/mute", DEFLATE)
        await client.put(frame(deflated(b"a" * MIB), rsv=4), frame(deflated(b"b" * MIB), rsv=4))
        await until(lambda: len(server.handler.texts) == 2)
        await client.put(frame(deflated(b"c" * (MIB + 1)), rsv=4))
        assert await client.ends() == 1009
        assert len(server.handler.texts) == 2


async def test_a_compression_bomb_is_refused(server: Server) -> None:
    healthy, client = await server.websocket(), await server.websocket("/mute", DEFLATE)
    bomb = deflated(b"\0" * (100 * MIB))
    await client.put(frame(bomb[:60_000], rsv=4, fin=False))
    assert await client.ends() == 1009
    await healthy.echoes()


def test_one_read_of_a_compression_bomb_takes_no_more_than_the_limit() -> None:
    bomb = deflated(b"\0" * (20 * MIB))[: websocket.READ_BYTES]
    extension = websocket.Protocol(ConnectionType.SERVER, MIB).deflate
    extension.accept("permessage-deflate")
    decoder = FrameDecoder(False, [extension])
    extension.frame_inbound_header(decoder, Opcode.BINARY, RsvBits(True, False, False), len(bomb))
    tracemalloc.start()
    try:
        found = extension.frame_inbound_payload_data(decoder, bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is CloseReason.MESSAGE_TOO_BIG
    assert peak < 4 * MIB


# ---------------------------------------------------------------------- slow readers


@pytest.mark.usefixtures("_patient")
async def test_a_slow_reader_stalls_nobody_and_is_closed_at_its_outbox_limit() -> None:
    async with serving(ListenerLimits(outbox_bytes=MIB)) as server:
        slow, fast = await server.websocket("/fan"), await server.websocket("/fan")
        await until(lambda: len(server.handler.connections) == 2)
        text, lagging = "x" * 65_536, server.handler.connections[0]
        while not lagging.finished:
            await fast.put(frame(text))
            assert await fast.next() == Frame(TEXT, text.encode())
        assert lagging.outbox_bytes < MIB + 65_546
        frames = [found async for found in _frames(slow)]  # whole frames only, then the reason
        assert frames[-1].opcode == CLOSE
        assert frames[-1].code == 1013
        assert {len(found.payload) for found in frames[:-1]} == {65_536}
        await slow.aclose()
        await until(lambda: bool(server.handler.endings))
        assert server.handler.endings == [(1013, "too slow: the outbox is full")]
        await fast.echoes(text)


@pytest.mark.usefixtures("_patient")
async def test_an_outbox_that_overflows_in_one_go_leaves_no_half_frame() -> None:
    async with serving(ListenerLimits(outbox_bytes=MIB)) as server:
        client = await server.websocket("/mute")
        await until(lambda: bool(server.handler.connections))
        for _ in range(20):
            server.handler.connections[0].send(Outgoing(b"x" * (8 * MIB)))
        frames = [found async for found in _frames(client)]
        assert [len(found.payload) for found in frames[:-1]] == [8 * MIB]
        assert frames[-1].code == 1013


async def test_a_reader_that_never_reads_again_is_dropped() -> None:
    async with serving(ListenerLimits(outbox_bytes=MIB)) as server:
        await server.websocket("/mute")
        await until(lambda: bool(server.handler.connections))
        for _ in range(20):
            server.handler.connections[0].send(Outgoing(b"x" * MIB))
        await until(lambda: bool(server.handler.endings))
        assert server.handler.endings[0][0] == 1013


async def test_a_connection_held_back_reads_nothing_until_it_is_let_go(server: Server) -> None:
    texts = [str(number) * 20_000 for number in range(10)]  # each is more than one read
    server.handler.on_text = lambda connection, _: connection.pause_reading()
    held, other = await server.websocket("/mute"), await server.websocket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.put, *map(frame, texts))
        await until(lambda: bool(server.handler.texts))
        server.handler.on_text = None
        for _ in range(20):
            await other.echoes("0")
        assert server.handler.texts == [texts[0]] + ["0"] * 20
        server.handler.connections[0].resume_reading()
        await until(lambda: len(server.handler.texts) == 30)
    assert server.handler.texts[21:] == texts[1:]


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
    number = connection._descriptor()
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
                end.recv(1)
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
    async with pair() as (connection, peer):
        connection.send(Outgoing(b"x" * (8 * MIB)))  # half of it under way
        await until(lambda: connection.outbox_bytes < 8 * MIB)
        scope = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run_in, scope, connection)
            await peer.take()
            scope.cancel()
        assert connection.finished
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


@pytest.mark.parametrize("deflate", [True, False])
async def test_connect_speaks_with_our_own_server(server: Server, deflate: bool) -> None:
    connection = await connect(server.url("/echo?x=1"), deflate=deflate)
    assert connection.deflate is deflate
    got: list[str] = []
    connection.on_text = got.append
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        connection.send_text(b"short")
        connection.send_text(LONG.encode())
        connection.send(Batch([Outgoing(b"a"), Outgoing(b"b")]))
        await until(lambda: len(got) == 4)
        connection.close(1000, "done")
    assert got == ["short", LONG, "a", "b"]
    await until(lambda: server.handler.endings == [(1000, "done")])


async def test_connect_agrees_on_a_subprotocol_and_sends_its_headers(server: Server) -> None:
    server.handler.subprotocol = "comanda.v1"
    connection = await connect(
        server.url(), subprotocols=["comanda.v1", "other"], headers=[("Authorization", "Bearer abc")]
    )
    assert connection.subprotocol == "comanda.v1"
    await until(lambda: bool(server.handler.requests))
    assert server.handler.requests[0].headers["authorization"] == "Bearer abc"
    assert server.handler.connections[0].subprotocol == "comanda.v1"
    await trio.aclose_forcefully(connection._socket)


async def test_the_servers_ping_and_close_reach_a_connected_client(server: Server) -> None:
    connection = await connect(server.url("/mute"))
    async with trio.open_nursery() as nursery:
        ends: list[tuple[int, str]] = []

        async def run() -> None:
            ends.append(await connection.run())

        nursery.start_soon(run)
        await until(lambda: bool(server.handler.connections))
        server.handler.connections[0].ping(b"are you there")
        await until(lambda: server.handler.pongs == [b"are you there"])
        server.handler.connections[0].close(4004, "Terminal already connected")
    assert ends == [(4004, "Terminal already connected")]


async def test_connect_says_why_it_could_not(server: Server) -> None:
    with pytest.raises(ConnectError, match="HTTP 404") as refused:
        await connect(server.url("/nowhere"))
    assert refused.value.status == 404
    with trio.socket.socket() as free:
        await free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectError, match="127"):
            await connect(f"ws://127.0.0.1:{free.getsockname()[1]}/")
    for url in ("http://127.0.0.1/", "ws:///x", "127.0.0.1", "ws://127.0.0.1/ã"):
        with pytest.raises(ValueError, match="not a ws"):
            await connect(url)


ANSWERS: dict[str, bytes | None] = {
    "nothing at all": None,
    "hanging up": b"",
    "a text that is no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "an endless head": b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 5_000,
    "a wrong accept token": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n"
    ),
    "half an answer": b"HTTP/1.1 101 Swi",
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_connect_gives_up_on_a_server_that_answers_with(answer: str) -> None:
    said = ANSWERS[answer]

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        if said is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(said)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(5), pytest.raises(ConnectError):
            await connect(f"ws://127.0.0.1:{port}/", connect_timeout=0.2)
        nursery.cancel_scope.cancel()


# ---------------------------------------------------------------------- parts


class pair:
    """A running server connection and a raw client, over a socket pair; at the end both are closed."""

    def __init__(self, extensions: str = "permessage-deflate", subprotocols: str | None = None) -> None:
        self._offers = extensions, subprotocols

    async def __aenter__(self) -> tuple[Connection, Raw]:
        ours, theirs = trio.socket.socketpair()
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
        )
        await self._connection.handshake(None)
        self._raw = Raw(trio.SocketStream(theirs))
        assert await self._raw.status() == 101
        self._nursery = trio.open_nursery()
        (await self._nursery.__aenter__()).start_soon(self._run)
        return self._connection, self._raw

    async def _run(self) -> None:
        await self._connection.run()

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
    client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    await client.aclose()


async def _run_in(scope: trio.CancelScope, connection: Connection) -> None:
    with scope:
        await connection.run()
