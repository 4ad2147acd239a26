"""A wrong node: a real one, behind a proxy that changes messages as a faulty implementation would have sent them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import trio
from attrs import define, field, frozen

from node.conformance.subject import STATS
from node.conformance.wire import (
    CLOSE,
    NO_CLOSE_FRAME,
    PING,
    PONG,
    READ_BYTES,
    Frames,
    Refused,
    Socket,
    frame,
    open_socket,
)
from tests.handshake import Request, asked
from tests.patience import PATIENCE_S

Message = dict[str, Any]


@define
class Seen:
    """What a fault may know of a connection. kept: whatever it wants to remember."""

    kind: str
    kept: list[Any] = field(factory=list)


@frozen
class Fault:
    """One thing that a node does wrong.

    rule: which rule must catch it. expects: a word of what that rule says it expected. to_terminal, to_node: what
    becomes of a message on its way. answers: what the node sends back to a terminal's message, beside what it does.
    """

    name: str
    rule: str
    expects: str
    to_terminal: Callable[[Message, Seen], list[Message]] = lambda message, _: [message]
    to_node: Callable[[Message, Seen], list[Message]] = lambda message, _: [message]
    answers: Callable[[Message], list[Message]] = lambda _: []
    close_code: Callable[[int], int] = lambda code: code
    stats: Callable[[Message], Message] = lambda stats: stats
    pong_delay_s: float = 0.0


HONEST = Fault("nothing wrong", "", "")


class WrongNode:
    """Serves on a port of its own."""

    def __init__(self, node_port: int, fault: Fault) -> None:
        self._node_port, self._fault = node_port, fault

    async def serve(self, task_status: trio.TaskStatus[int]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._connection, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _connection(self, terminal: trio.SocketStream) -> None:
        try:
            request = await asked(terminal)
            if "sec-websocket-key" in request.headers:
                await self._websocket(terminal, request)
            else:
                await self._http(terminal, request.path)
        except* (Refused, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(terminal)

    async def _http(self, terminal: trio.SocketStream, path: str) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_S) as client:
            answer = await client.get(f"http://127.0.0.1:{self._node_port}{path}")
        body = answer.content
        if path == STATS:
            body = json.dumps(self._fault.stats(answer.json())).encode()
        kind = answer.headers.get("content-type", "")
        said = f"HTTP/1.1 {answer.status_code} -\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        await terminal.send_all(said.encode() + b"Connection: close\r\n\r\n" + body)

    async def _websocket(self, terminal: trio.SocketStream, request: Request) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self._node_port)
        try:
            try:
                node = await open_socket(stream, "node", request.path)
            except Refused as refused:
                await terminal.send_all(f"HTTP/1.1 {refused.status} -\r\nContent-Length: 0\r\n\r\n".encode())
                return
            await terminal.send_all(request.welcome)
            seen = Seen(parse_qs(urlsplit(request.path).query).get("type", [""])[0])
            async with trio.open_nursery() as nursery:
                out = trio.Lock()
                nursery.start_soon(
                    self._from_terminal, terminal, Frames(request.rest), node, seen, out, nursery.cancel_scope
                )
                await self._from_node(terminal, node, seen, out)
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    async def _from_node(self, terminal: trio.SocketStream, node: Socket, seen: Seen, out: trio.Lock) -> None:
        while (text := await node.receive()) is not None:
            message = json.loads(text)
            await trio.sleep(self._fault.pong_delay_s if message["type"] == "pong" else 0)
            for changed in self._fault.to_terminal(message, seen):
                await _send(terminal, frame(json.dumps(changed).encode(), masked=False), out)
        if node.code not in (None, NO_CLOSE_FRAME):
            code = self._fault.close_code(node.code or 0)
            await _send(terminal, frame(code.to_bytes(2, "big"), CLOSE, masked=False), out)

    async def _from_terminal(
        self,
        terminal: trio.SocketStream,
        frames: Frames,
        node: Socket,
        seen: Seen,
        out: trio.Lock,
        scope: trio.CancelScope,
    ) -> None:
        while True:
            while (found := frames.next()) is not None:
                if found.opcode == CLOSE:
                    await node.say_goodbye(int.from_bytes(found.payload[:2], "big") or 1000)
                elif found.opcode == PING:
                    await _send(terminal, frame(found.payload, PONG, masked=False), out)
                else:
                    await self._forward(terminal, found.payload, node, seen, out)
            more = await terminal.receive_some(READ_BYTES)
            if not more:
                scope.cancel()
                return
            frames.feed(bytes(more))

    async def _forward(
        self, terminal: trio.SocketStream, payload: bytes, node: Socket, seen: Seen, out: trio.Lock
    ) -> None:
        try:
            message = json.loads(payload)
        except ValueError:
            await node.send(payload.decode(errors="replace"))
            return
        if isinstance(message, dict):
            for answer in self._fault.answers(message):
                await _send(terminal, frame(json.dumps(answer).encode(), masked=False), out)
        for changed in self._fault.to_node(message, seen) if isinstance(message, dict) else [message]:
            await node.send(json.dumps(changed))


async def _send(terminal: trio.SocketStream, raw: bytes, out: trio.Lock) -> None:
    async with out:
        await terminal.send_all(raw)
