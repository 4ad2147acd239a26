"""One operation in parts, under callgrind; prints as JSON the parts in the order of callgrind's dumps, and how many
pings an operation brought, or of how many operations the parts are together.

    python bench/rig/counted.py each 12        HOW and operations, as bench/instructions.py calls it
    python bench/rig/counted.py linked 192     operations that come over a link, and updates merged in memory
    python bench/rig/counted.py filled 384     operations that an empty node gets, with the entities that they are of

The working directory is the checkout that is measured. Its core and its store are real, as the tests have them, and
its clock moves by hand. Fifty terminals are connected; one writes, the others are handed its row and answer. What
sockets cost is counted beside it, on connections of its own.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import socket
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import trio

sys.path.insert(0, "")

from crdt import hlc
from crdt.document import Document
from crdt.engine import DEFAULT
from crdt.records import NewField
from node.core.links.link import GATHERED_ROWS
from node.wire.frames import Batch, Outgoing
from tests.harness import Client, World
from tests.mesh import Mesh, audit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TERMINALS, ENTITIES = 50, 40
WARM_UP = 80
APART_MS, TURNS = 100, 2
"""Between two operations, and turns of the clock meanwhile that ping who does not confirm."""

ITEMS = [{"id": f"i-{n}", "sku": f"prato-{n}", "qty": 1 + n % 3, "price": 12.9 + n} for n in range(2)]
STATUSES = ("pending", "preparing", "ready", "delivered")

_DUMP, _BEGIN, _STOP = 0x4354_0000, 0x4354_0004, 0x4354_0005
"""Callgrind's client requests: write what was counted since the last one, begin to count, and count no more."""

_CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
"""x86_64: the instructions by which valgrind knows a request; without valgrind they do nothing."""

APART = "-"
"""What is between two parts, and is no part."""


class Counter:
    """Ends a part at each `mark`."""

    def __init__(self) -> None:
        if platform.machine() != "x86_64":
            raise SystemExit("callgrind is asked by instructions of x86_64")
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._memory.write(_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(address)
        self._dump = (ctypes.c_ulong * 6)(_DUMP)
        self._counting = False
        self.parts: list[str] = []

    def begin(self) -> None:
        self._counting = True
        self._call((ctypes.c_ulong * 6)(_BEGIN))

    def stop(self) -> None:
        self._call((ctypes.c_ulong * 6)(_STOP))
        self._counting = False

    def mark(self, part: str) -> None:
        if self._counting:
            self._call(self._dump)
            self.parts.append(part)


class Wire:
    """The node's side of a connection, which keeps what it is handed."""

    outbox_bytes = bytes_in = bytes_out = 0

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.pings: list[bytes] = []

    def send(self, what: Any) -> None:
        self.rows.append(what)

    def ping(self, payload: bytes) -> None:
        self.pings.append(payload)

    def close(self, code: int, reason: str) -> None:
        raise RuntimeError(f"closed: {code} {reason}")

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None


def operation(terminal: str, number: int, at_ms: int, entities: int = ENTITIES) -> str:
    """430 bytes: the next step of an order through the kitchen, as a terminal without versions writes it."""
    entity = f"o-{number % entities}"
    written = {
        "id": f"w-{terminal}-{number}",
        "entity_type": "orders",
        "entity_id": entity,
        "operation": "UPDATE",
        "data": {"id": entity, "status": STATUSES[number % 4], "total": 61.7 + number % 100, "items": ITEMS},
        "timestamp": hlc.iso(at_ms),
        "terminal_id": terminal,
        "user_id": "ana",
        "requires_lock": False,
        "priority": "high",
    }
    return orjson.dumps({"type": "data_sync", "operation": written}).decode()


def confirmation(operation_id: str, terminal: str) -> str:
    message = {"type": "sync_confirmation", "operation_id": operation_id, "terminal_id": terminal}
    return orjson.dumps(message).decode()


class Crowd:
    """Terminals on one core. confirms: each row, as the documented client; else they answer pings only."""

    def __init__(self, world: World, *, confirms: bool) -> None:
        self.world, self.confirms, self.pings = world, confirms, 0
        self.clients = [Client(world, f"pos-{n}", confirms=confirms).connect() for n in range(TERMINALS)]
        world.settle()
        for client in self.clients:
            client.receive()
        self.wires = [Wire() for _ in self.clients]
        for client, wire in zip(self.clients, self.wires, strict=True):
            session: Any = client.session
            session.connection = session.delivery.connection = session._inbox.connection = wire

    def step(self, number: int, mark: Callable[[str], None]) -> None:
        """One operation, from its text to the last answer to its row."""
        world, author = self.world, number % TERMINALS
        text = operation(self.clients[author].name, number, world.wall_ms)
        sessions: list[Any] = [client.session for client in self.clients]
        mark(APART)
        sessions[author].receive(text)
        mark("decide")
        group = world.core.take_group()
        mark("seal")
        assert group is not None
        world.store.commit(group.commit)
        mark("store; the disk's wait aside")
        world.core.committed(group)
        mark("answer the author, hand the row to 49")
        calls: list[tuple[Callable[[Any], None], Any]] = []
        if self.confirms:
            row = f"w-{self.clients[author].name}-{number}"
            for place, session in enumerate(sessions):
                if place != author:
                    calls.append((session.receive, confirmation(row, self.clients[place].name)))
        mark(APART)
        for call, argument in calls:
            call(argument)
        mark("49 confirmations, from the text to the cursor")
        for _ in range(TURNS):
            world.wall_ms += APART_MS // TURNS
            world.mono_ms += APART_MS // TURNS
            mark(APART)
            world.core.probe_owed()
            mark("two turns of the clock that ping")
        pongs = [(s, int(p)) for s, wire in zip(sessions, self.wires, strict=True) for p in wire.pings]
        mark(APART)
        for session, serial in pongs:
            session.pong(serial)
        mark("their pongs")
        self.pings += len(pongs)
        for wire in self.wires:
            wire.rows.clear()
            wire.pings.clear()


async def sockets(count: int, mark: Callable[[str], None]) -> None:
    """What 49 connections of their own cost: to write a row, and to read a confirmation."""
    try:
        from wsproto import ConnectionType

        from node.runtime.net import reading
        from node.runtime.net.websocket import Connection, Protocol
    except ImportError:  # a checkout from before one task read all sockets
        return
    reading.PASS_S = 3_600.0  # here everything takes long
    reader = reading.SocketReader()
    ours, theirs = [], []
    for _ in range(TERMINALS - 1):
        near, far = socket.socketpair()
        near.setblocking(False)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(near))
        protocol = Protocol(ConnectionType.SERVER, 2**20)
        connection = Connection(stream, protocol, max_message_bytes=2**20, outbox_limit=2**22, reader=reader)
        watch = reader.watching(near.fileno(), connection)
        watch.__enter__()
        ours.append((connection, watch))
        theirs.append(far)
    for number in range(count):
        batch = Batch([Outgoing(operation("pos-0", number, 0).encode())])
        mark(APART)
        for connection, _ in ours:
            connection.send(batch)
        mark("49 writes")
        for place, far in enumerate(theirs):
            far.recv(4_096)
            text = confirmation(f"w-pos-0-{number}", f"pos-{place}").encode()
            far.send(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        mark(APART)
        await reader._pass()
        mark("49 confirmations, from the socket to the text")
    for _, watch in ours:
        watch.__exit__(None, None, None)
    for far in theirs:
        far.close()


def merging(count: int, counter: Counter) -> None:
    """Updates by five writers in turn, each merged into a document that follows."""
    documents = [Document.load(None, writer=1_000 + number, engine=DEFAULT) for number in range(5)]
    follower, edits = Document.load(None, writer=1, engine=DEFAULT), []
    for step in range(WARM_UP + count):
        author, name = documents[step % 5], STATUSES[step * 7 % 4]
        field = NewField((name,), step, step, "pos-1", f"op-{step}", step, step, step)
        edits.append(author.edit(supersede=list(author.siblings((name,))), fields=[field]))
        for other in documents:
            if other is not author:
                other.apply(edits[-1].update, edits[-1].before)
    for number, edit in enumerate(edits):
        if number == WARM_UP:
            counter.begin()
            counter.mark(APART)
        follower.apply(edit.update, edit.before)
        counter.mark("an update merged in memory")
    counter.stop()


@contextmanager
def _below_a_hub() -> Iterator[tuple[Mesh, Client]]:
    """A node, the hub above it, and a terminal there that writes. They are not linked yet."""
    with tempfile.TemporaryDirectory(prefix="comanda-counted-") as folder:
        mesh = Mesh(Path(folder), 2, [(0, 1, True)], ring_rows=16_384, window=1_024)
        yield mesh, Client(mesh.worlds[1], "pos-1", confirms=False).connect()
        mesh.close()


def linked(count: int, counter: Counter) -> None:
    """A node comes back to another one, which wrote so many operations meanwhile, sixteen in a commit."""
    with _below_a_hub() as (mesh, author):
        (back, hub), (wire,), session = mesh.worlds, mesh.wires, author.session
        assert session is not None
        for first, until in ((0, WARM_UP + ENTITIES), (WARM_UP + ENTITIES, WARM_UP + ENTITIES + count)):
            wire.cut()
            for number in range(first, until):
                session.receive(operation(author.name, number, hub.wall_ms))
                if number % 16 == 15:
                    hub.settle()
            hub.settle()
            author.receive()
            if not first:
                mesh.settle(author.receive)
        mesh.connect()
        counter.begin()
        resting = False
        while not resting:
            counter.mark(APART)
            hub.settle()
            came = wire.step(0)
            counter.mark(APART)
            resting = not (wire.step(1) or came)
            counter.mark("read, checked, resolved")
            _settle(back, counter.mark)
        counter.stop()
        if not ENTITIES == len(back.view("orders")) == len(hub.view("orders")) or audit(back) != audit(hub):
            raise RuntimeError("the nodes do not agree")


def filled(count: int, counter: Counter) -> None:
    """An empty node comes to one that holds so many operations, three of an entity."""
    with _below_a_hub() as (mesh, author):
        (empty, hub), (wire,), session = mesh.worlds, mesh.wires, author.session
        assert session is not None
        for number in range(count):
            session.receive(operation(author.name, number, hub.wall_ms, count // 3))
            hub.settle()
        author.receive()
        mesh.connect()
        counter.begin()
        phase = ""
        while phase != "over":
            counter.mark(APART)
            hub.settle()
            came = wire.step(0)
            sync = empty.core.links.first_sync
            phase = sync.phase if sync is not None else ""

            def mark(part: str, of: str = phase or "before") -> None:
                counter.mark(f"{of}: {part}")

            counter.mark(APART)
            came |= wire.step(1)
            while empty.calls:
                empty.calls.popleft()()
            mark("read, checked, resolved")
            if phase != "history" or not came or len(empty.core.replica.log.group.rows) >= GATHERED_ROWS:
                _settle(empty, mark)
            counter.mark(APART)
            if not came:
                for world in mesh.worlds:
                    world.advance(100)
        counter.stop()
        mesh.settle(author.receive)
        if audit(empty) != audit(hub):
            raise RuntimeError("the nodes do not agree")


def _settle(world: World, mark: Callable[[str], None]) -> None:
    """Until nothing is left to do, in parts."""
    while True:
        group = world.core.take_group()
        mark("sealed")
        if group is not None:
            if not group.commit.empty():
                world.store.commit(group.commit)
            mark("stored; the disk's wait aside")
            world.core.committed(group)
            mark("committed")
        elif world.calls:
            world.calls.popleft()()
            mark("read, checked, resolved")
        else:
            return


def main(how: str, count: int) -> None:
    counter = Counter()
    if how in ("linked", "filled"):
        if how == "linked":
            merging(count, counter)
            linked(count, counter)
        else:
            filled(count, counter)
        print(orjson.dumps({"parts": counter.parts, "of": count}).decode(), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="comanda-counted-") as folder:
        world = World(Path(folder), ring_rows=16_384, window=1_024)
        crowd = Crowd(world, confirms=how == "each")
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                counter.begin()
            crowd.step(number, counter.mark)
        world.close()
    trio.run(sockets, count, counter.mark)
    found = {"parts": counter.parts, "pings": crowd.pings / (WARM_UP + count)}
    print(orjson.dumps(found).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
