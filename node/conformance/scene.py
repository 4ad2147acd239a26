"""What a rule works with: terminals, names of its own, operations and what became of them."""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import frozen

from node.conformance.broken import Broken
from node.conformance.expect import Message, given, same, that
from node.conformance.expect import seconds as seconds_of
from node.conformance.terminal import Line, Terminal, clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from node.conformance.subject import Seat, Subject

Found = TypeVar("Found")

MOST_LINES = 400
NOISE = (
    "data_sync",
    "audit_log",
    "sync_conflict",
    "conflict_resolution",
    "terminal_status_update",
    "performance_metrics",
)
"""What a node also sends about things that are not the rule's; of these, only lines with its own ids are kept."""

_scenes = itertools.count(1)


@frozen
class Fate:
    """What became of an operation. status: stored, refused, conflict or silent. answer: what said so."""

    status: str
    operation: dict[str, Any]
    answer: Message | None

    @property
    def stored(self) -> bool:
        return self.status == "stored"


class Scene:
    """One rule's run against the subject.

    transcript: what was sent, what came, oldest first. seats: the terminals that are here, and as whom. nursery: for
    what a rule starts beside itself; it is cancelled with the rule's end.
    """

    def __init__(self, subject: Subject, nursery: trio.Nursery) -> None:
        self.subject, self.patience, self.slow = subject, subject.patience, subject.slow
        self.transcript: deque[Line] = deque(maxlen=MOST_LINES)
        self._tag = f"{subject.run}.{next(_scenes)}."
        self._numbers = itertools.count(1)
        self.nursery = nursery
        self.seats: list[tuple[Terminal, Seat]] = []
        self._past: list[Terminal] = []
        self._changed = trio.Event()

    # ------------------------------------------------------------------ who

    async def terminal(
        self,
        kind: str = "pos",
        *,
        user: str | None = "user-1",
        again: Terminal | None = None,
        fresh: bool = False,
        confirming: bool = True,
        deflate: bool = False,
        subprotocol: str | None = None,
        suffix: str = "",
    ) -> Terminal:
        """A terminal that has been greeted. again: one that was here and is connected again, under the same id.

        Raises Broken when it is not greeted, Refused when there is no WebSocket.
        """
        if again is not None:
            seat = next(seat for terminal, seat in self.seats if terminal is again)
            self.seats = [(terminal, seat) for terminal, seat in self.seats if terminal is not again]
            self._past.append(again)
        else:
            seat = self.subject.take(kind, fresh=fresh)
        path = self.subject.path(seat.name, seat.kind, user) + suffix
        try:
            socket = await self.subject.connect(path, seat.token, subprotocol=subprotocol, deflate=deflate)
        except BaseException:
            self.seats += [(again, seat)] if again is not None else []
            raise
        terminal = Terminal(seat.name, seat.kind, user, socket, self._write_down)
        terminal.confirming = confirming
        self.seats.append((terminal, seat))
        self.nursery.start_soon(terminal.run, self._wake)
        greeting = await terminal.wait(lambda message: True, self.patience)
        if greeting is None or greeting.get("type") != "connection_established":
            came = greeting or (f"close {terminal.code}" if terminal.code else "nothing")
            raise Broken("connection_established, as the first message", came)
        terminal.offset = seconds_of(greeting.get("server_time"), "server_time") - time.time()
        return terminal

    async def terminals(self, *kinds: str) -> list[Terminal]:
        return [await self.terminal(kind) for kind in kinds]

    async def come_back(self, terminal: Terminal, **how: Any) -> Terminal:
        """Connect again under the same id, trying until the patience ends, as the document's client does."""
        with trio.move_on_after(self.patience):
            while True:
                try:
                    return await self.terminal(again=terminal, user=terminal.user, **how)
                except Broken as broken:
                    failure: Exception = broken
                    terminal = self.seats[-1][0]
                except Exception as refused:
                    failure = refused
                await trio.sleep(0.05)
        raise Broken(f"{terminal.name} is greeted again within {self.patience:g} s", str(failure))

    async def end(self) -> None:
        """Everybody leaves, and is free for the next rule."""
        for terminal, seat in self.seats:
            politely = terminal.code is None
            await terminal.leave()
            if (politely and terminal.code == 1000) or seat.token:
                self.subject.give_back(seat)
        for terminal in self._past:
            await terminal.socket.drop()

    # ------------------------------------------------------------------ names and time

    def name(self, what: str) -> str:
        """An id that nobody else has."""
        return f"{what}-{self._tag}{next(self._numbers)}"

    def note(self, text: str) -> None:
        self.transcript.append(Line(".", "", text))

    def _write_down(self, line: Line) -> None:
        mine = line.way != "<" or self._tag in line.text or not any(word in line.text[:60] for word in NOISE)
        if mine:
            self.transcript.append(line)

    async def until(self, found: Callable[[], Found], patience: float | None = None) -> Found:
        """Until something the terminals heard makes this true; its last value, true or not."""
        with trio.move_on_after(self.patience if patience is None else patience):
            while not (value := found()):
                await self._changed.wait()
            return value
        return found()

    async def poll(self, ask: Callable[[], Awaitable[Found]], patience: float | None = None) -> Found:
        """Ask until the answer is true; the last one, true or not."""
        end = trio.current_time() + (self.patience if patience is None else patience)
        while True:
            value = await ask()
            if value or trio.current_time() > end:
                return value
            await trio.sleep(0.02)

    async def passes(self, at: object, terminal: Terminal) -> None:
        """Until the node's clock is past this time (`expires_at`)."""
        left = seconds_of(at, "expires_at") - time.time() - terminal.offset
        that(left < self.slow, f"a time within {self.slow:g} s", at)
        await trio.sleep(max(0.0, left) + 0.1)

    async def within(self, ask: Callable[[], Awaitable[Found]]) -> Found | None:
        """What comes of it within the patience; None when nothing does."""
        with trio.move_on_after(self.patience):
            return await ask()
        return None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    # ------------------------------------------------------------------ operations

    async def write(
        self,
        author: Terminal,
        entity_type: str,
        entity_id: str | None,
        operation: str,
        data: dict[str, Any],
        *,
        locking: bool = True,
        **fields: Any,
    ) -> Fate:
        """Send an operation, and what became of it. locking: take the lock where the node asks for one."""
        whole = author.operation(self.name("op"), entity_type, entity_id, operation, data, **fields)
        return await self.submit(author, whole, locking=locking)

    async def submit(self, author: Terminal, operation: dict[str, Any], *, locking: bool = True) -> Fate:
        fate = await self._fate(author, operation)
        refused = fate.status == "refused" and "lock" in str((fate.answer or {}).get("error", "")).lower()
        if not (refused and locking and operation.get("requires_lock")):
            return fate
        lock_id, _ = await self.lock(author, operation["entity_type"], operation["entity_id"])
        fate = await self._fate(author, {**operation, "id": self.name("op"), "timestamp": clock()})
        await author.send({"type": "release_lock", "lock_id": lock_id, "terminal_id": author.name})
        return fate

    async def _fate(self, author: Terminal, operation: dict[str, Any]) -> Fate:
        operation_id, heard, errors = operation["id"], len(author.heard), len(author.errors)
        author.answers.pop(operation_id, None)
        others = [terminal for terminal, _ in self.seats if terminal is not author]
        before = {terminal.name: terminal.delivered[operation_id] for terminal in others}
        author.apply(operation)
        await author.send({"type": "data_sync", "operation": operation})

        def answer() -> Fate | None:
            said = author.answers.get(operation_id)
            if said is not None:
                return Fate("refused" if said["type"] == "sync_error" else "stored", operation, said)
            nameless = [error for error in author.errors[errors:] if error.get("operation_id") is None]
            if nameless:
                return Fate("refused", operation, nameless[0])
            for message in author.heard[heard:]:
                if message.get("type") == "sync_conflict" and about(message, operation.get("entity_id")):
                    return Fate("conflict", operation, message)
            if any(terminal.delivered[operation_id] > before[terminal.name] for terminal in others):
                return Fate("stored", operation, None)
            return Fate("silent", operation, None) if author.code is not None else None

        found = await self.until(answer)
        return found or Fate("silent", operation, None)

    async def stored(
        self,
        author: Terminal,
        entity_type: str,
        entity_id: str | None,
        operation: str,
        data: dict[str, Any],
        **how: Any,
    ) -> Fate:
        """An operation that must be accepted. Raises Broken."""
        fate = await self.write(author, entity_type, entity_id, operation, data, **how)
        came = fate.answer or f"no answer (close code {author.code})"
        that(fate.stored, f"{operation} of {entity_type} is accepted", came)
        return fate

    async def created(
        self, author: Terminal, entity_type: str, data: dict[str, Any] | None = None, **how: Any
    ) -> str:
        """A new entity; its id. Raises Broken."""
        entity_id = self.name(entity_type.removesuffix("s"))
        data = {"id": entity_id, **({"status": "pending"} if data is None else data)}
        await self.stored(author, entity_type, entity_id, "CREATE", data, version=1, **how)
        return entity_id

    async def lock(
        self, terminal: Terminal, entity_type: str, entity_id: str, lease_ms: int = 30_000
    ) -> tuple[str, Message]:
        """Ask for a lock; its id, and the answer. Raises Broken when none comes."""
        lock_id, heard = self.name("lock"), len(terminal.heard)
        entity = {"entity_type": entity_type, "entity_id": entity_id}
        asked = {"type": "acquire_lock", **entity, "terminal_id": terminal.name, "timeout": lease_ms}
        await terminal.send({**asked, "lock_id": lock_id})

        def answers(message: Message) -> bool:
            kind = message.get("type")
            return kind in ("lock_acquired", "lock_failed") and message.get("entity_id") == entity_id

        found = await terminal.wait(answers, self.patience, heard)
        return lock_id, given(found, "lock_acquired or lock_failed")

    # ------------------------------------------------------------------ what terminals show

    async def delivered(self, fate: Fate, *watchers: Terminal) -> None:
        """The operation reaches every one of them. Raises Broken."""
        for watcher in watchers:
            wanted = str(fate.operation["id"])
            came = await self.until(lambda who=watcher, wanted=wanted: who.delivered[wanted])  # type: ignore[misc]
            that(came, f"data_sync of {wanted} reaches {watcher.name}", "nothing")

    async def shows(self, watcher: Terminal, entity_type: str, entity_id: str, **fields: object) -> dict[str, Any]:
        """It shows the entity with these fields; the entity. Raises Broken."""
        key = (entity_type, entity_id)

        def shown() -> bool:
            entity = watcher.screen.get(key)
            return entity is not None and all(
                name in entity and same(entity[name], value) for name, value in fields.items()
            )

        if not await self.until(shown):
            came = watcher.screen.get(key, "no such entity")
            raise Broken(f"{watcher.name} shows {entity_type} {entity_id} with {fields}", came)
        return watcher.screen[key]

    def gone(self, watcher: Terminal, entity_type: str, entity_id: str) -> None:
        """It no longer shows the entity. Raises Broken."""
        shown = watcher.screen.get((entity_type, entity_id))
        that(shown is None, f"{watcher.name} does not show {entity_type} {entity_id}", shown)

    async def settled(self, entity_type: str, author: Terminal, *watchers: Terminal) -> None:
        """Whatever was written before has reached the watchers: a marker that the author writes last has."""
        fate = await self.stored(author, entity_type, self.name("marker"), "CREATE", {"name": "marker"}, version=1)
        await self.delivered(fate, *watchers)

    async def alive(self, terminal: Terminal) -> None:
        """It is still served: a ping is answered. Raises Broken."""
        heard = len(terminal.heard)
        await terminal.ping()
        pong = await terminal.wait_for("pong", self.patience, heard)
        that(pong, f"{terminal.name} is still served", f"no pong, close code {terminal.code}")


def about(message: Message, entity_id: object) -> bool:
    """Whether a sync_conflict is about this entity."""
    conflict = message.get("conflict")
    return isinstance(conflict, dict) and conflict.get("entity_id") == entity_id


def is_error(message: Message) -> bool:
    """An answer that says something went wrong, whatever its type."""
    kind = str(message.get("type", ""))
    return "error" in kind or "fail" in kind or "error" in message
