"""Stores in turn, each to the end of its log, whatever their rows are written into."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.start import REALM
from node.sink.page import touched
from node.sink.watch import Watch
from storage.answers import ARCHIVED
from storage.sqlite.database import StorageError
from storage.sqlite.meta import read_fact
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage.records import EntityRow, LogRow

logger = logging.getLogger("comanda.sink")


class Archived(Exception):
    """The log begins after where the cursor stands: what lies between is in an archive only."""


class Refused(Exception):
    """What a store's rows are written into does not take one of them."""


@define(eq=False)
class Follower:
    """wrong: folder -> why that store stands still. passed: rows of logs, since the start."""

    watch: Watch
    wrong: dict[str, str] = field(factory=dict, init=False)
    passed: int = field(default=0, init=False)
    _homes: dict[str, Path] = field(factory=dict, init=False)
    """Which database of each store is read."""

    def round(self, page: Callable[[str, Reader], int], *, once: bool) -> int:
        """Every store whose log has grown. Returns how many rows were passed.

        page: writes the next rows of a store; how many, 0 at the end of its log. once: whatever keeps a store from
        being read is raised.
        """
        passed = 0
        for look in self.watch.grown(time.time_ns(), time.monotonic()):
            folder = look.path.parent.name
            try:
                passed += self._store(look.path, page)
            except (StorageError, Archived, Refused) as error:
                if once:
                    raise
                if self.wrong.get(folder) != str(error):
                    logger.error("the store %(realm)s stands still: %(reason)s", {"realm": folder, "reason": error})
                self.wrong[folder] = str(error)
            else:
                self.wrong.pop(folder, None)
            self.watch.read(look)
        self.passed += passed
        return passed

    def _store(self, database: Path, page: Callable[[str, Reader], int]) -> int:
        """One to its end. A database that no store is named in has nothing to be written."""
        passed = 0
        with closing(Reader(database)) as reader:
            site = read_fact(reader.queries.connection, REALM)
            if not site:
                return 0
            first = self._homes.setdefault(site, database)
            if first != database:
                raise StorageError(f"{database}: {site} is in {first} too, and only that is read")
            while count := page(site, reader):
                passed += count
        return passed


def changed(rows: Iterable[LogRow], reader: Reader) -> list[EntityRow]:
    """The entities that these rows changed, as they are stored. Raises StorageError."""
    return [entity for key in touched(rows) if (entity := reader.entity(*key)) is not None]


def begins(
    site: str, reader: Reader, stood: tuple[str, str, int, bytes], *, skip_archived: bool
) -> tuple[int, bool, str, str]:
    """After which row of a log to go on; whether that is another log than before; its node and epoch.

    stood: node, epoch, row and hash of the cursor. Another log (a hub's after head office's, one that was set back)
    is read from its beginning: an operation has the same key in every log of its store.

    Raises Archived, StorageError.
    """
    node, epoch, seq, known = stood
    log = reader.queries.connection
    here_node, here_epoch = read_fact(log, "node_id") or "", read_fact(log, "epoch") or ""
    here = reader.row_hash(seq) if seq else b""
    other = here != known and not (here == ARCHIVED and (node, epoch) == (here_node, here_epoch))
    seq = 0 if other else seq
    first = reader.anchor().seq
    if first > seq and not skip_archived:
        raise Archived(f"{site}: rows {seq + 1} to {first} are archived; `--skip-archived` leaves them out")
    return max(first, seq), other, here_node, here_epoch
