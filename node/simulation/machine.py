"""One node's computer: its clock, its disk, its process, which may die at any moment, and who is connected to it."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path

from attrs import define, evolve, field

from crdt import hlc
from crdt.engine import INSTALLED
from node.config.sections import Config
from node.core.core import Core
from node.core.delivery.delivery import PING_INTERVAL_MS
from node.core.log.group import Group
from node.core.ports import Draws, Instant, Surroundings
from node.core.schedule import Schedule, schedule
from node.core.start import begin, go_on, note_config, note_key, note_realm
from node.runtime.identity import take_up
from node.runtime.keys import signatures
from node.simulation.connections import Door
from node.simulation.disk import Files, SlowDisk, lay_out
from node.simulation.event_queue import Clockwork
from node.simulation.transcript import START_MS, Transcript
from storage.audit.archive_file import read_archive
from storage.audit.archiving import Until, furthest_behind
from storage.audit.archiving_steps import Archived, Job, Read, archiving
from storage.records import LogRow
from storage.sqlite.backup import back_up
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.prune import Pruned
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

BUSY_MS = 3_000
"""After something happened a node ticks every second for so long; when nothing does, every IDLE_TICK_MS."""

ALL_ROWS = 1_000_000
TICK_MS = 1_000
IDLE_TICK_MS = 60_000
QUIET = (b'{"type":"ping"', b'{"type":"pong"', b'{"type":"digest",', b'{"type":"digest_buckets"')
"""How the frames begin that links and terminals send for ever. Whatever a comparison finds comes in others."""


@define(eq=False)
class Machine:
    """A node and all it runs on. drift: how much faster its clock runs, in ppm. number: which of its store's."""

    clockwork: Clockwork
    transcript: Transcript
    directory: Path
    config: Config
    rng: random.Random
    offset_ms: int = 0
    drift: int = 0
    number: int = 0
    committed: Callable[[Machine, Group], None] = lambda machine, group: None
    failed: Callable[[Machine, Group], None] = lambda machine, group: None
    booted: Callable[[Machine], None] = lambda machine: None
    alive: bool = False
    set_at_start: list[int] = field(factory=list)
    """How its clock was set at each start."""
    core: Core = field(init=False)
    disk: SlowDisk = field(init=False)
    store: Store = field(init=False)
    reader: Reader = field(init=False)
    door: Door = field(init=False)
    archived: list[LogRow] = field(factory=list)
    """Rows that are not in its log any more."""
    _ever_archived: dict[int, LogRow] = field(factory=dict)
    """What stands in its archives, by number. A database may be set back to one from before an archive, and then to
    one from after it; and a call may have written a file, and have failed before a row left the log."""
    on_start: list[Callable[[], None]] = field(factory=list)
    """Its dialling of other nodes."""
    after_rows: Callable[[], None] | None = None
    """Called once, when the next rows are stored."""
    _started_ms: int = 0
    _busy_until: int = 0
    attempts: Iterator[int] = field(init=False)
    """Numbers the connections that its process dials."""
    _schedule: Schedule = field(init=False)
    _tick: int = 0
    _probing: bool = False
    _told: tuple[int, int, int] | None = None
    """Of what `_now` was made: simulated time, how the clock was set, when the process started."""
    _now: Instant = field(init=False)
    _around: Surroundings = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.door = Door(self)

    @property
    def starts(self) -> int:
        return len(self.set_at_start)

    @property
    def node_id(self) -> str:
        assert self.config.node.id is not None
        return self.config.node.id

    def now(self) -> Instant:
        true = self.clockwork.now_ms
        told = (true, self.offset_ms, self._started_ms)
        if told != self._told:  # a node looks at its clock many times in a moment
            run = true - self._started_ms
            wall_ms = START_MS + true + true * self.drift // 1_000_000 + self.offset_ms
            self._told, self._now = told, Instant(wall_ms, run + run * self.drift // 1_000_000)
        return self._now

    # ------------------------------------------------------------------ the process

    def start(self) -> None:
        """The node's process starts."""
        self._started_ms = self.clockwork.now_ms
        # Neighbours run on different engines, and what one wrote the other opens. Nothing may come of it.
        engine = INSTALLED[(self.number + self.starts) % len(INSTALLED)]
        self.config = evolve(self.config, node=evolve(self.config.node, engine=engine))
        draws = Draws(lambda: f"{self.rng.getrandbits(64):016x}", lambda: self.rng.randrange(1, 2**32))
        lay_out(self.directory)
        store = self.store = Store.open(self.directory, self.node_id, draws.id)
        reader = self.reader = Reader(store.path)
        self.archived = self._archived()
        boot = store.boot()
        disk = self.disk = SlowDisk(
            self.clockwork, self.rng, store, reader, self._recover, self._after_commit, partial(self.failed, self)
        )
        key = signatures(self.directory, lambda size: blake2b(self.node_id.encode(), digest_size=size).digest())
        self._around = Surroundings(disk, disk, self.now, draws, key)
        note_realm(store, boot, self.config)
        writer = take_up(store, boot, draws, self.now().wall_ms)
        note_key(store, boot, key)
        note_config(store, self.config)
        self.core = disk.core = begin(boot, self.config, self._around, epoch=store.epoch, writer=writer)
        self.alive = True
        self.set_at_start.append(self.offset_ms)
        self.transcript.note(self.node_id, f"starts with {boot.head} rows")
        self.booted(self)
        self.door.open()
        self.attempts = itertools.count(1)
        # Without the figures and the status that monitors are sent by the clock: they are bytes that decide nothing.
        self._schedule = schedule(self.core, self, now_ms=self._started_ms, status_ms=None, metrics_ms=None)
        self._busy_until, self._probing = 0, False
        self.busy()
        for begin_dialling in self.on_start:
            begin_dialling()

    def crash(self, files: Files | None = None) -> None:
        """The process is gone, at once. files: what the disk holds after that; by default what it holds now."""
        files = files or Files.take(self.directory)
        self.alive = False
        self.disk.gone = True
        self.door.let_go(unnoticed=lambda: self.rng.random() < 0.2)
        self.close_files()
        files.put_back(self.directory)

    def close_files(self) -> None:
        """Without storing anything: Windows deletes no file that is open."""
        self.reader.close()
        self.store.abandon()

    def stop(self) -> None:
        """A clean stop: what is pending is stored, and everybody is told."""
        self.core.replica.in_turns.finish()
        self.core.store_cursors()
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
        self.door.let_go(unnoticed=lambda: False)
        self.reader.close()
        self.store.close()

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
        back_up(self.store.path, target)

    def archive(self, until: int) -> int:
        """Archive what linked nodes have confirmed of the rows up to `until`, as the running node does. Returns how
        many rows went. Raises StorageError."""
        core, store = self.core, self.store
        core.store_cursors(every=True)

        made: list[Path] = []

        def target(first: int, last: int) -> Path:
            made.append(self.directory.parent / f"{self.node_id}-{first}-{last}.jsonl.gz")
            return made[-1]

        steps = archiving(
            Job(
                until=Until(until, None),
                target=target,
                held=lambda: furthest_behind(core.cursors.nodes.values(), core.links.epoch),
                force=False,
                node_id=self.node_id,
                epoch=core.links.epoch,
                made_at=hlc.iso(core.clock().wall_ms),
            )
        )
        step = next(steps)
        try:
            while True:
                result = step.call(self.reader) if isinstance(step, Read) else step.call(store)
                if isinstance(result, Pruned):
                    core.pruned(result.op_keys, result.anchor.seq)
                try:
                    step = steps.send(result)
                except StopIteration as over:
                    archived: Archived = over.value
                    return archived.rows
        finally:
            self._look_into(made)

    def _look_into(self, files: Iterable[Path]) -> None:
        """Whether or not the call that wrote them got on: a later one goes on where it stopped."""
        for file in filter(Path.exists, files):
            with read_archive(file) as (_, rows):
                self._ever_archived.update((row.seq, row) for row in rows)
        self.archived = self._archived()

    def _archived(self) -> list[LogRow]:
        return [row for seq, row in sorted(self._ever_archived.items()) if seq <= self.store.anchor.seq]

    def logged(self, *kinds: str) -> list[LogRow]:
        """Every row of these kinds that it ever had, in order, also those that are archived."""
        archived = [row for row in self.archived if row.kind in kinds]
        return [*archived, *self.reader.audit(limit=ALL_ROWS, kinds=kinds)]

    @property
    def archived_once(self) -> Iterable[LogRow]:
        """What stands in its archives, also what it archived before its database was set back."""
        return self._ever_archived.values()

    def restore(self, backup: Path) -> None:
        """Put a backup in the place of the database, the node being down."""
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            (self.directory / name).unlink(missing_ok=True)
        shutil.copyfile(backup, self.directory / DATABASE)

    def _after_commit(self, group: Group) -> None:
        self.busy()
        self.committed(self, group)
        if group.rows and self.after_rows is not None:
            then, self.after_rows = self.after_rows, None
            then()
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
        """The same for a frame, but for QUIET ones."""
        if not payload.startswith(QUIET):
            self.busy()

    def _tick_in(self, delay_ms: int) -> None:
        self._tick += 1
        self.disk.later(delay_ms, partial(self._ticked, self._tick))

    def _ticked(self, number: int) -> None:
        if number != self._tick:
            return
        self._schedule.step(self.clockwork.now_ms)
        self._tick_in(TICK_MS if self.clockwork.now_ms < self._busy_until else IDLE_TICK_MS)

    # ------------------------------------------------------------------ the schedule's shell

    def read_again(self) -> None:
        """A simulated read that failed is answered, and not remembered."""

    def heartbeat(self) -> None:
        """Silence is the network's affair."""

    def memory_mb(self) -> float:
        return 0.0

    def database_bytes(self) -> int:
        return 0

    def checkpoint(self) -> None:
        with suppress(StorageError):  # the next one does what this one could not
            self.store.checkpoint()
