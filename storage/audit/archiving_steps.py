"""One call of `archive`, as the steps that a running node and the command carry out alike.

    finish what an earlier call left -> choose the rows -> write the file -> note it -> prune, a batch at a time

A step is a call on a reader or on the store. Whoever carries the steps out has the threads: the command calls one
after the other; a running node reads in a thread and writes between two commits. A StorageError of a step is thrown
back into the generator. Broken off after any step, another call completes what was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crdt.classes import frozen
from storage.audit.archiving import Lagging, Until, check_unfinished, last_row, make_archive, unfinished
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from storage.records import ArchiveRow


@frozen
class Read:
    """A call on a reader that nobody else uses meanwhile. It may take as long as writing or checking a file does."""

    call: Callable[[Reader], Any]


@frozen
class Write:
    """A call on the store, between two commits. A batch that is pruned is answered with `Pruned`."""

    call: Callable[[Store], Any]


@frozen(kw_only=True)
class Job:
    """What one call of `archive` is asked to do.

    until: which rows may go.
    target: the file for rows `first` to `last`; called where the file is written.
    held: the linked node that has confirmed least; asked for once earlier archives are finished. None: nobody counts.
    force: go on where the file of an earlier call is gone.
    once: stop where an earlier call left exactly this file: it was this command.
    batch: rows that are pruned in one transaction; None leaves that to the store.
    """

    until: Until
    target: Callable[[int, int], Path]
    held: Callable[[], Lagging | None]
    force: bool
    node_id: str
    epoch: str
    made_at: str
    once: bool = False
    batch: int | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


@frozen
class Archived:
    """What came of it. rows: how many left the log. file: the new archive. held: who holds back further rows."""

    rows: int
    file: str | None
    held: Lagging | None


Steps = Generator[Read | Write, Any, Archived]


def archiving(job: Job) -> Steps:
    """The steps; what came of them is the generator's value. Raises StorageError."""
    before: int = yield Read(_anchor)
    anchor, left = yield from _finish(job, before)
    if left is not None and job.once and left.file == str(job.target(left.first, left.last).resolve()):
        return Archived(anchor - before, None, None)
    held = job.held()
    made, held = yield Read(lambda reader: _make(reader, job, held))
    if made is not None:
        yield Write(lambda store: store.note_archive(made))
        anchor = yield from _prune(job, made.last, anchor)
    return Archived(anchor - before, made.file if made is not None else None, held)


def _finish(job: Job, anchor: int) -> Generator[Read | Write, Any, tuple[int, ArchiveRow | None]]:
    """Prune what an earlier call noted and did not finish; where the log begins then, and which archive that was."""
    left: ArchiveRow | None = yield Read(unfinished)
    if left is None:
        return anchor, None
    row = left
    try:
        yield Read(lambda reader: check_unfinished(row))
    except StorageError:
        if not job.force:
            raise
        yield Write(lambda store: store.forget_archive(row.last))
        return anchor, None
    return (yield from _prune(job, row.last, anchor)), left


def _make(reader: Reader, job: Job, held: Lagging | None) -> tuple[ArchiveRow | None, Lagging | None]:
    """The archive, None where no row may go; and who holds back rows."""
    (last, held), anchor = last_row(reader, job.until, held), reader.anchor().seq
    if last <= anchor:
        return None, held
    target = job.target(anchor + 1, last)
    return make_archive(reader, target, last, job.node_id, job.epoch, job.made_at, job.progress), held


def _prune(job: Job, last: int, anchor: int) -> Generator[Read | Write, Any, int]:
    """Where the log begins then."""
    most = () if job.batch is None else (job.batch,)
    while anchor < last:
        pruned = yield Write(lambda store: store.prune(last, *most))
        anchor = pruned.anchor.seq
    return anchor


def _anchor(reader: Reader) -> int:
    return reader.anchor().seq
