"""Archiving while the node runs: the file is written in a thread of its own, the rows go between commits."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import trio
from attrs import define

from crdt.hlc import iso
from node.core.core import Core
from node.runtime.disk import TrioDisk
from storage.audit.archiving import (
    check_unfinished,
    held_by,
    last_row,
    make_archive,
    unfinished,
)
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from storage.audit.archiving import Held, Until
    from storage.records import ArchiveRow

PAUSE_S = 0.005
"""Between two batches of rows that go, so that they take no more than about half of the disk's time."""

FOLDER = "archives"


class Busy(Exception):
    """The node is archiving already."""


@define
class Archiver:
    """One archive at a time."""

    core: Core
    store: Store
    disk: TrioDisk
    _busy: bool = False

    async def archive(self, until: Until, *, force: bool) -> dict[str, object]:
        """Archive what lies before `until`, and what an earlier attempt left. Broken off anywhere, another call
        completes it. Raises Busy, StorageError, OSError.

        force: also what linked nodes have not confirmed, and where the file of an earlier attempt is gone.
        """
        if self._busy:
            raise Busy("the node is archiving already")
        self._busy = True
        try:
            return await self._archive(until, force=force)
        finally:
            self._busy = False

    async def _archive(self, until: Until, *, force: bool) -> dict[str, object]:
        core = self.core
        before = self.store.anchor.seq
        await self._finish(force=force)
        core.store_positions(every=True)  # what a terminal has not confirmed is kept for it
        least = None if force else held_by(core.positions.followers.values(), core.links.epoch)
        made, held = await trio.to_thread.run_sync(self._make, until, least)
        if made is not None:
            await self.disk.write(self.store.note_archive, made)
            await self._prune(made)
        return {
            "archived": self.store.anchor.seq - before,
            "file": f"{FOLDER}/{made.file.rpartition('/')[2]}" if made is not None else None,
            "log_begins": self.store.anchor.seq + 1,
            "held_by": {"node": held.node_id, "confirmed": held.seq} if held is not None else None,
        }

    async def _finish(self, *, force: bool) -> None:
        left = await trio.to_thread.run_sync(self._unfinished)
        if left is None:
            return
        try:
            await trio.to_thread.run_sync(check_unfinished, left)
        except StorageError:
            if not force:
                raise
            await self.disk.write(self.store.forget_archive, left.last)
        else:
            await self._prune(left)

    def _unfinished(self) -> ArchiveRow | None:
        with closing(Reader(self.store.path)) as reader:
            return unfinished(reader)

    def _make(self, until: Until, least: Held | None) -> tuple[ArchiveRow | None, Held | None]:
        """In the thread."""
        store, folder = self.store, self.store.directory / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        with closing(Reader(store.path)) as reader:
            (last, held), anchor = last_row(reader, until, least), reader.anchor().seq
            if last <= anchor:
                return None, held
            target = folder / f"comanda-{self.core.links.epoch[:8]}-{anchor + 1:010}-{last:010}.jsonl.gz"
            at = iso(self.core.clock().wall_ms)
            return make_archive(reader, target, last, store.node_id, self.core.links.epoch, at, _go_on), held

    async def _prune(self, archive: ArchiveRow) -> None:
        while self.store.anchor.seq < archive.last:
            pruned = await self.disk.write(self.store.prune, archive.last)
            self.core.replica.held.moved(pruned.op_keys)
            await trio.sleep(PAUSE_S)


def _go_on(done: int, total: int) -> None:
    trio.from_thread.check_cancelled()
