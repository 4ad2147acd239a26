"""The WebSocket endpoint `/ws/{terminal_id}?type=..&user_id=..`: the shell of admission and sessions."""

from __future__ import annotations

import logging
import uuid
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote

import trio
from attrs import evolve, field

from crdt.classes import define
from node.core.admission import REPLACED, Caller, Enter, Probe, Refuse, Seat
from node.core.links.dialling import challenge_of
from node.core.links.feed import LINK_MESSAGE_BYTES
from node.core.links.link import Link
from node.core.sessions.identity import Identity
from node.core.sessions.session import Session
from node.core.start import admission
from node.errors import AuthenticationFailed
from node.rights import EVERYTHING, PUBLIC, Visitor, find
from node.runtime.api.asked import refused
from node.runtime.api.tokens import NOBODY
from node.runtime.dialler import run_link
from node.runtime.net.addresses import host_of
from node.runtime.net.http import Request, Response, error_response, generator
from node.runtime.net.listener import Acceptance, Refusal
from node.runtime.net.proxies import came_through
from node.runtime.net.websocket import Connection
from node.wire.close_codes import GOING_AWAY
from node.wire.json_text import is_number
from node.wire.links.handshake import NODE_TYPE, SUBPROTOCOL, VERSION_LENGTH, Hello

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from node.config.sections import Config
    from node.core.admission import Admission
    from node.core.core import Core
    from node.runtime.api.origins import Origins
    from node.runtime.api.routes import Api
    from node.runtime.api.tokens import Tokens
    from storage.records import TokenRow

logger = logging.getLogger("comanda.endpoint")

PREFIX = "/ws/"
JOIN = "/api/v1/join"
PAGES_NAMED = 100
"""Pages and foreign names that are logged, one line each."""

PROBED = ("/healthz", "/readyz")
"""What a proxy asks of its own accord."""

PROBE = b"probe"
RTT = b"rtt"


@define(eq=False)
class Holder:
    """A running connection, in the seat under its name."""

    connection: Connection
    session: Session | Link
    token: str | None = None
    """The hash of the token that it came with."""
    here: bool = False
    """It came through the control socket."""
    answered: trio.Event = field(factory=trio.Event)
    """Set by the pong to a probe, and at the connection's end."""
    over: bool = False

    def ended(self) -> None:
        """The connection has ended: nobody need wait for its pong."""
        self.over = True
        self.answered.set()

    def probe(self) -> trio.Event:
        """Ping the other side; the event of its pong, the same for all who wait for it."""
        if self.answered.is_set():
            self.answered = trio.Event()
        answered = self.answered
        self.connection.ping(PROBE)
        return answered

    def ponged(self, payload: bytes) -> None:
        """A pong. What it answers is in its payload."""
        session = self.session
        if payload == PROBE:
            self.answered.set()
        elif isinstance(session, Link):
            return
        elif payload.isdigit():
            session.pong(int(payload))
        elif payload.startswith(RTT):
            with suppress(ValueError):
                session.activity.latency_ms = (trio.current_time() - float(payload[len(RTT) :])) * 1000


class Endpoint:
    """The listener's handler: HTTP through the Api, terminals and nodes into the Core, as its Admission decides."""

    def __init__(
        self,
        *,
        core: Core,
        api: Api,
        tokens: Tokens,
        config: Config,
        origins: Origins,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        """stir: called where somebody comes or goes."""
        self._core = core
        self._api, self._stir = api, stir
        self._tokens = tokens
        self._config = config
        self._origins = origins
        self._admission: Admission[Holder] = admission(core, config)
        self._said: set[str] = set()

    # ------------------------------------------------------------------ HTTP

    async def http(self, request: Request) -> Response:
        if request.user is not None:
            return await self._api.answer(request, Visitor(EVERYTHING, request.user))
        response = await self._http(request)
        return evolve(response, headers=(*response.headers, *self._origins.shared_with(request)))

    def _preflight(self, request: Request) -> Response:
        """What a browser asks before it lets a page read with a token."""
        allow = ", ".join(self.methods(request.raw_path))
        asked = (("Access-Control-Allow-Methods", allow), ("Access-Control-Allow-Headers", "Authorization"))
        return Response(200, headers=(("Allow", allow), *asked, ("Access-Control-Max-Age", "600")))

    def _through_proxy(self, request: Request) -> str | None:
        """Why a node that is open to its machine does not answer what a proxy on that machine passes on."""
        if self._tokens.required or self._config.node.insecure or not came_through(request.headers):
            return None
        refusal = "this node needs no token, and a proxy would open it to whoever reaches the proxy: add a token"
        if self._is_news(refusal):
            logger.warning("a request through a proxy is refused: %(reason)s", {"reason": refusal})
        return refusal

    def _is_news(self, refusal: str) -> bool:
        """Whether it is logged that a page is refused: once each. A browser tells its person nothing of why."""
        if refusal in self._said or len(self._said) >= PAGES_NAMED:
            return False
        self._said.add(refusal)
        return True

    def _objection(self, request: Request) -> str | None:
        """Why a page of somewhere else is refused."""
        objection = self._origins.objection(request)
        if objection is not None and self._is_news(objection):
            logger.warning("a page of another address is refused: %(reason)s", {"reason": objection})
        return objection

    def _uncertified(self, request: Request) -> str | None:
        """Why who has shown no certificate is not answered: he was let in to join, and for nothing else."""
        if self._config.tls.client_ca is None or not request.tls or request.certified:
            return None
        if (request.method, request.raw_path) == ("POST", JOIN):
            return None
        return "this node asks for a certificate of its authorities ([tls] client_ca): `comanda join` gets one"

    async def _http(self, request: Request) -> Response:
        if stranger := self._uncertified(request):
            return error_response(403, stranger)
        if objection := self._objection(request):
            return error_response(403, objection)
        if request.path not in PROBED and (closed := self._through_proxy(request)):
            return error_response(403, closed)
        if request.method == "OPTIONS":
            return self._preflight(request)
        endpoints, parts = find(request.raw_path)
        if not endpoints:
            return error_response(404, f"nothing at {request.path[:200]}")
        public = endpoints[0].need is PUBLIC
        if not public and (stranger := self._origins.stranger(request)):
            said = f"this node is not {stranger}; name http://{stranger} under [http] origins"
            if self._is_news(said):
                logger.warning("a request by another name is refused: %(reason)s", {"reason": said})
            return error_response(403, said)
        try:
            visitor = self._tokens.visitor(token_of(request), host_of(request.peer), self._core.clock().wall_ms)
            request.known()
        except AuthenticationFailed as error:
            if not public:
                self._note_http(request)
                return error_response(401, error.reason)
            visitor = Visitor(NOBODY)
        if refusal := refused(endpoints[0].need, parts, visitor.rights):
            return refusal
        response = await self._api.answer(request, visitor)
        if isinstance(response.body, bytes) or not self._tokens.required or public:
            return response
        return evolve(response, body=self._while_trusted(request, response.body))

    async def _while_trusted(self, request: Request, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """A long answer, which breaks off when the token that asked for it is worth nothing any more."""
        row = self._row(request)
        name = None if row is None else row.token_hash
        async with aclosing(generator(body)) as pieces:
            async for piece in pieces:
                if self._tokens.ended(name, self._core.clock().wall_ms):
                    raise trio.BrokenResourceError("the token was revoked or has expired")
                yield piece

    def _note_http(self, request: Request) -> None:
        token, address, now_ms = token_of(request), host_of(request.peer), self._core.clock().wall_ms
        self._tokens.note_refusal("HTTP", "no token" if token is None else "wrong token", address, now_ms)

    def methods(self, path: str) -> tuple[str, ...]:
        return methods_at(path)

    def body_bytes(self, request: Request) -> int | None:
        """The longest body that is read of a request, before it is answered: a long one is read only of who has
        the right. None for that of all requests."""
        endpoints, parts = find(request.raw_path)
        most = next((one.body_bytes for one in endpoints if request.method == one.method), None)
        if most is None or request.user is not None:
            return most
        if self._uncertified(request) or self._origins.objection(request) or self._origins.stranger(request):
            return None
        try:
            visitor = self._tokens.visitor(token_of(request), host_of(request.peer), self._core.clock().wall_ms)
        except AuthenticationFailed:
            return None
        return None if refused(endpoints[0].need, parts, visitor.rights) else most

    # ------------------------------------------------------------------ WebSocket

    async def accepts(self, request: Request) -> Acceptance | Refusal:
        """Paths that are no terminal's are 404; a foreign page's Origin is 403. Anything a documented close code
        exists for is accepted first, so that a browser sees the code."""
        if not request.raw_path.startswith(PREFIX):
            return Refusal(404, f"no WebSocket at {request.path[:200]}")
        if stranger := self._uncertified(request):
            return Refusal(403, stranger)
        if request.user is None and (objection := self._objection(request)):
            return Refusal(403, objection)
        if request.user is None and (refusal := self._through_proxy(request)):
            return Refusal(403, refusal)
        caller = self._caller(request)
        if caller.trusted:
            request.known()
        if not caller.node:
            return Acceptance(SUBPROTOCOL if _speaks_it(request) else None)
        welcome = self._admission.objection(caller) is None
        return Acceptance(SUBPROTOCOL, LINK_MESSAGE_BYTES if welcome else None)

    async def websocket(self, request: Request, connection: Connection) -> None:
        caller = self._caller(request)
        verdict = await self._verdict(caller)
        row = self._row(request)  # its token may have been revoked meanwhile
        if not self._trusts(request, row, caller.name, caller.kind):
            verdict = self._admission.objection(evolve(caller, trusted=False)) or verdict
        if isinstance(verdict, Refuse):
            if verdict.old is not None and not caller.node:
                self._core.sessions.devices.refused(caller.name, _device(request, connection))
            if verdict.code == AuthenticationFailed.code:
                verdict = self._told_why(verdict, request, caller, connection)
            await self._refuse(verdict, caller, connection)
            return
        if verdict.old is not None and not caller.node:
            self._replace(verdict.old)
        if caller.node:
            await self._link(request, row, caller, verdict, connection)
        else:
            await self._terminal(request, row, caller, connection)

    async def _terminal(self, request: Request, row: TokenRow | None, caller: Caller, connection: Connection) -> None:
        """row: of its token, None without one."""
        user_id = request.first("user_id")
        identity = Identity(caller.name, caller.kind, user_id[:256] if user_id else None, str(uuid.uuid4()))
        core, full = self._core, request.first("sync") == "full"
        full |= core.sessions.devices.came(identity.terminal_id, _device(request, connection))
        rights = self._tokens.rights_without(caller.kind) if row is None else self._tokens.rights_of(row)
        by_position = _speaks_it(request)
        session = core.sessions.connect(identity, connection, full=full, by_position=by_position, rights=rights)
        holder = self._holder(request, row, connection, session)
        seat = self._admission.take(caller, holder)
        messages, receive = core.statistics.messages, session.receive

        def on_text(text: str) -> None:
            messages.uncounted += 1
            receive(text)

        connection.on_text, connection.on_binary, connection.on_pong = on_text, session.receive, holder.ponged
        connection.skim(session.skim)
        self._stir()
        logger.info(
            "%(terminal_id)s (%(terminal_type)s) connected from %(address)s",
            {
                "terminal_id": identity.terminal_id,
                "terminal_type": identity.terminal_type,
                "address": connection.peer,
            },
        )
        try:
            code, reason = await connection.run()
            logger.info(
                "%(terminal_id)s disconnected: %(code)s %(reason)s",
                {"terminal_id": identity.terminal_id, "code": code, "reason": reason},
            )
        finally:
            self._admission.leave(seat)
            holder.ended()
            core.sessions.disconnect(session)
            self._stir()

    async def _link(
        self,
        request: Request,
        row: TokenRow | None,
        caller: Caller,
        entered: Enter[Holder],
        connection: Connection,
    ) -> None:
        """Another node dialled: a link, seen from here one of those below, or a peer. row: as for a terminal."""
        core = self._core
        epoch = (request.first("epoch") or "")[:64]
        head = request.first("head") or ""
        position = int(head) if is_number(head) else 0
        program = (request.first("version") or "")[:VERSION_LENGTH]
        hello = Hello(caller.name, epoch, position, core.clock().wall_ms, "", None, program)
        role = "peer" if request.first("as") == "peer" else "downstream"
        seats: list[Seat[Holder]] = []

        def enters() -> tuple[int, str] | None:
            verdict = self._admission.proven(caller, entered)
            if isinstance(verdict, Refuse):
                return verdict.code, verdict.reason
            if (old := self._admission.seats.get(caller.name)) is not None:
                self._replace(old)
            seats.append(self._admission.take(caller, holder))
            return None

        link = Link(
            host=core.links,
            role=role,
            connection=connection,
            session_id=str(uuid.uuid4()),
            challenge=challenge_of(caller.instance, caller.attempt),
            hello=hello,
            enters=enters,
        )
        holder = self._holder(request, row, connection, link)
        connection.on_pong = holder.ponged
        link.open()
        self._stir()
        logger.info("node %(peer)s connected from %(address)s", {"peer": caller.name, "address": connection.peer})
        try:
            await run_link(core, link, connection)
        finally:
            for seat in seats:
                self._admission.leave(seat)
            holder.ended()

    # ------------------------------------------------------------------ admission

    def _caller(self, request: Request) -> Caller:
        name, node = unquote(request.raw_path[len(PREFIX) :]), _is_node(request)
        kind = _kind(request)
        attempt = request.first("attempt") or ""
        return Caller(
            name,
            kind,
            node=node,
            trusted=self._trusts(request, self._row(request), name, kind),
            instance=(request.first("instance") or "")[:64] if node else "",
            attempt=int(attempt) if node and is_number(attempt) else 0,
            realm=request.first("realm") or ("" if node else None),
        )

    def _row(self, request: Request) -> TokenRow | None:
        """Of the token that a request has, while it is good for something."""
        return self._tokens.find(token_of(request), self._core.clock().wall_ms)

    def _trusts(self, request: Request, row: TokenRow | None, name: str, kind: str) -> bool:
        """Whether the token is the one of this terminal and type; any will do while none is asked for."""
        if request.user is not None or not self._tokens.required:
            return True
        return row is not None and (row.terminal_id, row.terminal_type) == (name, kind)

    def _holder(
        self, request: Request, row: TokenRow | None, connection: Connection, session: Session | Link
    ) -> Holder:
        if row is not None:
            self._tokens.used(row, host_of(connection.peer), self._core.clock().wall_ms)
            self._tokens.refusals.came(row.terminal_id)
        token = None if row is None else row.token_hash
        return Holder(connection, session, token=token, here=request.user is not None)

    async def _verdict(self, caller: Caller) -> Enter[Holder] | Refuse[Holder]:
        """What the core decides, once everybody who has the name was asked."""
        verdict = self._admission.ask(caller)
        while isinstance(verdict, Probe):
            old = verdict.old.holder
            answered = old.probe()
            with trio.move_on_after(self._config.time.probe_ms / 1000):
                await answered.wait()
            alive = answered.is_set() and not old.over
            verdict = self._admission.answered(verdict) if alive else self._admission.waited(verdict)
        return verdict

    def _told_why(
        self, refusal: Refuse[Holder], request: Request, caller: Caller, connection: Connection
    ) -> Refuse[Holder]:
        """Remember what is wrong with a token. A node is told too: its log is where its owner looks."""
        now_ms, kind = self._core.clock().wall_ms, NODE_TYPE if caller.node else caller.kind
        why = self._tokens.why_refused(token_of(request), caller.name, kind, now_ms)
        if why is None:
            return refusal
        self._tokens.note_refusal(caller.name, why, host_of(connection.peer), now_ms)
        return evolve(refusal, reason=f"{refusal.reason}: {why}") if caller.node else refusal

    async def _refuse(self, refusal: Refuse[Holder], caller: Caller, connection: Connection) -> None:
        if refusal.own_id:
            what = f"a node with this node's own id {caller.name} connected from {connection.peer}"
            self._core.links.report_twin(what)
        if refusal.old is not None and refusal.notice is not None and isinstance(refusal.old.holder.session, Link):
            refusal.old.holder.session.reply(refusal.notice)
        logger.info(
            "refused %(code)s from %(address)s: %(reason)s",
            {"code": refusal.code, "address": connection.peer, "reason": refusal.reason},
        )
        connection.close(refusal.code, refusal.reason)
        await connection.run()

    def _replace(self, old: Seat[Holder]) -> None:
        holder = old.holder
        holder.connection.close(*REPLACED)
        if isinstance(holder.session, Link):
            self._core.links.unlink(holder.session)
        else:
            self._core.sessions.disconnect(holder.session)
        self._admission.leave(old)

    # ------------------------------------------------------------------ upkeep

    def close_all(self, code: int, reason: str) -> None:
        """Close every connection."""
        for holder in [seat.holder for seat in self._admission.seats.values()]:
            holder.connection.close(code, reason)

    def end_untrusted(self) -> None:
        """Close the connections of who came with a token that is worth nothing any more (4003)."""
        now_ms = self._core.clock().wall_ms
        for holder in [seat.holder for seat in self._admission.seats.values()]:
            if not holder.here and self._tokens.ended(holder.token, now_ms):
                holder.connection.close(AuthenticationFailed.code, "the token was revoked or has expired")

    def heartbeat(self) -> None:
        """Measure every connection's round trip; drop those not heard of for too long."""
        now = trio.current_time()
        for holder in [seat.holder for seat in self._admission.seats.values()]:
            if isinstance(holder.session, Link):
                continue  # a link watches itself, more closely
            if now - holder.connection.heard_at > self._config.time.idle_timeout_s:
                holder.connection.close(GOING_AWAY, "nothing heard from this terminal")
            else:
                holder.connection.ping(RTT + b"%.6f" % now)


def methods_at(path: str) -> tuple[str, ...]:
    """A path that is none is answered, with 404, whatever reads it."""
    return next((endpoint.methods for endpoint in find(path)[0]), ("GET", "HEAD", "OPTIONS"))


def _device(request: Request, connection: Connection) -> str:
    """What tells one device from another: its address, and its program as that names itself."""
    return f"{connection.peer.rpartition(':')[0]} {request.headers.get('user-agent', '')[:100]}".strip()


def _kind(request: Request) -> str:
    """The terminal's type, under either of its two names (node/wire/protocol.md, "Connecting")."""
    return request.first("type") or request.first("terminal_type") or ""


def _is_node(request: Request) -> bool:
    """Whether another node dials: it names the type, and speaks the subprotocol."""
    return _kind(request) == NODE_TYPE and _speaks_it(request)


def _speaks_it(request: Request) -> bool:
    """Whether the subprotocol is offered; a terminal that offers it may confirm by position."""
    return SUBPROTOCOL in _offers(request)


def _offers(request: Request) -> list[str]:
    return [offer.strip() for offer in request.headers.get("sec-websocket-protocol", "").split(",")]


TOKEN_OFFER = "token."
"""Begins the offer in which a browser's WebSocket, which sets no other header, shows its token."""


def token_of(request: Request) -> str | None:
    """The bearer token: the Authorization header, or an offer beside the subprotocol, or the `token` of the query."""
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for offer in _offers(request):
        if offer.startswith(TOKEN_OFFER):
            return unquote(offer.removeprefix(TOKEN_OFFER))
    return request.first("token")
