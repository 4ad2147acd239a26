"""WebSocket connections: the only file that imports trio_websocket and wsproto.

trio-websocket as shipped makes a task switch for each message and a syscall for each send; here a message goes
to a synchronous callback, and a send is a direct non-blocking write of a ready frame, or waits in the outbox for
the connection's writer task. Only the writer task, or the direct write while the outbox is empty, touches the
socket: a cancelled send would leave half a frame.
"""

from __future__ import annotations

import logging
import os
import re
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio
from trio_websocket import WebSocketConnection, WebSocketRequest
from trio_websocket._impl import CloseReason
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from node.wire.frames import Batch, Outgoing

logger = logging.getLogger("comanda.transport")

READ_BYTES = 16 * 1024
"""One read; with a compression bomb it bounds what a single read can expand to."""

CLOSE_GRACE_S = 2.0
"""How long a close may take to be flushed and answered before the socket is dropped."""

FRAGMENTS = 10_000
"""Most parts of one message."""

_GOOD_DEFLATE_OFFER = re.compile(
    r"permessage-deflate(\s*;\s*(client_max_window_bits(\s*=\s*(8|9|1[0-5]))?|client_no_context_takeover|"
    r"server_no_context_takeover|server_max_window_bits\s*=\s*15))*",
)


def usable_extensions(offer: str) -> str:
    """The parts of a Sec-WebSocket-Extensions offer that can be agreed to; wsproto chokes on some others."""
    parts = [part.strip() for part in offer.split(",")]
    return ", ".join(part for part in parts if _GOOD_DEFLATE_OFFER.fullmatch(part))


class _Deflating(WSConnection):
    """wsproto's connection with permessage-deflate, which trio-websocket does not expose."""

    def __init__(self, kind: ConnectionType) -> None:
        super().__init__(kind)
        self.deflate = PerMessageDeflate(
            server_no_context_takeover=True, client_no_context_takeover=kind is ConnectionType.CLIENT
        )

    def send(self, event: Event) -> bytes:
        if isinstance(event, AcceptConnection | Request):
            event = replace(event, extensions=[self.deflate])
        return super().send(event)


class _Socket(trio.abc.HalfCloseableStream):
    """A trio stream that can be held back from reading, and that first yields what came with the request."""

    def __init__(self, stream: trio.SocketStream, first: bytes = b"") -> None:
        self.stream = stream
        self._first = first
        self._gate = trio.Event()
        self._gate.set()

    def pause(self) -> None:
        if self._gate.is_set():
            self._gate = trio.Event()

    def resume(self) -> None:
        self._gate.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._gate.wait()
        if self._first:
            first, self._first = self._first, b""
            return first
        return bytes(await self.stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.stream)


def _ignore(_: Any) -> None:
    return None


class Connection(WebSocketConnection):
    """One WebSocket. Set the callbacks, then `run()` it; `send`, `ping` and `close` never block or raise."""

    def __init__(
        self,
        stream: trio.SocketStream,
        wsproto: _Deflating,
        *,
        first: bytes = b"",
        max_message_bytes: int = 1_048_576,
        outbox_limit: int = 16_777_216,
        peer: str = "",
        **client: Any,
    ) -> None:
        self._socket = _Socket(stream, first)
        super().__init__(
            self._socket, wsproto, max_message_size=max_message_bytes, receive_buffer_size=READ_BYTES, **client
        )
        self._deflating = wsproto.deflate
        self.peer = peer
        self.on_text: Callable[[str], None] = _ignore
        self.on_binary: Callable[[bytes], None] = _ignore
        self.on_pong: Callable[[bytes], None] = _ignore
        self.heard_at = trio.current_time()
        self.outbox_bytes = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_limit = outbox_limit
        self._writing = False
        self._wake = trio.Event()
        self._flushed = trio.Event()
        self._closing = False
        self._close_requested = trio.Event()
        self._descriptor = stream.socket.fileno()

    @property
    def deflate(self) -> bool:
        """Whether the other side agreed to permessage-deflate."""
        return self._deflating.enabled()

    # ------------------------------------------------------------------ sending

    def send(self, what: Outgoing | Batch) -> None:
        """One message, or a batch as one write."""
        if not self._closing:
            self._write(what.frame(self.deflate))

    def ping(self, payload: bytes) -> None:  # type: ignore[override]  # not awaited: it never blocks
        """A protocol ping; its pong comes after everything sent before it was read."""
        self._event(Ping(payload=payload))

    def close(self, code: int, reason: str) -> None:
        """Flush, say why, and drop the connection, within CLOSE_GRACE_S. The reason is cut to 120 bytes."""
        if self._closing:
            return
        self._event(CloseConnection(code=code, reason=reason.encode()[:120].decode(errors="ignore")))
        if self._close_reason is None:
            self._close_reason = CloseReason(code, reason)
        self._closing = True
        self._socket.resume()
        self._close_requested.set()

    def pause_reading(self) -> None:
        self._socket.pause()

    def resume_reading(self) -> None:
        self._socket.resume()

    def _event(self, event: Event) -> None:
        if self._closing:
            return
        with suppress(LocalProtocolError):  # the other side closed meanwhile
            self._write(self._wsproto.send(event))

    def _write(self, frames: bytes) -> None:
        if not self._writing and not self._outbox:
            try:
                sent = os.write(self._descriptor, frames)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the reader finds out
            if sent == len(frames):
                return
            frames = frames[sent:]
        self._outbox.append(frames)
        self.outbox_bytes += len(frames)
        self._wake.set()
        if self.outbox_bytes > self._outbox_limit and not self._closing:
            self._outbox.clear()  # it reads nothing: what it missed it gets from its cursor
            self.outbox_bytes = 0
            self._closing = True
            self._close_reason = CloseReason(1013, "too slow")
            self._close_requested.set()

    async def _send(self, event: Event) -> None:
        """trio-websocket's own sends (handshake, pong, close) take the same way out."""
        self._write(self._wsproto.send(event))

    async def _writer_task(self) -> None:
        while True:
            if not self._outbox:
                self._flushed.set()
                self._wake = trio.Event()
                await self._wake.wait()
                self._flushed = trio.Event()
            frames = b"".join(self._outbox)
            self._outbox.clear()
            self._writing = True
            try:
                await self._socket.send_all(frames)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.outbox_bytes = 0
                return
            self._writing = False
            self.outbox_bytes -= len(frames)

    # ------------------------------------------------------------------ receiving

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        data = event.data
        self.heard_at = trio.current_time()
        parts = self._message_parts
        if event.message_finished and not parts and len(data) <= self._max_message_size // 4:
            message: Any = data
        else:
            self._message_size += len(data) if isinstance(data, bytes | bytearray) else len(data.encode())
            parts.append(data if isinstance(data, str) else bytes(data))
            if self._message_size > self._max_message_size or len(parts) > FRAGMENTS:
                self._message_parts, self._message_size = [], 0
                self.close(1009, f"a message has at most {self._max_message_size} bytes")
                return
            if not event.message_finished:
                return
            empty: Any = b"" if isinstance(event, BytesMessage) else ""
            message = empty.join(parts)
            self._message_parts, self._message_size = [], 0
        if self._closing:
            return
        if isinstance(event, BytesMessage):
            self.on_binary(bytes(message))
        else:
            self.on_text(message)

    async def _handle_ping_event(self, event: Ping) -> None:
        self.heard_at = trio.current_time()
        self._event(event.response())

    async def _handle_pong_event(self, event: Pong) -> None:
        self.heard_at = trio.current_time()
        self.on_pong(bytes(event.payload))

    async def _close_stream(self) -> None:
        with trio.move_on_after(CLOSE_GRACE_S):
            await self._flushed.wait()
        await super()._close_stream()

    # ------------------------------------------------------------------ life

    async def handshake(self, subprotocol: str | None) -> None:
        """Answer the upgrade request this connection was made from."""
        request = next(event for event in self._wsproto.events() if isinstance(event, Request))
        await WebSocketRequest(self, request).accept(subprotocol=subprotocol)

    async def run(self) -> tuple[int, str]:
        """Read and write until the connection is closed; (code, reason). An error in a callback closes it 1011."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._writer_task)
                nursery.start_soon(self._closer_task, nursery)
                await self._reader_task()
                if self._closing:
                    with trio.move_on_after(CLOSE_GRACE_S):
                        await self._flushed.wait()
                nursery.cancel_scope.cancel()
        except* Exception as errors:
            logger.error("connection %s failed", self.peer, exc_info=errors)
            self._close_reason = CloseReason(1011, "internal error")
        finally:
            self._closing = True
            await trio.aclose_forcefully(self._socket)
        reason = self._close_reason
        return (1006, "") if reason is None else (reason.code, reason.reason or "")

    async def _closer_task(self, nursery: trio.Nursery) -> None:
        """After `close`: give the flush and the peer's answer their time, then drop the socket."""
        await self._close_requested.wait()
        with trio.move_on_after(CLOSE_GRACE_S):
            await self._close_handshake.wait()
        nursery.cancel_scope.cancel()


def accept_upgrade(
    stream: trio.SocketStream,
    headers: Sequence[tuple[bytes, bytes]],
    target: str,
    *,
    first: bytes,
    max_message_bytes: int,
    outbox_limit: int,
    peer: str,
) -> Connection:
    """A server connection from a checked upgrade request. Raises ValueError where wsproto refuses the request."""
    protocol = _Deflating(ConnectionType.SERVER)
    try:
        protocol.initiate_upgrade_connection(list(headers), target)
    except (RemoteProtocolError, LocalProtocolError) as error:
        raise ValueError(str(error)) from None
    if protocol.state is not ConnectionState.CONNECTING:
        raise ValueError("no WebSocket upgrade")
    return Connection(
        stream,
        protocol,
        first=first,
        max_message_bytes=max_message_bytes,
        outbox_limit=outbox_limit,
        peer=peer,
    )


class ClientConnection(Connection):
    """The client side: links, the demo and the benchmarks. Its frames are masked, so nothing is shared."""

    def send_text(self, payload: bytes) -> None:
        self._event(TextMessage(data=payload.decode()))


class ConnectError(Exception):
    """The other side could not be reached, or refused the WebSocket."""


async def connect(
    url: str,
    *,
    nursery: trio.Nursery,
    on_text: Callable[[str], None],
    headers: Sequence[tuple[bytes, bytes]] = (),
    subprotocols: Sequence[str] = (),
    timeout_s: float = 1.5,
    max_message_bytes: int = 64 * 1024 * 1024,
) -> ClientConnection:
    """Connect to a ws:// URL and run the connection in `nursery`. Raises ConnectError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or 80
    try:
        with trio.fail_after(timeout_s):
            stream = await trio.open_tcp_stream(host, port)
    except (OSError, trio.TooSlowError) as error:
        raise ConnectError(f"{host}:{port}: {error or 'timed out'}") from error
    stream.setsockopt(6, 1, 1)  # TCP_NODELAY
    connection = ClientConnection(
        stream,
        _Deflating(ConnectionType.CLIENT),
        max_message_bytes=max_message_bytes,
        peer=f"{host}:{port}",
        host=f"{host}:{port}",
        path=parts.path + (f"?{parts.query}" if parts.query else ""),
        client_subprotocols=list(subprotocols),
        client_extra_headers=list(headers),
    )
    connection.on_text = on_text
    nursery.start_soon(connection.run)
    with trio.move_on_after(timeout_s):
        await connection._open_handshake.wait()
        return connection
    connection.close(1001, "no answer")
    await trio.aclose_forcefully(stream)
    raise ConnectError(f"{host}:{port}: no WebSocket there, or no answer within {timeout_s} s")
