"""The WebSocket endpoint `/ws/{terminal_id}?type=..&user_id=..`: who may connect, and running a connection."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from node.core.links.link import Link
from node.core.sessions.identity import Identity
from node.core.sessions.session import Session
from node.errors import (
    AlreadyConnected,
    AuthenticationFailed,
    InvalidTerminalId,
    InvalidTerminalType,
    StaleAttempt,
    WireError,
)
from node.runtime.api.routes import ACTIONS
from node.runtime.dialler import LINK_MESSAGE_BYTES, NODE_TYPE, run_link
from node.runtime.net.http import Request, Response, error_response
from node.runtime.net.listener import Acceptance, Refusal
from node.runtime.net.websocket import Connection
from node.wire import outgoing
from node.wire.codec import TERMINAL_ID
from node.wire.json_text import is_number
from node.wire.links.handshake import SUBPROTOCOL, Hello

if TYPE_CHECKING:
    from node.config.sections import Config
    from node.core.core import Core
    from node.runtime.api.origins import Origins
    from node.runtime.api.routes import Api
    from node.runtime.api.tokens import Tokens


logger = logging.getLogger("comanda.endpoint")

PREFIX = "/ws/"
PROBE = b"probe"
RTT = b"rtt"
PROBES = 4
"""Connections under one name that are probed, one after the other, before a new one gives way."""


@define(eq=False)
class Terminal:
    """A running connection. answered: set by the pong to a probe."""

    connection: Connection
    session: Session | Link
    answered: trio.Event = field(factory=trio.Event)
    dialled_by: tuple[str, int] = ("", 0)
    """Of a link: the other node's instance, and which of its attempts this is."""


class Endpoint:
    """The listener's handler: HTTP through the Api, terminals into the Core."""

    def __init__(self, core: Core, api: Api, tokens: Tokens, config: Config, origins: Origins) -> None:
        self._core = core
        self._api = api
        self._tokens = tokens
        self._config = config
        self._origins = origins
        self.terminals: dict[str, Terminal] = {}

    # ------------------------------------------------------------------ HTTP

    async def http(self, request: Request) -> Response:
        if request.path in ("/healthz", "/readyz", "/"):
            return await self._api.answer(request, None)
        if stranger := self._origins.stranger(request):
            return error_response(403, f"this node is not {stranger}; name http://{stranger} under [http] origins")
        if request.method == "POST" and (objection := self._origins.objection(request)):
            return error_response(403, objection)
        try:
            terminal_id = self._tokens.reader(_token(request))
        except AuthenticationFailed as error:
            return error_response(401, error.reason)
        return await self._api.answer(request, terminal_id)

    def methods(self, path: str) -> tuple[str, ...]:
        return ("POST",) if path in ACTIONS else ("GET", "HEAD")

    # ------------------------------------------------------------------ WebSocket

    def accepts(self, request: Request) -> Acceptance | Refusal:
        """Paths that are no terminal's are 404; a foreign page's Origin is 403. Anything a documented close code
        exists for is accepted first, so that a browser sees the code."""
        if not request.path.startswith(PREFIX):
            return Refusal(404, f"no WebSocket at {request.path[:200]}")
        if objection := self._origins.objection(request):
            return Refusal(403, objection)
        if not _is_node(request):
            return Acceptance(SUBPROTOCOL if _speaks_it(request) else None)
        try:
            self._identify(request)
        except WireError:
            return Acceptance(SUBPROTOCOL)
        return Acceptance(SUBPROTOCOL, LINK_MESSAGE_BYTES)

    async def websocket(self, request: Request, connection: Connection) -> None:
        try:
            identity, full = self._identify(request)
            await self._make_room(identity.terminal_id, _dialled_by(request))
        except WireError as error:
            logger.info("refused %s from %s: %s", error.code, connection.peer, error)
            connection.close(error.code, error.reason)
            await connection.run()
            return
        if _is_node(request):
            await self._link(request, identity, connection)
            return
        session = self._core.connect(identity, connection, full=full, by_position=_speaks_it(request))
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

    async def _link(self, request: Request, identity: Identity, connection: Connection) -> None:
        """Another node dialled: a link, seen from here one of those below, or a peer."""
        core = self._core
        epoch = (request.first("epoch") or "")[:64]
        head = request.first("head") or ""
        position = int(head) if is_number(head) else 0
        hello = Hello(identity.terminal_id, epoch, position, core.clock().wall_ms, "", None)
        role = "peer" if request.first("as") == "peer" else "downstream"
        link = Link(core, role, connection, "", False, hello, identity.session_id, core.clock().wall_ms)
        terminal = Terminal(connection, link, dialled_by=_dialled_by(request))
        self.terminals[identity.terminal_id] = terminal
        connection.on_pong = lambda payload: _pong(terminal, payload)
        if core.linked(link):
            link.greet()
        else:
            link.refuse()
        logger.info("node %s connected from %s", identity.terminal_id, connection.peer)
        try:
            await run_link(core, link, connection, self._config.links)
        finally:
            if self.terminals.get(identity.terminal_id) is terminal:
                del self.terminals[identity.terminal_id]

    def _identify(self, request: Request) -> tuple[Identity, bool]:
        """Who this is. Raises InvalidTerminalId, InvalidTerminalType or AuthenticationFailed."""
        terminal_id = request.path[len(PREFIX) :]
        if TERMINAL_ID.match(terminal_id) is None:
            raise InvalidTerminalId("Invalid terminal ID")
        kind = request.first("type") or request.first("terminal_type") or ""
        if kind not in self._core.permissions and not _is_node(request):
            raise InvalidTerminalType(f"Invalid terminal type; one of {', '.join(self._core.permissions)}")
        self._tokens.check(_token(request), terminal_id, kind)
        if _is_node(request) and terminal_id == self._core.node_id:
            self._core.report_twin(f"a node with this node's own id {terminal_id} connected from {request.peer}")
            raise AlreadyConnected("a node with this id is already there")
        known = terminal_id in self._core.cursors or terminal_id in self._core.sessions
        if not known and len(self._core.cursors) >= self._config.limits.terminals:
            raise InvalidTerminalId("this node knows as many terminals as it may")
        user_id = request.first("user_id")
        identity = Identity(terminal_id, kind, user_id[:256] if user_id else None, str(uuid.uuid4()))
        return identity, request.first("sync") == "full"

    async def _make_room(self, terminal_id: str, dialled_by: tuple[str, int]) -> None:
        """A terminal that is connected already is probed: if it answers, the new connection gets 4004; if it does
        not, it is replaced. Of two attempts of one node the later one stays. Raises AlreadyConnected."""
        instance, attempt = dialled_by
        for _ in range(PROBES):
            old = self.terminals.get(terminal_id)
            if old is None:
                return
            if instance and instance == old.dialled_by[0]:
                if attempt < old.dialled_by[1]:
                    raise StaleAttempt("a later attempt of the same node is connected")
                self._replace(terminal_id, old)
                return
            old.answered = trio.Event()
            old.connection.ping(PROBE)
            with trio.move_on_after(self._config.time.probe_ms / 1000):
                await old.answered.wait()
                if isinstance(old.session, Link):
                    old.session.reply(_twin(terminal_id, self._core.node_id))
                raise AlreadyConnected("Terminal already connected")
            if self.terminals.get(terminal_id) is old:
                self._replace(terminal_id, old)
                return
            # Another attempt took the place meanwhile. It may be dead too, so it is asked as well.
        raise AlreadyConnected("Terminal already connected")

    def _replace(self, terminal_id: str, old: Terminal) -> None:
        old.connection.close(AlreadyConnected.code, "replaced by a new connection")
        if isinstance(old.session, Link):
            self._core.unlink(old.session)
        else:
            self._core.disconnect(old.session)
        del self.terminals[terminal_id]

    # ------------------------------------------------------------------ upkeep

    def heartbeat(self) -> None:
        """Measure every connection's round trip; drop those not heard of for too long."""
        now = trio.current_time()
        for terminal in list(self.terminals.values()):
            if isinstance(terminal.session, Link):
                continue  # it is watched by itself, more closely
            if now - terminal.connection.heard_at > self._config.time.idle_timeout_s:
                terminal.connection.close(1001, "nothing heard from this terminal")
            else:
                terminal.connection.ping(RTT + b"%.6f" % now)


def _dialled_by(request: Request) -> tuple[str, int]:
    """A node's instance and the number of its attempt."""
    attempt = request.first("attempt") or ""
    return (request.first("instance") or "")[:64], int(attempt) if is_number(attempt) else 0


def _is_node(request: Request) -> bool:
    """Whether another node dials: it names the type, and speaks the subprotocol."""
    kind = request.first("type") or request.first("terminal_type")
    return kind == NODE_TYPE and _speaks_it(request)


def _speaks_it(request: Request) -> bool:
    """Whether the subprotocol is offered; a terminal that offers it may confirm by position."""
    offers = request.headers.get("sec-websocket-protocol", "")
    return SUBPROTOCOL in [offer.strip() for offer in offers.split(",")]


def _twin(node_id: str, by: str) -> bytes:
    error = f"another node with the id {node_id} tried to link to {by}"
    return outgoing.sync_error(None, error, None, None, node_id, AlreadyConnected.code)


def _pong(terminal: Terminal, payload: bytes) -> None:
    session = terminal.session
    if payload == PROBE:
        terminal.answered.set()
    elif isinstance(session, Link):
        return
    elif payload.isdigit():
        session.pong(int(payload))
    elif payload.startswith(RTT):
        try:
            session.activity.latency_ms = (trio.current_time() - float(payload[len(RTT) :])) * 1000
        except ValueError:
            return


def _token(request: Request) -> str | None:
    """The bearer token: the Authorization header, or for browsers the `token` query parameter."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.first("token")
