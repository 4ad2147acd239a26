"""WebSocket connections: the only file that imports trio_websocket.

trio-websocket as shipped makes a task switch for each message and a syscall for each send. Here a message goes to a
synchronous callback (`reading.py` reads, `plain_frames.py` takes apart what needs no library), and a send is a direct
non-blocking write of a ready frame, or waits in the outbox for the connection's writer task (`outbox.py`).

How a connection ends, and what `Connection.run` then returns:

    the other side closes            its close frame is answered; its code and reason
    `close(code, reason)`            outbox flushed, close frame, the answer awaited; that code and reason
    broken rules                     close frame 1002, 1007 or 1009, the rest discarded until the other side hangs up
                                     (where `skim` is set, 1009 only beyond SKIM_FACTOR times the largest message)
    the outbox passes its limit      what is queued is dropped, close frame 1013 behind the piece under way
    the socket breaks, or just ends  1006

No ending takes longer than CLOSE_GRACE_S.
"""

from __future__ import annotations

import logging
import typing
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    Request,
    TextMessage,
)
from wsproto.events import Pong as PongEvent
from wsproto.frame_protocol import CloseReason as CloseReasonCode
from wsproto.utilities import ProtocolError

from node.runtime.net.deflate import SKIM_BYTES, Deflate, usable_extension
from node.runtime.net.outbox import Outbox
from node.runtime.net.plain_frames import Cutter, Pong
from node.runtime.net.reading import SocketReader, read_stream
from node.runtime.net.tls import TlsStream
from node.wire.close_codes import ABNORMAL, INTERNAL_ERROR, INVALID_DATA, TOO_BIG, TRY_AGAIN_LATER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.wire.frames import Batch, Outgoing

logger = logging.getLogger("comanda.transport")

CLOSE_GRACE_S = 2.0
"""How long a close may take to be flushed and answered before the socket is dropped."""

FRAGMENTS = 10_000
"""Most frames of one message, unless its largest size is more than this many pieces of FRAGMENT_BYTES."""

FRAGMENT_BYTES = 64
"""A message within the size limit may always be sent in pieces of this many bytes."""

TURN_BYTES = 32 * 1024
"""How much is worked through before other connections get their turn: all of a read of ordinary messages, but only a
part of one full of pings, or of what a few bytes decompress to."""

SKIM_FACTOR = 16
"""A message of up to so many times the largest size is skimmed, where somebody wants to know of it."""

SKIM_WEIGHT = 4
"""How much more a byte that is skimmed counts for, in its connection's turn, than one that is passed on."""

_FRAME_BYTES = 256
"""What a frame counts for besides its bytes."""

_PING = 0x89
"""The first byte of a ping."""

_JOIN_PARTS = 1_024
"""A message that trickles in is joined whenever it is in this many parts, so that tiny parts cost no memory."""


class Skimmer(typing.Protocol):
    """Whoever wants to know what a message was about that is too big."""

    def feed(self, piece: bytes) -> None:
        """The next few kilobytes."""
        ...

    def end(self, length: int, limit: int) -> None:
        """It is over. length: bytes it had. limit: bytes it may have."""
        ...


class Protocol(WSConnection):
    """wsproto's connection with permessage-deflate, which trio-websocket does not expose."""

    def __init__(self, kind: ConnectionType, max_message_bytes: int, deflate: bool = True) -> None:
        super().__init__(kind)
        self.deflate = Deflate(kind is ConnectionType.CLIENT, max_message_bytes)
        self._extensions = [self.deflate] if deflate else []

    def send(self, event: Event) -> bytes:
        if isinstance(event, AcceptConnection | Request):
            event = replace(event, extensions=list(self._extensions))
        return super().send(event)


def _ignore(_: Any) -> None:
    return None


def _nobody() -> None:
    return None


class Connection(WebSocketConnection):
    """One WebSocket. Set the callbacks, then `run()` it; `send`, `ping` and `close` never block or raise.

    first: bytes that came with the request. reader: who reads the socket; None for a task of the connection's own.
    peer: address and port of the other side. heard_at: trio's time of the last bytes from it. bytes_in: bytes read,
    frames and handshake. outbox_bytes: what is queued or half written. An error in a callback is logged and closes
    the connection with 1011.
    """

    def __init__(
        self,
        stream: trio.SocketStream | TlsStream,
        protocol: Protocol,
        *,
        first: bytes = b"",
        max_message_bytes: int,
        outbox_limit: int,
        peer: str = "",
        reader: SocketReader | None = None,
        **client: Any,
    ) -> None:
        super().__init__(stream, protocol, max_message_size=max_message_bytes, **client)
        self._socket = stream
        self._deflate = protocol.deflate
        self._reader = reader
        self._looks: Callable[[], object] = (lambda: None) if reader is None else reader.looks
        self._first = first
        self._cutter = None if protocol.client else Cutter(max_message_bytes)
        self.peer = peer
        self.on_text: Callable[[str], None] = _ignore
        self.on_binary: Callable[[bytes], None] = _ignore
        self.on_pong: Callable[[bytes], None] = _ignore
        self._skim: Callable[[], Skimmer] | None = None
        self._skimmer: Skimmer | None = None
        self.heard_at = trio.current_time()
        self.bytes_in = len(first)
        self._outbox = Outbox(
            stream, outbox_limit, framed=self._framed, full=self._overflow, broke=self._stop_sending
        )
        if isinstance(stream, TlsStream):
            self._reader = None  # which reads sockets, and what comes here is to be decrypted
        self._fragments = 0
        self._most_fragments = max(FRAGMENTS, max_message_bytes // FRAGMENT_BYTES + 2)  # two empty ones
        self.changed: Callable[[], None] = _nobody
        self._held_back = False
        self._work: Iterator[None] | None = None
        """What is left to do of what was read. It yields where the others are to have their turn."""
        self._turn = 0
        """How much was worked through since the others had theirs."""
        self._closing = False
        self._discarding = False
        """A rule was broken: nothing more that comes can be trusted to be frames."""
        self._close_requested = trio.Event()
        self._over = trio.Event()
        """Nothing more is read."""

    @property
    def deflate(self) -> bool:
        """Whether the other side agreed to permessage-deflate."""
        return self._deflate.enabled()

    @property
    def finished(self) -> bool:
        """Whether nothing more is sent: closed, closing or broken."""
        return self._closing

    # ------------------------------------------------------------------ sending

    @property
    def outbox_bytes(self) -> int:
        return self._outbox.queued_bytes

    @property
    def bytes_out(self) -> int:
        """What was framed for the other side so far."""
        return self._outbox.bytes_out

    def send(self, what: Outgoing | Batch) -> None:
        """One message, or a batch as one write."""
        if not self._closing:
            self._outbox.send(what)

    def _framed(self, what: Outgoing | Batch) -> bytes:
        """The frames of a message or a batch. Called on another thread where there is much to compress."""
        return what.frame(self._outbox.window_bits)

    def ping(self, payload: bytes) -> None:  # type: ignore[override]  # not awaited: it never blocks
        """A protocol ping (at most 125 bytes); its pong comes after everything sent before it was read."""
        if self._cutter is None:
            self._event(Ping(payload=payload))
        elif not self._closing and self._wsproto.state is ConnectionState.OPEN:
            self._outbox.write(bytes((_PING, len(payload))) + payload)  # as wsproto would, which keeps nothing of it

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
            self._hold_back(True)

    def resume_reading(self) -> None:
        self._hold_back(False)

    def _hold_back(self, held: bool) -> None:
        if held is not self._held_back:
            self._held_back = held
            self.changed()

    def _event(self, event: Event) -> None:
        if self._closing:
            return
        with suppress(ProtocolError):  # the other side closed meanwhile
            self._outbox.write(self._wsproto.send(event))

    def _overflow(self) -> None:
        """It reads too slowly. What it misses now it gets from its cursor."""
        if self._close_reason is not None:
            return  # it is the close frame that goes beyond the limit
        self._close_reason = CloseReason(TRY_AGAIN_LATER, "too slow: the outbox is full")
        farewell = b""
        with suppress(ProtocolError):
            farewell = self._wsproto.send(CloseConnection(code=TRY_AGAIN_LATER, reason=self._close_reason.reason))
        self._outbox.put_instead(farewell)
        self._stop_sending()

    def _stop_sending(self) -> None:
        """Nothing more is sent but what waits already; what the other side sends is read for CLOSE_GRACE_S."""
        self._closing = True
        self._hold_back(False)
        self._close_requested.set()

    async def _send(self, event: Event) -> None:
        """trio-websocket's own sends (the handshake) take the same way out."""
        self._outbox.write(self._wsproto.send(event))

    async def _flush(self) -> None:
        with trio.move_on_after(CLOSE_GRACE_S):
            await self._outbox.emptied()

    # ------------------------------------------------------------------ receiving

    @property
    def reading(self) -> bool:
        """As `Source` has it."""
        return not self._held_back and self._work is None and not self._over.is_set()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    @property
    def unfinished(self) -> bool:
        return self._work is not None

    def received(self, data: bytes, now: float) -> None:
        """Work through what was read: all of it, or what fits into a turn."""
        self.bytes_in += len(data)
        self.heard_at = now
        if self._discarding:
            return
        found = None if self._cutter is None else self._cutter.only(data)
        if found is None:
            self._begin(self._through(data))
        elif not self._closing:
            self._call(self.on_text if type(found) is str else self.on_pong, found)

    def ended(self) -> None:
        """The socket broke, or the other side sends nothing more."""
        self._over.set()
        self.changed()

    def _begin(self, work: Iterator[None]) -> None:
        self._work = work
        self.go_on()

    def go_on(self) -> None:
        """A turn for what is left to do."""
        self._turn = 0
        try:
            for _ in self._work or ():
                self.changed()
                return
        except Exception:
            logger.exception("connection %(address)s failed", {"address": self.peer})
            self._close_reason = CloseReason(INTERNAL_ERROR, "internal error")
            self._over.set()
        self._work = None
        self.changed()

    def _through(self, data: bytes) -> Iterator[None]:
        """Work through what was read. Yields at the end of a turn, as all that follows."""
        for piece in (data,) if self._cutter is None else self._cutter.cut(data):
            if self._discarding or self._over.is_set():
                return
            if isinstance(piece, str | Pong):
                self._turn += _FRAME_BYTES + len(piece)
                if self._turn > TURN_BYTES:
                    yield
                if not self._closing:
                    self._call(self.on_text if isinstance(piece, str) else self.on_pong, piece)
            elif self._wsproto.state is not ConnectionState.CLOSED:
                self._wsproto.receive_data(piece)
                yield from self._events()

    def _events(self) -> Iterator[None]:
        """What wsproto makes of what it was given."""
        for event in self._wsproto.events():
            if isinstance(event, TextMessage | BytesMessage):
                yield from self._message(event)
            elif isinstance(event, Ping | PongEvent):
                self._turn += _FRAME_BYTES
                if self._turn > TURN_BYTES:
                    yield
                if isinstance(event, Ping):
                    self._event(PongEvent(payload=bytes(event.payload)))
                elif not self._closing:
                    self._call(self.on_pong, bytes(event.payload))
            elif isinstance(event, CloseConnection):
                self._closed(event)
            if self._discarding or self._over.is_set():
                return

    def _message(self, event: BytesMessage | TextMessage) -> Iterator[None]:
        data: Any = event.data
        self._turn += _FRAME_BYTES + len(data)
        if self._turn > TURN_BYTES:
            yield
        if self._closing:
            return
        self._message_size += len(data if isinstance(event, BytesMessage) or data.isascii() else data.encode())
        self._fragments += event.frame_finished
        parts: list[Any] = self._message_parts
        if self._message_size > self._max_message_size or self._fragments > self._most_fragments:
            before = [*parts]
            parts.clear()
            if self._fragments > self._most_fragments or not self._may_skim():
                limit = f"{self._max_message_size} bytes and {self._most_fragments} frames"
                self._fail(TOO_BIG, f"a message has at most {limit}")
            else:
                yield from self._skim_over([*before, data], over=event.message_finished)
            return
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

    # ------------------------------------------------------------------ what is too big

    def skim(self, skimmer: Callable[[], Skimmer]) -> None:
        """Pass over messages that are too big, up to SKIM_FACTOR times the limit. Each is shown to a skimmer, which
        then may say what was wrong; the connection goes on."""
        self._skim = skimmer
        self._deflate.skim(SKIM_FACTOR * self._max_message_size)

    def _may_skim(self) -> bool:
        if self._skim is None or self._message_size > SKIM_FACTOR * self._max_message_size:
            return False
        if self._skimmer is None:
            self._skimmer = self._skim()
        return True

    def _skim_over(self, pieces: list[str | bytes], *, over: bool) -> Iterator[None]:
        """Show these pieces of a message that is too big, and what else has been decompressed of it."""
        for piece in pieces:
            yield from self._show(piece.encode() if isinstance(piece, str) else piece)
        while (more := self._deflate.more()) is not None:
            if isinstance(more, CloseReasonCode):
                self._fail(int(more), _FAULTS.get(int(more), ""))
                return
            self._message_size += len(more)
            yield from self._show(more)
        if over and self._skimmer is not None:
            length, skimmer = self._message_size, self._skimmer
            self._message_size = self._fragments = 0
            self._skimmer = None
            self._call(lambda limit: skimmer.end(length, limit), self._max_message_size)

    def _show(self, data: bytes) -> Iterator[None]:
        for at in range(0, len(data), SKIM_BYTES):
            piece = bytes(data[at : at + SKIM_BYTES])
            if self._skimmer is not None and not self._closing:
                self._call(self._skimmer.feed, piece)
            self._turn += SKIM_WEIGHT * len(piece)
            if self._turn > TURN_BYTES:
                yield

    def _call(self, callback: Callable[[Any], None], argument: str | bytes | int) -> None:
        try:
            callback(argument)
        except Exception:
            logger.exception("a message from %(address)s failed", {"address": self.peer})
            self.close(INTERNAL_ERROR, "internal error")

    def _fail(self, code: int, reason: str) -> None:
        """Close on broken rules. Nothing after the fault can be trusted to be frames, so nothing more is parsed."""
        self.close(code, reason)
        self._discarding = True

    def _closed(self, event: CloseConnection) -> None:
        """The other side's close frame, or wsproto's way to say that it broke a rule."""
        state = self._wsproto.state
        if state is ConnectionState.REMOTE_CLOSING:
            if self._close_reason is None:
                self._close_reason = CloseReason(int(event.code), event.reason)
            self._event(event.response())
            self._stop_sending()
        elif state is not ConnectionState.CLOSED:
            self._fail(int(event.code), _FAULTS.get(int(event.code), event.reason or ""))
            return
        self._over.set()

    # ------------------------------------------------------------------ life

    async def handshake(self, subprotocol: str | None) -> None:
        """Answer the upgrade request this connection was made from."""
        request = next(event for event in self._wsproto.events() if isinstance(event, Request))
        await WebSocketRequest(self, request).accept(subprotocol=subprotocol)
        self._outbox.window_bits = self._deflate.server_max_window_bits if self.deflate else 0

    async def run(self) -> tuple[int, str]:
        """Read and write until the connection is closed; (code, reason). Raises nothing but Cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._outbox.run)
                nursery.start_soon(self._closer_task, nursery.cancel_scope)
                await self._read()
                self._stop_sending()  # the other side may have ended only what it sends
                await self._flush()
                nursery.cancel_scope.cancel()
        except* Exception as errors:
            logger.error("connection %(address)s failed", {"address": self.peer}, exc_info=errors)
            self._close_reason = CloseReason(INTERNAL_ERROR, "internal error")
        finally:
            self._closing = True
            await trio.aclose_forcefully(self._socket)
        reason = self._close_reason
        return (ABNORMAL, "") if reason is None else (int(reason.code), reason.reason or "")

    async def _read(self) -> None:
        """Hand out what comes, until nothing more does; first what came with the handshake."""
        first, self._first = self._first, b""
        if self._cutter is None:
            self._begin(self._events())
        elif first:
            self._begin(self._through(first))
        if self._reader is None:
            await read_stream(self._socket, self, self._looks)
            return
        with self._reader.watching(self._socket.socket.fileno(), self):
            await self._over.wait()

    async def _closer_task(self, scope: trio.CancelScope) -> None:
        """After the last send: give the flush and the other side's answer their time, then drop the socket."""
        await self._close_requested.wait()
        with trio.move_on_after(CLOSE_GRACE_S):
            if self._discarding:  # its answer will not be recognised, so it is the one to hang up
                await self._flush()
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                    await self._socket.send_eof()
            await trio.sleep_forever()
        scope.cancel()


_FAULTS = {
    INVALID_DATA: "invalid UTF-8, or bytes that do not decompress",
    TOO_BIG: "the message is too big once decompressed",
}
"""Reasons for the close codes where wsproto only says "error in extension" or quotes Python."""


def accept_upgrade(
    stream: trio.SocketStream | TlsStream,
    *,
    target: str,
    key: str,
    subprotocols: str | None = None,
    extensions: str | None = None,
    first: bytes,
    max_message_bytes: int,
    outbox_limit: int,
    peer: str,
    reader: SocketReader | None = None,
) -> Connection:
    """A server connection from a checked upgrade request; then `handshake` it.

    subprotocols, extensions: the offered header values. first: bytes that came behind the head. reader: as that of
    a Connection. wsproto gets to see nothing but these headers, as some others (a Host with an empty label) bring it
    down. Raises ValueError where it refuses what is left.
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
    protocol = Protocol(ConnectionType.SERVER, max_message_bytes)
    try:
        protocol.initiate_upgrade_connection(headers, target)
    except (ProtocolError, h11.ProtocolError) as error:
        raise ValueError(str(error)) from None
    return Connection(
        stream,
        protocol,
        first=first,
        max_message_bytes=max_message_bytes,
        outbox_limit=outbox_limit,
        peer=peer,
        reader=reader,
    )
