"""Archiving, step by step. Broken off anywhere, doing it again completes it.

last_row              how far the log may be archived
make_archive          the file gets its name only when it is whole, on disk and read back
Store.note_archive    from here on the rows may go
Store.prune           a batch at a time, until the anchor is the archive's last row
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crdt.classes import frozen
from crdt.hlc import UTC_ZONE, Zone, pack, time_asked
from storage.audit.archive_file import ArchiveHeader, check_archive, write_archive
from storage.records import ArchiveRow
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage.records import FollowerRow
    from storage.sqlite.reader import Reader


@frozen
class Until:
    """Rows up to `seq`, or the rows before the first that was accepted at or after `accepted` (an HLC).

    assumed_zone: where that time was read, if it names no offset.
    """

    seq: int | None
    accepted: int | None
    assumed_zone: str | None = None

    @classmethod
    def read(cls, text: str, where: Zone = UTC_ZONE) -> Until:
        """A row's number, or an ISO 8601 time. Raises ValueError."""
        if text.isascii() and text.isdigit():
            return cls(int(text[:19]), None)
        ms, assumed = time_asked(text, where)
        return cls(None, pack(ms), assumed)


@frozen
class Lagging:
    """A linked node that has confirmed the log only up to row `seq`."""

    seq: int
    node_id: str


def furthest_behind(followers: Iterable[FollowerRow], epoch: str) -> Lagging | None:
    """The linked node that has confirmed least of the log of this epoch; None if no linked node is known."""
    nodes = [Lagging(max(min(f.positions), 0) if f.epoch == epoch else 0, f.node_id) for f in followers]
    return min(nodes, key=lambda node: node.seq, default=None)


def unfinished(reader: Reader) -> ArchiveRow | None:
    """The archive whose rows are not all pruned yet; None if there is none."""
    archives = reader.archives()
    return archives[-1] if archives and archives[-1].last > reader.anchor().seq else None


def check_unfinished(row: ArchiveRow) -> None:
    """Raises StorageError if the archive's file is not there any more, or is not what was written."""
    header = check_archive(Path(row.file))
    if (header.first, header.last, header.hash) != (row.first, row.last, row.hash):
        raise StorageError(f"{row.file} is not the archive that was made of rows {row.first} to {row.last}")


def last_row(reader: Reader, until: Until, lagging: Lagging | None) -> tuple[int, Lagging | None]:
    """The last row that may go (the anchor if none may), and the node that holds back rows which else would go."""
    anchor, (last, _) = reader.anchor().seq, reader.head()
    if until.seq is not None:
        last = min(last, until.seq)
    if until.accepted is not None:
        found = reader.before(until.accepted, anchor)
        last = last if found is None else min(last, found)
    if lagging is not None and lagging.seq < last:
        return max(lagging.seq, anchor), lagging
    return max(last, anchor), None


def make_archive(
    reader: Reader,
    target: Path,
    last: int,
    node_id: str,
    epoch: str,
    made_at: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ArchiveRow:
    """Write the log up to row `last`, which is past the anchor, to a file; returns what the store is to note of it.

    A target that is this archive already is taken as it is: an attempt was broken off. Raises StorageError.
    """
    anchor = reader.anchor()
    header = ArchiveHeader(node_id, epoch, anchor.seq + 1, last, anchor.hash, reader.row_hash(last) or b"", made_at)
    if target.exists():
        found = check_archive(target)
        same = (found.node_id, found.first, found.before) == (node_id, header.first, header.before)
        if not same or found.last > last or reader.row_hash(found.last) != found.hash:
            raise StorageError(f"{target} exists already, and is another archive")
        header = found
    else:
        write_archive(reader, target, header, progress)
    size = target.stat().st_size
    file = str(target.resolve())
    return ArchiveRow(header.first, header.last, header.before, header.hash, file, size, header.epoch, header.made_at)
