"""Which realm a request means, and who answers it: the one that `realm` in its query names, else the node's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import define
from node.errors import AuthenticationFailed
from node.runtime.endpoint import PREFIX, methods_at, token_of
from node.runtime.hubs import Hubs
from node.runtime.kept_realm import Kept, NotOpened
from node.runtime.net.http import error_response
from node.runtime.net.listener import Acceptance, Refusal
from node.runtime.realm import Realm
from node.runtime.realms import Realms
from node.wire.close_codes import TRY_AGAIN_LATER

if TYPE_CHECKING:
    from node.runtime.net.http import Request, Response
    from node.runtime.net.passing import Way
    from node.runtime.net.websocket import Connection

DENIED = "Authentication failed"
NOT_OPEN = "this store is not open at the moment: head office's log says why"
"""Whoever asks may be anybody, and a reason names files."""


@define(eq=False)
class Router:
    """Hands a request to the realm that it means: the one that `realm` in its query names, else the node's own.

    A realm is opened for who has a token of it. At a node that asks for tokens all others are refused alike, so that
    nobody learns which stores there are.
    """

    own: Realm
    realms: Realms
    hubs: Hubs | None = None
    """Of a head office of several processes."""

    def way(self, request: Request) -> Way | Response | None:
        """To the process that answers a request; None where it is this one."""
        if self.hubs is None or not self._elsewhere(request):
            return None
        return self.hubs.way(request, request.first("realm") or "")

    def command_way(self, request: Request) -> Way | Response | None:
        """Of what this machine's user asks: to the process that owns a store, for who writes there as a terminal and
        for what is asked of the owner (`owner=1`). Else what is kept here answers, a copy perhaps."""
        terminal = request.raw_path.startswith(PREFIX)
        if request.user is None or not (terminal or request.first("owner")):
            return None
        return self.way(request)

    def user_of(self, request: Request) -> str | None:
        """Of which process's machine the user is who asks; None where no process of head office says so."""
        if self.hubs is None or not self._elsewhere(request):
            return None
        return self.hubs.user_of(request, request.first("realm") or "")

    def _misplaced(self, request: Request) -> str | None:
        """Why this machine's user may not write here."""
        if self.hubs is None or request.user is None or not self._elsewhere(request):
            return None
        return self.hubs.misplaced(request.first("realm") or "")

    def methods(self, path: str) -> tuple[str, ...]:
        return methods_at(path)

    def body_bytes(self, request: Request) -> int | None:
        """As of the endpoint. Stores take no long ones."""
        return None if self._elsewhere(request) else self.own.endpoint.body_bytes(request)

    async def http(self, request: Request) -> Response:
        if not self._elsewhere(request):
            return await self.own.endpoint.http(request)
        if request.method not in ("GET", "HEAD") and (misplaced := self._misplaced(request)):
            return error_response(409, misplaced)
        kept = self._kept(request)
        if kept is None and not self.own.tokens.required:
            return error_response(404, "no such store is kept here")
        try:
            if kept is None or not await self._may_open(kept, request):
                return error_response(401, DENIED)
            return await kept.http(request)
        except NotOpened:
            return error_response(503, NOT_OPEN)

    async def accepts(self, request: Request) -> Acceptance | Refusal:
        verdict = await self.own.endpoint.accepts(request)
        if isinstance(verdict, Refusal) or not self._elsewhere(request):
            return verdict
        kept = self._kept(request)
        try:
            if kept is not None and await self._may_open(kept, request):
                verdict = await kept.accepts(request)
        except NotOpened:
            pass  # `websocket` closes it with a code, which a browser sees
        return verdict

    async def websocket(self, request: Request, connection: Connection) -> None:
        if misplaced := self._misplaced(request):
            connection.close(TRY_AGAIN_LATER, misplaced)
            await connection.run()
            return
        kept = self._kept(request)
        if kept is None:
            await self.own.endpoint.websocket(request, connection)  # which refuses another store
            return
        try:
            if await self._may_open(kept, request):
                await kept.websocket(request, connection)
                return
            connection.close(AuthenticationFailed.code, DENIED)
        except NotOpened:
            connection.close(TRY_AGAIN_LATER, NOT_OPEN)
        await connection.run()

    def _elsewhere(self, request: Request) -> bool:
        return (request.first("realm") or self.own.name) != self.own.name

    def _kept(self, request: Request) -> Kept | None:
        """The other realm that a request names, if it is kept here."""
        return self.realms.find(request.first("realm") or "") if self._elsewhere(request) else None

    async def _may_open(self, kept: Kept, request: Request) -> bool:
        """Whether a realm is opened for who asks. Raises NotOpened."""
        return request.user is not None or await kept.knows(token_of(request))
