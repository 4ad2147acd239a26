"""A message over the size limit is passed over, shown in pieces to whoever wants to know; the connection goes on."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import orjson
import pytest
from wsproto import ConnectionType
from wsproto.frame_protocol import CloseReason, FrameDecoder, Opcode, RsvBits

from node.core.sessions.session import FORMAT_STRIKES
from node.runtime.net import websocket
from node.runtime.net.deflate import SKIM_BYTES, Deflate
from node.runtime.net.listener import ListenerLimits
from node.runtime.net.reading import READ_BYTES
from tests.harness import Client, World
from tests.runtime.net.test_websocket import DEFLATE, MIB
from tests.runtime.rig import BINARY, PING, PONG, Frame, Raw, Server, deflated, frame, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("_as_on_each_system")

LIMIT = 10_000
MOST = websocket.SKIM_FACTOR * LIMIT


@pytest.fixture
async def small() -> AsyncIterator[Server]:
    async with serving(ListenerLimits(message_bytes=LIMIT)) as server:
        yield server


def text_of(length: int, seed: int = 1) -> bytes:
    """A text of so many bytes, of characters of one to four bytes."""
    draw = random.Random(seed)
    text = "".join(draw.choice("aã€🥑") for _ in range(length)).encode()[:length]
    return text.decode(errors="ignore").encode().ljust(length, b"x")


async def goes_on(client: Raw, server: Server) -> None:
    before = len(server.handler.texts)
    await client.put(frame("small"), frame(b"now", PING))
    assert await client.next() == Frame(PONG, b"now")
    assert server.handler.texts[before:] == ["small"]


@pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 9, 2 * LIMIT, MOST - 100, MOST])
async def test_what_is_too_big_is_shown_whole_and_the_connection_goes_on(small: Server, length: int) -> None:
    client, said = await small.websocket("/skim"), text_of(length)
    await client.put(frame(said))
    await goes_on(client, small)
    thirds = [said[: length // 3], said[length // 3 : length // 2], said[length // 2 :]]
    await client.put(
        frame(thirds[0], fin=False), frame(thirds[1], 0, fin=False), frame(b"", PING), frame(thirds[2], 0)
    )
    assert await client.next() == Frame(PONG, b"")
    await goes_on(client, small)
    await client.put(frame(said, BINARY))
    await goes_on(client, small)
    assert small.handler.skimmed == [(said, length, LIMIT)] * 3


@pytest.mark.walk(4)
@pytest.mark.parametrize("length", [LIMIT + 1, LIMIT + 8, LIMIT + 9, LIMIT + 13, 2 * LIMIT, MOST])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
async def test_what_is_too_big_once_decompressed_is_shown_whole_too(small: Server, length: int, seed: int) -> None:
    client, said = await small.websocket("/skim", DEFLATE), text_of(length, seed)
    squeezer = zlib.compressobj(wbits=-15)  # one context for all messages, as browsers have it

    def squeezed(text: bytes) -> bytes:
        return (squeezer.compress(text) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]

    for number in range(3):
        compressed = squeezed(said)
        await client.put(frame(compressed[:50], rsv=4, fin=False), frame(b"", PING), frame(compressed[50:], 0))
        assert await client.next() == Frame(PONG, b"")
        await client.put(frame(squeezed(b"small"), rsv=4), frame(b"", PING))
        assert await client.next() == Frame(PONG, b"")
        assert small.handler.texts == ["small"] * (number + 1)
    assert small.handler.skimmed == [(said, length, LIMIT)] * 3


@pytest.mark.parametrize("blocks", [1, 4])
async def test_final_blocks_in_what_is_too_big_are_read_on(small: Server, blocks: int) -> None:
    client, said = await small.websocket("/skim", DEFLATE), b"a" * 3 * LIMIT
    one = zlib.compressobj(wbits=-15)
    finished = one.compress(said) + one.flush()
    await client.put(frame(finished * blocks, rsv=4), frame(deflated(b"after"), rsv=4), frame(b"", PING))
    assert await client.next() == Frame(PONG, b"")
    assert small.handler.skimmed == [(said * blocks, len(said) * blocks, LIMIT)]
    assert small.handler.texts == ["after"]


@pytest.mark.parametrize("compressed", [False, True])
async def test_far_too_much_closes_the_connection(small: Server, compressed: bool) -> None:
    client, healthy = await small.websocket("/skim", DEFLATE), await small.websocket()
    said = b"a" * (MOST + 1)
    await client.put(frame(deflated(said), rsv=4) if compressed else frame(said))
    assert await client.ends() == 1009
    assert small.handler.skimmed == []
    await healthy.echoes()


@pytest.mark.parametrize("junk", [b"\xff" * 50, b"\x06" * 50])
async def test_bytes_that_stop_decompressing_behind_the_limit_close_the_connection(
    small: Server, junk: bytes
) -> None:
    client = await small.websocket("/skim", DEFLATE)
    await client.put(frame(deflated(b"a" * 5 * LIMIT) + junk, rsv=4))
    assert await client.ends() == 1007


async def test_everybody_else_is_served_while_a_bomb_is_passed_over() -> None:
    async with serving(ListenerLimits(message_bytes=MIB)) as server:
        client, healthy = await server.websocket("/skim", DEFLATE), await server.websocket()
        length = websocket.SKIM_FACTOR * MIB
        bomb = frame(deflated(b"[" * length), rsv=4)
        answered = 0
        await client.put(bomb)
        while not server.handler.skimmed:
            await healthy.echoes()
            answered += 1
        assert answered > length / SKIM_BYTES / 20  # it was a turn of many
        assert server.handler.skimmed[0][1:] == (length, MIB)
        await until(lambda: server.handler.connections[0].finished is False)


def test_one_read_of_what_is_too_big_takes_little_memory() -> None:
    bomb = deflated(b"\0" * (15 * MIB))[:READ_BYTES]
    extension: Deflate = websocket.Protocol(ConnectionType.SERVER, MIB).deflate
    extension.accept("permessage-deflate")
    extension.skim(16 * MIB)
    decoder = FrameDecoder(False, [extension])
    extension.frame_inbound_header(decoder, Opcode.BINARY, RsvBits(True, False, False), len(bomb))
    tracemalloc.start()
    try:
        found = extension.frame_inbound_payload_data(decoder, bomb)
        assert not isinstance(found, CloseReason)
        length = len(found)
        while (more := extension.more()) is not None:
            assert not isinstance(more, CloseReason)
            length += len(more)
        assert extension.frame_inbound_complete(decoder, fin=True) == b""
        while (more := extension.more()) is not None:
            assert not isinstance(more, CloseReason)
            length += len(more)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert length == 15 * MIB
    assert peak < 4 * MIB


# ------------------------------------------------------------------ what a terminal is told


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(World(tmp_path / "node"), "ana").connect()


def pass_over(client: Client, text: bytes) -> None:
    assert client.session is not None
    skimmer = client.session.skim()
    for at in range(0, len(text), SKIM_BYTES):
        skimmer.feed(text[at : at + SKIM_BYTES])
    skimmer.end(len(text), LIMIT)
    client.world.settle()
    client.receive()


@pytest.mark.parametrize("first", [True, False])
def test_a_terminal_is_told_which_operation_was_too_big(client: Client, first: bool) -> None:
    photo = {"photo": "x" * 5 * LIMIT}
    names = {"id": "op-big", "entity_type": "products", "entity_id": "guarana", "operation": "UPDATE"}
    operation = {**names, "data": photo} if first else {"data": photo, **names}
    client.write("products", "guarana", "UPDATE", {"stock": 1})
    text = orjson.dumps({"type": "data_sync", "operation": operation})
    pass_over(client, text)
    client.do("products", "guarana", "UPDATE", {"stock": 2})
    answers = [m for m in client.inbox if m["type"] in ("sync_confirmation", "sync_error")]
    assert [answer["operation_id"] for answer in answers] == ["op-big", "ana.op-0", "ana.op-1"]  # refused at once
    said = {"code": 4006, "where": "$", "entity_type": "products", "entity_id": "guarana"}
    assert answers[0].items() >= said.items()
    assert answers[0]["error"] == f"a message has at most {LIMIT} bytes, this one has {len(text)}"


def test_a_terminal_that_sends_nothing_but_what_is_too_big_is_closed_in_the_end(client: Client) -> None:
    for _ in range(FORMAT_STRIKES):
        assert client.connection.closed is None
        pass_over(client, b'{"type":"ping"}' + b" " * LIMIT)
    assert client.connection.closed == (4006, f"{FORMAT_STRIKES} unreadable messages")


def test_what_is_too_big_and_named_is_refused_by_name_and_closes_nothing(client: Client) -> None:
    """Whoever sent it is told which one is refused, and what is queued behind it is not lost with the connection."""
    for number in range(FORMAT_STRIKES):
        pass_over(client, b'{"type":"release_lock","lock_id":"l-%d"}' % number + b" " * LIMIT)
    assert client.connection.closed is None
    assert [error["lock_id"] for error in client.of("sync_error")] == [f"l-{n}" for n in range(FORMAT_STRIKES)]
    assert client.do("products", "guarana", "UPDATE", {"stock": 1})["type"] == "sync_confirmation"
