"""What stands between a client and its node: a proxy that knows messages and is hostile on command.

The client dials the door's port for the whole of a scenario. Behind it a real node answers, which may be killed or
set back meanwhile.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import trio

from node.conformance.wire import (
    CLOSE,
    NO_CLOSE_FRAME,
    PING,
    PONG,
    READ_BYTES,
    Frames,
    Refused,
    Socket,
    accept_key,
    frame,
    open_socket,
    read_head,
)
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterable

"""How long anything is waited for that a client must do by itself."""

Message = dict[str, Any]
Change = Callable[[Message], list[Message]]


def unchanged(message: Message) -> list[Message]:
    return [message]


def dropping(kind: str, most: int = 10**9) -> Change:
    """Messages of this type, as many, go nowhere."""
    dropped = count(1)
    return lambda message: [] if message["type"] == kind and next(dropped) <= most else [message]


class Door:
    """port: where to dial. node_port: of the node behind it.

    to_terminal, to_node: what becomes of a message on its way. answers: what the door itself says to a message of the
    client. closes_with: close codes for the next connections, each accepted and closed at once. shut: who dials is
    hung up on. tried: how often somebody dialled. sent, got: types of messages that came from the client and from the
    node. confirmed: ids of rows that the client confirmed. lines: the connections that stand.
    """

    def __init__(self, node_port: int, patience: float = PATIENCE_S) -> None:
        self.port, self.node_port, self.patience = 0, node_port, patience
        self.to_terminal: Change = unchanged
        self.to_node: Change = unchanged
        self.answers: Change = lambda message: []
        self.closes_with: list[int] = []
        self.shut = False
        self.tried = 0
        self.sent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.lines: set[_Line] = set()
        self._changed = trio.Event()

    async def serve(self, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._take, listeners)
            task_status.started()

    # ------------------------------------------------------------------ faults

    async def cut(self, code: int | None = None) -> None:
        """End every connection that stands. code: of a close frame before; without one it is just gone."""
        for line in list(self.lines):
            await line.end(code)

    def freeze(self) -> None:
        """The connections that stand now are half open: nothing passes on them any more. New ones are served."""
        for line in self.lines:
            line.frozen = True

    async def until(self, condition: Callable[[], bool]) -> None:
        """Until it holds; looked at whenever a message passes or somebody dials. Raises trio.TooSlowError."""
        with trio.fail_after(self.patience):
            while not condition():
                await self._changed.wait()

    def changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # ------------------------------------------------------------------ connections

    async def _take(self, terminal: trio.SocketStream) -> None:
        self.tried += 1
        self.changed()
        try:
            if self.shut:
                return
            head, rest = await read_head(terminal)
            lines = head.decode("latin-1").split("\r\n")
            path = lines[0].split(" ")[1]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            accepted = f"Sec-WebSocket-Accept: {accept_key(headers['sec-websocket-key'])}"
            welcome = f"HTTP/1.1 101 -\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accepted}\r\n\r\n".encode()
            if self.closes_with:
                code = self.closes_with.pop(0)
                goodbye = frame(code.to_bytes(2, "big") + b"no", CLOSE, masked=False)
                await terminal.send_all(welcome + goodbye)
                while await terminal.receive_some(READ_BYTES):
                    pass
                return
            passed = [(name, value) for name, value in headers.items() if name == "authorization"]
            stream = await trio.open_tcp_stream("127.0.0.1", self.node_port)
            try:
                node = await open_socket(stream, "node", path, headers=passed)
                await terminal.send_all(welcome)
                await _Line(self, terminal, node).run(rest)
            finally:
                await trio.aclose_forcefully(stream)
        except* (Refused, OSError, KeyError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(terminal)


class _Line:
    """One connection through the door."""

    def __init__(self, door: Door, terminal: trio.SocketStream, node: Socket) -> None:
        self.frozen = False
        self._door, self._terminal, self._node = door, terminal, node
        self._out = trio.Lock()
        self._scope = trio.CancelScope()

    async def run(self, rest: bytes) -> None:
        self._door.lines.add(self)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._from_terminal, Frames(rest))
                    await self._from_node()
                    nursery.cancel_scope.cancel()
        finally:
            self._door.lines.discard(self)
            self._door.changed()

    async def end(self, code: int | None) -> None:
        if code is not None:
            await self._write([frame(code.to_bytes(2, "big"), CLOSE, masked=False)])
        self._scope.cancel()

    async def tell(self, messages: Iterable[Message]) -> None:
        """Messages to the terminal."""
        await self._write([frame(json.dumps(message).encode(), masked=False) for message in messages])

    async def _write(self, frames: list[bytes]) -> None:
        async with self._out:
            if not self.frozen:
                await self._terminal.send_all(b"".join(frames))

    async def _from_node(self) -> None:
        while (text := await self._node.receive()) is not None:
            message = json.loads(text)
            self._door.got[message["type"]] += 1
            await self.tell(self._door.to_terminal(message))
            self._door.changed()
        if self._node.code not in (None, NO_CLOSE_FRAME):
            await self._write([frame((self._node.code or 0).to_bytes(2, "big"), CLOSE, masked=False)])
        if self.frozen:
            await trio.sleep_forever()

    async def _from_terminal(self, frames: Frames) -> None:
        while True:
            while (found := frames.next()) is not None:
                if found.opcode == CLOSE:
                    await self._node.say_goodbye(int.from_bytes(found.payload[:2], "big") or 1000)
                elif found.opcode == PING:
                    await self._write([frame(found.payload, PONG, masked=False)])
                elif found.opcode != PONG and not self.frozen:
                    await self._message(json.loads(found.payload))
            more = await self._terminal.receive_some(READ_BYTES)
            if not more:
                self._scope.cancel()
                return
            frames.feed(bytes(more))

    async def _message(self, message: Message) -> None:
        self._door.sent[message["type"]] += 1
        if message["type"] == "sync_confirmation":
            self._door.confirmed.add(message["operation_id"])
        await self.tell(self._door.answers(message))
        for changed in self._door.to_node(message):
            await self._node.send(json.dumps(changed))
        self._door.changed()
