"""A WebSocket over a trio stream, by the `websockets` library's protocol without I/O."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidURI
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READ_BYTES = 65_536
LARGEST_MESSAGE = 64 * 1024 * 1024
NO_CLOSE_FRAME = 1006


class NotConnected(Exception):
    """No WebSocket came about. status: of the HTTP answer, where there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Socket:
    """One connection after its handshake. heard: called whenever bytes come. code, reason: how it ended."""

    def __init__(self, stream: trio.abc.Stream, protocol: ClientProtocol, heard: Callable[[], None]) -> None:
        self._stream, self._protocol, self._heard = stream, protocol, heard
        self._sending = trio.Lock()
        self._parts: list[bytes] = []
        self._texts: list[str] = []
        self._status: int | None = None
        self._broken = ""
        """Why nothing is read any more."""

    @property
    def code(self) -> int:
        close = self._protocol.close_rcvd
        return NO_CLOSE_FRAME if close is None else int(close.code)

    @property
    def reason(self) -> str:
        close = self._protocol.close_rcvd
        return self._broken or "the connection broke" if close is None else close.reason

    async def handshake(self, headers: Mapping[str, str]) -> None:
        """Raises NotConnected."""
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        await self._flush()
        while self._status is None:  # a close may have come behind the answer
            more = await self._read()
            self._take_events()
            error = self._protocol.handshake_exc
            if error is not None:
                raise NotConnected(str(error), self._status) from error
            if not more:
                raise NotConnected("hung up during the handshake")

    async def receive(self) -> list[str]:
        """The next messages, as many as came at once, pings answered meanwhile; none at the end."""
        while not self._texts and self._protocol.close_rcvd is None and not self._broken and await self._read():
            self._take_events()
        found, self._texts = self._texts, []
        return found

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._status = event.status_code
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    self._take_text(b"".join(self._parts))
                    self._parts.clear()

    def _take_text(self, said: bytes) -> None:
        """What is no UTF-8 ends the connection, as RFC 6455 has it (8.1), and so does not come after it either."""
        if self._broken:
            return
        try:
            self._texts.append(said.decode())
        except UnicodeDecodeError as error:
            self._broken = f"the node sent what is no UTF-8: {error}"
            self._protocol.fail(CloseCode.INVALID_DATA)

    async def _read(self) -> bool:
        """Whether anything came."""
        try:
            received = await self._stream.receive_some(READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            received = b""
        if received:
            self._heard()
            self._protocol.receive_data(bytes(received))
        else:
            self._protocol.receive_eof()
        await self._flush()
        return bool(received)

    async def send(self, texts: list[str]) -> None:
        """What the other side no longer takes is dropped: how the connection ended is read, not written."""
        if self._protocol.state is not OPEN:
            await trio.lowlevel.checkpoint()
            return
        for text in texts:
            self._protocol.send_text(text.encode())
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:
            out = b"".join(self._protocol.data_to_send())
            try:
                await self._stream.send_all(out)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.lowlevel.checkpoint()

    async def goodbye(self) -> None:
        """The first half of the closing handshake."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)
            await self._flush()

    async def drop(self) -> None:
        """Hang up without a word."""
        await trio.aclose_forcefully(self._stream)


async def dialled(
    url: str, headers: Mapping[str, str], heard: Callable[[], None], *, tls: ssl.SSLContext | None
) -> Socket:
    """Connect to a ws:// or wss:// URL. tls: how the node of a wss:// URL is recognised. Raises NotConnected."""
    try:
        uri: WebSocketURI = parse_uri(url)
    except InvalidURI as error:
        raise NotConnected(str(error)) from error
    try:
        stream: trio.abc.Stream = await trio.open_tcp_stream(uri.host, uri.port)
    except OSError as error:
        raise NotConnected(str(error)) from error
    if uri.secure:
        stream = trio.SSLStream(
            stream, tls or ssl.create_default_context(), server_hostname=uri.host, https_compatible=True
        )
    extensions = [ClientPerMessageDeflateFactory(client_max_window_bits=True)]
    protocol = ClientProtocol(uri, extensions=extensions, max_size=LARGEST_MESSAGE)
    socket = Socket(stream, protocol, heard)
    try:
        await socket.handshake(headers)
    except (InvalidHandshake, trio.BrokenResourceError, OSError) as error:
        await socket.drop()
        raise NotConnected(str(error)) from error
    except BaseException:
        await socket.drop()
        raise
    return socket
