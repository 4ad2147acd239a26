"""Echoes for the suite, with the node's own listener, limits and dialling: only what a message leads to differs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import evolve
from wsproto.events import BytesMessage

from node.config.sections import Config
from node.core.links.feed import LINK_MESSAGE_BYTES
from node.runtime.net.client import ClientConnection, connect
from node.runtime.net.http import Request, Response, error_response
from node.runtime.net.listener import Acceptance, Listener, open_listeners
from node.runtime.realm import listener_limits
from node.wire.frames import Outgoing
from node.wire.links.handshake import SUBPROTOCOL
from tests.autobahn.suite import AT_ONCE
from tests.patience import PATIENCE_S
from tests.runtime.rig import arrivals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node.runtime.net.websocket import Connection


class _Binary(Outgoing):
    """A node sends text only; its frames differ from binary ones in the opcode."""

    __slots__ = ()

    def frame(self, window_bits: int) -> bytes:
        text = super().frame(window_bits)
        return bytes((text[0] + 1,)) + text[1:]


class _Echo:
    async def http(self, request: Request) -> Response:
        return error_response(404, "only echoes here")

    def methods(self, path: str) -> tuple[str, ...]:
        return ("GET",)

    async def accepts(self, request: Request) -> Acceptance:
        return Acceptance()

    async def websocket(self, request: Request, connection: Connection) -> None:
        connection.on_text = lambda text: connection.send(Outgoing(text.encode()))
        connection.on_binary = lambda payload: connection.send(_Binary(payload))
        await connection.run()


@asynccontextmanager
async def echo_server(message_bytes: int | None = None) -> AsyncIterator[str]:
    """Its ws:// URL. message_bytes: [limits] message_bytes instead of the default; the outbox takes twice that."""
    config = Config()
    if message_bytes is not None:
        limits = evolve(config.limits, message_bytes=message_bytes, outbox_bytes=2 * message_bytes)
        config = evolve(config, limits=limits)
    listener = Listener(handler=_Echo(), limits=listener_limits(config.limits), arrivals=arrivals())
    listeners = await open_listeners("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, listeners)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def echo_clients(port: int) -> None:
    """Dial the suite's server for each of its cases, as a node dials another one, and echo what it sends."""
    url = f"ws://127.0.0.1:{port}"
    count: list[str] = []
    asking = await _dial(f"{url}/getCaseCount")
    asking.on_text = count.append
    await asking.run()
    limit = trio.CapacityLimiter(AT_ONCE)
    async with trio.open_nursery() as nursery:
        for case in range(1, int(count[0]) + 1):
            nursery.start_soon(_echo_case, f"{url}/runCase?case={case}&agent=comanda", limit)
    await (await _dial(f"{url}/updateReports?agent=comanda")).run()


async def _echo_case(url: str, limit: trio.CapacityLimiter) -> None:
    async with limit:
        connection = await _dial(url)
        connection.on_text = lambda text: connection.send(Outgoing(text.encode()))
        connection.on_binary = lambda payload: connection._event(BytesMessage(data=payload))
        await connection.run()


async def _dial(url: str) -> ClientConnection:
    """As node/runtime/dialler.py does, but for the timeout: the suite's cases start together."""
    return await connect(
        url,
        subprotocols=[SUBPROTOCOL],
        connect_timeout=PATIENCE_S,
        max_message_bytes=LINK_MESSAGE_BYTES,
        outbox_limit=2 * LINK_MESSAGE_BYTES,
    )
