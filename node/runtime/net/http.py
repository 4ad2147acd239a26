"""HTTP/1.1 on the node's port, with h11: reading a request under a deadline, writing an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from urllib.parse import parse_qs, unquote

import h11
import orjson
import trio

from crdt.classes import frozen
from node.runtime.net.tls import TlsStream

HEAD_BYTES = 16 * 1024
"""Longest request head."""

READ_BYTES = 4 * 1024
"""One read of a request."""

BODY_BYTES_A_SECOND = 64 * 1024
"""How fast a long body has to come, at least."""

WRITE_TIMEOUT_S = 30.0
"""How long one piece of an answer may take to be taken."""

LINGER_S = 1.0
"""How long a connection that is closed early goes on reading, so that the answer is not lost to a reset."""

QUERY_FIELDS = 64
"""Most parameters in a query."""


GUARDED = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""On every answer: a browser guesses no type, keeps nothing, tells no other site the address, which may hold a token,
and runs only the page's own scripts."""


def _nobody() -> None:
    return None


@frozen
class Request:
    """A request. target as sent; path percent-decoded and without the query; headers by lower-case name.

    A header that comes more than once is its values joined with commas, as RFC 9110 (5.3) reads it.
    tls: whether it came over TLS. certified: whether a certificate was shown there, which an authority of this node
        vouches for.
    known: to be called once it is known who asks, so that his connection keeps its place.
    user: who asks through the control socket, as the system names him; None over the network.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    peer: str
    body: bytes = b""
    http_version: str = "1.1"
    user: str | None = None
    tls: bool = False
    certified: bool = False
    known: Callable[[], None] = _nobody

    @property
    def words(self) -> list[str]:
        """The path's parts, each decoded by itself: an encoded slash belongs to its part, and a part may be empty."""
        return [unquote(part) for part in _split(self.target)[0].split("/")[1:]]

    @property
    def raw_path(self) -> str:
        """The path as it was sent, without the query."""
        return _split(self.target)[0]

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None

    def wants(self, name: str) -> bool:
        """Whether a query parameter says yes, as 1 or true."""
        return self.first(name) in ("1", "true")


@frozen
class Response:
    """An answer: a whole body, or a stream of pieces sent chunked."""

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(value: object, status: int = 200) -> Response:
    return Response(status, orjson.dumps(value))


class JsonArray:
    """The elements of an array that is sent a page at a time."""

    def __init__(self) -> None:
        self._begun = False

    def page(self, elements: Iterable[bytes]) -> bytes:
        """More elements, as they follow those that came before. elements: JSON texts."""
        text = b",".join(elements)
        comma = b"," if self._begun and text else b""
        self._begun = self._begun or bool(text)
        return comma + text


def error_response(status: int, error: str, **extra: object) -> Response:
    """An error with a JSON body that says what is wrong."""
    return Response(status, orjson.dumps({"error": error.encode(errors="replace").decode(), **extra}))


class BadRequest(Exception):
    """A request that is answered with `status` and ends the connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class HttpConnection:
    """One TCP connection as a sequence of requests."""

    def __init__(
        self,
        *,
        stream: trio.SocketStream | TlsStream,
        peer: str,
        head_timeout_s: float,
        idle_timeout_s: float,
        body_bytes: int,
        head_bytes: int = HEAD_BYTES,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        user: str | None = None,
    ) -> None:
        self.stream = stream
        self.peer = peer
        self._user = user
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=head_bytes)
        self._head_timeout_s = head_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._body_bytes = body_bytes
        self._head_bytes = head_bytes
        self._write_timeout_s = write_timeout_s
        self._first = True
        self._head_only = False  # to a HEAD no body is sent, whatever the answer

    # ------------------------------------------------------------------ reading

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event, reading as needed. Raises BadRequest."""
        while True:
            try:
                event = self.h11.next_event()
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint, str(error)) from None
            if isinstance(event, h11.Request):
                self._head_only = event.method == b"HEAD"
            if event is not h11.NEED_DATA:
                return event
            if self.h11.they_are_waiting_for_100_continue:
                proceed = self.h11.send(h11.InformationalResponse(status_code=100, headers=[]))
                await self.stream.send_all(proceed or b"")
            self.h11.receive_data(await self.stream.receive_some(READ_BYTES))

    async def request(self) -> Request | None:
        """The next request without its body; None when the other side is done or idle. Raises BadRequest."""
        try:
            if not self._first and not await self._begun():
                return None
            self._first = False
            with trio.move_on_after(self._head_timeout_s):
                event = await self._event()
                return self._request(event) if isinstance(event, h11.Request) else None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return None
        raise BadRequest(408, f"no complete request head within {self._head_timeout_s:g} s")

    async def _begun(self) -> bool:
        """Wait, at most the idle time, for the first bytes of another request."""
        if self.h11.trailing_data[0]:
            return True
        with trio.move_on_after(self._idle_timeout_s):
            received = await self.stream.receive_some(READ_BYTES)
            if received:
                self.h11.receive_data(received)
            return bool(received)
        return False

    def _request(self, event: h11.Request) -> Request:
        lengths = sum(len(name) + len(value) + 4 for name, value in event.headers)
        if len(event.target) + lengths > self._head_bytes:
            raise BadRequest(431, f"a request head has at most {self._head_bytes} bytes")
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in event.headers}:
            # Whoever passed it on may have believed the other one (RFC 9112, 6.3).
            raise BadRequest(400, "a request says its length in one way")
        if event.http_version not in (b"1.0", b"1.1"):
            raise BadRequest(505, "HTTP/1.1 is spoken here")
        target = event.target.decode("ascii")
        path, query = _split(target)
        try:
            fields = parse_qs(query, keep_blank_values=True, max_num_fields=QUERY_FIELDS)
            path = unquote(path, errors="strict")
        except ValueError as error:
            raise BadRequest(400, f"request target: {error}") from None
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Request(
            event.method.decode("ascii"),
            target,
            path,
            fields,
            headers,
            self.peer,
            http_version=event.http_version.decode("ascii"),
            user=self._user,
            tls=isinstance(self.stream, TlsStream),
            certified=isinstance(self.stream, TlsStream) and self.stream.certified,
        )

    async def body(self, most: int | None = None) -> bytes:
        """The request's body, at most `body_bytes`, or so many; of a long one the time follows. Raises BadRequest."""
        parts: list[bytes] = []
        length, longest = 0, most or self._body_bytes
        try:
            with trio.move_on_after(self._head_timeout_s + (most or 0) / BODY_BYTES_A_SECOND):
                while isinstance(event := await self._event(), h11.Data):
                    parts.append(bytes(event.data))
                    length += len(event.data)
                    if length > longest:
                        raise BadRequest(413, f"a request body has at most {longest} bytes")
                if isinstance(event, h11.EndOfMessage):
                    return b"".join(parts)
                raise BadRequest(400, "the request broke off")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise BadRequest(400, "the request broke off") from None
        raise BadRequest(408, "the request body did not arrive in time")

    # ------------------------------------------------------------------ answering

    async def respond(self, response: Response, *, close: bool = False) -> None:
        """Write an answer, of one to a HEAD the head.

        Raises trio.TooSlowError where a piece of it is not taken in time, and what the body's stream raises.
        """
        headers = [("Content-Type", response.content_type), *GUARDED, *response.headers]
        body = response.body
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        elif self.h11.their_http_version != b"1.0":
            headers.append(("Transfer-Encoding", "chunked"))
        if close:
            headers.append(("Connection", "close"))
        head = self.h11.send(h11.Response(status_code=response.status, headers=headers)) or b""
        if isinstance(body, bytes):
            if body and not self._head_only:
                head += self.h11.send(h11.Data(data=body)) or b""
            await self._write(head + (self.h11.send(h11.EndOfMessage()) or b""))
            return
        async with aclosing(generator(body)) as pieces:
            await self._write(head)
            if not self._head_only:
                async for piece in pieces:
                    if piece:
                        await self._write(self.h11.send(h11.Data(data=piece)) or b"")
        await self._write(self.h11.send(h11.EndOfMessage()) or b"")

    async def _write(self, written: bytes) -> None:
        if written:
            with trio.fail_after(self._write_timeout_s):
                await self.stream.send_all(written)

    def next_cycle(self) -> bool:
        """Whether the connection can take another request."""
        if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
            self._head_only = False
            return True
        return False

    async def linger(self) -> None:
        """Say that no more comes, and read on for a moment: closing on unread bytes would reset the answer away."""
        with trio.move_on_after(LINGER_S):
            await self.stream.send_eof()
            while await self.stream.receive_some(READ_BYTES):
                pass


def generator(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same pieces, as what can be closed before its end."""
    return pieces if isinstance(pieces, AsyncGenerator) else _generated(pieces)


async def _generated(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        yield piece


def _split(target: str) -> tuple[str, str]:
    """Path and query of a request target, in origin form or absolute form (RFC 9112, 3.2). Raises BadRequest."""
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        scheme, separator, rest = path.partition("://")
        if not separator or scheme.lower() not in ("http", "https", "ws", "wss"):
            raise BadRequest(400, f"request target {target[:100]!r} is no path")
        path = "/" + rest.partition("/")[2]
    return path, query
