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
from jsonschema import Draft7Validator

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
from node.wire.description.schemas import FROM_TERMINAL, schemas
from tests.handshake import asked
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


VALIDATORS = {name: Draft7Validator(schema) for name, schema in schemas().items()}


def wrong(message: Message) -> list[str]:
    """What is otherwise in a terminal's message than the node describes; members that it does not describe, too."""
    validator = VALIDATORS[f"{FROM_TERMINAL}.{message['type']}"]
    unknown = message.keys() - validator.schema["properties"].keys()
    return [error.message for error in validator.iter_errors(message)] + [f"{name} is no member" for name in unknown]


class Door:
    """port: where to dial. node_port: of the node behind it.

    to_terminal, to_node: what becomes of a message on its way. cutting: what becomes of its bytes to the client.
    answers: what the door itself says to a message of the client. closes_with: close codes for the next connections,
    each accepted and closed at once. shut: who dials is hung up on. silent: who dials hears nothing, ever. tried: how
    often somebody dialled. sent, got: types of messages that came from the client and from the node. wrong: what is
    otherwise in the client's than the node describes. confirmed: ids of rows that the client confirmed. rows: id ->
    type and id of the entity, of rows that went to the client. lines: the connections that stand.
    """

    def __init__(self, node_port: int, patience: float = PATIENCE_S) -> None:
        self.port, self.node_port, self.patience = 0, node_port, patience
        self.to_terminal: Change = unchanged
        self.to_node: Change = unchanged
        self.answers: Change = lambda message: []
        self.cutting: Callable[[bytes], bytes] = lambda payload: payload
        self.closes_with: list[int] = []
        self.shut = self.silent = False
        self.tried = 0
        self.sent: Counter[str] = Counter()
        self.got: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.rows: dict[str, tuple[str, str | None]] = {}
        self.wrong: list[str] = []
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

    def taken(self) -> set[tuple[str, str | None]]:
        """Type and id of each entity of which the client confirmed a row."""
        return {entity for row, entity in self.rows.items() if row in self.confirmed}

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
            if self.silent:
                while await terminal.receive_some(READ_BYTES):
                    pass
                return
            request = await asked(terminal)
            if self.closes_with:
                code = self.closes_with.pop(0)
                goodbye = frame(code.to_bytes(2, "big") + b"no", CLOSE, masked=False)
                await terminal.send_all(request.welcome + goodbye)
                while await terminal.receive_some(READ_BYTES):
                    pass
                return
            passed = [(name, value) for name, value in request.headers.items() if name == "authorization"]
            stream = await trio.open_tcp_stream("127.0.0.1", self.node_port)
            try:
                node = await open_socket(stream, "node", request.path, headers=passed)
                await terminal.send_all(request.welcome)
                await _Line(self, terminal, node).run(request.rest)
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
        messages = list(messages)
        for row in (message["operation"] for message in messages if message["type"] == "data_sync"):
            self._door.rows[row["id"]] = (row["entity_type"], row.get("entity_id"))
        texts = [json.dumps(message, ensure_ascii=False).encode() for message in messages]
        await self._write([frame(self._door.cutting(text), masked=False) for text in texts])

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
        self._door.wrong += wrong(message)
        if message["type"] == "sync_confirmation":
            self._door.confirmed.add(message["operation_id"])
        await self.tell(self._door.answers(message))
        for changed in self._door.to_node(message):
            await self._node.send(json.dumps(changed))
        self._door.changed()
