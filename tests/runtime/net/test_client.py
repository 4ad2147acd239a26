"""The side that dials: it speaks with our own server, and says why it could not."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio

from node.runtime.net.client import ConnectError, connect
from node.wire.frames import Batch, Outgoing
from tests.patience import PATIENCE_S
from tests.runtime.net.test_websocket import LONG
from tests.runtime.rig import (
    Server,
    until,
)


@pytest.mark.parametrize("deflate", [True, False])
async def test_connect_speaks_with_our_own_server(server: Server, deflate: bool) -> None:
    connection = await connect(server.url("/echo?x=1"), trust=server.trust, deflate=deflate)
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
        server.url(),
        trust=server.trust,
        subprotocols=["comanda.v1", "other"],
        headers=[("Authorization", "Bearer abc")],
    )
    assert connection.subprotocol == "comanda.v1"
    await until(lambda: bool(server.handler.requests))
    assert server.handler.requests[0].headers["authorization"] == "Bearer abc"
    assert server.handler.connections[0].subprotocol == "comanda.v1"
    await trio.aclose_forcefully(connection._socket)


async def test_the_servers_ping_and_close_reach_a_connected_client(server: Server) -> None:
    connection = await connect(server.url("/mute"), trust=server.trust)
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
        await connect(server.url("/nowhere"), trust=server.trust)
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
        with trio.fail_after(PATIENCE_S), pytest.raises(ConnectError):
            await connect(f"ws://127.0.0.1:{port}/", connect_timeout=0.2)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("answer_timeout", "said"), [(0.0, "no answer in time"), (5.0, "refused: HTTP 400")])
async def test_a_node_that_answers_late_is_waited_for_as_long_as_it_is_given(
    answer_timeout: float, said: str
) -> None:
    """Its machine takes the connection at once. What it answers here is no WebSocket."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        begun = trio.current_time()
        await until(lambda: trio.current_time() > begun + 0.3)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(PATIENCE_S), pytest.raises(ConnectError, match=said):
            await connect(f"ws://127.0.0.1:{port}/", connect_timeout=0.1, answer_timeout=answer_timeout)
        nursery.cancel_scope.cancel()
