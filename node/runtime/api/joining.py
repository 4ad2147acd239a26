"""Pairing: a code for a newcomer, and the token that it gets for the code.

POST /api/v1/pair?type=[&terminal_id=]   a code, once, for ten minutes
POST /api/v1/join                        a newcomer shows that it knows one, as node/wire/protocol.md has it
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING, Any

import orjson
import trio
from attrs import evolve

from crdt.classes import frozen
from crdt.hlc import iso
from node.config.remembered import shared
from node.config.sections import is_loopback
from node.core.keyring import fingerprint
from node.core.pairing import LIVES_MS, Invitation, Invitations, Tries
from node.errors import ConfigError
from node.runtime.api.tokens import live, made, objection
from node.runtime.certificates import Certificate
from node.runtime.net.addresses import bracketed, host_of
from node.runtime.net.http import Response, error_response, json_response
from node.runtime.net.proxies import came_through
from node.wire.links.handshake import NODE_TYPE
from node.wire.pairing import HUB, key_of, name_of, new_code, proof, read_code
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from node.config.sections import Config
    from node.core.core import Core
    from node.runtime.api.asked import Asked
    from node.runtime.api.tokens import Tokens
    from node.runtime.disk import TrioDisk
    from storage.records import TokenRow
    from storage.sqlite.store import Store

logger = logging.getLogger("comanda.pairing")

REFUSED = "this code is not known: it is wrong, used or too old"
LATER = "too many wrong codes came from this address: try again in a minute; the code stays good until its time"


@frozen
class Reached:
    """Where newcomers reach this node.

    certificate: what they are shown there; None without TLS.
    bound: whether it speaks TLS, and `host:port`, of each address it listens on.
    """

    certificate: Certificate | None
    bound: list[tuple[bool, str]]

    def fingerprint(self, tls: bool) -> str:
        return self.certificate.said.fingerprint if tls and self.certificate is not None else ""

    def url(self) -> str:
        """The URL to join at: with TLS where there is any, by a name that the certificate has."""
        tls, address = max(self.bound)
        host, _, port = address.rpartition(":")
        if host in ("0.0.0.0", "[::]"):
            named = self.certificate.said.hosts if tls and self.certificate is not None else ()
            host = bracketed(named[0] if named else socket.gethostname())
        return f"{'wss' if tls else 'ws'}://{host}:{port}"


class Joining:
    """Makes codes, and gives tokens for them."""

    def __init__(
        self, *, core: Core, disk: TrioDisk, store: Store, tokens: Tokens, config: Config, reached: Reached
    ) -> None:
        self._core, self._disk, self._store, self._tokens = core, disk, store, tokens
        self._shared, self._site = shared(config), config.node.site
        self._reached, self._one_of_several = reached, config.hubs.database is not None
        self._invitations, self._tries = Invitations(), Tries()
        if reached.certificate is not None:
            reached.certificate.newcomers.append(self.awaits)

    def awaits(self) -> bool:
        """Whether a code is open."""
        return self._invitations.awaited(self._core.clock().mono_ms)

    def end(self) -> None:
        """Nobody is awaited any more."""
        if self._reached.certificate is not None:
            self._reached.certificate.newcomers.remove(self.awaits)

    async def pair(self, asked: Asked) -> Response:
        """A code for a token of `type`; of `terminal_id`, where it is given."""
        core, kind, terminal_id = self._core, asked.first("type") or NODE_TYPE, asked.first("terminal_id")
        if terminal_id is None and kind != NODE_TYPE:
            return error_response(400, "a terminal's code says its terminal_id")
        if wrong := objection(terminal_id or "any", kind, {}, core.permissions, ()):
            return error_response(400, wrong)
        if terminal_id is not None and self._taken(terminal_id):
            return error_response(409, f"{terminal_id} has a token: revoke it first")
        code = new_code(os.urandom)
        while name_of(code) in self._invitations.names():
            code = new_code(os.urandom)
        key = await trio.to_thread.run_sync(key_of, code)
        now = core.clock()
        self._invitations.put(
            Invitation(code=code, key=key, kind=kind, terminal_id=terminal_id, until_ms=now.mono_ms + LIVES_MS)
        )
        visitor = asked.visitor
        core.note_act(visitor.terminal_id or "", visitor.name or None, "pair", {"type": kind, "id": terminal_id})
        url = self._reached.url()
        answer = {"code": code, "url": url, "expires_at": iso(now.wall_ms + LIVES_MS), "type": kind}
        asks = self._reached.certificate is not None and self._reached.certificate.asks
        return json_response({**answer, "asks_for_certificate": asks})

    async def join(self, asked: Asked) -> Response:
        """A newcomer's proof, or a browser's code, for a token."""
        request, core = asked.request, self._core
        address = host_of(request.peer).strip("[]")
        if not request.tls and (came_through(request.headers) or not is_loopback(address)):
            return error_response(403, "a machine joins over TLS: https:// or wss://")
        try:
            body: Any = orjson.loads(request.body)
            code, name, nonce = (str(body.get(word, "")) for word in ("code", "name", "nonce"))
            terminal_id, given = str(body.get("terminal_id", "")), str(body.get("proof", ""))
            asked_for = str(body.get("certificate_request", ""))
        except (orjson.JSONDecodeError, AttributeError):
            return error_response(400, "a JSON object with name, nonce, terminal_id and proof, or with code")
        now, certificate = core.clock(), self._reached.fingerprint(request.tls)
        if wait_ms := self._tries.wait_ms(address, now.mono_ms):
            response = error_response(429, LATER)
            return evolve(response, headers=(("Retry-After", str(-(-wait_ms // 1000))),))
        if code:
            found = self._invitations.told(read_code(code) or code, now_ms=now.mono_ms)
        else:
            found = self._invitations.proved(name, given, certificate, nonce, terminal_id, now_ms=now.mono_ms)
        if found is None:
            self._tries.failed(address, now.mono_ms)
            self._tokens.refusals.note("join", "unknown code", address, now.wall_ms, said=True)
            return error_response(403, REFUSED)
        terminal_id = found.terminal_id or terminal_id
        if wrong := objection(terminal_id, found.kind, {}, core.permissions, ()):
            return error_response(400, wrong)
        if terminal_id == core.node_id or self._taken(terminal_id):
            return error_response(409, f"{terminal_id} is taken: choose another id, or revoke its token")
        own, issued = self._reached.certificate, None
        if own is not None and asked_for:
            try:
                issued = own.issued(terminal_id, asked_for)
            except ConfigError as error:
                return error_response(400, str(error))
        self._invitations.used(found)
        token, row = made(terminal_id, found.kind, "", iso(now.wall_ms), {}, None)
        return await self._welcome(request.peer, found, token, row, certificate, nonce, issued)

    async def _welcome(
        self,
        peer: str,
        found: Invitation,
        token: str,
        row: TokenRow,
        certificate: str,
        nonce: str,
        issued: str | None,
    ) -> Response:
        """issued: the newcomer's own certificate, where one was asked for and could be made."""
        core = self._core
        try:
            await self._disk.write(self._store.put_tokens, [row])
        except StorageError as error:
            return error_response(503, str(error))
        self._tokens.put([row])
        self._tokens.refusals.came("join")
        core.note_act("", None, "join", {"terminal_id": row.terminal_id, "type": found.kind, "address": peer})
        logger.warning(
            "%(terminal_id)s (%(terminal_type)s) joined from %(address)s",
            {"terminal_id": row.terminal_id, "terminal_type": found.kind, "address": peer},
        )
        answer: dict[str, object] = {"terminal_id": row.terminal_id, "type": found.kind, "token": token}
        if self._reached.certificate is not None and self._reached.certificate.asks:
            answer["certificate"] = issued
        if found.kind == NODE_TYPE:
            own = self._reached.certificate
            authority = own.authority if own is not None else None
            if not self._one_of_several:  # each process has a key of its own, and any may be met at one address
                answer["node_key"] = fingerprint(core.around.signatures.public)
            answer["authority"] = None if authority is None else authority.decode()
            answer["configuration"] = self._shared
            answer["site"] = self._site
        said = orjson.dumps(answer).decode()
        return json_response({"said": said, "proof": proof(found.key, HUB, certificate, nonce, said)})

    def _taken(self, terminal_id: str) -> bool:
        at = iso(self._core.clock().wall_ms)
        return any(row.terminal_id == terminal_id and live(row, at) for row in self._tokens.rows)
