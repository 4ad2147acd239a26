"""A walk along the audit chain (`storage/chain.py`), from its anchor to the head.

`meta` holds the head and its hash, written in the same transaction as the rows, so that a truncated log is found too.
Where the beginning of the log is archived, the chain goes on from the anchor. The archives prove the rest
(`storage/audit/archive_file.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from storage.chain import Finding, chain_hash
from storage.records import Anchor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.records import LogRow
    from storage.sqlite.reader import Reader


@frozen
class Part:
    """How far a walk found the chain good. whole: to the head. wrong: the first thing that does not fit."""

    upto: Anchor | None
    whole: bool
    wrong: Finding | None = None


class _FarEnoughError(Exception):
    """A walk in parts makes a break."""


def verify_part(reader: Reader, since: Anchor | None, most: int) -> Part:
    """Go on with a walk by about so many rows. since: how far it was; None: it begins. Raises StorageError."""
    place, walked = since, 0

    def each(row: LogRow) -> None:
        nonlocal place, walked
        if walked == most:
            raise _FarEnoughError  # the row before was checked, this one not yet
        place, walked = Anchor(row.seq, row.hash), walked + 1

    try:
        wrong = next(verify(reader, each=each, since=since), None)
    except _FarEnoughError:
        return Part(place, whole=False)
    return Part(since if wrong else place, whole=wrong is None, wrong=wrong)


def verify(
    reader: Reader,
    progress: Callable[[int, int], None] = lambda done, total: None,
    each: Callable[[LogRow], None] = lambda row: None,
    since: Anchor | None = None,
) -> Iterator[Finding]:
    """Walk the log from its anchor, or from a row that was found good, and yield what does not fit.

    progress: called with rows done and the head. each: called with every row that can be read.

    Commits and archiving may go on meanwhile. A cut that a start of the node found is yielded too, as the rows
    written since hide it. Raises StorageError if the database cannot be read.
    """
    for head, end in reader.cuts():
        if end == head:
            yield Finding(end, f"the last row {end} was replaced before a start")
        else:
            what = "cut" if end < head else "added to"
            yield Finding(
                min(head, end) + 1, f"the log was {what} before a start: it ended at {end}, its head was {head}"
            )
    for end, commits in reader.dropped():
        yield Finding(
            end + 1, f"the WAL was damaged before a start: about {commits} commits after row {end} are lost"
        )
    head, stored = reader.head()
    anchor = reader.anchor()
    start = anchor if since is None or since.seq < anchor.seq else since
    previous, expected = start.hash, start.seq + 1
    for seq, row, row_hash in reader.chained_rows(start.seq):
        if seq > head:  # committed since the head was read, or never committed
            head, stored = reader.head()
        if seq > head:
            yield Finding(seq, f"row {seq} is past the head {head}")
            return
        if seq != expected:
            anchor = reader.anchor()
            if anchor.seq >= expected:  # they were archived meanwhile
                previous, expected = anchor.hash, anchor.seq + 1
        if row is not None:
            each(row)
        if seq != expected:
            yield Finding(expected, f"rows {expected} to {seq - 1} are missing")
        elif row is None or chain_hash(previous, row) != row_hash:
            yield Finding(seq, f"row {seq} was edited, or the row before it was replaced")
        if seq == head and row_hash != stored:
            yield Finding(seq, f"the last row {seq} is not the one that was committed")
        previous, expected = row_hash, seq + 1
        if seq % 1000 == 0:
            progress(seq, head)
    anchor = reader.anchor()
    if anchor.seq == head and anchor.hash != stored:
        yield Finding(head, f"the anchor {head} is not the row that was committed")
    expected = max(expected, anchor.seq + 1)
    if expected - 1 < head:
        yield Finding(expected, f"the log was cut: it ends at {expected - 1}, its head was {head}")
