"""Dialling other nodes, for ever, and running a link's connection (design section 8)."""

from __future__ import annotations

import itertools
import logging
import random
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import trio
from attrs import define, field

from node.config.sections import LinksSection
from node.core.core import Core
from node.core.links.dialling import Backoff
from node.core.links.link import Link
from node.errors import ConfigError
from node.runtime.net.client import ConnectError, connect
from node.wire.links.handshake import SUBPROTOCOL

if TYPE_CHECKING:
    from node.runtime.net.websocket import Connection

logger = logging.getLogger("comanda.links")

NODE_TYPE = "node"
"""The `type` of a linked node in its URL."""

LINK_MESSAGE_BYTES = 32 * 1024 * 1024
"""Largest frame of a link: one operation of the largest message, as update and as JSON."""

ACCEPTED_POLL_S = 0.2
"""How soon a node dials again once the link that the other one dialled has ended."""

_attempts = itertools.count(1)
"""Numbers this process's connections to other nodes."""

REFUSED = {4001: "its id is refused", 4002: "nodes are refused", 4003: "its token is refused"}
"""Close codes after which dialling goes on slowly: somebody has to change something first."""


def node_url(url: str) -> str:
    """`ws://host:port` of another node, checked. Raises ConfigError."""
    parts = urlsplit(url)
    try:
        sound = parts.scheme == "ws" and bool(parts.hostname) and url.isascii() and parts.path in ("", "/")
        sound = sound and not parts.query and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"{url!r} is not the address of a node, like ws://host:8001")
    return f"ws://{parts.netloc}"


@define(eq=False)
class Dialer:
    """One configured link: dial, run, dial again. state: connecting | up | down | paused."""

    core: Core
    url: str
    role: str
    settings: LinksSection
    link: Link | None = None
    paused: bool = False
    last_error: str | None = None
    last_peer: str = ""
    _random: random.Random = field(factory=random.Random)

    @property
    def accepted(self) -> bool:
        """Whether the other node has dialled this one, and that link is in use."""
        other = self.core.links.get(self.last_peer)
        return other is not None and not other.dialled

    @property
    def state(self) -> str:
        if self.accepted or (self.link is not None and self.link.state == "up"):
            return "up"
        return "paused" if self.paused else "down"

    async def run(self) -> None:
        """Until cancelled. The first retry is at once, then back-off with full jitter, capped."""
        settings = self.settings
        backoff = Backoff(settings.backoff_ms, settings.backoff_max_ms)
        while True:
            while self.accepted:  # noqa: ASYNC110 (the core, which knows, holds no events)
                await trio.sleep(ACCEPTED_POLL_S)
            began = trio.current_time()
            try:
                was_up = await self._once()
            except Exception:  # one strange node ends neither this one nor its other links
                logger.exception("the link to %s failed", self.url)
                self.last_error, was_up = "internal error", False
            backoff.ended(was_up, (trio.current_time() - began) * 1000)
            await trio.sleep(settings.paused_s if self.paused else backoff.wait_ms(self._random.uniform) / 1000)

    async def _once(self) -> bool:
        """One connection. Whether it ever was up."""
        core = self.core
        role = "peer" if self.role == "peer" else "downstream"
        words = {"type": NODE_TYPE, "as": role, "epoch": core.epoch, "head": core.replica.committed}
        words |= {"instance": core.instance, "attempt": next(_attempts)}
        query = urlencode(words)
        target = f"{self.url}/ws/{quote(core.node_id)}?{query}"
        headers = [("Authorization", f"Bearer {self.settings.token}")] if self.settings.token else []
        try:
            connection = await connect(
                target,
                subprotocols=[SUBPROTOCOL],
                headers=headers,
                connect_timeout=self.settings.connect_timeout_ms / 1000,
                max_message_bytes=LINK_MESSAGE_BYTES,
                outbox_limit=LINK_MESSAGE_BYTES * 2,
            )
        except ConnectError as error:
            self.last_error = str(error)
            return False
        link = Link(core, self.role, connection, self.url, True, None, str(uuid.uuid4()), core.clock().wall_ms)
        self.link = link
        self.paused = False
        try:
            code, reason = await run_link(core, link, connection, self.settings)
        finally:
            self.link = None
        self.last_peer = link.peer_id or self.last_peer
        self.last_error = f"{code} {reason}".strip()
        if code in REFUSED:
            self.paused = True
            logger.error(
                "%s: %s (%s); trying again every %g s", self.url, REFUSED[code], reason, self.settings.paused_s
            )
        elif code == 4004:
            core.report_twin(f"{self.url} says {reason!r}")
        return link.was_up


async def run_link(core: Core, link: Link, connection: Connection, settings: LinksSection) -> tuple[int, str]:
    """Run a link's connection until it ends; its close code and reason."""
    connection.on_text = link.receive
    connection.on_binary = link.receive
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, connection, settings)
            ended = await connection.run()
            nursery.cancel_scope.cancel()
    finally:
        core.unlink(link)
    if link.was_up:
        logger.info("link to %s (%s) ended: %s", link.peer_id, link.role, ended)
    return ended


async def _watch(connection: Connection, settings: LinksSection) -> None:
    """Ping the other side; a link on which nothing was heard for too long is dropped, so that it is dialled again."""
    while True:
        connection.ping(b"link")
        await trio.sleep(settings.ping_s)
        if trio.current_time() - connection.heard_at > settings.silence_s:
            connection.close(1001, "nothing heard from the other node")
