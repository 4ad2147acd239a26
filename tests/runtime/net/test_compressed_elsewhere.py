"""More than a few kilobytes are compressed on a thread, and nothing overtakes them meanwhile."""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio

from node.runtime.net import client as dialling
from node.wire import frames
from node.wire.frames import HEAVY, Batch, Outgoing
from tests.runtime.net.test_websocket import DEFLATE, MIB
from tests.runtime.rig import PING, TEXT, Frame, Server, inflated, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def between_turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Sizes of what was compressed on the loop's own thread."""
    sizes: list[int] = []
    loop, deflate = threading.get_ident(), frames.deflated_payload

    def deflating(message: Outgoing, window_bits: int) -> bytes:
        if threading.get_ident() == loop:
            sizes.append(len(message.payload))
        return deflate(message, window_bits)

    monkeypatch.setattr(frames, "deflated_payload", deflating)
    yield sizes
    assert max(sizes, default=0) < HEAVY


def _texts(draw: Random, many: int) -> list[bytes]:
    return [bytes(str(n), "ascii") * draw.choice([1, 600, 3_000, 30_000, 100_000]) for n in range(many)]


def _said(found: Frame) -> bytes:
    return inflated(found.payload) if found.rsv1 else found.payload


@pytest.mark.parametrize("extensions", [[DEFLATE], []])
async def test_messages_of_all_sizes_arrive_in_order(server: Server, extensions: list[str]) -> None:
    draw = Random(1)
    client = await server.websocket("/mute", *extensions)
    await until(lambda: bool(server.handler.connections))
    connection, expected = server.handler.connections[0], []
    for number in range(40):
        texts = _texts(draw, draw.choice([1, 1, 5]))
        connection.send(Outgoing(texts[0]) if len(texts) == 1 else Batch([Outgoing(text) for text in texts]))
        expected += [Frame(TEXT, text) for text in texts]
        if draw.random() < 0.5:
            connection.ping(b"%d" % number)
            expected.append(Frame(PING, b"%d" % number))
    for wanted in expected:
        found = await client.next()
        assert found is not None
        assert (found.opcode, _said(found)) == (wanted.opcode, wanted.payload)
    await until(lambda: connection.outbox_bytes == 0)


async def test_many_small_messages_at_once_are_many_bytes(server: Server, between_turns: list[int]) -> None:
    client = await server.websocket("/mute", DEFLATE)
    await until(lambda: bool(server.handler.connections))
    server.handler.connections[0].send(Batch([Outgoing(b"%d" % n * 1_500) for n in range(100)]))
    for _ in range(100):
        assert await client.next() is not None
    assert sum(between_turns) < HEAVY


async def test_what_many_are_sent_is_compressed_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    deflate = frames.deflated_payload
    monkeypatch.setattr(frames, "deflated_payload", lambda m, bits: (made.append(1), deflate(m, bits))[1])
    clients = [await server.websocket("/mute", DEFLATE) for _ in range(5)]
    await until(lambda: len(server.handler.connections) == 5)
    message = Outgoing(b"feijoada " * 20_000)
    for connection in server.handler.connections:
        connection.send(message)
    for client in clients:
        found = await client.next()
        assert found is not None
        assert _said(found) == message.payload
    assert len(made) == 1


async def test_an_outbox_that_is_dropped_while_it_is_compressed_ends_as_ever(server: Server) -> None:
    client = await server.websocket("/mute", DEFLATE)
    await until(lambda: bool(server.handler.connections))
    connection = server.handler.connections[0]
    for _ in range(40):
        connection.send(Outgoing(b"x" * MIB))
    assert connection.finished
    assert await client.ends() == 1013


async def test_a_dialling_node_compresses_elsewhere_too(server: Server) -> None:
    draw = Random(2)
    texts = _texts(draw, 30)
    connection = await dialling.connect(server.url("/mute"), trust=server.trust)
    assert connection.deflate
    for text in texts:
        connection.send(Outgoing(text))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        await until(lambda: len(server.handler.texts) == 30)
        assert server.handler.texts == [text.decode() for text in texts]
        connection.close(1000, "")
