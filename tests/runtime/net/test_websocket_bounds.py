"""Broken rules and bounds of a WebSocket: they close their own connection and hurt nobody else."""

from __future__ import annotations

import tracemalloc

import pytest
import trio
from wsproto import ConnectionType
from wsproto.frame_protocol import CloseReason, FrameDecoder, Opcode, RsvBits

from node.runtime.net import websocket
from node.runtime.net.listener import ListenerLimits
from node.runtime.net.reading import READ_BYTES
from node.wire.frames import Outgoing
from tests.runtime.net.test_websocket import DEFLATE, MIB, _frames
from tests.runtime.rig import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Frame,
    Server,
    deflated,
    frame,
    serving,
    until,
)

pytestmark = pytest.mark.usefixtures("_as_on_each_system")

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
    bomb = deflated(b"\0" * (20 * MIB))[:READ_BYTES]
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
        await until(lambda: [each.outbox_bytes for each in server.handler.connections] == [0])
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
