"""One port for HTTP and WebSocket: reads the request head, answers HTTP, lets only clean upgrades through.

A stock trio-websocket server dies of one malformed handshake header; here the head is checked first, and an error
in one connection's handler never reaches the server's nursery.
"""

from __future__ import annotations

import base64
import binascii
import errno
import logging
from contextlib import suppress
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol

import trio
from attrs import evolve

from crdt.classes import frozen
from node.config.sections import LimitsSection
from node.control import SECRET
from node.core.admission import Arrival
from node.core.latest import is_due
from node.runtime.net.addresses import written
from node.runtime.net.early_address import open_early
from node.runtime.net.http import (
    HEAD_BYTES,
    WRITE_TIMEOUT_S,
    BadRequest,
    HttpConnection,
    Request,
    Response,
    error_response,
)
from node.runtime.net.passing import NotPassed, Way, pass_on
from node.runtime.net.proxies import Proxies
from node.runtime.net.reading import SocketReader
from node.runtime.net.tls import NotTls, TlsError, TlsStream, accept_tls
from node.runtime.net.websocket import CLOSE_GRACE_S, Connection, accept_upgrade
from node.wire.close_codes import GOING_AWAY, INTERNAL_ERROR
from storage import system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ssl import SSLContext

    from node.core.admission import Arrivals, Place

logger = logging.getLogger("comanda.listener")

GONE_S = 1.0
"""How long an answer is still made for a client that sends nothing more."""

TOO_MANY = "too many connections"

TWO_CLIENTS = "Forwarded and X-Forwarded-For name two clients: let the proxy drop the header that it does not write"

SPEAKS_TLS = "this address speaks TLS: connect with https:// or wss://"

AGAIN_S = 60.0
"""How long the same fault of the same address is not logged again, in handshakes of TLS."""

FAULTS_KEPT = 100
"""Faults of handshakes that are remembered for that."""

BIND_ATTEMPTS = 5
"""How often a free port is looked for that is free on both 127.0.0.1 and ::1."""

_DEFAULTS = LimitsSection()

_HANDSHAKE_HEADERS = (
    "host",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
)


@frozen
class Acceptance:
    """Let an upgrade through, with this subprotocol (one of those offered)."""

    subprotocol: str | None = None
    max_message_bytes: int | None = None
    """More than the listener's own bound, for who may send more."""


@frozen
class Refusal:
    """Answer an upgrade with plain HTTP."""

    status: int
    reason: str


class Handler(Protocol):
    """What answers: the node's HTTP endpoints and its WebSocket endpoint."""

    async def http(self, request: Request) -> Response: ...

    def methods(self, path: str) -> tuple[str, ...]:
        """The HTTP methods that are answered at a path, as it was sent."""
        ...

    async def accepts(self, request: Request) -> Acceptance | Refusal: ...

    async def websocket(self, request: Request, connection: Connection) -> None:
        """Run an accepted connection until it ends (by calling its `run`)."""
        ...


@frozen
class ListenerLimits:
    """Bounds on one connection, in bytes and seconds."""

    head_timeout_s: float = 5.0
    idle_timeout_s: float = 15.0
    body_bytes: int = 65_536
    message_bytes: int = _DEFAULTS.message_bytes
    outbox_bytes: int = _DEFAULTS.outbox_bytes
    head_bytes: int = HEAD_BYTES
    write_timeout_s: float = WRITE_TIMEOUT_S


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Bind. "localhost" is both 127.0.0.1 and ::1, on one port, where the machine has both. Raises OSError."""
    if host != "localhost":
        try:
            return list(await trio.open_tcp_listeners(port, host=host))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
        logger.warning(
            "%(address)s is no address of this machine; the node listens there once it is", {"address": host}
        )
        return await open_early(host, port)
    attempts = 1 if port else BIND_ATTEMPTS
    while True:
        attempts -= 1
        listeners = list(await trio.open_tcp_listeners(port, host="127.0.0.1"))
        bound = listeners[0].socket.getsockname()[1]
        try:
            listeners += await trio.open_tcp_listeners(bound, host="::1")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                # Somebody else's ::1 would get the terminals that try it first.
                await trio.aclose_forcefully(listeners[0])
                if not attempts:
                    raise
                continue
            logger.info("not listening on ::1: %(reason)s", {"reason": error})
        return listeners


class Certificate(Protocol):
    """What a listener shows to those who connect with TLS."""

    @property
    def context(self) -> SSLContext: ...


class Listener:
    """Serves a Handler on open listeners until cancelled; then closes every connection with 1001.

    certificate: for those listeners that speak TLS. proxies: whose word is taken for a client's address.
    secret: what a request shows that comes from this process's user (`node/control.py`).
    looks: called when sockets are about to be read, where one task reads all of them.
    way: to the process that a request is passed on to; a Response for one that nobody answers at the moment; None for
        one that is answered here.
    user_of: whose user has another process of head office passed on a request of; None for every other request.
    """

    def __init__(
        self,
        *,
        handler: Handler,
        limits: ListenerLimits,
        arrivals: Arrivals,
        certificate: Certificate | None = None,
        proxies: Proxies | None = None,
        secret: str | None = None,
        looks: Callable[[], object] = lambda: None,
        way: Callable[[Request], Way | Response | None] = lambda request: None,
        user_of: Callable[[Request], str | None] = lambda request: None,
        body_bytes: Callable[[Request], int | None] = lambda request: None,
    ) -> None:
        self._way, self._user_of, self._body_bytes = way, user_of, body_bytes
        self._handler = handler
        self._certificate = certificate
        self._proxies = proxies or Proxies()
        self._secret = secret
        self._looks = looks
        self._limits = limits
        self._arrivals = arrivals
        self._connections: set[Connection] = set()
        self._reader: SocketReader | None = None
        self._busy = 0
        self._done = trio.lowlevel.ParkingLot()
        self._stopping = False
        self._said: dict[tuple[str, str], float] = {}
        """Address and fault of a handshake, and when it was logged."""

    async def serve(self, listeners: list[trio.SocketListener], secured: Sequence[trio.SocketListener] = ()) -> None:
        """Accept until cancelled; then finish what is being answered and close, within CLOSE_GRACE_S.

        secured: listeners that speak TLS.
        """
        async with trio.open_nursery() as nursery:
            connections: trio.Nursery = await nursery.start(_hold_shielded)
            self._reader = SocketReader.here(self._looks)
            if self._reader is not None:
                connections.start_soon(self._reader.run)
            try:
                async with trio.open_nursery() as accepting:
                    for some, tls in ((listeners, False), (list(secured), True)):
                        serve = partial(self._serve, tls)
                        if some:
                            accepting.start_soon(
                                partial(trio.serve_listeners, serve, some, handler_nursery=connections)
                            )
            finally:
                self._stopping = True
                with trio.move_on_after(CLOSE_GRACE_S, shield=True):
                    for connection in list(self._connections):
                        connection.close(GOING_AWAY, "the node is stopping")
                    while self._busy:
                        await self._done.park()
                connections.cancel_scope.cancel()

    # ------------------------------------------------------------------ one TCP connection

    async def _serve(self, tls: bool, stream: trio.SocketStream) -> None:
        try:
            host, peer, user = _peer(stream)
        except OSError:
            return
        scope = trio.CancelScope()
        arrival, place = self._arrivals.came(host, scope.cancel)
        if user is not None:
            self._arrivals.is_known(place)
        opened: trio.SocketStream | TlsStream = stream
        try:
            if arrival is Arrival.DROPPED:
                return
            with scope:
                if tls:
                    opened = await self._secured(stream, host, peer)
                if arrival is Arrival.TOLD:
                    await _end(self._http(opened, peer, user), error_response(503, TOO_MANY))
                else:
                    await self._requests(self._http(opened, peer, user), place)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # the other side is gone
        except* TlsError:
            pass  # told, and logged
        except* Exception as errors:
            logger.error("connection from %(address)s failed", {"address": peer}, exc_info=errors)
        finally:
            self._arrivals.went(place)
            await trio.aclose_forcefully(opened)

    async def _secured(self, stream: trio.SocketStream, address: str, peer: str) -> TlsStream:
        """The same connection under TLS. Raises TlsError where that fails, which is logged."""
        assert self._certificate is not None
        try:
            with trio.move_on_after(self._limits.head_timeout_s):
                return await accept_tls(stream, self._certificate.context)
            raise TlsError(f"no TLS handshake within {self._limits.head_timeout_s:g} s")
        except TlsError as error:
            if is_due(self._said, (address, str(error)), trio.current_time(), AGAIN_S, FAULTS_KEPT):
                logger.warning(
                    "%(address)s could not connect with TLS: %(reason)s", {"address": peer, "reason": error}
                )
            if isinstance(error, NotTls):
                await _end(self._http(stream, peer, None), error_response(400, SPEAKS_TLS))
            raise

    def _http(self, stream: trio.SocketStream | TlsStream, peer: str, user: str | None) -> HttpConnection:
        limits = self._limits
        return HttpConnection(
            stream=stream,
            peer=peer,
            head_timeout_s=limits.head_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
            body_bytes=limits.body_bytes,
            head_bytes=limits.head_bytes,
            write_timeout_s=limits.write_timeout_s,
            user=user,
        )

    async def _requests(self, http: HttpConnection, place: Place) -> None:
        try:
            while not self._stopping and (request := await http.request()) is not None:
                request = self._from(request, place)
                if (way := self._way(request)) is not None:
                    await _pass(http, request, way)
                    return
                self._busy += 1
                try:
                    if _wants_websocket(request):
                        await self._upgrade(http, request)
                        return
                    await self._answer(http, evolve(request, body=await http.body(self._body_bytes(request))))
                finally:
                    self._busy -= 1
                    self._done.unpark_all()
                if not http.next_cycle():
                    return
        except BadRequest as error:
            await _end(http, error_response(error.status, error.reason))

    def _from(self, request: Request, place: Place) -> Request:
        """The same request, with who asks. Raises BadRequest where that is not clear, or his address has too many
        connections."""
        known = partial(self._arrivals.is_known, place)
        if self._secret is not None and compare_digest(
            request.headers.get(SECRET, "").encode(), self._secret.encode()
        ):
            return evolve(request, known=known, user=system.user())
        if (user := self._user_of(request)) is not None:
            return evolve(request, known=known, user=user)
        if not self._proxies.named(place.address) and place.through is None:
            return evolve(request, known=known)
        place.through = place.through or place.address
        address = self._proxies.client(request.headers, place.through)
        if address is None:
            raise BadRequest(400, TWO_CLIENTS)
        if not self._arrivals.comes_from(place, address):
            raise BadRequest(503, TOO_MANY)
        return evolve(request, known=known, peer=written(address, 0))

    async def _answer(self, http: HttpConnection, request: Request) -> None:
        methods = self._handler.methods(request.raw_path)
        if request.method not in methods:
            response = error_response(405, f"{request.method} is not answered here; writing goes over the WebSocket")
            await http.respond(evolve(response, headers=(("Allow", ", ".join(methods)),)))
            return
        async with trio.open_nursery() as nursery:
            if request.method == "GET":  # what was asked for is to be done, whoever waits for the answer
                nursery.start_soon(_give_up_without_client, http.stream, nursery.cancel_scope)
            try:
                response = await self._handler.http(request)
            except Exception:
                logger.exception("%(method)s %(path)s failed", {"method": request.method, "path": request.path})
                response = error_response(500, "internal error")
            await http.respond(response, close=self._stopping)
            nursery.cancel_scope.cancel()

    # ------------------------------------------------------------------ WebSocket

    async def _upgrade(self, http: HttpConnection, request: Request) -> None:
        """Check the handshake, ask the handler, and hand the connection over."""
        refusal = _handshake_problem(request)
        if refusal is None and self._stopping:
            refusal = error_response(503, "the node is stopping")
        if refusal is None:
            verdict = await self._verdict(request)
            if isinstance(verdict, Acceptance):
                await self._run(request, await self._accept(http, request, verdict))
                return
            refusal = error_response(verdict.status, verdict.reason)
        await _end(http, refusal)

    async def _verdict(self, request: Request) -> Acceptance | Refusal:
        try:
            return await self._handler.accepts(request)
        except Exception:
            logger.exception("judging the upgrade of %(path)s failed", {"path": request.path})
            return Refusal(500, "internal error")

    async def _accept(self, http: HttpConnection, request: Request, verdict: Acceptance) -> Connection:
        headers, limits = request.headers, self._limits
        try:
            connection = accept_upgrade(
                http.stream,
                target=request.target,
                key=headers["sec-websocket-key"],
                subprotocols=headers.get("sec-websocket-protocol"),
                extensions=headers.get("sec-websocket-extensions"),
                first=bytes(http.h11.trailing_data[0]),
                max_message_bytes=verdict.max_message_bytes or limits.message_bytes,
                outbox_limit=max(limits.outbox_bytes, verdict.max_message_bytes or 0),
                peer=request.peer,
                reader=self._reader,
            )
        except ValueError as error:
            raise BadRequest(400, f"WebSocket handshake: {error}") from None
        await connection.handshake(verdict.subprotocol)
        return connection

    async def _run(self, request: Request, connection: Connection) -> None:
        self._connections.add(connection)
        try:
            await self._handler.websocket(request, connection)
        except Exception:
            logger.exception("the WebSocket of %(address)s failed", {"address": connection.peer})
            if not connection.finished:
                connection.close(INTERNAL_ERROR, "internal error")
                await connection.run()
        finally:
            self._connections.discard(connection)


def _peer(stream: trio.SocketStream) -> tuple[str, str, str | None]:
    """Whose connection it is: the address that it counts for, how the other side is named in the log, and its user
    where it came through the control socket. Raises OSError."""
    user = system.asking_user(stream.socket)
    if user is not None:
        return "", f"user {user}", user
    host, port, *_ = stream.socket.getpeername()
    return host, written(host, port), None


async def _give_up_without_client(stream: trio.SocketStream | TlsStream, answering: trio.CancelScope) -> None:
    """Cancel what makes an answer once the client has gone.

    A client that has only said that it sends nothing more looks the same, so a short answer still reaches it.
    """
    with suppress(OSError, trio.BrokenResourceError):
        if await _heard(stream):
            return  # the next request
    await trio.sleep(GONE_S)
    answering.cancel()


async def _heard(stream: trio.SocketStream | TlsStream) -> bool:
    """Wait for the client's next byte, without taking it; False where it sends nothing more."""
    if isinstance(stream, TlsStream):
        return await stream.heard()
    return bool(await stream.socket.recv(1, trio.socket.MSG_PEEK))


async def _pass(http: HttpConnection, request: Request, way: Way | Response) -> None:
    """Let another process answer, with all that follows on this connection."""
    if isinstance(way, Way):
        try:
            await pass_on(http, request, way)
            return
        except NotPassed as error:
            logger.warning("a request is not passed on: %(reason)s", {"reason": error})
            way = error_response(503, "the process that has this store does not answer")
    await _end(http, way)


async def _hold_shielded(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    """A nursery whose connections outlive the cancellation of the listener, until it cancels them itself."""
    await trio.lowlevel.checkpoint_if_cancelled()  # once shielded, nobody would end it
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        task_status.started(nursery)
        await trio.sleep_forever()


async def _end(http: HttpConnection, response: Response) -> None:
    """Answer, and close in a way that lets the answer arrive."""
    await http.respond(response, close=True)
    await http.linger()


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


def _wants_websocket(request: Request) -> bool:
    """Other upgrades (h2c) may be ignored, and are (RFC 9110, 7.8)."""
    headers = request.headers
    return "sec-websocket-key" in headers or "websocket" in _words(headers.get("upgrade", ""))


def _handshake_problem(request: Request) -> Response | None:
    """What to answer to an upgrade request that is not as RFC 6455 (4.2.1) has it, or None."""
    headers = request.headers
    for name in _HANDSHAKE_HEADERS:
        if not headers.get(name, "").isascii():
            return error_response(400, f"{name} is not ASCII")
    if request.method != "GET" or request.http_version == "1.0":
        return error_response(400, "a WebSocket handshake is a GET of HTTP/1.1")
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        return error_response(400, "a WebSocket handshake has no body")
    if "upgrade" not in _words(headers.get("connection", "")):
        return error_response(400, "Connection does not say Upgrade")
    if "websocket" not in _words(headers.get("upgrade", "")):
        return error_response(400, "Upgrade does not say websocket")
    if headers.get("sec-websocket-version") != "13":
        answer = error_response(426, "WebSocket version 13 is spoken here")
        return evolve(answer, headers=(("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")))
    if not _is_key(headers.get("sec-websocket-key", "")):
        return error_response(400, "Sec-WebSocket-Key is not 16 bytes in base64")
    return None


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
