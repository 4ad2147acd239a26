"""Whatever the other side sends: a dialler gets a ConnectError or a connection that ends; nothing raises inside."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import random
import re
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from node.config.links import LinksSection
from node.runtime import dialler
from node.runtime.net.client import ConnectError, connect
from tests.patience import PATIENCE_S
from tests.runtime.rig import deflated, frame, until

if TYPE_CHECKING:
    from tests.runtime.rig import Server

TRIES = int(os.environ.get("COMANDA_HOSTILE", "100")) // 2

HEADERS = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: {accept}",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
)
STRANGE = (
    "Upgrade: h2c",
    "Upgrade: \xe9",
    "Connection: keep-alive",
    "Connection: \xff",
    "Sec-WebSocket-Accept: {accept}",
    "Sec-WebSocket-Accept: \xe9",
    "Sec-WebSocket-Accept:",
    "Sec-WebSocket-Protocol: comanda.v1",
    "Sec-WebSocket-Protocol: other",
    "Sec-WebSocket-Protocol: \xe9",
    "Sec-WebSocket-Extensions:",
    "Sec-WebSocket-Extensions: ,",
    "Sec-WebSocket-Extensions: \xe9",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99999999999999999999",
    "Sec-WebSocket-Extensions: permessage-deflate; =; ;",
    "Sec-WebSocket-Extensions: permessage-bzip2",
    "Content-Length: 5",
    "Content-Length: -5",
    "Transfer-Encoding: chunked",
    "no header",
    "",
    "X: " + "y" * 20_000,
)
STATUS = (
    "101 Switching Protocols",
    "101",
    "100 Continue",
    "200 OK",
    "301 Moved",
    "401 No",
    "999 Odd",
    "1010 Odd",
    "x",
)

SOMEBODY: Any = SimpleNamespace(
    links=SimpleNamespace(by_node={}, epoch="e"),
    instance="i",
    around=SimpleNamespace(version=""),
    node_id="n",
    replica=SimpleNamespace(log=SimpleNamespace(committed=0), settings=SimpleNamespace(realm="")),
)
"""A node that dials, as far as its dialler asks."""


def answer(dice: random.Random, accept: str) -> bytes:
    """A good answer with up to three things wrong, in pieces of a stream that may end anywhere."""
    lines = ["HTTP/1.1 101 Switching Protocols", *HEADERS]
    for _ in range(dice.randrange(4)):
        place = dice.randrange(len(lines))
        change = dice.randrange(5)
        if change == 0:
            lines[0] = f"HTTP/{dice.choice(('1.0', '1.1', '2', '9.9'))} {dice.choice(STATUS)}"
        elif change == 1 and place:
            del lines[place]
        else:
            lines.insert(max(place, 1), dice.choice(STRANGE))
    said = ("\r\n".join(lines).replace("{accept}", accept) + "\r\n\r\n").encode("latin-1")
    if dice.random() < 0.1:
        return said[: dice.randrange(len(said))]
    return said


def some_frame(dice: random.Random, mask: bool) -> bytes:
    """What the other side might send, and might not."""
    payload = dice.choice((b"", b"x", b"{}", dice.randbytes(50), deflated(b"y" * 3_000), b"\x03\xe8", b"z" * 70_000))
    return frame(
        payload,
        dice.choice((0, 1, 1, 1, 2, 3, 8, 9, 10, 11)),
        fin=dice.random() < 0.8,
        rsv=dice.choice((0, 0, 4, 4, 2)),
        mask=mask is not (dice.random() < 0.05),
    )


async def test_no_answer_of_a_server_raises_anything_but_connect_error(caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(6455)

    async def serve(stream: trio.SocketStream) -> None:
        head = await stream.receive_some(65_536)
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.IGNORECASE)
        assert found is not None
        digest = hashlib.sha1(found.group(1) + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        said = answer(dice, base64.b64encode(digest).decode())
        try:
            await stream.send_all(said + b"".join(some_frame(dice, False) for _ in range(dice.randrange(6))))
            await stream.send_eof()
            while await stream.receive_some(65_536):
                pass
        except trio.BrokenResourceError:
            return

    connected = 0
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        url = f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        for number in range(3 * TRIES):
            with trio.fail_after(PATIENCE_S):
                try:
                    connection = await connect(url, subprotocols=["comanda.v1"], connect_timeout=PATIENCE_S)
                except ConnectError:
                    continue
                connected += 1
                code, _ = await connection.run()
                assert 1000 <= code < 5000, number
        nursery.cancel_scope.cancel()
    assert connected > TRIES // 10
    assert _errors(caplog) == []


async def test_no_frames_of_a_client_raise_inside_a_connection(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(7692)
    for _ in range(TRIES):
        client = await server.websocket("/echo", "Sec-WebSocket-Extensions: permessage-deflate")
        wire = b"".join(some_frame(dice, True) for _ in range(dice.randrange(1, 9)))
        cut = dice.randrange(len(wire))
        with suppress(trio.BrokenResourceError):  # it may have been hung up on
            await client.put(wire[:cut], wire[cut:])
            await client.stream.send_eof()
        await client.rest()
        await client.aclose()
    await until(lambda: len(server.handler.endings) == TRIES)
    assert {code for code, _ in server.handler.endings} <= {1000, 1002, 1005, 1006, 1007, 1009}
    assert _errors(caplog) == []


async def test_whatever_fails_in_one_link_it_is_logged_and_dialled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dialled = 0

    async def fails(*_: object, **__: object) -> None:
        nonlocal dialled
        dialled += 1
        if dialled == 3:
            scope.cancel()
        await trio.lowlevel.checkpoint()
        raise IndexError("on purpose")

    monkeypatch.setattr(dialler, "connect", fails)
    link = dialler.Dialler(
        core=SOMEBODY,
        url="ws://127.0.0.1:1",
        role="peer",
        settings=LinksSection(backoff_ms=1, backoff_max_ms=1),
        attempts=itertools.count(1),
    )
    with trio.fail_after(PATIENCE_S), trio.CancelScope() as scope:
        await link.run()
    assert dialled == 3
    assert link.last_error == "internal error"
    assert "on purpose" in caplog.text


@pytest.mark.parametrize(("patience_s", "said"), [(0.0, [1, 1]), (10.0, [0, 1])])
async def test_a_refusal_is_an_error_once_it_lasts(
    patience_s: float,
    said: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: object,
) -> None:
    """One of head office's processes that has just come is known to the others a moment later."""

    async def refused(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise ConnectError("its certificate is unknown", stranger=True)

    monkeypatch.setattr(dialler, "connect", refused)
    link = dialler.Dialler(
        core=SOMEBODY,
        url="ws://127.0.0.1:1",
        role="peer",
        settings=LinksSection(paused_s=2.0),
        attempts=itertools.count(1),
        patience_s=patience_s,
    )
    told = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        for moment_s in (9.0, 90.0):
            await trio.sleep(moment_s)
            told.append(len(_errors(caplog)))
        nursery.cancel_scope.cancel()
    assert told == said


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
