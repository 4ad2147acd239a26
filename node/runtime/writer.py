"""Group commit: the one thread that writes, and the loop that feeds it.

Operations that arrive in one scheduler pass, or while a commit runs, form the next group; each group is one
durable transaction. `Core.committed` runs on the trio thread only after the fsync.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import outcome
import trio

from storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from node.core.core import Core
    from node.core.memory import Needs
    from storage.archived import Compacted, Whole
    from storage.reader import Fetched, Reader
    from storage.records import EntityRow, LogRow
    from storage.store import Store

T = TypeVar("T")

PROBE_INTERVAL_S = 1.0
"""How often a node whose disk failed tries whether writing works again."""


class StorageThread:
    """One thread that runs calls in order; the result comes back to the trio task that asked."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run `function` on the thread. Not cancellable: a commit that began is waited for."""
        token = trio.lowlevel.current_trio_token()
        task = trio.lowlevel.current_task()

        def call() -> None:
            result = outcome.capture(function, *arguments)
            token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._calls.put(call)
        return await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # type: ignore[no-any-return]

    def stop(self) -> None:
        self._calls.put(None)
        self._thread.join()


class TrioDisk:
    """The core's `Disk` and `Timer`: reads on one thread, commits on another, answers on the trio thread."""

    def __init__(self, nursery: trio.Nursery, store: Store, reader: Reader) -> None:
        self._nursery = nursery
        self._store = store
        self._reader = reader
        self._writer_thread = StorageThread("comanda-writer")
        self._reader_thread = StorageThread("comanda-reader")
        self._wake = trio.Event()
        self._opened: float | None = None

    # ------------------------------------------------------------------ the core's ports

    def wake_writer(self) -> None:
        if self._opened is None:
            self._opened = time.monotonic()
        self._wake.set()

    def fetch(self, needs: Needs, done: Callable[[Fetched], None]) -> None:
        wanted = (needs.entities, needs.operations, needs.conflicts, needs.held, needs.histories)
        self._start(self._reader.fetch, *wanted, done=done)

    def rows(
        self, priority: int, after: int, upto: int, limit: int, done: Callable[[Sequence[LogRow] | None], None]
    ) -> None:
        self._start(self._reader.reached, priority, after, upto, limit, done=done)

    def compacted(
        self,
        priority: int,
        entity_types: Sequence[str],
        after: int,
        limit: int,
        terminal_id: str | None,
        done: Callable[[Compacted], None],
    ) -> None:
        self._start(self._reader.compacted, priority, entity_types, after, limit, terminal_id, done=done)

    def state(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        begun: int,
        terminal_id: str,
        done: Callable[[Sequence[EntityRow]], None],
    ) -> None:
        self._start(self._reader.state, entity_types, after, limit, begun, terminal_id, done=done)

    def wholes(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        done: Callable[[Sequence[Whole]], None],
    ) -> None:
        self._start(self._reader.wholes, entity_types, after, limit, done=done)

    def lacking(
        self, entity_type: str, after: str, keys: Set[int], done: Callable[[tuple[Sequence[Whole], str | None]], None]
    ) -> None:
        self._start(self._reader.lacking, entity_type, after, keys, done=done)

    def linked(self, link_keys: Sequence[int], done: Callable[[Sequence[LogRow]], None]) -> None:
        self._start(self._reader.linked, link_keys, done=done)

    def places(self, link_keys: Sequence[int], done: Callable[[Sequence[tuple[int, int]]], None]) -> None:
        self._start(self._reader.places, link_keys, done=done)

    def row_hash(self, seq: int, done: Callable[[bytes | None], None]) -> None:
        self._start(self._reader.row_hash, seq, done=done)

    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None:
        async def later() -> None:
            await trio.sleep(delay_ms / 1000)
            action()

        self._nursery.start_soon(later)

    def _start(self, read: Callable[..., T], *arguments: object, done: Callable[[T], None]) -> None:
        async def request() -> None:
            done(await self._reader_thread.run(read, *arguments))

        self._nursery.start_soon(request)

    async def read(self, function: Callable[..., T], *arguments: object) -> T:
        """A read for HTTP, on the reader thread."""
        return await self._reader_thread.run(function, *arguments)

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
            if not await self.commit_pending(core):
                await self._until_writable(core, recover)
                self._wake.set()

    async def commit_pending(self, core: Core) -> bool:
        """Commit until nothing is left. False when a commit failed; the core has been told."""
        while (group := core.take_group()) is not None:
            opened, self._opened = self._opened, None
            if not group.commit.empty():
                try:
                    await self._writer_thread.run(self._store.commit, group.commit)
                except StorageError as error:
                    core.failed(str(error))
                    return False
            core.committed(group)
            if opened is not None:
                core.statistics.confirmation.add((time.monotonic() - opened) * 1000)
        return True

    async def _until_writable(self, core: Core, recover: Callable[[], None]) -> None:
        while True:
            await trio.sleep(PROBE_INTERVAL_S)
            try:
                await self._writer_thread.run(self._store.probe)
                recover()
            except StorageError as error:
                core.failure = str(error)
            else:
                return

    async def checkpoint(self) -> None:
        """Move what the WAL holds into the database file, between two commits."""
        await self._writer_thread.run(self._store.checkpoint)

    async def stop(self) -> None:
        await self._writer_thread.run(self._store.close)
        await self._reader_thread.run(self._reader.close)
        self._writer_thread.stop()
        self._reader_thread.stop()
