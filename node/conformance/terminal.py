"""A terminal as the document describes one: it confirms what it gets, and shows `data` applied in order."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from node.conformance.expect import Message, iso
from node.conformance.wire import NO_CLOSE_FRAME, Refused, Socket, frame

if TYPE_CHECKING:
    from collections.abc import Callable

TYPES = ("pos", "kds", "waiter", "monitor")
LOCKED_TYPES = ("orders", "cashier_operations")
PRIORITIES = {"orders": "high", "products": "medium", "customers": "medium", "cashier_operations": "critical"}
ENTITY_TYPES = tuple(PRIORITIES)

HANG_UP_S = 0.5
"""How long a terminal that leaves waits for the end of the TCP connection; a node may still think it is there."""

MOST_HEARD = 2_000_000
"""Messages that a terminal keeps; a node that sends more within one rule is hung up on."""


class Clock:
    """Growing timestamps, so that "the newest" is never a tie."""

    def __init__(self) -> None:
        self._last_ms = 0

    def __call__(self) -> str:
        self._last_ms = max(int(time.time() * 1000), self._last_ms + 1)
        return iso(self._last_ms / 1000)


clock = Clock()


@frozen
class Line:
    """One line of a rule's transcript. way: ">" sent, "<" came, "." happened."""

    way: str
    who: str
    text: str


class Terminal:
    """One connection of a terminal.

    heard: every message, in order. screen: the entities it shows. answers: operation id -> what it was told of its
    own operation. delivered: operation id -> how often it came. offset: seconds the node's clock is ahead of ours.
    """

    def __init__(
        self, name: str, kind: str, user: str | None, socket: Socket, written: Callable[[Line], None]
    ) -> None:
        self.name, self.kind, self.user, self.socket = name, kind, user, socket
        self.confirming = True
        self._withheld: list[str] = []
        self.heard: list[Message] = []
        self.screen: dict[tuple[str, str], dict[str, Any]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.answers: dict[str, Message] = {}
        self.errors: list[Message] = []
        self.delivered: Counter[str] = Counter()
        self.offset = 0.0
        self._written = written
        self._changed = trio.Event()

    @property
    def code(self) -> int | None:
        """How the connection ended; None while it is open."""
        return self.socket.code

    # ------------------------------------------------------------------ receiving

    async def run(self, heard: Callable[[], None]) -> None:
        """Read until the end. heard: called after every message, and at the end."""
        while True:
            try:
                text = await self.socket.receive()
            except Refused as refusal:
                self._written(Line(".", self.name, f"cannot be read: {refusal}"))
                text = None
            if text is None or len(self.heard) >= MOST_HEARD:
                break
            await self._take(text)
            self._wake(heard)
        self._written(Line(".", self.name, f"ended with {self.socket.code} {self.socket.reason}".rstrip()))
        self._wake(heard)

    def _wake(self, heard: Callable[[], None]) -> None:
        self._changed.set()
        self._changed = trio.Event()
        heard()

    async def _take(self, text: str | bytes) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            message = {"type": "(not JSON)", "text": repr(text[:200])}
        if not isinstance(message, dict):
            message = {"type": "(not an object)", "value": message}
        self.heard.append(message)
        self._written(Line("<", self.name, text if isinstance(text, str) else repr(text[:200])))
        operation = message.get("operation")
        if message.get("type") == "data_sync" and isinstance(operation, dict):
            await self._take_operation(operation, message)
        elif message.get("type") == "sync_confirmation":
            self.answers.setdefault(str(message.get("operation_id")), message)
        elif message.get("type") == "sync_error":
            self.errors.append(message)
            self.answers.setdefault(str(message.get("operation_id")), message)

    async def _take_operation(self, operation: dict[str, Any], message: Message) -> None:
        operation_id = str(operation.get("id"))
        self.delivered[operation_id] += 1
        if operation.get("terminal_id") == self.name:
            self.answers.setdefault(operation_id, message)
        self.apply(operation)
        if self.confirming:
            await self.confirm(operation_id)
        else:
            self._withheld.append(operation_id)

    def apply(self, operation: dict[str, Any]) -> None:
        """Show it: one that came, or its own as it sends it."""
        kind, entity_type, data = operation.get("operation"), str(operation.get("entity_type")), operation.get("data")
        if not isinstance(data, dict):
            return
        if kind == "BULK_UPDATE":
            for item in data.get("updates", ()):
                self.screen.setdefault((entity_type, str(item.get("entity_id"))), {}).update(item.get("data", {}))
            return
        key = (entity_type, str(operation.get("entity_id")))
        version = operation.get("version")
        if isinstance(version, int) and not isinstance(version, bool):
            self.versions[key] = max(self.versions.get(key, 0), version)
        if kind == "CREATE":
            self.screen[key] = dict(data)
        elif kind == "UPDATE":
            self.screen.setdefault(key, {}).update(data)
        elif kind == "DELETE":
            self.screen.pop(key, None)

    # ------------------------------------------------------------------ waiting

    async def wait(self, wanted: Callable[[Message], object], patience: float, since: int = 0) -> Message | None:
        """The first message from number `since` on that is wanted; None after `patience` seconds, or at the end."""
        with trio.move_on_after(patience):
            while True:
                for message in self.heard[since:]:
                    if wanted(message):
                        return message
                since = len(self.heard)
                if self.code is not None:
                    return None
                await self._changed.wait()
        return None

    async def wait_for(self, kind: str, patience: float, since: int = 0) -> Message | None:
        """As `wait`: the first message of this type."""
        return await self.wait(lambda message: message.get("type") == kind, patience, since)

    async def ended(self, patience: float) -> int | None:
        """The code it ends with; None if it goes on."""
        with trio.move_on_after(patience):
            while self.code is None:
                await self._changed.wait()
        return self.code

    # ------------------------------------------------------------------ sending

    async def send(self, message: object) -> None:
        text = json.dumps(message, ensure_ascii=False)
        self._written(Line(">", self.name, text))
        await self.socket.send(text)

    async def send_raw(self, raw: bytes, said: str) -> None:
        """Bytes of frames. said: what they are, for the transcript."""
        self._written(Line(">", self.name, said))
        await self.socket.send_bytes(raw)

    async def send_text(self, text: str) -> None:
        await self.send_raw(frame(text.encode()), text)

    async def ping(self) -> None:
        await self.send({"type": "ping", "timestamp": iso(time.time())})

    async def confirm(self, operation_id: str) -> None:
        message = {"type": "sync_confirmation", "operation_id": operation_id, "terminal_id": self.name}
        await self.socket.send(json.dumps({**message, "timestamp": iso(time.time())}))

    async def confirm_all(self) -> None:
        """Confirm what was held back, and everything from now on."""
        self.confirming = True
        for operation_id in self._withheld:
            await self.confirm(operation_id)
        self._withheld.clear()

    def operation(
        self,
        operation_id: str,
        entity_type: str,
        entity_id: str | None,
        operation: str,
        data: dict[str, Any],
        version: int | None = None,
        **other: object,
    ) -> dict[str, Any]:
        """A documented operation, with every field. version: else that in `data`, else one more than was seen."""
        key = (entity_type, str(entity_id))
        version = version or data.get("version") or self.versions.get(key, 0) + 1
        if operation != "BULK_UPDATE":
            data = {**data, "version": data.get("version", version)}
        whole: dict[str, Any] = {
            "id": operation_id,
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": operation,
            "data": data,
            "version": version,
            "timestamp": other.get("timestamp") or clock(),
            "terminal_id": self.name,
            "user_id": self.user,
            "requires_lock": entity_type in LOCKED_TYPES,
            "priority": PRIORITIES.get(entity_type, "medium"),
        }
        if entity_id is None:
            del whole["entity_id"]
        return {**whole, **other}

    # ------------------------------------------------------------------ leaving

    async def leave(self, patience: float = 3.0) -> None:
        """The closing handshake, and the end of the connection."""
        await self.socket.say_goodbye()
        if await self.ended(patience) not in (None, NO_CLOSE_FRAME):
            with trio.move_on_after(HANG_UP_S):
                await self.socket.hung_up()
        await self.socket.drop()

    async def drop(self) -> None:
        """Hang up without a word, as a tablet whose battery is out."""
        self._written(Line(".", self.name, "hangs up without a close frame"))
        await self.socket.drop()
