"""Archiving while the node runs: files are written and checked in a thread, rows go between two commits."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import trio

from crdt.classes import define
from crdt.hlc import iso, parse_iso
from node.core.core import Core
from node.runtime.disk import TrioDisk
from storage.audit.archiving import furthest_behind
from storage.audit.archiving_steps import Archived, Job, Read, archiving
from storage.sqlite.database import StorageError
from storage.sqlite.prune import Pruned
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from storage.audit.archiving import Lagging, Until
    from storage.audit.archiving_steps import Steps, Write
    from storage.records import ArchiveRow

PAUSE_S = 0.005
"""Between two batches of rows that go, so that they take no more than about half of the disk's time."""

FOLDER = "archives"


class Busy(Exception):
    """The node is archiving already."""


@define(kw_only=True)
class Archiver:
    """One archive at a time."""

    core: Core
    store: Store
    disk: TrioDisk
    last_ms: int | None = None
    """When the newest archive was made, Unix milliseconds; None without one."""
    _busy: bool = False

    async def archive(self, until: Until, *, force: bool, spare_bytes: int = 0) -> dict[str, object]:
        """Archive what lies before `until`, and what an earlier attempt left. Broken off anywhere, another call
        completes it. Raises Busy, StorageError, OSError.

        force: also what linked nodes have not confirmed, and where the file of an earlier attempt is gone.
        spare_bytes: what the file leaves free on its disk.
        """
        if self._busy:
            raise Busy("the node is archiving already")
        self._busy = True
        try:
            found = await self._carry_out(archiving(self._job(until, spare_bytes, force=force)))
        finally:
            self._busy = False
        if found.file is not None:
            self.last_ms = self.core.clock().wall_ms
        held = found.held
        return {
            "archived": found.rows,
            "file": f"{FOLDER}/{found.file.rpartition('/')[2]}" if found.file is not None else None,
            "log_begins": self.store.anchor.seq + 1,
            "held_by": {"node": held.node_id, "confirmed": held.seq} if held is not None else None,
        }

    def _job(self, until: Until, spare_bytes: int, *, force: bool) -> Job:
        core, folder = self.core, self.store.directory / FOLDER

        def target(first: int, last: int) -> Path:
            folder.mkdir(mode=0o700, exist_ok=True)
            _go_on(folder, spare_bytes)
            return folder / f"comanda-{core.links.epoch[:8]}-{first:010}-{last:010}.jsonl.gz"

        def held() -> Lagging | None:
            core.store_cursors(every=True)  # what a terminal has not confirmed is kept for it
            return None if force else furthest_behind(core.cursors.nodes.values(), core.links.epoch)

        return Job(
            until=until,
            target=target,
            held=held,
            force=force,
            node_id=self.store.node_id,
            epoch=core.links.epoch,
            made_at=iso(core.clock().wall_ms),
            progress=lambda done, total: _go_on(folder, spare_bytes),
        )

    async def _carry_out(self, steps: Steps) -> Archived:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._step(step)
                except StorageError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as over:
            found: Archived = over.value
            return found

    async def _step(self, step: Read | Write) -> Any:
        if isinstance(step, Read):
            return await trio.to_thread.run_sync(self._read, step.call)
        result = await self.disk.write(step.call, self.store)
        if isinstance(result, Pruned):
            self.core.pruned(result.op_keys, result.anchor.seq)
            await trio.sleep(PAUSE_S)
        return result

    def _read(self, call: Callable[[Reader], Any]) -> Any:
        """In the thread."""
        with closing(Reader(self.store.path)) as reader:
            return call(reader)


def _go_on(folder: Path, spare_bytes: int) -> None:
    """Called before and while a file is written. Raises StorageError where it leaves too little free."""
    trio.from_thread.check_cancelled()
    if shutil.disk_usage(folder).free < spare_bytes:
        raise StorageError(f"{folder}: there is too little room left")


def last_made_ms(archives: Iterable[ArchiveRow]) -> int | None:
    """When the newest of some archives was made, Unix milliseconds; None without one."""
    return max((parse_iso(archive.made_at) // 1000 for archive in archives), default=None)
