"""What is to be archived, and making it so, step by step; broken off anywhere, doing it again completes it.

write_archive         the file has its name only when it is whole, on disk and read back
Store.note_archive    from here on the rows may go
Store.prune           a batch at a time, until the anchor is the archive's last row
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from crdt.hlc import MAX_MS, pack, parse_iso
from storage.audit.archive_file import Header, check_archive, write_archive
from storage.records import ArchiveRow
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from storage.records import FollowerRow
    from storage.sqlite.reader import Reader


@frozen
class Until:
    """Rows up to `seq`, or those before the first accepted at or after `accepted` (an HLC)."""

    seq: int | None
    accepted: int | None

    @classmethod
    def read(cls, text: str) -> Until:
        """A row's number, or an ISO 8601 time. Raises ValueError."""
        if text.isascii() and text.isdigit():
            return cls(int(text[:19]), None)
        return cls(None, pack(min(parse_iso(text) // 1000, MAX_MS - 1)))


@frozen
class Held:
    """A linked node that has not confirmed what comes after row `seq`."""

    seq: int
    node_id: str


def held_by(followers: Iterable[FollowerRow], epoch: str) -> Held | None:
    """The linked node that has confirmed least; None where none is known."""
    held = [Held(max(min(f.positions), 0) if f.epoch == epoch else 0, f.node_id) for f in followers]
    return min(held, key=lambda h: h.seq, default=None)


def unfinished(reader: Reader) -> ArchiveRow | None:
    """The archive whose rows are not all pruned yet."""
    archives = reader.archives()
    return archives[-1] if archives and archives[-1].last > reader.anchor().seq else None


def check_unfinished(row: ArchiveRow) -> None:
    """Raises StorageError where its file is not there any more, or is not what was written."""
    header = check_archive(Path(row.file))
    if (header.first, header.last, header.hash) != (row.first, row.last, row.hash):
        raise StorageError(f"{row.file} is not the archive that was made of rows {row.first} to {row.last}")


def last_row(reader: Reader, until: Until, held: Held | None) -> tuple[int, Held | None]:
    """The last row that may go, the anchor where none may; and who holds back what would go else."""
    anchor, (last, _) = reader.anchor().seq, reader.head()
    if until.seq is not None:
        last = min(last, until.seq)
    if until.accepted is not None:
        found = reader.before(until.accepted, anchor)
        last = last if found is None else min(last, found)
    if held is not None and held.seq < last:
        return max(held.seq, anchor), held
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
    """Write the log up to row `last`, which is past the anchor, to a file; what is still to be noted of it.

    A target that is this already, from an attempt that was broken off, is taken as it is. Raises StorageError.
    """
    anchor = reader.anchor()
    header = Header(node_id, epoch, anchor.seq + 1, last, anchor.hash, reader.row_hash(last) or b"", made_at)
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
