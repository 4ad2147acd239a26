"""The side that dials a WebSocket: links, the demo and the benchmarks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import h11
import trio
from wsproto import ConnectionType
from wsproto.events import AcceptConnection, RejectConnection
from wsproto.utilities import ProtocolError

from node.config.sections import LimitsSection
from node.control import door
from node.runtime.net.addresses import written
from node.runtime.net.reading import READ_BYTES
from node.runtime.net.tls import NotTrusted, TlsError, TlsStream, Trust, connect_tls, system_trust
from node.runtime.net.websocket import Connection, Protocol
from node.wire.frames import Batch, Outgoing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from node.control import Door


PORTS = {"ws": 80, "wss": 443}
"""Schemes of a URL that is dialled, and the port where it names none."""

OUTBOX_BYTES = LimitsSection().outbox_bytes
"""What is queued for the other side, unless the caller says otherwise."""


class ConnectError(Exception):
    """The other side could not be reached, or refused the WebSocket.

    status: its HTTP status, where it gave one. stranger: it is not who it should be; it has got nothing of us.
    """

    def __init__(self, message: str, status: int | None = None, *, stranger: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.stranger = stranger


class ClientConnection(Connection):
    """The client side: links, the demo and the benchmarks. Its frames are masked, so none is shared."""

    certificate = b""
    """What the server has shown, in DER."""

    async def open(self) -> None:
        """The opening handshake. Raises ConnectError, or what wsproto and h11 make of a strange answer."""
        request, self._initial_request = self._initial_request, None
        if request is None:
            raise RuntimeError("already opened")
        await self._socket.send_all(self._wsproto.send(request))
        while received := await self._socket.receive_some(READ_BYTES):
            self._wsproto.receive_data(bytes(received))
            for event in self._wsproto.events():
                if isinstance(event, AcceptConnection):
                    await self._handle_accept_connection_event(event)
                    self._outbox.window_bits = self._deflate.client_max_window_bits if self.deflate else 0
                    return
                if isinstance(event, RejectConnection):
                    raise ConnectError(f"{self.peer} refused: HTTP {event.status_code}", event.status_code)
        raise ConnectError(f"{self.peer} hung up during the handshake")

    def _framed(self, what: Outgoing | Batch) -> bytes:
        return what.masked(self._outbox.window_bits, os.urandom)

    def send_text(self, payload: bytes) -> None:
        """One text message. payload: UTF-8 JSON."""
        self.send(Outgoing(payload))


async def _through(way: Door) -> trio.SocketStream:
    if way.address is not None:
        return await trio.open_unix_socket(way.address)
    return await trio.open_tcp_stream("127.0.0.1", way.port)


async def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    connect_timeout: float = 1.5,
    answer_timeout: float = 0.0,
    deflate: bool = True,
    max_message_bytes: int = 64 * 1024 * 1024,
    outbox_limit: int = OUTBOX_BYTES,
    control: Path | None = None,
    trust: Trust | None = None,
) -> ClientConnection:
    """Connect to a ws:// or wss:// URL within `connect_timeout` seconds; then set callbacks and `run()`.

    answer_timeout: the seconds for all of it, the handshake included, where that is longer.
    control: a data directory, whose control socket is connected to instead of the URL's host.
    trust: how the server of a wss:// URL is recognised; without it, by the system's authorities.
    Raises ConnectError, and ValueError for a URL that is neither or not ASCII.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or not url.isascii():
        raise ValueError(f"{url!r} is not a ws:// or wss:// URL")
    host, port = parts.hostname, parts.port or PORTS[parts.scheme]
    peer = written(host, port)
    extra = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
    try:
        with trio.fail_after(max(connect_timeout, answer_timeout)):
            with trio.fail_after(connect_timeout):
                if control is None:
                    stream = await trio.open_tcp_stream(host, port)
                else:
                    with door(control) as way:
                        extra += [(name.encode(), value.encode()) for name, value in way.headers.items()]
                        stream = await _through(way)
            try:
                secured = stream if parts.scheme == "ws" else await connect_tls(stream, host, trust or system_trust())
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
            connection = ClientConnection(
                secured,
                Protocol(ConnectionType.CLIENT, max_message_bytes, deflate),
                max_message_bytes=max_message_bytes,
                outbox_limit=outbox_limit,
                peer=peer,
                host=peer,
                path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                client_subprotocols=list(subprotocols),
                client_extra_headers=extra,
            )
            if isinstance(secured, TlsStream):
                connection.certificate = secured.session.certificate()
            try:
                await connection.open()
            except BaseException:
                await trio.aclose_forcefully(secured)
                raise
    except TlsError as error:
        raise ConnectError(f"{peer}: {error}", stranger=isinstance(error, NotTrusted)) from error
    except trio.TooSlowError:
        raise ConnectError(f"{peer}: no answer in time") from None
    except (OSError, trio.BrokenResourceError) as error:
        raise ConnectError(f"{peer}: {error}") from error
    except (ProtocolError, h11.ProtocolError, UnicodeError, ValueError) as error:
        raise ConnectError(f"{peer} does not answer as a WebSocket server does: {error}") from error
    return connection
