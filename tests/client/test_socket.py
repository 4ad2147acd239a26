"""A WebSocket of the Python client, on whose other end a test sits."""

from __future__ import annotations

import trio
from trio.testing import memory_stream_pair
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from node.client.socket import Socket
from node.conformance.wire import accept_key, frame, read_head


async def test_a_message_that_is_no_utf_8_ends_the_connection_and_none_after_it_is_taken() -> None:
    near, far = memory_stream_pair()
    socket = Socket(near, ClientProtocol(parse_uri("ws://node/ws/t")), lambda: None)

    async def node() -> None:
        head, _ = await read_head(far)
        (key,) = [line.partition(": ")[2] for line in head.decode().split("\r\n") if "Sec-WebSocket-Key" in line]
        upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}"
        await far.send_all(f"HTTP/1.1 101 -\r\n{upgrade}\r\n\r\n".encode())
        said = ["bebê".encode(), "bebê".encode()[:-1], b"after it"]
        await far.send_all(b"".join(frame(each, masked=False) for each in said))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node)
        await socket.handshake({})
        assert await socket.receive() == ["bebê"]
        assert await socket.receive() == []
    assert "UTF-8" in socket.reason
    await socket.drop()
