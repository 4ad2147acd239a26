"""The real core over a real store, without sockets and without a clock of its own.

`World` is one node: its disk commits and reads inline when `settle` is called. `Client` is a documented JSON
terminal: it applies `data` in order and nothing else, confirms or does not, answers pings or does not.
"""

from __future__ import annotations

import itertools
from collections import deque
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson
from attrs import evolve

from crdt import hlc
from node.config.sections import Config
from node.core.faults import Torn
from node.core.links.travellers import ANSWER_MS
from node.core.ports import NO_KEY, Disk, Draws, Instant, Surroundings, Unreadable
from node.core.sessions.identity import Identity
from node.core.start import begin, go_on, note_config, note_key
from node.runtime.keys import signatures
from node.screen import Screen
from node.wire.frames import Batch, Outgoing
from storage.records import key64
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from node.core.sessions.session import Session
    from node.rights import Rights
    from storage.records import Commit


START_MS = 1_768_471_200_000  # 2026-01-15T10:00:00Z


class UrgentRead(partial[None]):
    """One that comes before what else there is to do."""


class World(Disk):
    """One node in this process. `crash` forgets everything that was not committed and starts again."""

    read_failures = 0

    def __init__(
        self,
        directory: Path,
        *,
        ring_rows: int = 64,
        window: int = 32,
        resident: int = 1_000,
        node_id: str = "node-a",
        upstream: bool = False,
        config: Config | None = None,
        has_key: bool = True,
    ) -> None:
        self.directory = directory
        self.has_key, self.key_of = has_key, node_id
        self.node_id = node_id
        config = config or Config()
        small = {"ring_rows": ring_rows, "window_rows": window, "resident_entities": resident}
        limits = evolve(config.limits, rate_per_second=10**9, rate_burst=10**9, ring_bytes=2**24, **small)
        links = evolve(config.links, upstream="ws://other" if upstream else None)
        self.config = evolve(config, limits=limits, links=links)
        self.wall_ms, self.mono_ms = START_MS, 0
        self.writers = itertools.count(1_000 + key64(node_id) % 2**30)
        self.ids = itertools.count()
        self.calls: deque[Callable[[], None]] = deque()
        self.timers: list[tuple[int, Callable[[], None]]] = []
        self.failing = False
        self.unreadable: Callable[..., bool] | None = None
        """Of a read's name and arguments: whether it fails."""
        self.boot()

    # ------------------------------------------------------------------ life

    def boot(self) -> None:
        self.store = Store.open(self.directory, self.node_id, self.new_epoch)
        self.reader = Reader(self.store.path)
        boot = self.store.boot()
        writer = int(boot.meta.get("writer", 0)) or next(self.writers)
        self.store.set_meta({"writer": str(writer)})
        note_config(self.store, self.config)
        key = NO_KEY
        if self.has_key:
            key = signatures(self.directory, lambda size: blake2b(self.key_of.encode(), digest_size=size).digest())
            note_key(self.store, boot, key)
        draws = Draws(self.new_epoch, lambda: next(self.writers))
        self.around = Surroundings(self, self, self.now, draws, key, "0.1.0")
        self.core = begin(boot, self.config, self.around, epoch=boot.epoch, writer=writer)
        self.core.instance = ""  # worlds say who they are by their id alone

    def new_epoch(self) -> str:
        return f"{self.node_id}-{next(self.ids):08x}"

    def crash(self) -> None:
        """Power off, power on."""
        self.calls.clear()
        self.timers.clear()
        self.reader.close()
        self.store.abandon()
        self.mono_ms = 0
        self.boot()

    def close(self) -> None:
        self.reader.close()
        self.store.close()

    def now(self) -> Instant:
        return Instant(self.wall_ms, self.mono_ms)

    def advance(self, ms: int) -> None:
        self.wall_ms += ms
        self.mono_ms += ms
        due = [action for at, action in self.timers if at <= self.mono_ms]
        self.timers = [(at, action) for at, action in self.timers if at > self.mono_ms]
        for action in due:
            action()
        self.tick()

    def tick(self) -> None:
        """What the clock does after some time."""
        self.core.tick()

    # ------------------------------------------------------------------ the core's ports

    @property
    def trouble(self) -> str | None:
        return "the disk cannot be read" if self.unreadable is not None else None

    def wake_writer(self) -> None:
        return None

    def start(
        self, read: Callable[..., Any], *arguments: Any, done: Callable[[Any], None], urgent: bool = False
    ) -> None:
        def call() -> None:
            failing = self.unreadable is not None and self.unreadable(read.__name__, *arguments)
            self.read_failures += failing
            try:
                found = Unreadable("the disk cannot be read") if failing else read(*arguments)
            except StorageError as error:
                found = Unreadable(str(error))
            done(found)

        if urgent:
            first = next(
                (n for n, other in enumerate(self.calls) if not isinstance(other, UrgentRead)), len(self.calls)
            )
            self.calls.insert(first, UrgentRead(call))
        else:
            self.calls.append(call)

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        if delay_ms:
            self.timers.append((self.mono_ms + delay_ms, action))
        else:
            self.calls.append(action)

    # ------------------------------------------------------------------ running

    def commit(self) -> None:
        while True:
            try:
                group = self.core.take_group()
            except Torn as error:
                if not self.core.torn(str(error)):
                    return
                self.recover()
                continue
            except Exception as error:
                self.core.failed(str(error))
                return
            if group is None:
                return
            if not group.commit.empty():
                try:
                    self.write(group.commit)
                except StorageError as error:
                    said = self.core.unstorable(error)
                    if said and self.core.torn(said):
                        self.recover()
                        continue
                    if not said:
                        self.core.failed(str(error))
                    return
            try:
                self.core.committed(group)
            except Exception as error:
                self.core.not_finished(group, error)

    def probe(self) -> None:
        self.core.probe_owed()

    def write(self, commit: Commit) -> None:
        if self.failing:
            raise StorageError("disk full")
        self.store.commit(commit)

    def recover(self) -> None:
        go_on(self.core, self.store.boot(), self.config, self.around)

    def settle(self) -> None:
        """Commit and read until nothing is left to do."""
        for _ in range(10_000):
            self.commit()
            if not self.calls:
                if not self.core.replica.log.group.pending() or not self.core.health.ok:
                    self.probe()
                    return
                continue
            self.calls.popleft()()
        raise AssertionError("the node never comes to rest")

    # ------------------------------------------------------------------ looking

    def view(self, entity_type: str) -> dict[str, dict[str, Any]]:
        """Live entities as the node shows them."""
        rows = self.reader.entities(entity_type, None, 100_000)
        return {row.entity_id: orjson.loads(row.view) for row in rows}


class Connection:
    """The node's side of a connection; frames wait here until the client takes them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.outbox_bytes = self.bytes_in = self.bytes_out = 0
        self.frames: deque[bytes | tuple[str, bytes]] = deque()
        self.closed: tuple[int, str] | None = None
        self.paused = False

    def send(self, what: Outgoing | Batch) -> None:
        if self.closed is not None:
            return
        for message in what.messages if isinstance(what, Batch) else (what,):
            self.frames.append(message.payload)
            self.outbox_bytes += len(message.payload)
            self.bytes_out += len(message.payload)

    def ping(self, payload: bytes) -> None:
        if self.closed is None:
            self.frames.append(("ping", payload))

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Client:
    """A documented terminal. confirms: sends sync_confirmation. pongs: its library answers pings. by_position: speaks
    the subprotocol, and confirms the last row of what it took at once."""

    def __init__(
        self,
        world: World,
        name: str,
        kind: str = "pos",
        *,
        confirms: bool = True,
        pongs: bool = True,
        by_position: bool = False,
    ) -> None:
        self.world, self.name, self.kind = world, name, kind
        self.confirms, self.pongs, self.by_position = confirms, pongs, by_position
        self.screen = Screen()
        self.inbox: list[dict[str, Any]] = []
        self.unanswered: dict[str, dict[str, Any]] = {}
        self.session: Session | None = None
        self.numbers = itertools.count()

    def connect(self, *, full: bool = False, rights: Rights | None = None) -> Client:
        """rights: of its token."""
        self.connection = Connection(self)
        identity = Identity(self.name, self.kind, "user-1", f"session-{next(self.world.ids)}")
        self.session = self.world.core.sessions.connect(
            identity, self.connection, full=full, by_position=self.by_position, rights=rights
        )
        return self

    def disconnect(self) -> None:
        if self.session is not None:
            self.world.core.sessions.disconnect(self.session)
            self.session = None

    # ------------------------------------------------------------------ sending

    def send(self, message: dict[str, Any]) -> None:
        assert self.session is not None
        self.session.receive(orjson.dumps(message).decode())

    def operation(
        self, entity_type: str, entity_id: str | None, kind: str, data: dict[str, Any], **extra: Any
    ) -> dict[str, Any]:
        self.world.advance(1)
        operation = {
            "id": f"{self.name}.op-{next(self.numbers)}",
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": kind,
            "data": data,
            "timestamp": hlc.iso(self.world.wall_ms),
            "terminal_id": self.name,
            **extra,
        }
        if entity_id is None:
            del operation["entity_id"]
        return operation

    def write(self, entity_type: str, entity_id: str | None, kind: str, data: dict[str, Any], **extra: Any) -> str:
        """Send an operation, after showing it on this client's own screen; returns its id."""
        operation = self.operation(entity_type, entity_id, kind, data, **extra)
        self.submit(operation)
        return str(operation["id"])

    def submit(self, operation: dict[str, Any]) -> None:
        self.unanswered[operation["id"]] = operation
        self.screen.apply(operation)
        self.send({"type": "data_sync", "operation": operation})

    def flush(self, *, show: bool = True) -> None:
        """Right after a reconnect: send again what nothing was heard of. show: also on this client's screen."""
        for operation in self.unanswered.values():
            if show:
                self.screen.apply(operation)
            self.send({"type": "data_sync", "operation": operation})

    def do(
        self, entity_type: str, entity_id: str | None, kind: str, data: dict[str, Any], **extra: Any
    ) -> dict[str, Any]:
        """Write, let everything settle, and return the answer about this operation.

        The first write of a terminal that is new here waits for linked nodes, which do not answer meanwhile.
        """
        assert self.session is not None
        waits = self.session.unknown
        operation_id = self.write(entity_type, entity_id, kind, data, **extra)
        if waits:
            self.world.advance(ANSWER_MS)
        self.world.settle()
        self.receive()
        self.world.settle()
        return self.answer(operation_id)

    def answer(self, operation_id: str) -> dict[str, Any]:
        for message in self.inbox:
            if message.get("operation_id") == operation_id and message["type"] != "data_sync":
                return message
        raise AssertionError(f"no answer to {operation_id}")

    # ------------------------------------------------------------------ receiving

    def receive(self, limit: int | None = None) -> int:
        """Take what the node sent (at most `limit` frames) and behave as documented."""
        taken, last = 0, None
        while self.session is not None and self.connection.frames and (limit is None or taken < limit):
            taken += 1
            frame = self.connection.frames.popleft()
            if isinstance(frame, tuple):
                if self.pongs:
                    self.session.pong(int(frame[1]))
                continue
            self.connection.outbox_bytes -= len(frame)
            message = orjson.loads(frame)
            self.inbox.append(message)
            self.unanswered.pop(message.get("operation_id"), None)
            last = message.get("seq", last)
            if message["type"] == "data_sync":
                self.unanswered.pop(message["operation"]["id"], None)
                self.screen.apply(message["operation"])
                if self.confirms and not self.by_position:
                    self.send(
                        {
                            "type": "sync_confirmation",
                            "operation_id": message["operation"]["id"],
                            "terminal_id": self.name,
                        }
                    )
        if self.confirms and self.by_position and last is not None:
            self.send({"type": "sync_confirmation", "seq": last})
        return taken

    def of(self, type_: str) -> list[dict[str, Any]]:
        return [message for message in self.inbox if message["type"] == type_]

    def shown(self, entity_type: str) -> dict[str, dict[str, Any]]:
        """This client's screen, without versions."""
        return self.screen.shown(entity_type)


def settle_all(world: World, clients: Sequence[Client]) -> None:
    """Until nobody has anything to send or to take."""
    for _ in range(1_000):
        world.settle()
        moved = sum(client.receive() for client in clients if client.session is not None)
        if not moved and not world.calls and not world.core.replica.log.group.pending():
            return
    raise AssertionError("clients and node never come to rest")
