"""Which logs have grown since they were read, told by their files: no database is opened where nothing happened.

Every commit writes into the write-ahead log. Times of files are coarse: one that was written just before it was
looked at may be written again and look the same. So it counts as grown, until it has been left alone for a while.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from node.config.sections import REALMS
from storage.sqlite.database import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

FRESH_NS = 2_000_000_000
"""How long after it was written a file may be written again without showing it: some count in seconds."""

ANYWAY_S = 60.0
"""After which a log is read though its files look the same."""

Stamp = tuple[tuple[int, int, int], ...]
"""(inode, bytes, time of the last write in ns) of a database and of its write-ahead log."""


@frozen
class Look:
    """At one database. stamp: None where it may be written again and look the same. at_s: monotonic."""

    path: Path
    stamp: Stamp | None
    at_s: float


@define(eq=False)
class Watch:
    """The databases of a data directory: its own, and those of the stores that head office keeps."""

    data: Path
    _read: dict[Path, Look] = field(factory=dict, init=False)
    """What each looked like before it was last read to its end."""

    def grown(self, wall_ns: int, monotonic_s: float) -> Iterator[Look]:
        """Those that have to be read. wall_ns: by the clock that files are written by."""
        for path in self._databases():
            try:
                stamp = _stamp(path)
            except FileNotFoundError:
                continue
            before = self._read.get(path)
            if before is None or before.stamp != stamp or monotonic_s - before.at_s >= ANYWAY_S:
                fresh = any(wall_ns - written < FRESH_NS for _, _, written in stamp)
                yield Look(path, None if fresh else stamp, monotonic_s)

    def read(self, look: Look) -> None:
        """It was read to its end, or as far as it can be."""
        self._read[look.path] = look

    def forget(self) -> None:
        """All are read again, whatever they look like."""
        self._read.clear()

    def _databases(self) -> Iterator[Path]:
        yield self.data / DATABASE
        try:
            names = sorted(os.listdir(self.data / REALMS))
        except OSError:
            return
        for name in names:
            yield self.data / REALMS / name / DATABASE


def _stamp(path: Path) -> Stamp:
    """Raises FileNotFoundError where there is no database."""
    found = [os.stat(path)]
    with suppress(FileNotFoundError):
        found.append(os.stat(f"{path}-wal"))
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)
