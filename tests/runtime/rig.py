"""A small server and a client that may break every rule, for the tests of the transport and the listener."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, evolve, field, frozen

from node.core.admission import Arrivals
from node.core.statistics import Statistics
from node.runtime.certificates import Certificate
from node.runtime.net import http, listener, websocket
from node.runtime.net.deflate import SKIM_BYTES
from node.runtime.net.http import (
    Request,
    Response,
    error_response,
    json_response,
)
from node.runtime.net.listener import (
    Acceptance,
    Listener,
    ListenerLimits,
    Refusal,
    open_listeners,
)
from node.runtime.net.tls import Trust
from node.runtime.net.websocket import Connection
from node.wire.frames import Outgoing
from tests.authority import authority
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    import pytest

    from node.runtime.net.passing import Way
    from node.runtime.net.proxies import Proxies

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
"""How long a test waits for what must come; never how long it waits for nothing."""


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short graces, so that a client that answers no close does not hold up the tests."""
    monkeypatch.setattr(websocket, "CLOSE_GRACE_S", 0.3)
    monkeypatch.setattr(listener, "CLOSE_GRACE_S", 0.4)
    monkeypatch.setattr(http, "LINGER_S", 0.2)


@define(eq=False)
class Skimmed:
    """A message that is too big: what there was of it, its length and the limit go to `ended`."""

    ended: list[tuple[bytes, int, int]]
    seen: bytearray = field(factory=bytearray)

    def feed(self, piece: bytes) -> None:
        assert len(piece) <= SKIM_BYTES
        self.seen += piece

    def end(self, length: int, limit: int) -> None:
        self.ended.append((bytes(self.seen), length, limit))


@define(eq=False)
class Echo:
    """The handler: /echo answers each message with itself, /fan sends it to all, /mute keeps it, /skim too and skims
    what is too big. /boom raises,
    /throw raises in the callback, /shut closes at once with 4001. `connections` and `texts` as they come."""

    connections: list[Connection] = field(factory=list)
    texts: list[str] = field(factory=list)
    binaries: list[bytes] = field(factory=list)
    pongs: list[bytes] = field(factory=list)
    endings: list[tuple[int, str]] = field(factory=list)
    requests: list[Request] = field(factory=list)
    release: trio.Event = field(factory=trio.Event)
    waiting: int = 0
    """Answers that wait for `release`."""
    on_text: Callable[[Connection, str], None] | None = None
    subprotocol: str | None = None
    skimmed: list[tuple[bytes, int, int]] = field(factory=list)

    async def http(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/broken":
            raise KeyError("on purpose")
        if request.path == "/stream":
            return Response(200, self._pieces(int(request.first("n") or 3)), "text/plain")
        if request.path == "/wait":
            self.waiting += 1
            try:
                await self.release.wait()
            finally:
                self.waiting -= 1
        if request.path not in ("/hello", "/wait"):
            return error_response(404, "nothing here")
        return json_response({"path": request.path, "name": request.first("name"), "body": request.body.decode()})

    async def _pieces(self, count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"%d;" % number * (1 if count < 100 else 10_000)

    def methods(self, path: str) -> tuple[str, ...]:
        return ("GET", "HEAD")

    async def accepts(self, request: Request) -> Acceptance | Refusal:
        if request.path == "/raise":
            raise ValueError("on purpose")
        if request.path not in ("/echo", "/fan", "/mute", "/boom", "/throw", "/shut", "/skim"):
            return Refusal(404, "no WebSocket here")
        if request.headers.get("origin", "http://node") != "http://node":
            return Refusal(403, "foreign page")
        request.known()
        return Acceptance(self.subprotocol)

    async def websocket(self, request: Request, connection: Connection) -> None:
        self.requests.append(request)
        self.connections.append(connection)

        def on_text(text: str) -> None:
            self.texts.append(text)
            if self.on_text is not None:
                self.on_text(connection, text)
            if request.path == "/throw":
                raise KeyError("on purpose")
            if request.path == "/echo":
                connection.send(Outgoing(text.encode()))
            elif request.path == "/fan":
                message = Outgoing(text.encode())
                for other in self.connections:
                    other.send(message)

        connection.on_text = on_text
        connection.on_binary = self.binaries.append
        connection.on_pong = self.pongs.append
        if request.path == "/skim":
            connection.skim(lambda: Skimmed(self.skimmed))
        if request.path == "/boom":
            raise RuntimeError("on purpose")
        if request.path == "/shut":
            connection.close(4001, "Invalid terminal ID")
        self.endings.append(await connection.run())


@frozen
class Server:
    port: int
    handler: Echo
    arrivals: Arrivals
    scope: trio.CancelScope
    tls: bool = False
    clients: list[Raw] = field(factory=list)

    def url(self, path: str = "/echo") -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}{path}"

    @property
    def context(self) -> ssl.SSLContext | None:
        """How a client recognises it; None in clear."""
        return authority().context() if self.tls else None

    @property
    def trust(self) -> Trust | None:
        return None if self.context is None else Trust(self.context)

    async def raw(self) -> Raw:
        stream: trio.abc.HalfCloseableStream | trio.SSLStream[trio.SocketStream]
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        if self.context is not None:
            stream = trio.SSLStream(stream, self.context, server_hostname="127.0.0.1")
            await stream.do_handshake()
        client = Raw(stream)
        self.clients.append(client)
        return client

    async def websocket(self, path: str = "/echo", *extra: str) -> Raw:
        """A raw client behind a good handshake."""
        client = await self.raw()
        assert await client.ask(upgrade(path, *extra)) == 101, client.head
        return client


def arrivals(most: int = 1_000, most_per_address: int = 1_000) -> Arrivals:
    """A listener's count of connections, of a node that has just started."""
    return Arrivals(most=most, most_per_address=most_per_address, statistics=Statistics(started_ms=0))


@asynccontextmanager
async def serving(
    limits: ListenerLimits | None = None,
    came: Arrivals | None = None,
    *,
    tls: bool = False,
    proxies: Proxies | None = None,
    way: Callable[[Request], Way | Response | None] = lambda request: None,
) -> AsyncIterator[Server]:
    handler, came, limits = Echo(), came or arrivals(), limits or ListenerLimits()
    if limits.head_timeout_s == ListenerLimits().head_timeout_s:  # a busy machine may hold up a client for as long
        limits = evolve(limits, head_timeout_s=PATIENCE_S)
    certificate = Certificate(authority().settings()) if tls else None
    served = Listener(
        handler=handler,
        limits=limits,
        arrivals=came,
        certificate=certificate,
        proxies=proxies,
        way=way,
    )
    listeners = await open_listeners("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.serve, *([], listeners) if tls else (listeners, []))
        server = Server(listeners[0].socket.getsockname()[1], handler, came, nursery.cancel_scope, tls)
        try:
            yield server
        finally:
            with trio.CancelScope(shield=True):
                for client in server.clients:
                    await client.aclose()
            nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let the server work until something holds."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what it waits for lies behind real sockets
            await trio.sleep(0.001)


# ---------------------------------------------------------------------- bytes


def key() -> str:
    return base64.b64encode(os.urandom(16)).decode()


def upgrade(path: str = "/echo", *extra: str, without: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    """A good upgrade request; `extra` header lines replace those of the same name."""
    lines = {
        "host": "Host: node",
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "sec-websocket-key": f"Sec-WebSocket-Key: {key()}",
        "sec-websocket-version": "Sec-WebSocket-Version: 13",
    }
    lines.pop(without, None)
    for line in extra:
        lines[line.partition(":")[0].lower()] = line
    head = "\r\n".join([f"{method} {path} HTTP/{version}", *lines.values()]) + "\r\n\r\n"
    return head.encode("latin-1")


def frame(
    payload: bytes | str = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length: int | None = None,
    wide: int = 0,
) -> bytes:
    """A client frame. length: what the head says instead of the truth; wide: 2 or 8 bytes of length, needed or no."""
    body = payload.encode() if isinstance(payload, str) else payload
    size = len(body) if length is None else length
    first, bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0
    if wide == 8 or size > 65_535:
        head = struct.pack("!BBQ", first, bit | 127, size)
    elif wide == 2 or size > 125:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = bytes((first, bit | size))
    if not mask:
        return head + body
    secret = os.urandom(4)
    return head + secret + bytes(byte ^ secret[at & 3] for at, byte in enumerate(body))


def deflated(payload: bytes) -> bytes:
    """As RFC 7692 has a message's bytes."""
    squeezer = zlib.compressobj(wbits=-15)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(payload: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


@frozen
class Frame:
    opcode: int
    payload: bytes
    rsv1: bool = False

    @property
    def code(self) -> int:
        return int.from_bytes(self.payload[:2], "big")


@define(eq=False)
class Raw:
    """A TCP or TLS client. head: the last answer's head."""

    stream: Any
    buffer: bytes = b""
    head: str = ""

    async def put(self, *pieces: bytes) -> None:
        with trio.fail_after(PATIENCE_S):
            for piece in pieces:
                await self.stream.send_all(piece)

    async def take(self) -> bool:
        """More bytes; False at the end."""
        with trio.fail_after(PATIENCE_S):
            try:
                more = await self.stream.receive_some(65_536)
            except trio.BrokenResourceError:
                return False
        self.buffer += more
        return bool(more)

    async def ask(self, request: bytes) -> int | None:
        """Send a request; the status of the answer, or None when there is none."""
        await self.put(request)
        return await self.status()

    async def status(self) -> int | None:
        while b"\r\n\r\n" not in self.buffer:
            if not await self.take():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.head = head.decode("latin-1")
        return int(self.head.split(" ", 2)[1])

    def header(self, name: str) -> str | None:
        for line in self.head.split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return None

    async def body(self) -> bytes:
        """The body of the last answer, by its Content-Length."""
        length = int(self.header("content-length") or 0)
        while len(self.buffer) < length:
            assert await self.take()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while await self.take():
            pass
        return self.buffer

    async def next(self) -> Frame | None:
        """The next server frame; None at the end of the connection."""
        while (found := self._parse()) is None:
            if not await self.take():
                return None
        return found

    def _parse(self) -> Frame | None:
        if len(self.buffer) < 2:
            return None
        first, length, start = self.buffer[0], self.buffer[1], 2
        assert length < 128, "a server masks nothing"
        if length > 125:
            start = 4 if length == 126 else 10
            if len(self.buffer) < start:
                return None
            length = int.from_bytes(self.buffer[2:start], "big")
        if len(self.buffer) < start + length:
            return None
        payload, self.buffer = self.buffer[start : start + length], self.buffer[start + length :]
        assert first & 0x80, "the server sends no fragments"
        return Frame(first & 0x0F, payload, bool(first & 0x40))

    async def echoes(self, text: str = "still here") -> None:
        """That this connection is alive."""
        await self.put(frame(text))
        assert await self.next() == Frame(TEXT, text.encode())

    async def ends(self) -> int:
        """The code of the close frame that comes, possibly behind other frames; 1006 for none."""
        while (found := await self.next()) is not None:
            if found.opcode == CLOSE:
                return found.code
        return 1006

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)
