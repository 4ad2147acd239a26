"""One port for HTTP and WebSocket: reads the request head, answers HTTP, lets only clean upgrades through.

A stock trio-websocket server dies of one malformed handshake header; here the head is checked first, and an error
in one connection's handler never reaches the server's nursery.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Protocol

import trio
from attrs import evolve, frozen

from node.runtime.http_server import BadRequest, HttpConnection, Request, Response, error_response
from node.runtime.transport import CLOSE_GRACE_S, Connection, accept_upgrade, usable_extensions

logger = logging.getLogger("comanda.listener")

_HANDSHAKE_HEADERS = frozenset(
    (
        b"host",
        b"connection",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
    )
)


@frozen
class Acceptance:
    """Let an upgrade through, with this subprotocol."""

    subprotocol: str | None = None


@frozen
class Refusal:
    """Answer an upgrade with plain HTTP."""

    status: int
    reason: str


class Handler(Protocol):
    """What answers: the node's HTTP endpoints and its WebSocket endpoint."""

    async def http(self, request: Request) -> Response: ...

    def accepts(self, request: Request) -> Acceptance | Refusal: ...

    async def websocket(self, request: Request, connection: Connection) -> None:
        """Run an accepted connection until it ends (by calling its `run`)."""
        ...


@frozen
class ListenerLimits:
    """Bounds on connections, in counts, bytes and seconds."""

    connections: int = 2_000
    connections_per_address: int = 500
    head_timeout_s: float = 5.0
    idle_timeout_s: float = 15.0
    body_bytes: int = 65_536
    message_bytes: int = 1_048_576
    outbox_bytes: int = 16_777_216


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Bind. "localhost" is both 127.0.0.1 and ::1, on one port, where the machine has both. Raises OSError."""
    if host != "localhost":
        return list(await trio.open_tcp_listeners(port, host=host))
    listeners = list(await trio.open_tcp_listeners(port, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    try:
        listeners += await trio.open_tcp_listeners(port, host="::1")
    except OSError as error:
        logger.info("not listening on ::1: %s", error)
    return listeners


class Listener:
    """Serves a Handler on open listeners until cancelled; then closes every connection with 1001."""

    def __init__(self, handler: Handler, limits: ListenerLimits) -> None:
        self._handler = handler
        self._limits = limits
        self._connections: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._idle = trio.Event()
        self._idle.set()
        self._open = 0
        self.refused = 0

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        async with trio.open_nursery() as nursery:
            connections: trio.Nursery = await nursery.start(_hold_shielded)
            try:
                await trio.serve_listeners(self._serve, listeners, handler_nursery=connections)
            finally:
                with trio.move_on_after(CLOSE_GRACE_S, shield=True):
                    for connection in list(self._connections):
                        connection.close(1001, "the node is stopping")
                    await self._idle.wait()
                connections.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            address = stream.socket.getpeername()
        except OSError:
            await trio.aclose_forcefully(stream)
            return
        host, peer = str(address[0]), f"{address[0]}:{address[1]}"
        limits = self._limits
        self._open += 1
        self._addresses[host] += 1
        try:
            if self._open > limits.connections or self._addresses[host] > limits.connections_per_address:
                self.refused += 1
                await self._refuse_connection(stream, peer)
            else:
                await self._requests(stream, peer)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # the other side is gone
        except* Exception as errors:
            logger.error("connection from %s failed", peer, exc_info=errors)
        finally:
            self._open -= 1
            self._addresses[host] -= 1
            if not self._addresses[host]:
                del self._addresses[host]
            await trio.aclose_forcefully(stream)

    def _http(self, stream: trio.SocketStream, peer: str) -> HttpConnection:
        limits = self._limits
        return HttpConnection(
            stream,
            peer,
            head_timeout_s=limits.head_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
            body_bytes=limits.body_bytes,
        )

    async def _refuse_connection(self, stream: trio.SocketStream, peer: str) -> None:
        http = self._http(stream, peer)
        if await http.request() is not None:
            await http.respond(error_response(503, "too many connections"), close=True)

    async def _requests(self, stream: trio.SocketStream, peer: str) -> None:
        stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        http = self._http(stream, peer)
        try:
            while (request := await http.request()) is not None:
                if "upgrade" in request.headers:
                    await self._upgrade(http, request)
                    return
                request = evolve(request, body=await http.body())
                await self._answer(http, request)
                if not http.next_cycle():
                    return
        except BadRequest as error:
            await http.respond(error_response(error.status, error.reason), close=True)

    async def _answer(self, http: HttpConnection, request: Request) -> None:
        if request.method not in ("GET", "HEAD"):
            response = error_response(405, f"{request.method} is not answered here; writing goes over the WebSocket")
            await http.respond(evolve(response, headers=(("Allow", "GET, HEAD"),)))
            return
        try:
            response = await self._handler.http(request)
        except Exception:
            logger.exception("GET %s failed", request.path)
            response = error_response(500, "internal error")
        await http.respond(response, head_only=request.method == "HEAD")

    async def _upgrade(self, http: HttpConnection, request: Request) -> None:
        """Check the handshake, ask the handler, and hand the connection over."""
        problem = _handshake_problem(request)
        if problem is not None:
            status, reason = problem
            extra = (("Sec-WebSocket-Version", "13"),) if status == 426 else ()
            await http.respond(evolve(error_response(status, reason), headers=extra), close=True)
            return
        verdict = self._handler.accepts(request)
        if isinstance(verdict, Refusal):
            await http.respond(error_response(verdict.status, verdict.reason), close=True)
            return
        limits = self._limits
        try:
            connection = accept_upgrade(
                http.stream,
                _clean(request.raw_headers),
                request.target,
                first=bytes(http.h11.trailing_data[0]),
                max_message_bytes=limits.message_bytes,
                outbox_limit=limits.outbox_bytes,
                peer=request.peer,
            )
        except ValueError as error:
            raise BadRequest(400, f"WebSocket handshake: {error}") from None
        await connection.handshake(verdict.subprotocol)
        self._connections.add(connection)
        self._idle = trio.Event()
        try:
            await self._handler.websocket(request, connection)
        finally:
            self._connections.discard(connection)
            if not self._connections:
                self._idle.set()


async def _hold_shielded(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """A nursery whose connections outlive the cancellation of the listener, until it cancels them itself."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        task_status.started(nursery)
        await trio.sleep_forever()


def _handshake_problem(request: Request) -> tuple[int, str] | None:
    """Why an upgrade request cannot be one (status, reason), or None."""
    headers = request.headers
    for name, value in request.raw_headers:
        if name.lower() in _HANDSHAKE_HEADERS and not value.isascii():
            return 400, f"{name.decode('latin-1')} is not ASCII"
    if headers["upgrade"].lower() != "websocket":
        return 400, f"upgrade to {headers['upgrade'][:40]!r} is not offered"
    if request.method != "GET":
        return 400, "a WebSocket handshake is a GET"
    if headers.get("sec-websocket-version") != "13":
        return 426, "WebSocket version 13 is spoken here"
    key = headers.get("sec-websocket-key", "")
    if len(key) != 24 or not key.endswith("=="):
        return 400, "Sec-WebSocket-Key is not 16 bytes in base64"
    if "upgrade" not in {word.strip().lower() for word in headers.get("connection", "").split(",")}:
        return 400, "Connection does not say Upgrade"
    return None


def _clean(headers: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, bytes]]:
    """The request's headers with only those extension offers that can be agreed to, all in one header."""
    clean = [(name, value) for name, value in headers if name.lower() != b"sec-websocket-extensions"]
    offers = [value.decode("ascii") for name, value in headers if name.lower() == b"sec-websocket-extensions"]
    usable = usable_extensions(", ".join(offers))
    if usable:
        # One offer only: the first that fits is the one that is answered.
        clean.append((b"sec-websocket-extensions", usable.split(",")[0].strip().encode()))
    return clean
