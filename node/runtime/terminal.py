"""A small terminal over a real socket: what publishes lists, what the demo's people run on, and
each command that speaks as a terminal.

It has the plain client's screen (node/screen.py) and confirms each row it is sent, unless it only writes. What it
writes while it is offline it keeps, and sends it again until it is answered. Lock requests and resolutions are not
kept: they are questions to the node as it is now.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
import trio

from node.clock import timestamp
from node.runtime.net.client import ClientConnection, ConnectError, connect
from node.screen import Screen
from node.wire.close_codes import FOR_GOOD, NORMAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from node.runtime.net.tls import Trust

PATIENCE_S = 20.0
"""How long a terminal waits for something before it gives up."""


def converse(talk: Callable[[trio.Nursery], Awaitable[str | None]]) -> str | None:
    """Run what terminals and a node say to each other. Returns why it ended before its end, for people.

    talk: with the nursery that terminals come online in; returns the same, or raises what `Terminal` does.
    """

    async def run() -> str | None:
        async with trio.open_nursery() as nursery:
            try:
                return await talk(nursery)
            except trio.TooSlowError:  # out of the nursery as text, not as a group
                return "o nó não respondeu / the node did not answer"
            except ValueError as error:
                return str(error)
            finally:
                nursery.cancel_scope.cancel()

    return trio.run(run)


class Terminal:
    """One terminal.

    name, kind, user: its id, its type and who works on it. listen: called with every message it is sent.
    inbox: all messages so far. pending: its operations without an answer, by id. confirmed: ids of its operations
    that the node says are durable. ended: close code and reason of its last connection.
    reads: it shows and confirms what it is sent, and keeps it; else it is for whoever only writes, and much.
    realm: of which store it is, where the node keeps several.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        user: str,
        listen: Callable[[Terminal, dict[str, Any]], None],
        *,
        reads: bool = True,
        realm: str | None = None,
    ) -> None:
        self.name, self.kind, self.user, self._realm = name, kind, user, realm
        self._reads = reads
        self.screen = Screen()
        self.inbox: list[dict[str, Any]] = []
        self.pending: dict[str, dict[str, Any]] = {}
        self.confirmed: set[str] = set()
        self.ended: tuple[int, str] | None = None
        self._listen = listen
        self._numbers = itertools.count(1)
        self._connection: ClientConnection | None = None
        self._changed = trio.Event()

    @property
    def online(self) -> bool:
        return self._connection is not None

    @property
    def turned_away(self) -> str | None:
        """Why it would be turned away again, as it was."""
        return "{} {}".format(*self.ended) if self.ended is not None and self.ended[0] in FOR_GOOD else None

    # ------------------------------------------------------------------ connection

    async def come_online(
        self,
        url: str,
        nursery: trio.Nursery,
        token: str | None = None,
        control: Path | None = None,
        trust: Trust | None = None,
    ) -> None:
        """Connect, trying again until the node answers, and flush what was written meanwhile.

        control: a data directory, whose control socket is connected to instead of the URL's host. trust: as `connect`
        of the runtime takes it.

        Raises trio.TooSlowError.
        """
        headers = [("Authorization", f"Bearer {token}")] if token else []
        query = urlencode(
            {"type": self.kind, "user_id": self.user, **({"realm": self._realm} if self._realm else {})}
        )
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    address = f"{url}/ws/{quote(self.name, safe='')}?{query}"
                    connection = await connect(address, headers=headers, control=control, trust=trust)
                except ConnectError:
                    await trio.sleep(0.05)
                    continue
                break
        connection.on_text = self._received
        self._connection = connection
        nursery.start_soon(self._run, connection)
        for operation in self.pending.values():
            self._send({"type": "data_sync", "operation": operation})

    async def _run(self, connection: ClientConnection) -> None:
        self.ended = await connection.run()
        if self._connection is connection:
            self._connection = None
        self._wake()

    async def go_offline(self) -> None:
        if self._connection is not None:
            self._connection.close(NORMAL, "")
            await self.cut_off()

    async def cut_off(self) -> None:
        """Until the connection has ended. Raises trio.TooSlowError."""
        await self.until(lambda: not self.online)

    # ------------------------------------------------------------------ sending

    def _send(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            self._connection.send_text(orjson.dumps(message))

    def write(self, entity_type: str, entity_id: str, kind: str, data: dict[str, Any]) -> str:
        """One operation, shown here at once, kept until it is confirmed; its id."""
        operation = {
            "id": f"{self.name}-{next(self._numbers)}",
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": kind,
            "data": data,
            "timestamp": timestamp(),
            "terminal_id": self.name,
            "user_id": self.user,
        }
        self.screen.apply(operation)
        self.submit(operation)
        return str(operation["id"])

    def submit(self, operation: dict[str, Any]) -> None:
        """Send an operation as it is, and keep it until it is answered."""
        self.pending[operation["id"]] = operation
        self._send({"type": "data_sync", "operation": operation})

    def confirm(self, operation_id: str) -> None:
        """Say that a row has arrived and is shown."""
        self._send({"type": "sync_confirmation", "operation_id": operation_id, "terminal_id": self.name})

    def say(self, message: dict[str, Any]) -> None:
        """Send any message as it is. It is not kept."""
        self._send(message)

    def resolve(self, conflict_id: str, resolution: str, **more: object) -> None:
        """more: `resolved_data`, or an `id` to be answered by."""
        message = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": resolution}
        self._send({**message, **more})

    async def acquire(self, entity_type: str, entity_id: str, timeout_ms: int = 30_000) -> dict[str, Any]:
        """Ask for a lock; the node's `lock_acquired` or `lock_failed`. Raises trio.TooSlowError."""
        entity = {"entity_type": entity_type, "entity_id": entity_id}
        asked = {"type": "acquire_lock", **entity, "terminal_id": self.name, "timeout": timeout_ms}
        return await self._ask(asked, entity, "lock_acquired", "lock_failed")

    async def release(self, lock_id: str) -> dict[str, Any]:
        """Give a lock back; the node's `lock_released`. Raises trio.TooSlowError."""
        lock = {"lock_id": lock_id}
        return await self._ask({"type": "release_lock", **lock, "terminal_id": self.name}, lock, "lock_released")

    async def _ask(self, message: dict[str, Any], about: dict[str, Any], *answers: str) -> dict[str, Any]:
        heard = len(self.inbox)

        def found() -> list[dict[str, Any]]:
            new = (m for m in self.inbox[heard:] if m["type"] in answers)
            return [m for m in new if about.items() <= m.items()]

        self._send(message)
        await self.until(lambda: bool(found()))
        return found()[0]

    # ------------------------------------------------------------------ receiving

    def heard(self, type_: str) -> list[dict[str, Any]]:
        """The messages of a type that it got, in order."""
        return [message for message in self.inbox if message["type"] == type_]

    def _received(self, text: str) -> None:
        message = orjson.loads(text)
        if self._reads:
            self.inbox.append(message)
        match message["type"]:
            case "data_sync" if self._reads:
                operation = message["operation"]
                self.screen.apply(operation)
                self.confirm(operation["id"])
            case "sync_confirmation":
                self.confirmed.add(message["operation_id"])
                self.pending.pop(message["operation_id"], None)
            case "sync_error":
                self.pending.pop(message["operation_id"], None)
        self._listen(self, message)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
        """Wait until `condition` holds. Raises trio.TooSlowError."""
        with trio.fail_after(seconds):
            while not condition():
                await self._changed.wait()

    async def all_confirmed(self) -> None:
        await self.until(lambda: not self.pending)

    async def answer(self, operation_id: str) -> dict[str, Any]:
        """What the node says to an operation, `sync_confirmation` or `sync_error`. Raises trio.TooSlowError."""
        await self.until(lambda: operation_id not in self.pending)
        return next(
            message
            for message in reversed(self.inbox)
            if message["type"] in ("sync_confirmation", "sync_error") and message["operation_id"] == operation_id
        )
