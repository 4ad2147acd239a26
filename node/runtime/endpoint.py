"""The WebSocket endpoint `/ws/{terminal_id}?type=..&user_id=..`: who may connect, and running a connection."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from node.core.session import Identity, Session
from node.errors import AlreadyConnected, AuthenticationFailed, InvalidTerminalId, InvalidTerminalType, WireError
from node.runtime.http_server import Request, Response, error_response
from node.runtime.listener import Acceptance, Refusal
from node.runtime.transport import Connection
from node.wire.codec import TERMINAL_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.config import Config
    from node.core.core import Core
    from node.runtime.api import Api
    from node.runtime.auth import Tokens

logger = logging.getLogger("comanda.endpoint")

PREFIX = "/ws/"
PROBE = b"probe"
RTT = b"rtt"


@define(eq=False)
class Terminal:
    """A running connection. answered: set by the pong to a probe."""

    connection: Connection
    session: Session
    answered: trio.Event = field(factory=trio.Event)


class Endpoint:
    """The listener's handler: HTTP through the Api, terminals into the Core."""

    def __init__(self, core: Core, api: Api, tokens: Tokens, config: Config, own_origins: frozenset[str]) -> None:
        self._core = core
        self._api = api
        self._tokens = tokens
        self._config = config
        self._origins = own_origins | frozenset(config.http.origins)
        self.terminals: dict[str, Terminal] = {}

    # ------------------------------------------------------------------ HTTP

    async def http(self, request: Request) -> Response:
        if request.path in ("/healthz", "/readyz", "/"):
            return await self._api.answer(request, None)
        try:
            terminal_id = self._tokens.reader(_token(request))
        except AuthenticationFailed as error:
            return error_response(401, error.reason)
        return await self._api.answer(request, terminal_id)

    # ------------------------------------------------------------------ WebSocket

    def accepts(self, request: Request) -> Acceptance | Refusal:
        """Paths that are no terminal's are 404; a foreign page's Origin is 403. Anything a documented close code
        exists for is accepted first, so that a browser sees the code."""
        if not request.path.startswith(PREFIX):
            return Refusal(404, f"no WebSocket at {request.path[:200]}")
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        if origin is not None and origin not in self._origins and origin.partition("://")[2] != host:
            return Refusal(403, f"a page of {origin[:200]} may not connect; name it under [http] origins")
        return Acceptance()

    async def websocket(self, request: Request, connection: Connection) -> None:
        try:
            identity, full = self._identify(request)
            await self._make_room(identity.terminal_id)
        except WireError as error:
            logger.info("refused %s from %s: %s", error.code, connection.peer, error)
            connection.close(error.code, error.reason)
            await connection.run()
            return
        session = self._core.connect(identity, connection, full=full)
        terminal = self.terminals[identity.terminal_id] = Terminal(connection, session)
        statistics, clock = self._core.statistics, self._core.clock

        def on_text(text: str) -> None:
            statistics.messages.add(clock().mono_ms)
            session.receive(text)

        connection.on_text = on_text
        connection.on_binary = session.receive
        connection.on_pong = lambda payload: _pong(terminal, payload)
        logger.info("%s (%s) connected from %s", identity.terminal_id, identity.terminal_type, connection.peer)
        try:
            code, reason = await connection.run()
            logger.info("%s disconnected: %s %s", identity.terminal_id, code, reason)
        finally:
            self._core.disconnect(session)
            if self.terminals.get(identity.terminal_id) is terminal:
                del self.terminals[identity.terminal_id]

    def _identify(self, request: Request) -> tuple[Identity, bool]:
        """Who this is. Raises InvalidTerminalId, InvalidTerminalType or AuthenticationFailed."""
        terminal_id = request.path[len(PREFIX) :]
        if TERMINAL_ID.match(terminal_id) is None:
            raise InvalidTerminalId("Invalid terminal ID")
        kind = request.first("type") or request.first("terminal_type") or ""
        if kind not in self._core.permissions:
            raise InvalidTerminalType(f"Invalid terminal type; one of {', '.join(self._core.permissions)}")
        self._tokens.check(_token(request), terminal_id, kind)
        known = terminal_id in self._core.cursors or terminal_id in self._core.sessions
        if not known and len(self._core.cursors) >= self._config.limits.terminals:
            raise InvalidTerminalId("this node knows as many terminals as it may")
        user_id = request.first("user_id")
        identity = Identity(terminal_id, kind, user_id[:256] if user_id else None, str(uuid.uuid4()))
        return identity, request.first("sync") == "full"

    async def _make_room(self, terminal_id: str) -> None:
        """A terminal that is connected already is probed: if it answers, the new connection gets 4004; if it does
        not, it is replaced. Raises AlreadyConnected."""
        old = self.terminals.get(terminal_id)
        if old is None:
            return
        old.answered = trio.Event()
        old.connection.ping(PROBE)
        with trio.move_on_after(self._config.time.probe_ms / 1000):
            await old.answered.wait()
            raise AlreadyConnected("Terminal already connected")
        if self.terminals.get(terminal_id) is not old:
            if terminal_id in self.terminals:
                raise AlreadyConnected("Terminal already connected")
            return
        old.connection.close(AlreadyConnected.code, "replaced by a new connection")
        self._core.disconnect(old.session)
        del self.terminals[terminal_id]

    # ------------------------------------------------------------------ upkeep

    def heartbeat(self) -> None:
        """Measure every connection's round trip; drop those not heard of for too long."""
        now = trio.current_time()
        for terminal in list(self.terminals.values()):
            if now - terminal.connection.heard_at > self._config.time.idle_timeout_s:
                terminal.connection.close(1001, "nothing heard from this terminal")
            else:
                terminal.connection.ping(RTT + b"%.6f" % now)


def _pong(terminal: Terminal, payload: bytes) -> None:
    if payload.isdigit():
        terminal.session.pong(int(payload))
    elif payload.startswith(RTT):
        try:
            terminal.session.activity.latency_ms = (trio.current_time() - float(payload[len(RTT) :])) * 1000
        except ValueError:
            return
    elif payload == PROBE:
        terminal.answered.set()


def _token(request: Request) -> str | None:
    """The bearer token: the Authorization header, or for browsers the `token` query parameter."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.first("token")


def own_origins(bound: Mapping[str, int]) -> frozenset[str]:
    """Origins of the node's own page, by the addresses it listens on."""
    return frozenset(f"http://{host}:{port}" for host, port in bound.items())
