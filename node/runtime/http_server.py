"""HTTP/1.1 on the node's port, with h11: reading a request under a deadline, writing an answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

import h11
import orjson
import trio
from attrs import frozen

HEAD_BYTES = 16 * 1024
"""Longest request head."""

WRITE_TIMEOUT_S = 30.0
"""How long one piece of an answer may take to be taken."""


@frozen
class Request:
    """A request. path is percent-decoded and without the query; headers by lower-case name, the first of each."""

    method: str
    target: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    peer: str
    body: bytes = b""

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None


@frozen
class Response:
    """An answer: a whole body, or a stream of pieces sent chunked."""

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(value: object, status: int = 200) -> Response:
    return Response(status, orjson.dumps(value))


def error_response(status: int, error: str, **extra: object) -> Response:
    """An error with a JSON body that says what is wrong."""
    return Response(status, orjson.dumps({"error": error, **extra}))


class BadRequest(Exception):
    """A request that is answered with `status` and ends the connection."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class HttpConnection:
    """One TCP connection as a sequence of requests."""

    def __init__(
        self, stream: trio.SocketStream, peer: str, *, head_timeout_s: float, idle_timeout_s: float, body_bytes: int
    ) -> None:
        self.stream = stream
        self.peer = peer
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._head_timeout_s = head_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._body_bytes = body_bytes
        self._first = True

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self.h11.next_event()
            if event is h11.NEED_DATA:
                if self.h11.they_are_waiting_for_100_continue:
                    await self.stream.send_all(
                        self.h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                    )
                self.h11.receive_data(await self.stream.receive_some(HEAD_BYTES))
                continue
            return event

    async def request(self) -> Request | None:
        """The next request without its body; None when the other side is done. Raises BadRequest."""
        timeout = self._head_timeout_s if self._first else self._idle_timeout_s
        with trio.move_on_after(timeout):
            try:
                event = await self._next()
            except h11.RemoteProtocolError as error:
                raise BadRequest(error.error_status_hint, str(error)) from None
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            self._first = False
            return _request(event, self.peer) if isinstance(event, h11.Request) else None
        if not self._first:
            return None
        raise BadRequest(408, f"no complete request head within {timeout:g} s")

    async def body(self) -> bytes:
        """The request's body, at most `body_bytes`. Raises BadRequest."""
        parts: list[bytes] = []
        with trio.move_on_after(self._head_timeout_s):
            while True:
                try:
                    event = await self._next()
                except h11.RemoteProtocolError as error:
                    raise BadRequest(error.error_status_hint, str(error)) from None
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    raise BadRequest(400, "the request broke off") from None
                if isinstance(event, h11.Data):
                    parts.append(bytes(event.data))
                    if sum(map(len, parts)) > self._body_bytes:
                        raise BadRequest(413, f"a request body has at most {self._body_bytes} bytes")
                elif isinstance(event, h11.EndOfMessage):
                    return b"".join(parts)
                else:
                    raise BadRequest(400, "the request broke off")
        raise BadRequest(408, "the request body did not arrive in time")

    async def respond(self, response: Response, *, close: bool = False, head_only: bool = False) -> None:
        """Write an answer."""
        headers = [("Content-Type", response.content_type), *response.headers]
        whole = isinstance(response.body, bytes)
        if whole:
            headers.append(("Content-Length", str(len(response.body))))  # type: ignore[arg-type]
        elif self.h11.their_http_version != b"1.0":
            headers.append(("Transfer-Encoding", "chunked"))
        if close:
            headers.append(("Connection", "close"))
        await self._write(h11.Response(status_code=response.status, headers=headers, reason=b""))
        if not head_only:
            if isinstance(response.body, bytes):
                if response.body:
                    await self._write(h11.Data(data=response.body))
            else:
                async for piece in response.body:
                    if piece:
                        await self._write(h11.Data(data=piece))
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        with trio.fail_after(WRITE_TIMEOUT_S):
            await self.stream.send_all(self.h11.send(event) or b"")

    def next_cycle(self) -> bool:
        """Whether the connection can take another request."""
        if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
            return True
        return False


def _request(event: h11.Request, peer: str) -> Request:
    try:
        target = event.target.decode("ascii")
        parts = urlsplit(target)
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=64)
        path = unquote(parts.path, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest(400, f"request target: {error}") from None
    headers: dict[str, str] = {}
    for name, value in event.headers:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return Request(
        event.method.decode("latin-1"),
        target,
        path,
        query,
        headers,
        tuple((bytes(name), bytes(value)) for name, value in event.headers),
        peer,
    )
