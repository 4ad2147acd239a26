"""The shell that dials other nodes, and that runs a link's connection, dialled or accepted."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import trio
from attrs import field

from crdt.classes import define
from node.config.links import LinkAddress, LinksSection
from node.config.sections import TlsSection
from node.core.core import Core
from node.core.links.dialling import REFUSED, TWIN, Backoff, Dial, Dialling, Wait, challenge_of
from node.core.links.feed import LINK_MESSAGE_BYTES
from node.core.links.link import Link
from node.errors import AuthenticationFailed, ConfigError
from node.runtime.certificates import Recognition
from node.runtime.net.client import ConnectError, connect
from node.wire.close_codes import GOING_AWAY
from node.wire.links.handshake import NODE_TYPE, SUBPROTOCOL

if TYPE_CHECKING:
    from node.runtime.net.websocket import Connection

logger = logging.getLogger("comanda.links")


@define(eq=False, kw_only=True)
class Dialler:
    """One configured link, dialled as the core's `Dialling` says.

    role: what the other node is to this one, upstream or peer.
    attempts: numbers the connections that this process dials.
    own: the certificate that is shown to a node that asks for one.
    patience_s: for how long refusals are not logged, where the other node is only about to learn of this one.
    """

    core: Core
    url: str
    role: str
    settings: LinksSection
    attempts: Iterator[int]
    own: TlsSection = field(factory=TlsSection)
    patience_s: float = 0.0
    last_error: str | None = None
    certificate: bytes = field(default=b"", init=False)
    """What the other node has shown of TLS, in DER."""
    _said: str = field(default="", init=False)
    """The refusal that was said last: one that lasts is tried again and again."""
    _refused_s: float | None = field(default=None, init=False)
    """Since when there is nothing but refusals."""
    dialling: Dialling = field(init=False)
    address: LinkAddress = field(init=False)
    recognition: Recognition = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.address = self.settings.address(self.url)
        self.recognition = Recognition(self.address, self.own)
        self.dialling = Dialling(
            links=self.core.links.by_node,
            attempts=self.attempts,
            backoff=Backoff(self.settings.backoff_ms, self.settings.backoff_max_ms),
            paused_ms=self.settings.paused_s * 1000,
            connect_timeout_ms=self.settings.connect_timeout_ms,
            uniform=random.uniform,
        )

    async def run(self) -> None:
        """Dial until cancelled."""
        while True:
            step = self.dialling.next(_now_ms())
            if isinstance(step, Wait):
                await trio.sleep(step.ms / 1000)
                continue
            code: int | None = None
            try:
                code = await self._once(step)
            except Exception:  # one strange node ends neither this one nor its other links
                logger.exception("the link to %(url)s failed", {"url": self.url})
                self.last_error = "internal error"
            self.dialling.ended(_now_ms(), code)

    async def _once(self, dial: Dial) -> int | None:
        """One connection; its close code, None where there was none."""
        core = self.core
        role = "peer" if self.role == "peer" else "downstream"
        words = {"type": NODE_TYPE, "as": role, "epoch": core.links.epoch, "head": core.replica.log.committed}
        words |= {"instance": core.instance, "attempt": dial.attempt, "version": core.around.version}
        if realm := core.replica.settings.realm:
            words["realm"] = realm
        query = urlencode(words)
        target = f"{self.url}/ws/{quote(core.node_id)}?{query}"
        token = self.address.token
        headers = [("Authorization", f"Bearer {token}")] if token else []
        try:
            trust = self.recognition.trust() if self.url.startswith("wss:") else None
            connection = await connect(
                target,
                trust=trust,
                subprotocols=[SUBPROTOCOL],
                headers=headers,
                connect_timeout=dial.connect_ms / 1000,
                answer_timeout=dial.answer_ms / 1000,
                max_message_bytes=LINK_MESSAGE_BYTES,
                outbox_limit=LINK_MESSAGE_BYTES * 2,
            )
        except (ConnectError, ConfigError) as error:
            self.last_error = str(error)
            if isinstance(error, ConnectError) and not error.stranger:
                return None
            self._say(f"is not linked: {error}")
            return AuthenticationFailed.code  # as a link that this side ends: somebody has to change something
        self.certificate = connection.certificate
        link = Link(
            host=core.links,
            role=self.role,
            connection=connection,
            session_id=str(uuid.uuid4()),
            url=self.url,
            challenge=challenge_of(core.instance, dial.attempt),
            node_key=self.address.node_key,
        )
        self.dialling.connected(link)
        code, reason = await run_link(core, link, connection)
        self.last_error = f"{code} {reason}".strip()
        if link.was_up:
            self._said, self._refused_s = "", None
        if code in REFUSED:
            self._say(f"{REFUSED[code]} ({reason})")
        elif code == TWIN:
            core.links.report_twin(f"{self.url} says {reason!r}")
        return code

    def _say(self, refusal: str) -> None:
        now_s = trio.current_time()
        self._refused_s = now_s if self._refused_s is None else self._refused_s
        if refusal != self._said and now_s - self._refused_s >= self.patience_s:
            self._said = refusal
            logger.error(
                "%(url)s: %(reason)s; trying again every %(again_s)g s",
                {"url": self.url, "reason": refusal, "again_s": self.settings.paused_s},
            )


def _now_ms() -> float:
    return trio.current_time() * 1000


async def run_link(core: Core, link: Link, connection: Connection) -> tuple[int, str]:
    """Run a link's connection until it ends; its close code and reason."""
    connection.on_text = link.receive
    connection.on_binary = link.receive
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, connection, link)
            ended = await connection.run()
            nursery.cancel_scope.cancel()
    finally:
        core.links.unlink(link)
    if link.was_up:
        core.links.outages.note_end(link.peer_id, f"{ended[0]} {ended[1]}".strip())
        logger.info(
            "link to %(peer)s (%(role)s) ended: %(ended)s", {"peer": link.peer_id, "role": link.role, "ended": ended}
        )
    return ended


async def _watch(connection: Connection, link: Link) -> None:
    """Ping the other side; a link on which nothing was heard for too long is dropped, so that it is dialled again."""
    while True:
        connection.ping(b"link")
        await trio.sleep(link.ping_ms / 1000)
        if trio.current_time() - connection.heard_at > link.silence_ms / 1000:
            connection.close(GOING_AWAY, "nothing heard from the other node")
