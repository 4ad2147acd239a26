"""One node's computer: its clock, its disk, its process, which may die at any moment, and who is connected to it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from attrs import define, field

from node.config import Config
from node.core.core import Core
from node.core.delivery import PING_INTERVAL_MS
from node.core.group import Group
from node.core.instant import Instant
from node.core.link import Link
from node.core.session import Identity, Session
from node.core.start import Draws, Surroundings, begin, go_on, note_registry
from node.errors import AlreadyConnected
from node.runtime.identity import take_up
from node.simulation.clockwork import Clockwork
from node.simulation.disk import Files, SlowDisk
from node.simulation.network import End
from node.simulation.transcript import START_MS, Transcript
from node.wire.link_messages import Hello
from storage.database import DATABASE, StorageError
from storage.reader import Reader
from storage.store import Store

PROBE_MS = 500
"""How long a connection under a name that is connected already waits for the old one to answer."""

BUSY_MS = 5_000
"""After something happened a node ticks every second for so long; when nothing does, every IDLE_TICK_MS."""

TICK_MS = 1_000
IDLE_TICK_MS = 20_000
CHECKPOINT_TICKS = 30
CLOCK = (b'{"type":"ping"', b'{"type":"pong"')


@define(eq=False)
class Seat:
    """Who is connected under one name."""

    end: End
    session: Session | Link
    instance: str = ""
    attempt: int = 0


@define(eq=False)
class Machine:
    """A node and all it runs on. drift: how much faster its clock runs, in parts per million."""

    clockwork: Clockwork
    transcript: Transcript
    directory: Path
    config: Config
    rng: random.Random
    offset_ms: int = 0
    drift: int = 0
    committed: Callable[[Machine, Group], None] = lambda machine, group: None
    booted: Callable[[Machine], None] = lambda machine: None
    alive: bool = False
    starts: int = 0
    core: Core = field(init=False)
    disk: SlowDisk = field(init=False)
    store: Store = field(init=False)
    reader: Reader = field(init=False)
    seats: dict[str, Seat] = field(factory=dict)
    dialled: list[End] = field(factory=list)
    """Its ends of connections to other nodes."""
    on_start: list[Callable[[], None]] = field(factory=list)
    """Its dialling of other nodes."""
    _arriving: list[End] = field(factory=list)
    """Connections that wait for a place."""
    _started_ms: int = 0
    _busy_until: int = 0
    _tick: int = 0
    _ticks: int = 0
    _probing: bool = False
    _around: Surroundings = field(init=False)

    @property
    def node_id(self) -> str:
        assert self.config.node.id is not None
        return self.config.node.id

    def now(self) -> Instant:
        true = self.clockwork.now_ms
        run = true - self._started_ms
        return Instant(
            START_MS + true + true * self.drift // 1_000_000 + self.offset_ms, run + run * self.drift // 1_000_000
        )

    # ------------------------------------------------------------------ the process

    def start(self) -> None:
        """The node's process starts."""
        self._started_ms = self.clockwork.now_ms
        draws = Draws(lambda: f"{self.rng.getrandbits(64):016x}", lambda: self.rng.randrange(1, 2**32))
        store = self.store = Store.open(self.directory, self.node_id, draws.id)
        reader = self.reader = Reader(store.path)
        boot = store.boot()
        disk = self.disk = SlowDisk(self.clockwork, self.rng, store, reader, self._recover, self._after_commit)
        self._around = Surroundings(disk, disk, self.now, draws)
        writer = take_up(store, boot, draws, self.now().wall_ms)
        note_registry(store, self.config.registry())
        self.core = disk.core = begin(boot, self.config, self._around, epoch=store.epoch, writer=writer)
        self.alive = True
        self.starts += 1
        self.transcript.note(self.node_id, f"starts with {boot.head} rows")
        self.booted(self)
        self._busy_until, self._probing = 0, False
        self.busy()
        for begin_dialling in self.on_start:
            begin_dialling()

    def crash(self, files: Files | None = None) -> None:
        """The process is gone, at once. files: what the disk holds after that; by default what it holds now."""
        files = files or Files.take(self.directory)
        self.alive = False
        self.disk.gone = True
        self._let_go(unnoticed=lambda: self.rng.random() < 0.2)
        self.reader.close()
        self.store.abandon()
        files.put_back(self.directory)

    def stop(self) -> None:
        """A clean stop: what is pending is stored, and everybody is told."""
        self.core.flush_cursors()
        while (group := self.core.take_group()) is not None:
            if not group.commit.empty():
                try:
                    self.store.commit(group.commit)
                except StorageError as error:
                    self.core.failed(str(error))
                    break
            self.core.committed(group)
            self.committed(self, group)
        self.alive = False
        self.disk.gone = True
        self._let_go(unnoticed=lambda: False)
        self.reader.close()
        self.store.close()

    def _let_go(self, unnoticed: Callable[[], bool]) -> None:
        """Every connection of this machine ends. unnoticed: whether the other side of one learns it from silence."""
        ends = {id(seat.end): seat.end for seat in self.seats.values()}
        ends |= {id(end): end for end in (*self.dialled, *self._arriving)}
        self.seats, self.dialled, self._arriving = {}, [], []
        for end in ends.values():
            if not end.over:
                end.vanish(unnoticed=unnoticed())

    def power_cut_in_next_commit(self, then: Callable[[str], None]) -> None:
        """The next commit is torn, or stored and never confirmed, or refused and stored all the same; then the
        process is gone. then: called with what it was."""

        def doom(group: Group) -> None:
            before = Files.take(self.directory)
            kind = self.rng.choice(["torn", "torn", "stored", "refused"])
            try:
                self.store.commit(group.commit)
            except StorageError:  # its disk refuses just now
                kind = "stored"
            after = Files.take(self.directory)
            if kind == "torn":
                after = after.torn(before, self.rng)
            elif kind == "refused":
                self.core.failed("the disk did not answer")
            self.crash(after)
            then(kind)

        self.disk.doom = doom

    def backup(self, target: Path) -> None:
        self.store.backup(target)

    def restore(self, backup: Path) -> None:
        """Put a backup in the place of the database, the node being down."""
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            (self.directory / name).unlink(missing_ok=True)
        shutil.copyfile(backup, self.directory / DATABASE)

    def _after_commit(self, group: Group) -> None:
        self.busy()
        self.committed(self, group)
        if not self._probing:
            self._probing = True
            self.disk.later(PING_INTERVAL_MS, self._probe)

    def _probe(self) -> None:
        self._probing = False
        self.core.probe_owed()

    def _recover(self) -> None:
        go_on(self.core, self.store.boot(), self.config, self._around)
        self.transcript.note(self.node_id, "can store again")

    # ------------------------------------------------------------------ time

    def busy(self) -> None:
        """Something happens here: for a while every second counts."""
        now = self.clockwork.now_ms
        if now >= self._busy_until - BUSY_MS + TICK_MS:
            quiet = now >= self._busy_until
            self._busy_until = now + BUSY_MS
            if quiet:
                self._tick_in(TICK_MS)

    def busy_with(self, payload: bytes) -> None:
        """The same for a link's frame, but for the pings that a link exchanges every second for ever."""
        if not payload.startswith(CLOCK):
            self.busy()

    def _tick_in(self, delay_ms: int) -> None:
        self._tick += 1
        self.disk.later(delay_ms, partial(self._ticked, self._tick))

    def _ticked(self, number: int) -> None:
        if number != self._tick:
            return
        core = self.core
        core.probe_owed()
        core.tick()
        self._ticks += 1
        if core.changed():
            core.neighbours.say(force=False)
            core.tell_monitors(core.status_messages())
        if core.healthy and self._ticks % CHECKPOINT_TICKS == 0:
            with suppress(StorageError):  # the next one does what this one could not
                self.store.checkpoint()
        self._tick_in(TICK_MS if self.clockwork.now_ms < self._busy_until else IDLE_TICK_MS)

    # ------------------------------------------------------------------ who connects

    def accept_terminal(self, identity: Identity, end: End, *, full: bool) -> None:
        """A terminal's connection is there. One under the same name that still answers keeps its place."""
        end.pause_reading()
        self._arriving.append(end)
        self._make_room(identity.terminal_id, end, "", 0, partial(self._seat_terminal, identity, end, full))

    def _seat_terminal(self, identity: Identity, end: End, full: bool) -> None:
        session = self.core.connect(identity, end, full=full)
        seat = self.seats[identity.terminal_id] = Seat(end, session)
        end.line.session = session

        def ended(code: int, reason: str) -> None:
            self.core.disconnect(session)
            self._leave(identity.terminal_id, seat)

        def received(payload: bytes) -> None:
            self.busy()
            session.receive(payload)

        end.on_text, end.on_end = received, ended
        end.on_pong = lambda payload: session.pong(int(payload))
        self._welcome(end)

    def accept_link(self, peer: str, role: str, claim: tuple[str, int], caller: tuple[str, int], end: End) -> None:
        """Another node's connection. claim: its epoch and head. caller: its instance and which attempt this is."""
        end.pause_reading()
        self._arriving.append(end)
        self._make_room(peer, end, *caller, partial(self._seat_link, peer, role, claim, caller, end))

    def _seat_link(self, peer: str, role: str, claim: tuple[str, int], caller: tuple[str, int], end: End) -> None:
        core, now = self.core, self.now()
        hello = Hello(peer, *claim, now.wall_ms, "", None)
        link = Link(core, role, end, "", False, hello, f"{self.rng.getrandbits(64):x}", now.wall_ms)
        seat = self.seats[peer] = Seat(end, link, *caller)

        def ended(code: int, reason: str) -> None:
            core.unlink(link)
            self._leave(peer, seat)

        def received(payload: bytes) -> None:
            self.busy_with(payload)
            link.receive(payload)

        end.on_text, end.on_end = received, ended
        if core.linked(link):
            link.greet()
        else:
            link.refuse()
        self._welcome(end)

    def _welcome(self, end: End) -> None:
        self._arriving.remove(end)
        self.busy()
        end.resume_reading()

    def _leave(self, name: str, seat: Seat) -> None:
        self.busy()
        if self.seats.get(name) is seat:
            del self.seats[name]

    def _make_room(self, name: str, end: End, instance: str, attempt: int, seat: Callable[[], None]) -> None:
        """As the endpoint does: of two attempts of one instance the later stays; else whoever still answers."""
        old = self.seats.get(name)
        if old is None:
            seat()
            return
        if instance and instance == old.instance:
            if attempt < old.attempt:
                end.close(1000, "a later attempt of the same node is connected")
                return
            self._replace(name, old)
            seat()
            return

        def probed() -> None:
            if end.over:
                return
            if self.seats.get(name) is old and old.end.answers:
                if isinstance(old.session, Link):
                    self.core.report_twin(f"{name} connected twice")
                end.close(AlreadyConnected.code, "already connected")
                return
            now = self.seats.get(name)
            if now is not None and now is not old:
                self._make_room(name, end, instance, attempt, seat)
                return
            if now is old:
                self._replace(name, old)
            seat()

        self.disk.later(PROBE_MS, probed)

    def _replace(self, name: str, old: Seat) -> None:
        old.end.close(AlreadyConnected.code, "replaced by a new connection")
        old.end.on_text, old.end.on_end = _ignore, _ignore
        if isinstance(old.session, Link):
            self.core.unlink(old.session)
        else:
            self.core.disconnect(old.session)
        del self.seats[name]

    # ------------------------------------------------------------------ looking

    def integrity(self) -> str:
        """What SQLite says of the database file."""
        with closing(sqlite3.connect(f"file:{self.directory / DATABASE}?mode=ro", uri=True)) as connection:
            return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def _ignore(*_: object) -> None:
    return None
