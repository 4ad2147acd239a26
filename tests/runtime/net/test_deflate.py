"""permessage-deflate (RFC 7692) where implementations differ: windows, contexts, final blocks, and what is agreed."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import zlib
from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.net.client import ConnectError, connect
from node.runtime.net.listener import ListenerLimits
from tests.runtime.rig import BINARY, CLOSE, PING, PONG, TEXT, Frame, Raw, Server, deflated, frame, serving, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
FAR = "".join(random.Random(1).choices("abcdefghij", k=3_000)) * 2
"""Text that a compressor with a window of more than 3,000 bytes shortens by half."""


def stored(payload: bytes, *, final: bool) -> bytes:
    """One uncompressed DEFLATE block."""
    length = len(payload)
    return bytes((final,)) + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + payload


def finished(payload: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(payload) + squeezer.flush(zlib.Z_FINISH)


# ---------------------------------------------------------------------- what a server agrees to


@pytest.mark.parametrize("bits", range(9, 16))
async def test_a_client_with_a_small_window_gets_what_it_can_inflate(server: Server, bits: int) -> None:
    client = await server.websocket("/echo", f"{DEFLATE}; server_max_window_bits={bits}")
    agreed = client.header("sec-websocket-extensions") or ""
    assert f"server_max_window_bits={bits}" in agreed
    await client.put(frame(FAR))
    found = await client.next()
    assert found is not None
    assert found.rsv1
    assert zlib.decompressobj(-bits).decompress(found.payload + b"\0\0\xff\xff") == FAR.encode()


async def test_windows_of_all_sizes_are_served_from_one_message(server: Server) -> None:
    clients = {
        bits: await server.websocket("/fan", f"{DEFLATE}; server_max_window_bits={bits}") for bits in (9, 12, 15)
    }
    await until(lambda: len(server.handler.connections) == len(clients))
    for _ in range(2):
        await clients[9].put(frame(FAR))
        for bits, client in clients.items():
            found = await client.next()
            assert found is not None
            assert zlib.decompressobj(-bits).decompress(found.payload + b"\0\0\xff\xff") == FAR.encode()


async def test_a_window_that_cannot_be_kept_only_costs_the_compression(server: Server) -> None:
    client = await server.websocket("/echo", f"{DEFLATE}; server_max_window_bits=8")
    assert client.header("sec-websocket-extensions") is None
    await client.echoes(FAR)


# ---------------------------------------------------------------------- what a server reads

STREAMS: dict[str, bytes] = {
    "one final block": finished(b"one two three"),
    "a final block and the empty one of RFC 7692, 7.2.3.4": finished(b"one two three") + b"\0",
    "a final block in the middle": finished(b"one ") + deflated(b"two three"),
    "nothing but final blocks": finished(b"one ") + finished(b"two ") + finished(b"three"),
    "stored blocks, the first final": stored(b"one ", final=True) + stored(b"two three", final=False) + b"\0",
    "empty final blocks around": finished(b"") + finished(b"one two three") + finished(b""),
}


@pytest.mark.walk(4)
@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("shape", STREAMS)
@pytest.mark.parametrize("cut", [0, 1, 3, 1_000])
async def test_what_follows_a_final_block_is_read_on(server: Server, shape: str, cut: int, takeover: bool) -> None:
    client = await server.websocket("/echo", DEFLATE + ("" if takeover else "; client_no_context_takeover"))
    payload = STREAMS[shape]
    for _ in range(2):
        await client.put(frame(payload[:cut], rsv=4, fin=False), frame(b"", PING), frame(payload[cut:], 0))
        assert await client.next() == Frame(PONG, b"")
        assert await client.next() == Frame(TEXT, b"one two three")
        await client.put(frame(deflated(b"between"), rsv=4))
        assert await client.next() == Frame(TEXT, b"between")


ENDLESS: dict[str, bytes] = {
    "anything behind a final block": finished(b"") + b"\xff" * 10_000,
    "nothing, behind a final block": finished(b"") + b"\0\0\0\xff\xff" * 2_000,
    "final blocks": finished(b"") * 5_000,
    "empty blocks": b"\0\0\0\xff\xff" * 2_000,
}


@pytest.mark.parametrize("shape", ENDLESS)
async def test_a_message_that_never_yields_anything_is_not_read_for_ever(shape: str) -> None:
    async with serving(ListenerLimits(message_bytes=1_000)) as server:
        healthy, client = await server.websocket(), await server.websocket("/echo", DEFLATE)
        await client.put(frame(ENDLESS[shape], BINARY, rsv=4, length=1 << 40))
        assert await client.ends() in (1007, 1009)
        await healthy.echoes()


async def test_a_message_within_the_limit_may_grow_when_compressed() -> None:
    noise = random.Random(2).randbytes(900)
    squeezed = b"".join(stored(noise[at : at + 10], final=False) for at in range(0, 900, 10)) + b"\0"
    async with serving(ListenerLimits(message_bytes=1_000)) as server:
        client = await server.websocket("/mute", DEFLATE)
        assert len(squeezed) > 1_300
        await client.put(frame(squeezed, BINARY, rsv=4))
        await until(lambda: server.handler.binaries == [noise])


async def test_a_message_within_the_limit_may_come_in_frames_of_64_bytes() -> None:
    text = "x" * 1_048_576
    async with serving() as server:
        client = await server.websocket()
        pieces = [frame(text[at : at + 64], 0, fin=False) for at in range(64, len(text), 64)]
        await client.put(frame(text[:64], fin=False), b"".join(pieces), frame(b"", 0))
        assert await client.next() == Frame(TEXT, text.encode())


# ---------------------------------------------------------------------- what a client agrees to


@pytest.fixture
async def answering() -> AsyncIterator[tuple[str, dict[str, str], list[Raw]]]:
    """A server's URL, the extensions it is to agree to whatever was offered, and its connections."""
    said = {"extensions": ""}
    clients: list[Raw] = []

    async def serve(stream: trio.SocketStream) -> None:
        client = Raw(stream)
        while b"\r\n\r\n" not in client.buffer:
            await client.take()
        head, client.buffer = client.buffer.split(b"\r\n\r\n", 1)
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
        assert found is not None
        digest = hashlib.sha1(found.group(1) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        await client.put(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Extensions: %s\r\n\r\n"
            % (base64.b64encode(digest), said["extensions"].encode())
        )
        clients.append(client)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}", said, clients
        nursery.cancel_scope.cancel()


UNFIT_ANSWERS = (
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=abc",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; unknown",
    "permessage-deflate, permessage-deflate",
    "x-unknown",
)


@pytest.mark.parametrize("answer", UNFIT_ANSWERS)
async def test_connect_refuses_an_answer_that_does_not_fit_the_offer(
    answering: tuple[str, dict[str, str], list[Raw]], answer: str
) -> None:
    url, said, _ = answering
    said["extensions"] = answer
    with pytest.raises(ConnectError, match="does not answer as a WebSocket server does"):
        await connect(url)


@pytest.mark.parametrize(
    ("answer", "window", "keeps_context"),
    [
        ("permessage-deflate", 15, True),
        ("permessage-deflate; server_no_context_takeover", 15, False),
        ("permessage-deflate;server_max_window_bits = 8;client_max_window_bits=9", 9, True),
        ("permessage-deflate; client_no_context_takeover; client_max_window_bits=10", 10, True),
    ],
)
async def test_a_connected_client_reads_and_writes_as_the_server_has_it(
    answering: tuple[str, dict[str, str], list[Raw]], answer: str, window: int, keeps_context: bool
) -> None:
    url, said, clients = answering
    said["extensions"] = answer
    connection = await connect(url)
    got: list[str] = []
    connection.on_text = got.append
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await until(lambda: bool(clients))
        squeezer = zlib.compressobj(wbits=-9)
        for _ in range(3):
            payload = (squeezer.compress(b"pastel de feira") + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]
            await clients[0].put(frame(payload, rsv=4, mask=False))
            if not keeps_context:
                squeezer = zlib.compressobj(wbits=-9)
        await until(lambda: got == ["pastel de feira"] * 3)
        connection.send_text(FAR.encode())
        sent = await _masked(clients[0])
        assert zlib.decompressobj(-window).decompress(sent + b"\0\0\xff\xff") == FAR.encode()
        await clients[0].put(frame(b"\x03\xe8", CLOSE, mask=False))


async def _masked(client: Raw) -> bytes:
    """The payload of the next frame, which has a length of two bytes."""
    while len(client.buffer) < 8 or len(client.buffer) < 8 + int.from_bytes(client.buffer[2:4], "big"):
        assert await client.take()
    assert client.buffer[:2] == b"\xc1\xfe"
    length, secret = int.from_bytes(client.buffer[2:4], "big"), client.buffer[4:8]
    return bytes(byte ^ secret[at & 3] for at, byte in enumerate(client.buffer[8 : 8 + length]))
