"""A terminal under trio: the core's decisions carried out on a socket, a queue on disk and a clock."""

from __future__ import annotations

import json
import random
import ssl
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import trio

from node.client.core import Core
from node.client.reading import message_of
from node.client.screen import DOCUMENTED_COUNTERS
from node.client.socket import NO_CLOSE_FRAME, NotConnected, dialled
from node.client.store import MemoryQueue, Queue, StoreError, opened
from node.client.values import Contact, Event, Fields, Heard, Lock, Operation, Row, State, Waits, text_of

if TYPE_CHECKING:
    from node.client.ready import Ready
    from node.client.values import Message


class Wire(Protocol):
    """A connection: the calls of `node.client.socket.Socket`."""

    @property
    def code(self) -> int: ...

    @property
    def reason(self) -> str: ...

    async def receive(self) -> list[str]: ...

    async def send(self, texts: list[str]) -> None: ...

    async def goodbye(self) -> None: ...

    async def drop(self) -> None: ...


Dial = Callable[[str, Mapping[str, str], Callable[[], None]], Awaitable[Wire]]
"""Connects to a URL with these headers; what to call whenever bytes come. Raises NotConnected."""

MOST_WAITING = 4_096
"""Events that wait for the program; above that, what is only heard is left out."""


class LockRefused(Exception):
    """Somebody else has the lock, or it cannot be had. lock: with `locked_by`, `locked_until`, `error`, `code`."""

    def __init__(self, lock: Lock) -> None:
        super().__init__(lock.error or lock.state)
        self.lock = lock


class Terminal:
    """What a program has of its terminal. Made by `connect`.

    It may be iterated by one task: `async for event in terminal`. Events are told from then on, and a row is
    confirmed when the program asks for what comes after it, so go on iterating. For a program that never iterates,
    rows are confirmed once they are in the live set. trouble: why there is no contact just now.
    """

    def __init__(
        self,
        url: str,
        terminal_id: str,
        terminal_type: str,
        *,
        core: Core,
        queue: Queue,
        token: str | None,
        realm: str | None,
        dial: Dial,
        wall: Callable[[], float],
    ) -> None:
        self.terminal_id = terminal_id
        self.trouble: str | None = None
        self._url, self._type, self._token, self._dial = url.rstrip("/"), terminal_type, token, dial
        self._realm = realm
        self._core, self._queue, self._wall = core, queue, wall
        self._disk = trio.Lock()
        self._outbox: deque[str] = deque()
        self._events: deque[tuple[Event, str | None, int]] = deque()
        self._iterating = False
        self._taken: tuple[str | None, int] = (None, 0)
        self._changed, self._more, self._resumed = trio.Event(), trio.Event(), trio.Event()
        self._connection = 0
        """Numbers the connections: a row of an earlier one is not confirmed on the next."""
        self._socket: Wire | None = None
        self._scope = trio.CancelScope()
        self._why: str | None = None
        self._not_removed: list[Operation] = []

    # ------------------------------------------------------------------ writing

    async def create(self, entity_type: str, entity_id: str, data: Fields, **more: Any) -> Operation:
        """Make an entity."""
        return await self.write("CREATE", entity_type, entity_id, data, **more)

    async def update(self, entity_type: str, entity_id: str, data: Fields, **more: Any) -> Operation:
        """Write these fields of an entity; the others stay."""
        return await self.write("UPDATE", entity_type, entity_id, data, **more)

    async def delete(self, entity_type: str, entity_id: str, **more: Any) -> Operation:
        """Remove an entity."""
        return await self.write("DELETE", entity_type, entity_id, {}, **more)

    async def update_all(self, entity_type: str, updates: Mapping[str, Fields], **more: Any) -> Operation:
        """Update many entities, all of them or none. updates: by entity id."""
        items = [{"entity_id": entity_id, "data": data} for entity_id, data in updates.items()]
        return await self.write("BULK_UPDATE", entity_type, None, {"updates": items}, **more)

    async def write(
        self,
        kind: str,
        entity_type: str,
        entity_id: str | None,
        data: Message,
        *,
        label: str | None = None,
        **more: object,
    ) -> Operation:
        """Write an operation: on disk when this returns, shown, and sent as soon as there is contact.

        label: the program's own name for it. more: further members of the operation, such as `lock_id`.
        Raises ValueError for what is no JSON, and StoreError where it cannot be kept; then it was not written.
        """
        made = self._core.operation(str(uuid.uuid4()), self._now(), kind, entity_type, entity_id, data, label, **more)
        return await self._put(made)

    async def resolve(
        self, conflict_id: str, resolution: str, data: Fields | None = None, *, label: str | None = None
    ) -> Operation:
        """Decide a conflict: accept_local, accept_remote, or merge with `data`."""
        made = self._core.resolution(str(uuid.uuid4()), conflict_id, resolution, data, label)
        return await self._put(made)

    async def retry(self, operation: Operation) -> None:
        """Try a refused operation once more, under its first id."""
        if operation.state is not State.REFUSED:
            raise ValueError(f"it is {operation.state.value}")
        await self._put(operation)

    async def _put(self, made: Operation) -> Operation:
        made.message = json.loads(text_of(made.message))  # the caller may change its own
        async with self._disk:
            await self._queue.put(made)
            self._carry_out(self._core.wrote(made, trio.current_time()))
        return made

    async def answer(self, operation: Operation) -> Operation:
        """Wait until an operation is confirmed, in conflict or refused."""
        await self._until(lambda: operation.state.final)
        return operation

    # ------------------------------------------------------------------ looking

    def entities(self, entity_type: str) -> dict[str, Fields]:
        """What is shown of a type, by id: the node's rows, and own unanswered writes over them."""
        return self._core.screen.entities(entity_type)

    def entity(self, entity_type: str, entity_id: str) -> Fields | None:
        return self._core.screen.entity(entity_type, entity_id)

    @property
    def unanswered(self) -> list[Operation]:
        """In the order in which they were made."""
        return list(self._core.queue.values())

    @property
    def conflicts(self) -> dict[str, Message]:
        """Open conflicts that this terminal was told of, by id."""
        return dict(self._core.conflicts)

    @property
    def connected(self) -> bool:
        return self._core.up

    async def contact(self) -> None:
        """Wait until the node has greeted this terminal."""
        await self._until(lambda: self._core.up)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def __aiter__(self) -> Terminal:
        self._iterating = True
        return self

    async def __anext__(self) -> Event:
        self._confirm_taken()
        while not self._events:
            await self._changed.wait()
        event, row, connection = self._events.popleft()
        self._taken = (row, connection)
        return event

    def _confirm_taken(self) -> None:
        (operation_id, connection), self._taken = self._taken, (None, 0)
        if operation_id is not None and connection == self._connection and self._core.open:
            self._send(self._core.taken(operation_id, self._now()))

    # ------------------------------------------------------------------ locks

    @asynccontextmanager
    async def lock(
        self, entity_type: str, entity_id: str, *, timeout_s: float = 30.0, breaks: str | None = None
    ) -> AsyncIterator[Lock]:
        """Hold a lock, and give it back. breaks: the terminal from which it is taken. Raises LockRefused.

        Where there is no contact this waits for it. See `holds` for whether it is still held. Giving it back does
        not wait until the node has heard: what this terminal sends next comes behind it.
        """
        lock_id = str(uuid.uuid4())
        lock, ready = self._core.lock(lock_id, (entity_type, entity_id), timeout_s, breaks, trio.current_time())
        try:
            self._carry_out(ready)
            await self._until(lambda: lock.state != "asked")
            if lock.state != "held":
                raise LockRefused(lock)
            yield lock
        finally:
            self._carry_out(self._core.release(lock))

    def holds(self, lock: Lock) -> bool:
        """Whether a lock is surely held at this moment."""
        return lock.held(trio.current_time())

    # ------------------------------------------------------------------ the connection

    def reconnect(self, token: str | None = None) -> None:
        """Dial now: after the cause of a 4001, 4002 or 4003 was mended, or instead of waiting. token: a new one."""
        self._token = token or self._token
        self._core.resume()
        self._resumed.set()

    async def run(self) -> None:
        """Keep a connection for ever."""
        while True:
            code, self.trouble = await self._one_connection()
            delay, ready = self._core.ended(code, self.trouble, random.random())
            self._carry_out(ready)
            self._resumed = trio.Event()
            with trio.move_on_after(inf if delay is None else delay):
                await self._resumed.wait()

    async def _one_connection(self) -> tuple[int | None, str]:
        """How it ended: code and reason."""
        query = {"type": self._type}
        if self._realm is not None:
            query["realm"] = self._realm
        if self._core.user_id is not None:
            query["user_id"] = self._core.user_id
        if self._core.full:
            query["sync"] = "full"
        url = f"{self._url}/ws/{quote(self.terminal_id, safe='')}?{urlencode(query)}"
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            with trio.fail_after(self._core.waits.connect):
                socket = await self._dial(url, headers, lambda: self._core.heard(trio.current_time()))
        except NotConnected as error:
            return None, str(error)
        except trio.TooSlowError:
            return None, "no answer in time"
        self._connection += 1
        self._socket, self._why, self._scope = socket, None, trio.CancelScope()
        self._outbox.clear()
        try:
            with self._scope:
                self._carry_out(self._core.opened(trio.current_time()))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_out, socket)
                    nursery.start_soon(self._watch_time)
                    await self._read(socket)
                    nursery.cancel_scope.cancel()
        finally:
            self._socket = None
            await socket.drop()
        return (socket.code, socket.reason) if self._why is None else (NO_CLOSE_FRAME, self._why)

    async def _read(self, socket: Wire) -> None:
        while texts := await socket.receive():
            messages: list[Message] = []
            for text in texts:
                message = message_of(text)
                if message is None:
                    break
                messages.append(message)
            await self._take(messages)
            if len(messages) < len(texts):
                self._hang_up("the node sent what is no message")

    async def _take(self, messages: list[Message]) -> None:
        """Whole even where the connection ends meanwhile: the core does not say a second time what came of them."""
        batch = [self._core.received(message, trio.current_time()) for message in messages]
        with trio.CancelScope(shield=True):
            await self._remove([operation for ready in batch for operation in ready.settled])
        for ready in batch:
            self._carry_out(ready)

    async def _remove(self, settled: list[Operation]) -> None:
        """What cannot be removed now is removed with the next: sent again, it would be a duplicate."""
        if not settled:
            return
        async with self._disk:
            self._not_removed += [one for one in settled if one.state.final]
            try:
                await self._queue.remove(tuple(self._not_removed))
            except StoreError as error:
                self.trouble = f"the queue: {error}"
            else:
                self._not_removed.clear()

    async def _write_out(self, socket: Wire) -> None:
        while True:
            if not self._outbox:
                self._more = trio.Event()
                await self._more.wait()
            texts = list(self._outbox)
            self._outbox.clear()
            await socket.send(texts)

    async def _watch_time(self) -> None:
        while True:
            due = self._core.next_due()
            with trio.move_on_at(inf if due is None else due):
                await self._changed.wait()
                continue
            self._carry_out(self._core.due(trio.current_time(), self._now()))

    def _now(self) -> str:
        return iso(self._wall())

    def _hang_up(self, why: str) -> None:
        self._why = why
        self._scope.cancel()

    # ------------------------------------------------------------------ carrying out

    def _send(self, message: Message) -> None:
        self._outbox.append(text_of(message))
        self._more.set()

    def _carry_out(self, ready: Ready) -> None:
        """Send and tell; what is to be kept was kept before."""
        for message in ready.send:
            self._send(message)
        for event in ready.tell:
            if isinstance(event, Contact) and event.up:
                self.trouble = None
            row = ready.confirm if isinstance(event, Row) else None
            if self._iterating:
                if not (isinstance(event, Heard) and len(self._events) >= MOST_WAITING):
                    self._events.append((event, row, self._connection))
            elif row is not None:
                self._send(self._core.taken(row, self._now()))
        if ready.hang_up is not None:
            self._hang_up(ready.hang_up)
        self._changed.set()
        self._changed = trio.Event()

    async def close(self) -> None:
        """Say goodbye to the node."""
        if (socket := self._socket) is not None:
            with trio.move_on_after(self._core.waits.goodbye):
                await socket.goodbye()
                await self._until(lambda: self._socket is not socket)


@asynccontextmanager
async def connect(
    url: str,
    terminal_id: str,
    terminal_type: str,
    *,
    user_id: str | None = None,
    token: str | None = None,
    realm: str | None = None,
    store: str | Path | None = None,
    counters: Mapping[str, Collection[str]] = DOCUMENTED_COUNTERS,
    waits: Waits = Waits(),  # noqa: B008  (frozen)
    tls: ssl.SSLContext | None = None,
    ca: str | Path | None = None,
    dial: Dial | None = None,
    wall: Callable[[], float] = time.time,
) -> AsyncIterator[Terminal]:
    """A terminal of the node at `url` (`ws://localhost:8001`). It works at once, whether or not the node is there.

    store: the file of the queue; without one, what was not answered is lost with the program. realm: which of the
    stores that the node keeps as head office, by its `[node] site`; a queue belongs to a terminal of one of them.
    counters: entity type -> fields in which `{"$inc": n}` is a movement, as the node is configured.
    ca: PEM file of the authorities that vouch for a `wss://` node, in the place of the system's. tls: instead, a
    context of the program's own, which may show a certificate. dial: makes connections that are no sockets, as
    `testing` does. wall: Unix seconds, by which what is written is dated. Raises StoreError; OSError (ssl.SSLError
    too) for a `ca` that cannot be read.
    """
    if ca is not None:
        if tls is not None:
            raise ValueError("ca or tls")
        tls = ssl.create_default_context(cafile=ca)
    owner = terminal_id if realm is None else f"{realm}/{terminal_id}"
    queue: Queue = MemoryQueue() if store is None else await opened(Path(store), owner)
    try:
        unanswered = await queue.unanswered()
        core = Core(terminal_id, user_id, waits=waits, counters=counters, unanswered=unanswered)
        terminal = Terminal(
            url,
            terminal_id,
            terminal_type,
            core=core,
            queue=queue,
            token=token,
            realm=realm,
            dial=dial or partial(dialled, tls=tls),
            wall=wall,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(terminal.run)
            try:
                yield terminal
            finally:
                with trio.move_on_after(waits.goodbye, shield=True):
                    await terminal.close()
                nursery.cancel_scope.cancel()
    finally:
        queue.close()


def iso(seconds: float) -> str:
    """Unix seconds as the protocol writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
