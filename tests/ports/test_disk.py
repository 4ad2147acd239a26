"""The port `Disk`, over everything that stands in for it: trio's threads, the simulator's slow disk, the harness.

A `Node` is a real core over a real store. What it has to do, it does in `settle`.
"""

from __future__ import annotations

import random
import uuid
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve

from node.config.sections import Config
from node.core.ports import Draws, Instant, Surroundings, Unreadable
from node.core.sessions.identity import Identity
from node.core.start import begin, go_on, note_config
from node.runtime import disk as runtime_disk
from node.runtime.disk import TrioDisk
from node.simulation.event_queue import Clockwork
from node.simulation.machine import Machine
from node.simulation.transcript import Transcript
from node.wire.frames import Batch, Outgoing
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store
from tests.harness import World
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from node.core.core import Core
    from node.core.ports import Disk

OPERATION = (
    '{"type":"data_sync","operation":{"id":"ana.1","entity_type":"orders","entity_id":"mesa-1","operation":"CREATE",'
    '"data":{"total":1},"timestamp":"2026-01-15T10:00:00.000Z","terminal_id":"ana"}}'
)


class Wire:
    """A connection whose other side takes everything. heard: what the node said."""

    outbox_bytes = bytes_in = bytes_out = 0

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def send(self, what: Outgoing | Batch) -> None:
        self.heard += [message.payload for message in (what.messages if isinstance(what, Batch) else (what,))]

    def ping(self, payload: bytes) -> None:
        return None

    def close(self, code: int, reason: str) -> None:
        return None

    pause_reading = resume_reading = lambda self: None

    def answers(self) -> list[bytes]:
        return [message for message in self.heard if b'"ana.1"' in message]


class Node:
    """A core and its disk, over one implementation of the port."""

    core: Core
    disk: Disk
    store: Store
    reader: Reader

    async def settle(self, done: Callable[[], bool]) -> None:
        """Let the disk work until something holds."""
        raise NotImplementedError

    def break_reads(self) -> None:
        """Reads fail from here on."""
        raise NotImplementedError

    def write(self) -> Wire:
        """A terminal comes and writes an order."""
        wire = Wire()
        self.core.sessions.connect(Identity("ana", "pos", None, "session"), wire).receive(OPERATION)
        return wire


class TrioNode(Node):
    """As `comanda serve` runs it, without its listener."""

    def __init__(self, directory: Path, nursery: trio.Nursery) -> None:
        self.store = Store.open(directory, "caixa", lambda: uuid.uuid4().hex)
        self.reader = Reader(self.store.path)
        self.disk: TrioDisk = TrioDisk(nursery, self.store, self.reader)
        config, dice = Config(), random.Random(1)
        draws = Draws(lambda: uuid.uuid4().hex, lambda: dice.randrange(1, 2**32))
        around = Surroundings(self.disk, self.disk, _instant, draws)
        note_config(self.store, config)
        boot = self.store.boot()
        self.core = begin(boot, config, around, epoch=self.store.epoch, writer=draws.writer())

        def recover() -> None:
            go_on(self.core, self.store.boot(), config, around)

        nursery.start_soon(self.disk.run, self.core, recover)

    async def settle(self, done: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not done():  # noqa: ASYNC110 (it waits for other threads)
                await trio.sleep(0.001)

    def break_reads(self) -> None:
        """The calls of this reader, which the disk makes on its own thread."""

        def fails(*_: object) -> Any:
            raise StorageError("the disk cannot be read")

        self.reader.entity = fails  # type: ignore[method-assign]


class SimulatedNode(Node):
    """A machine of the simulator, whose time passes in `settle`."""

    def __init__(self, directory: Path) -> None:
        clockwork = Clockwork(Transcript(deque()))
        config = evolve(Config(), node=evolve(Config().node, id="caixa"))
        self.machine = Machine(clockwork, clockwork.transcript, directory, config, random.Random(1))
        self.machine.start()
        self.core, self.disk = self.machine.core, self.machine.disk
        self.store, self.reader = self.machine.store, self.machine.reader

    async def settle(self, done: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if done():
                return
            self.machine.clockwork.run(self.machine.clockwork.now_ms + 1)
        raise AssertionError("it never comes")

    def break_reads(self) -> None:
        self.machine.disk.unreadable = 1.0


class HarnessNode(Node):
    """The harness's world, which does everything at once when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.world = self.disk = World(directory, node_id="caixa")
        self.core, self.store, self.reader = self.world.core, self.world.store, self.world.reader

    async def settle(self, done: Callable[[], bool]) -> None:
        self.world.settle()
        if not self.core.health.ok and not done():
            self.world.recover()
            self.world.settle()
        assert done()

    def break_reads(self) -> None:
        self.world.unreadable = lambda *_: True


@asynccontextmanager
async def trio_threads(directory: Path) -> AsyncIterator[Node]:
    async with trio.open_nursery() as nursery:
        node = TrioNode(directory, nursery)
        yield node
        await node.disk.stop()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def slow_disk(directory: Path) -> AsyncIterator[Node]:
    node = SimulatedNode(directory)
    yield node
    node.machine.stop()


@asynccontextmanager
async def harness(directory: Path) -> AsyncIterator[Node]:
    node = HarnessNode(directory)
    yield node
    node.world.close()


EVERY = pytest.mark.parametrize("kind", [trio_threads, slow_disk, harness])
KIND = Any  # one of the functions above


def _instant() -> Instant:
    return Instant(1_768_471_200_000, int(trio.current_time() * 1000))


@EVERY
async def test_a_read_is_answered_later_never_within_the_call(kind: KIND, tmp_path: Path) -> None:
    async with kind(tmp_path) as node:
        answers: list[object] = []
        node.disk.start(node.reader.entity, "orders", "mesa-1", done=answers.append)
        assert answers == []
        await node.settle(lambda: bool(answers))
        assert answers == [None]


@EVERY
async def test_reads_are_answered_in_the_order_in_which_they_were_asked(kind: KIND, tmp_path: Path) -> None:
    """Answers may come at different times; none of an earlier question comes from a later state."""
    async with kind(tmp_path) as node:
        asked: list[int] = []

        def read(number: int) -> int:
            asked.append(number)
            return number

        answers: list[object] = []
        for number in range(20):
            node.disk.start(read, number, done=answers.append)
        await node.settle(lambda: len(answers) == 20)
        assert asked == list(range(20))
        assert sorted(answers) == asked


@EVERY
async def test_urgent_reads_come_first_and_keep_their_order(kind: KIND, tmp_path: Path) -> None:
    """What was asked for before may be under way: it is not broken off."""
    async with kind(tmp_path) as node:
        asked: list[str] = []
        for number in range(20):
            for urgent, name in ((False, f"page {number}"), (True, f"entity {number}")):
                node.disk.start(asked.append, name, done=lambda _: None, urgent=urgent)
        await node.settle(lambda: len(asked) == 40)
        for kind_of in ("page", "entity"):
            assert [name for name in asked if kind_of in name] == [f"{kind_of} {number}" for number in range(20)]
        assert asked.index("entity 19") < asked.index("page 19")


@EVERY
async def test_a_read_that_fails_is_answered_counted_and_told_as_trouble(kind: KIND, tmp_path: Path) -> None:
    async with kind(tmp_path) as node:
        assert (node.disk.trouble, node.disk.read_failures) == (None, 0)
        node.break_reads()
        answers: list[object] = []
        node.disk.start(node.reader.entity, "orders", "mesa-1", done=answers.append)
        await node.settle(lambda: bool(answers))
        assert answers == [Unreadable("the disk cannot be read")]
        assert node.disk.read_failures == 1
        assert node.disk.trouble == "the disk cannot be read"
        assert node.core.health.ok, "it costs what asked for it, and nobody else"


@EVERY
async def test_a_group_is_durable_before_its_author_is_answered(kind: KIND, tmp_path: Path) -> None:
    async with kind(tmp_path) as node:
        wire = node.write()
        assert wire.answers() == []
        await node.settle(lambda: bool(wire.answers()))
        assert b'"sync_confirmation"' in wire.answers()[0]
        row = node.reader.entity("orders", "mesa-1")
        assert row is not None
        assert node.store.head >= row.seq


@EVERY
async def test_a_commit_that_fails_refuses_its_operations_and_the_node_goes_on(
    kind: KIND, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_disk, "RECOVERY_MS", 10)
    async with kind(tmp_path) as node:
        wire = node.write()
        await node.settle(lambda: bool(wire.answers()))
        wire.heard.clear()
        writer = node.core.replica.residents.writer

        def fails(_: object) -> None:
            monkeypatch.undo()
            raise StorageError("the disk is full")

        monkeypatch.setattr(node.store, "commit", fails)
        session = node.core.sessions.online["ana"]
        session.receive(OPERATION.replace("ana.1", "ana.2").replace("CREATE", "UPDATE"))
        await node.settle(lambda: any(b'"sync_error"' in message for message in wire.heard))
        assert any(b"1011" in message for message in wire.heard)
        await node.settle(lambda: node.core.health.ok)
        assert node.core.health.failure is None
        assert node.core.replica.residents.writer != writer, "the lost operation's clock is not used again"
        session.receive(OPERATION.replace("ana.1", "ana.3").replace("CREATE", "UPDATE"))
        await node.settle(lambda: any(b'"ana.3"' in message for message in wire.heard))
