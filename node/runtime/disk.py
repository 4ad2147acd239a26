"""Group commit: the one thread that writes, and the loop that feeds it.

Operations that arrive in one scheduler pass, or while a commit runs, form the next group; each group is one
durable transaction. `Core.committed` runs on the trio thread only after the fsync.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from node.core.faults import Torn
from node.core.ports import Disk, Unreadable
from node.core.start import RECOVERY_MS
from node.runtime.read_faults import ReadFaults
from node.runtime.storage_thread import StorageThread
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.core.core import Core
    from node.runtime.storage_thread import Answer, Lane
    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store

T = TypeVar("T")

logger = logging.getLogger("comanda.storage")

WAL_LARGE = 2**27
"""Bytes of the WAL beyond which something is wrong: a checkpoint leaves at most half of it."""


class TrioDisk(Disk):
    """The core's `Disk` and `Timer`: reads on one thread, commits on another, answers on the trio thread."""

    def __init__(
        self,
        nursery: trio.Nursery,
        store: Store,
        reader: Reader,
        lane: Callable[[str], Lane] = StorageThread,
        stir: Callable[[], None] = lambda: None,
    ) -> None:
        """lane: makes what runs calls, by its name. stir: called where something is read or written."""
        self._nursery, self._stir = nursery, stir
        self._store = store
        self.reader = reader
        self._writer_thread = lane("comanda-writer")
        self._reader_thread = lane("comanda-reader")
        self._wake = trio.Event()
        self._opened: float | None = None
        self.faults = ReadFaults()
        self._wal_said = WAL_LARGE
        self._pages: deque[tuple[Callable[..., Any], tuple[object, ...], Callable[[Any], None]]] = deque()
        """Reads that are not urgent and were not begun, in order, with their arguments and who is answered."""
        self._reading_pages = False

    # ------------------------------------------------------------------ the core's ports

    @property
    def trouble(self) -> str | None:
        return self.faults.said

    @property
    def read_failures(self) -> int:
        return self.faults.reads

    @property
    def wal_bytes(self) -> int:
        return self._store.wal_bytes

    def wake_writer(self) -> None:
        self._stir()
        if self._opened is None:
            self._opened = time.monotonic()
        self._wake.set()

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        async def later() -> None:
            await trio.sleep(delay_ms / 1000)
            action()

        self._nursery.start_soon(later)

    def start(
        self,
        read: Callable[..., T],
        *arguments: object,
        done: Callable[[T | Unreadable], None],
        urgent: bool = False,
    ) -> None:
        self._stir()
        if urgent:  # asked at once: trio starts tasks in any order, and reads keep theirs
            first = self._reader_thread.ask(read, *arguments, urgent=True)
            self._nursery.start_soon(self._answer, first, read, arguments, done)
            return
        self._pages.append((read, arguments, done))
        if not self._reading_pages:
            self._reading_pages = True
            self._nursery.start_soon(self._read_pages)

    async def _read_pages(self) -> None:
        """Read what is not urgent, one after the other, and let everybody else have a turn after each answer."""
        while self._pages:
            read, arguments, done = self._pages.popleft()
            await self._answer(self._reader_thread.ask(read, *arguments), read, arguments, done)
            await trio.lowlevel.checkpoint()
        self._reading_pages = False

    async def _answer(
        self,
        first: Answer[T],
        read: Callable[..., T],
        arguments: tuple[object, ...],
        done: Callable[[T | Unreadable], None],
    ) -> None:
        try:
            found: T | Unreadable = await self.faults.tried_twice(
                first.wait(), self._reader_thread.run, read, *arguments
            )
        except StorageError as error:
            found = Unreadable(str(error))
        done(found)

    async def read_again(self) -> None:
        """Once a second: try what could not be read, so that the node is ready again when it can."""
        await self.faults.try_again()

    async def write(self, function: Callable[..., T], *arguments: object) -> T:
        """A call that needs the read-write connection (tokens, backup), between two commits."""
        return await self._writer_thread.run(function, *arguments)

    # ------------------------------------------------------------------ group commit

    async def run(self, core: Core, recover: Callable[[], None]) -> None:
        """Commit group after group. `recover` is called once writing works again after a failure."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await trio.lowlevel.cancel_shielded_checkpoint()  # the end of this scheduler pass
            stored = False
            try:
                stored = await self.commit_pending(core, recover)
            except Exception as error:
                core.lost(error)
            if not stored:
                await self._until_writable(core, recover)
                self._wake.set()

    async def commit_pending(self, core: Core, recover: Callable[[], None] | None = None) -> bool:
        """Commit until nothing is left. False when a commit failed; the core has been told.

        recover: called where memory is to be read again and the disk is well. Without it, that is a failure.
        """
        while True:
            try:
                group = core.take_group()
                if group is None:
                    return True
                opened, self._opened = self._opened, None
                if not group.commit.empty():
                    await self._writer_thread.run(self._store.commit, group.commit)
            except Torn as error:
                if not (core.torn(str(error)) and self._recovered(core, recover)):
                    return False
                continue
            except Exception as error:  # mostly StorageError
                said = core.unstorable(error)
                if not said:
                    core.failed(str(error))
                    return False
                if not (core.torn(said) and self._recovered(core, recover)):
                    return False
                continue
            try:
                core.committed(group)
            except Exception as error:
                core.not_finished(group, error)
            if opened is not None:
                core.statistics.confirmation.add((time.monotonic() - opened) * 1000)

    async def _until_writable(self, core: Core, recover: Callable[[], None]) -> None:
        """Until a write works, and what the last commit left can be read. The writer thread rests meanwhile."""
        while True:
            await trio.sleep(RECOVERY_MS / 1000)
            try:
                await self._writer_thread.run(self._store.probe)
            except Exception as error:  # mostly StorageError
                core.still_failing(str(error))
            else:
                if self._recovered(core, recover):
                    return

    def _recovered(self, core: Core, recover: Callable[[], None] | None) -> bool:
        """Go on from what the disk holds. The writer thread rests meanwhile."""
        if recover is None:
            return False
        try:
            recover()
        except StorageError as error:
            core.still_failing(str(error))
        except Exception as error:
            core.still_failing(core.replica.faults.report("going on from the disk", b"", error))
        else:
            return True
        return False

    async def checkpoint(self) -> None:
        """Move what the WAL holds into the database file, between two commits."""
        try:
            await self._writer_thread.run(self._store.checkpoint)
        except StorageError as error:
            self.faults.kept(error)
        else:
            self.faults.kept(None)
            self._watch_wal()

    def _watch_wal(self) -> None:
        """Say it when the WAL has doubled beyond what a checkpoint leaves: what reads the database from outside, and
        does not end, keeps what was written since from being moved."""
        size = self.wal_bytes
        if size > self._wal_said:
            self._wal_said = 2 * size
            said = "something else reads the database and does not end"
            logger.warning(
                "the write-ahead log has grown to %(megabytes)d MB: %(reason)s",
                {"megabytes": size >> 20, "reason": said},
            )

    def database_bytes(self) -> int:
        """Of the database and its WAL."""
        try:
            return self._store.path.stat().st_size + self.wal_bytes
        except OSError:
            return 0

    async def stop(self) -> None:
        await self._writer_thread.run(self._store.close)
        await self._reader_thread.run(self.reader.close)
        self._writer_thread.stop()
        self._reader_thread.stop()
