"""WebSocket connections: the only file that imports trio_websocket and wsproto.

trio-websocket as shipped makes a task switch for each message and a syscall for each send. Here a message goes to a
synchronous callback, and a send is a direct non-blocking write of a ready frame, or waits in the outbox for the
connection's writer task. Only these two touch the socket, and never at once. A send that is cancelled leaves half a
frame, so after a cancel the stream is dropped and nothing more is written to it.

How a connection ends, and what `Connection.run` then returns:

    the other side closes            its close frame is answered; its code and reason
    `close(code, reason)`            outbox flushed, close frame, the answer awaited; that code and reason
    broken rules                     close frame 1002, 1007 or 1009, the rest discarded until the other side hangs up
    the outbox passes its limit      what is queued is dropped, close frame 1013 behind the piece under way
    the socket breaks, or just ends  1006

No ending takes longer than CLOSE_GRACE_S.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import h11
import trio
from trio_websocket import CloseReason, WebSocketConnection, WebSocketRequest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason as CloseCode
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.utilities import ProtocolError, RemoteProtocolError

from node.wire.frames import DEFLATE_FROM, Batch, Outgoing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger("comanda.transport")

READ_BYTES = 16 * 1024
"""One read."""

WRITE_BYTES = 64 * 1024
"""How much of the outbox the writer task joins into one write; a larger batch goes out whole."""

CLOSE_GRACE_S = 2.0
"""How long a close may take to be flushed and answered before the socket is dropped."""

FRAGMENTS = 10_000
"""Most frames of one message, unless its largest size is more than this many pieces of FRAGMENT_BYTES."""

FRAGMENT_BYTES = 64
"""A message within the size limit may always be sent in pieces of this many bytes."""

TURN_BYTES = 32 * 1024
"""How much is worked through before other connections get their turn: all of a read of ordinary messages, but only a
part of one full of pings, or of what a few bytes decompress to."""

_FRAME_BYTES = 256
"""What a frame counts for besides its bytes."""

_JOIN_PARTS = 1_024
"""A message that trickles in is joined whenever it is in this many parts, so that tiny parts cost no memory."""

_DEFLATE_OFFER = re.compile(
    r"permessage-deflate(\s*;\s*(client_max_window_bits(\s*=\s*(9|1[0-5]))?|client_no_context_takeover|"
    r"server_no_context_takeover|server_max_window_bits\s*=\s*(9|1[0-5])))*"
)

_DEFLATE_ANSWER = re.compile(
    r"permessage-deflate(\s*;\s*(client_no_context_takeover|server_no_context_takeover|"
    r"client_max_window_bits\s*=\s*(9|1[0-5])|server_max_window_bits\s*=\s*([89]|1[0-5])))*"
)

_FINAL_BLOCK = 1_024
"""How many compressed bytes a final block in the middle of a message counts for: each needs a fresh zlib stream."""


def usable_extension(offers: str) -> str | None:
    """The first part of a Sec-WebSocket-Extensions offer that can be agreed to; wsproto chokes on some others."""
    for offer in offers.split(","):
        parameters = _parameters(offer)
        if _DEFLATE_OFFER.fullmatch(offer.strip()) and len(dict(parameters)) == len(parameters):
            return offer.strip()
    return None


def _parameters(extension: str) -> list[tuple[str, str]]:
    """Names and values in one extension of such a header, its own name first."""
    parts = [part.partition("=") for part in extension.split(";")]
    return [(name.strip(), value.strip()) for name, _, value in parts]


class _Deflate(PerMessageDeflate):
    """permessage-deflate (RFC 7692) with what wsproto's lacks, and small messages left alone.

    A message is refused (1009) as soon as it has grown past `max_message_bytes`, so that a compression bomb never
    takes more than that, or has taken twice as many compressed; a ping between two frames of a compressed message
    does not end its decompression; what follows a final block is read on (zlib would keep it all, as unused); and a
    server's answer to our offer is taken as RFC 7692 has it or not at all.
    """

    def __init__(self, client: bool, max_message_bytes: int) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=client)
        self._max = max_message_bytes
        self._control = False
        self._new_message()

    def _new_message(self) -> None:
        self._left = self._max
        self._left_compressed = 2 * self._max + _FINAL_BLOCK

    def finalize(self, offer: str) -> None:
        """The server's answer. Raises RemoteProtocolError for one that does not fit what we offered."""
        answer = dict(_parameters(offer))
        if self._enabled or not _DEFLATE_ANSWER.fullmatch(offer) or len(answer) < len(_parameters(offer)):
            raise RemoteProtocolError(f"it answers our offer of permessage-deflate with {offer[:200]!r}")
        self.client_max_window_bits = int(answer.get("client_max_window_bits", 15))
        # Where the answer lacks it, the server goes on with its context, whatever we asked for.
        self.server_no_context_takeover = "server_no_context_takeover" in answer
        self._enabled = True

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseCode | RsvBits:
        self._control = opcode.iscontrol()
        if self._control:
            return CloseCode.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseCode:
        if self._control or not self._inbound_compressed:
            return data
        self._left_compressed -= len(data)
        try:
            grown = self._inflate(data, proto.client)
        except zlib.error:
            return CloseCode.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(grown)
        return CloseCode.MESSAGE_TOO_BIG if self._left < 0 or self._left_compressed < 0 else grown

    def _inflate(self, data: bytes, client: bool) -> bytes:
        """At most one byte more than is left to the message."""
        grown = b""
        while data and len(grown) <= self._left and self._left_compressed >= 0:
            if self._decompressor is None or self._decompressor.eof:  # a final block ended its stream (7.2.1)
                self._decompressor = zlib.decompressobj(-(15 if client else self.client_max_window_bits))
                self._left_compressed -= _FINAL_BLOCK
            grown += self._decompressor.decompress(data, self._left + 1 - len(grown))
            data = self._decompressor.unused_data
        return grown

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseCode | None:
        if self._control:
            return None
        if fin:
            self._new_message()
        rest: bytes | CloseCode | None = b""
        if fin and self._inbound_compressed and self._decompressor is not None and self._decompressor.eof:
            self._inbound_compressed = None  # it needs no tail
        else:
            rest = super().frame_inbound_complete(proto, fin)
        if self._decompressor is not None and self._decompressor.eof and fin:
            self._decompressor = None
        return rest

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        if fin and len(data) < DEFLATE_FROM:  # nothing here sends in fragments
            return rsv, data
        return super().frame_outbound(proto, opcode, rsv, data, fin)


class _Protocol(WSConnection):
    """wsproto's connection with permessage-deflate, which trio-websocket does not expose."""

    def __init__(self, kind: ConnectionType, max_message_bytes: int, deflate: bool = True) -> None:
        super().__init__(kind)
        self.deflate = _Deflate(kind is ConnectionType.CLIENT, max_message_bytes)
        self._extensions = [self.deflate] if deflate else []

    def send(self, event: Event) -> bytes:
        if isinstance(event, AcceptConnection | Request):
            event = replace(event, extensions=list(self._extensions))
        return super().send(event)


class _Socket(trio.abc.HalfCloseableStream):
    """A trio stream that can be held back from reading, and that first yields what came with the request."""

    def __init__(self, stream: trio.SocketStream, first: bytes) -> None:
        self.stream = stream
        self._first = first
        self.received = len(first)
        self._gate = trio.Event()
        self._gate.set()
        self.discarding = False
        self.turn = 0
        """How much was worked through since the others had theirs."""

    def pause(self) -> None:
        if self._gate.is_set():
            self._gate = trio.Event()

    def resume(self) -> None:
        self._gate.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await self._gate.wait()
        if self._first and not self.discarding:
            first, self._first = self._first, b""
            return first
        while True:
            received = bytes(await self.stream.receive_some(max_bytes))
            self.received += len(received)
            self.turn = 0
            if not received or not self.discarding:
                return received

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
    """One WebSocket. Set the callbacks, then `run()` it; `send`, `ping` and `close` never block or raise.

    peer: address and port of the other side. heard_at: trio's time of the last frame from it. outbox_bytes: what is
    queued or half written. An error in a callback is logged and closes the connection with 1011.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        protocol: _Protocol,
        *,
        first: bytes = b"",
        max_message_bytes: int = 1_048_576,
        outbox_limit: int = 16_777_216,
        peer: str = "",
        **client: Any,
    ) -> None:
        self._socket = _Socket(stream, first)
        super().__init__(
            self._socket, protocol, max_message_size=max_message_bytes, receive_buffer_size=READ_BYTES, **client
        )
        self._deflate = protocol.deflate
        self.peer = peer
        self.on_text: Callable[[str], None] = _ignore
        self.on_binary: Callable[[bytes], None] = _ignore
        self.on_pong: Callable[[bytes], None] = _ignore
        self.heard_at = trio.current_time()
        self.outbox_bytes = 0
        self.bytes_out = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_limit = outbox_limit
        # The piece of which a part may be on the wire already: it is never dropped, only finished or cut off.
        self._under_way: bytes | memoryview | None = None
        # Asked for at every write: a number kept from before would, once closed, be somebody else's socket.
        self._descriptor = stream.socket.fileno
        self._wake = trio.Event()
        self._emptied = trio.lowlevel.ParkingLot()
        self._window_bits = 0
        self._fragments = 0
        self._most_fragments = max(FRAGMENTS, max_message_bytes // FRAGMENT_BYTES + 2)  # two empty ones
        self._closing = False
        self._broken = False
        self._close_requested = trio.Event()

    @property
    def deflate(self) -> bool:
        """Whether the other side agreed to permessage-deflate."""
        return self._deflate.enabled()

    @property
    def bytes_in(self) -> int:
        """Bytes read from the socket, frames and handshake."""
        return self._socket.received

    @property
    def finished(self) -> bool:
        """Whether nothing more is sent: closed, closing or broken."""
        return self._closing

    # ------------------------------------------------------------------ sending

    def send(self, what: Outgoing | Batch) -> None:
        """One message, or a batch as one write."""
        if not self._closing:
            self._write(what.frame(self._window_bits))

    def ping(self, payload: bytes) -> None:  # type: ignore[override]  # not awaited: it never blocks
        """A protocol ping (at most 125 bytes); its pong comes after everything sent before it was read."""
        self._event(Ping(payload=payload))

    def close(self, code: int, reason: str) -> None:
        """Flush, say why, and drop the connection, within CLOSE_GRACE_S. The reason is cut to 120 bytes."""
        if self._closing:
            return
        reason = reason.encode(errors="replace")[:120].decode(errors="ignore")
        self._close_reason = CloseReason(code, reason)
        self._event(CloseConnection(code=code, reason=reason))
        self._stop_sending()

    def pause_reading(self) -> None:
        """Take nothing more from the socket, what is read already excepted; pongs are not seen either."""
        if not self._closing:
            self._socket.pause()

    def resume_reading(self) -> None:
        self._socket.resume()

    def _event(self, event: Event) -> None:
        if self._closing:
            return
        with suppress(ProtocolError):  # the other side closed meanwhile
            self._write(self._wsproto.send(event))

    def _write(self, frames: bytes) -> None:
        self.bytes_out += len(frames)
        if self._under_way is None and not self._outbox:
            try:
                sent = os.write(self._descriptor(), frames)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._break()
                return
            if sent == len(frames):
                return
            self._under_way = memoryview(frames)[sent:]
        else:
            self._outbox.append(frames)
            sent = 0
        self.outbox_bytes += len(frames) - sent
        self._wake.set()
        if self.outbox_bytes > self._outbox_limit and self._close_reason is None:
            self._overflow()

    def _overflow(self) -> None:
        """It reads too slowly. What it misses now it gets from its cursor."""
        self._close_reason = CloseReason(1013, "too slow: the outbox is full")
        self._outbox.clear()
        with suppress(ProtocolError):
            self._outbox.append(self._wsproto.send(CloseConnection(code=1013, reason=self._close_reason.reason)))
        self.outbox_bytes = len(self._under_way or b"") + sum(map(len, self._outbox))
        self._stop_sending()

    def _stop_sending(self) -> None:
        self._closing = True
        self._socket.resume()
        self._close_requested.set()

    def _break(self) -> None:
        """The socket takes nothing more; what it still holds from the other side is read within CLOSE_GRACE_S."""
        self._broken = True
        self._under_way = None
        self._outbox.clear()
        self.outbox_bytes = 0
        self._emptied.unpark_all()
        self._stop_sending()

    async def _send(self, event: Event) -> None:
        """trio-websocket's own sends (the handshake) take the same way out."""
        self._write(self._wsproto.send(event))

    async def _writer_task(self) -> None:
        while not self._broken:
            if self._under_way is None:
                if not self._outbox:
                    self._emptied.unpark_all()
                    self._wake = trio.Event()
                    await self._wake.wait()
                    continue
                self._under_way = self._next_piece()
            piece = self._under_way
            try:
                await self._socket.send_all(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._break()
                return
            if self._under_way is piece:  # else it broke meanwhile
                self._under_way = None
                self.outbox_bytes -= len(piece)

    def _next_piece(self) -> bytes:
        outbox = self._outbox
        pieces = [outbox.popleft()]
        length = len(pieces[0])
        while outbox and length + len(outbox[0]) <= WRITE_BYTES:
            length += len(outbox[0])
            pieces.append(outbox.popleft())
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _flush(self) -> None:
        with trio.move_on_after(CLOSE_GRACE_S):
            while self._under_way is not None or self._outbox:
                await self._emptied.park()

    # ------------------------------------------------------------------ receiving

    async def _share(self) -> None:
        """Let the others go on, where this connection has worked for long enough."""
        self._socket.turn = 0
        await trio.lowlevel.checkpoint()

    async def _handle_message_event(self, event: BytesMessage | TextMessage) -> None:
        data: Any = event.data
        self._socket.turn += _FRAME_BYTES + len(data)
        if self._socket.turn > TURN_BYTES:
            await self._share()
        self.heard_at = trio.current_time()
        if self._closing:
            return
        self._message_size += len(data if isinstance(event, BytesMessage) or data.isascii() else data.encode())
        self._fragments += event.frame_finished
        if self._message_size > self._max_message_size or self._fragments > self._most_fragments:
            self._message_parts.clear()
            limit = f"{self._max_message_size} bytes and {self._most_fragments} frames"
            self._fail(1009, f"a message has at most {limit}")
            return
        parts: list[Any] = self._message_parts
        if parts or not event.message_finished:
            parts.append(data)
            if not event.message_finished and len(parts) < _JOIN_PARTS:
                return
            data = (b"" if isinstance(event, BytesMessage) else "").join(parts)
            parts.clear()
            if not event.message_finished:
                parts.append(data)
                return
        self._message_size = self._fragments = 0
        if isinstance(event, BytesMessage):
            self._call(self.on_binary, bytes(data))
        else:
            self._call(self.on_text, data)

    def _call(self, callback: Callable[[Any], None], argument: str | bytes) -> None:
        try:
            callback(argument)
        except Exception:  # also KeyError, which trio-websocket's reader would take for its own
            logger.exception("a message from %s failed", self.peer)
            self.close(1011, "internal error")

    def _fail(self, code: int, reason: str) -> None:
        """Close on broken rules. Nothing after the fault can be trusted to be frames, so nothing more is parsed."""
        self.close(code, reason)
        self._socket.discarding = True

    async def _handle_ping_event(self, event: Ping) -> None:
        self._socket.turn += _FRAME_BYTES
        if self._socket.turn > TURN_BYTES:
            await self._share()
        self.heard_at = trio.current_time()
        self._event(Pong(payload=bytes(event.payload)))

    async def _handle_pong_event(self, event: Pong) -> None:
        self._socket.turn += _FRAME_BYTES
        if self._socket.turn > TURN_BYTES:
            await self._share()
        self.heard_at = trio.current_time()
        if not self._closing:
            self._call(self.on_pong, bytes(event.payload))

    async def _handle_close_connection_event(self, event: CloseConnection) -> None:
        state = self._wsproto.state
        if state is ConnectionState.REMOTE_CLOSING:
            if self._close_reason is None:
                self._close_reason = CloseReason(int(event.code), event.reason)
            self._event(event.response())
            self._stop_sending()
            await self._flush()
        elif state is not ConnectionState.CLOSED:  # wsproto's way to say that the other side broke a rule
            self._fail(int(event.code), _FAULTS.get(int(event.code), event.reason or ""))
            return
        self._close_handshake.set()
        await self._close_stream()

    # ------------------------------------------------------------------ life

    async def handshake(self, subprotocol: str | None) -> None:
        """Answer the upgrade request this connection was made from."""
        request = next(event for event in self._wsproto.events() if isinstance(event, Request))
        await WebSocketRequest(self, request).accept(subprotocol=subprotocol)
        self._window_bits = self._deflate.server_max_window_bits if self.deflate else 0

    async def run(self) -> tuple[int, str]:
        """Read and write until the connection is closed; (code, reason). Raises nothing but Cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._writer_task)
                nursery.start_soon(self._closer_task, nursery.cancel_scope)
                await self._reader_task()
                if self._closing:
                    await self._flush()
                nursery.cancel_scope.cancel()
        except* Exception as errors:
            logger.error("connection %s failed", self.peer, exc_info=errors)
            self._close_reason = CloseReason(1011, "internal error")
        finally:
            self._closing = True
            await trio.aclose_forcefully(self._socket)
        reason = self._close_reason
        return (1006, "") if reason is None else (int(reason.code), reason.reason or "")

    async def _closer_task(self, scope: trio.CancelScope) -> None:
        """After the last send: give the flush and the other side's answer their time, then drop the socket."""
        await self._close_requested.wait()
        with trio.move_on_after(CLOSE_GRACE_S):
            if self._socket.discarding:  # its answer will not be recognised, so it is the one to hang up
                await self._flush()
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                    await self._socket.send_eof()
            await trio.sleep_forever()
        scope.cancel()


_FAULTS = {
    1007: "invalid UTF-8, or bytes that do not decompress",
    1009: "the message is too big once decompressed",
}
"""Reasons for the close codes where wsproto only says "error in extension" or quotes Python."""


def accept_upgrade(
    stream: trio.SocketStream,
    *,
    target: str,
    key: str,
    subprotocols: str | None = None,
    extensions: str | None = None,
    first: bytes,
    max_message_bytes: int,
    outbox_limit: int,
    peer: str,
) -> Connection:
    """A server connection from a checked upgrade request; then `handshake` it.

    subprotocols, extensions: the offered header values. first: bytes that came behind the head. wsproto gets to see
    nothing but these, as some other headers (a Host with an empty label) bring it down. Raises ValueError where it
    refuses what is left.
    """
    headers = [
        (b"Host", b"localhost"),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", key.encode("ascii")),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    if subprotocols:
        headers.append((b"Sec-WebSocket-Protocol", subprotocols.encode("ascii")))
    usable = usable_extension(extensions or "")
    if usable:
        headers.append((b"Sec-WebSocket-Extensions", usable.encode("ascii")))
    protocol = _Protocol(ConnectionType.SERVER, max_message_bytes)
    try:
        protocol.initiate_upgrade_connection(headers, target)
    except (ProtocolError, h11.ProtocolError) as error:
        raise ValueError(str(error)) from None
    return Connection(
        stream, protocol, first=first, max_message_bytes=max_message_bytes, outbox_limit=outbox_limit, peer=peer
    )


class ConnectError(Exception):
    """The other side could not be reached, or refused the WebSocket. status: its HTTP status, where it gave one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ClientConnection(Connection):
    """The client side: links, the demo and the benchmarks. Its frames are masked, so none is shared."""

    async def open(self) -> None:
        """The opening handshake. Raises ConnectError, or what wsproto and h11 make of a strange answer."""
        request, self._initial_request = self._initial_request, None
        if request is None:
            raise RuntimeError("already opened")
        await self._socket.send_all(self._wsproto.send(request))
        while received := await self._socket.receive_some(READ_BYTES):
            self._wsproto.receive_data(received)
            for event in self._wsproto.events():
                if isinstance(event, AcceptConnection):
                    await self._handle_accept_connection_event(event)
                    return
                if isinstance(event, RejectConnection):
                    raise ConnectError(f"{self.peer} refused: HTTP {event.status_code}", event.status_code)
        raise ConnectError(f"{self.peer} hung up during the handshake")

    def send(self, what: Outgoing | Batch) -> None:
        for message in what.messages if isinstance(what, Batch) else (what,):
            self.send_text(message.payload)

    def send_text(self, payload: bytes) -> None:
        """One text message. payload: UTF-8 JSON."""
        self._event(TextMessage(data=payload.decode()))


async def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    connect_timeout: float = 1.5,
    deflate: bool = True,
    max_message_bytes: int = 64 * 1024 * 1024,
    outbox_limit: int = 16_777_216,
) -> ClientConnection:
    """Connect to a ws:// URL, handshake included, within `connect_timeout` seconds; then set callbacks and `run()`.

    Raises ConnectError, and ValueError for a URL that is not ws:// or not ASCII.
    """
    parts = urlsplit(url)
    if parts.scheme != "ws" or not parts.hostname or not url.isascii():
        raise ValueError(f"{url!r} is not a ws:// URL")
    host, port = parts.hostname, parts.port or 80
    peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    extra = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
    try:
        with trio.fail_after(connect_timeout):
            stream = await trio.open_tcp_stream(host, port)
            connection = ClientConnection(
                stream,
                _Protocol(ConnectionType.CLIENT, max_message_bytes, deflate),
                max_message_bytes=max_message_bytes,
                outbox_limit=outbox_limit,
                peer=peer,
                host=peer,
                path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                client_subprotocols=list(subprotocols),
                client_extra_headers=extra,
            )
            try:
                await connection.open()
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
    except trio.TooSlowError:
        raise ConnectError(f"{peer}: no answer within {connect_timeout:g} s") from None
    except (OSError, trio.BrokenResourceError) as error:
        raise ConnectError(f"{peer}: {error}") from error
    except (ProtocolError, h11.ProtocolError, UnicodeError, ValueError) as error:
        raise ConnectError(f"{peer} does not answer as a WebSocket server does: {error}") from error
    return connection
