"""A simulated disk under the real store: late, full, broken in the middle of a commit, and cut off at any byte."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from attrs import define, field, frozen

from node.core.core import Core
from node.core.faults import Torn
from node.core.log.group import Group
from node.core.ports import Disk, Unreadable
from node.core.start import RECOVERY_MS
from node.simulation.event_queue import Clockwork
from storage.sqlite.database import DATABASE, StorageError, open_writer
from storage.sqlite.head_note import NOTE_FILE
from storage.sqlite.migrations import migrate
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

T = TypeVar("T")

WAL = f"{DATABASE}-wal"
UNLIMITED_PAGES = 1_073_741_823


@cache
def _empty() -> bytes:
    """A database of the schema of today in which nothing is."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / DATABASE
        db = open_writer(path)
        migrate(db, str(path))
        db.conn.close()
        return path.read_bytes()


def lay_out(directory: Path) -> None:
    """Put an empty database into a directory that has none: to make each by its own steps takes long."""
    if not directory.exists():
        directory.mkdir(parents=True, mode=0o700)
        (directory / DATABASE).write_bytes(_empty())


@frozen
class Files:
    """What a data directory holds, byte by byte."""

    contents: dict[str, bytes]
    names: tuple[str, ...] = (DATABASE, WAL, NOTE_FILE)

    @classmethod
    def take(cls, directory: Path, *, note: bool = True) -> Files:
        """note: also the head that is noted beside the database."""
        names = (DATABASE, WAL, NOTE_FILE) if note else (DATABASE, WAL)
        return cls({name: (directory / name).read_bytes() for name in names if (directory / name).exists()}, names)

    def put_back(self, directory: Path) -> None:
        """Into the same files, which keep their inodes: nothing but their content tells. The rest stays."""
        for name in (*self.names, f"{DATABASE}-shm"):
            if name not in self.contents:
                (directory / name).unlink(missing_ok=True)
        for name, content in self.contents.items():
            with (directory / name).open("r+b" if (directory / name).exists() else "wb") as file:
                file.truncate()
                file.write(content)
                file.truncate()

    def torn(self, before: Files, rng: random.Random) -> Files:
        """These files after a power cut in the middle of what was written since `before`: any part of the new WAL
        frames, their last page perhaps garbage."""
        old, new = before.contents.get(WAL, b""), self.contents.get(WAL, b"")
        if len(new) <= len(old) or not new.startswith(old):
            return before  # written from the start again: what was there is what counts
        cut = rng.randrange(len(old), len(new))
        kept = new[:cut]
        if rng.random() < 0.5:
            damaged = min(rng.randrange(1, 4_096), cut - len(old))
            kept = kept[: cut - damaged] + rng.randbytes(damaged)
        return Files({**before.contents, WAL: kept})


@define(eq=False)
class SlowDisk(Disk):
    """The core's `Disk` and `Timer`. A read sees what is committed when its turn comes, and is answered later still.

    doom: what becomes of the next commit, instead of being stored: called with it.
    """

    clockwork: Clockwork
    rng: random.Random
    store: Store
    reader: Reader
    recover: Callable[[], None]
    committed: Callable[[Group], None]
    failed: Callable[[Group], None]
    core: Core = field(init=False)
    gone: bool = False
    doom: Callable[[Group], None] | None = None
    unreadable: float = 0.0
    """The share of reads that fail, at their second attempt too."""
    read_failures: int = 0
    slow: int = 1
    slow_reads: int = 1
    _writing: bool = False
    _reads_until: int = 0
    _urgent: deque[Callable[[], None]] = field(factory=deque)
    _reads: deque[Callable[[], None]] = field(factory=deque)

    def later(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Unless the process has died by then."""

        def still() -> None:
            if not self.gone:
                action()

        self.clockwork.later(delay_ms, still)

    # ------------------------------------------------------------------ ports

    @property
    def trouble(self) -> str | None:
        return "the disk cannot be read" if self.unreadable else None

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.later(delay_ms, action)

    def start(
        self,
        read: Callable[..., T],
        *arguments: object,
        done: Callable[[T | Unreadable], None],
        urgent: bool = False,
    ) -> None:
        def reading() -> None:
            if self.unreadable and self.rng.random() < self.unreadable:
                self.read_failures += 1
                found: T | Unreadable = Unreadable("the disk cannot be read")
            else:
                found = read(*arguments)
            self.later(self.rng.randrange(2 * self.slow_reads), lambda: done(found))

        (self._urgent if urgent else self._reads).append(reading)
        now = self.clockwork.now_ms
        self._reads_until = max(self._reads_until, now) + self.rng.randrange(2 * self.slow_reads)
        self.later(self._reads_until - now, lambda: (self._urgent or self._reads).popleft()())

    def wake_writer(self) -> None:
        if not self._writing:
            self._writing = True
            self.later(self.rng.randrange(2), self._commit)

    # ------------------------------------------------------------------ faults

    def fill(self, *, full: bool) -> None:
        """No room for another page, or room again: SQLite itself finds out."""
        with suppress(sqlite3.Error):  # it fails in another way just now
            (pages,) = self.store.connection.execute("PRAGMA page_count").fetchone()
            self.store.connection.execute(f"PRAGMA max_page_count={pages if full else UNLIMITED_PAGES}")

    def interrupt_after(self, steps: int | None) -> None:
        """The next transactions fail after so many steps of SQLite's machine; None: no more."""
        self.store.connection.set_progress_handler(None if steps is None else lambda: 1, steps or 0)

    # ------------------------------------------------------------------ group commit

    @property
    def idle(self) -> bool:
        return not self._writing

    def _commit(self) -> None:
        try:
            group = self.core.take_group()
        except Torn as error:
            if self.core.torn(str(error)):
                self._try_again()
            else:
                self.later(RECOVERY_MS, self._try_again)
            return
        if group is None:
            self._writing = False
            return
        if group.commit.empty():
            self.later(1, partial(self._committed, group))
        else:
            self.later(self.rng.randrange(2 * self.slow), partial(self._store, group))

    def _store(self, group: Group) -> None:
        """Until now reads saw what was there before, and the process was told of nothing; for a while it still is."""
        if self.doom is not None:
            doom, self.doom = self.doom, None
            doom(group)
            return
        try:
            self.store.commit(group.commit)
        except StorageError as error:
            self.failed(group)
            said = self.core.unstorable(error)
            if said and self.core.torn(said):
                self._try_again()
            else:
                self.fail(said or str(error))
            return
        self.later(self.rng.randrange(1, 1 + 2 * self.slow), partial(self._committed, group))

    def _committed(self, group: Group) -> None:
        self.core.committed(group)
        self.committed(group)
        self._commit()

    def fail(self, reason: str) -> None:
        """A commit failed; writing is tried again until it works."""
        self.core.failed(reason)
        self.later(RECOVERY_MS, self._try_again)

    def _try_again(self) -> None:
        try:
            self.store.probe()
            self.recover()
        except StorageError as error:
            self.core.still_failing(str(error))
            self.later(RECOVERY_MS, self._try_again)
            return
        self._commit()
