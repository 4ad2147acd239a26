"""What reads of a database answer, as values: whole entities, notices owed, what is left of archived rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import field

from crdt.classes import frozen
from storage.packed import ArchivedOperation
from storage.records import ConflictRow, EntityRow, LogRow

T = TypeVar("T")
R = TypeVar("R")

PAGE_BYTES = 256 * 1024
"""About how many bytes a page of entities or rows has, whatever its number of rows: one that is larger stands alone.

So much is encoded and compressed in one turn, and a page of large ones is no longer a turn than one of small ones.
"""

EVERYTHING = 2**62
"""More bytes than any answer has."""

ARCHIVED = b""
"""The answer for the hash of an archived row that is not the last of an archive: it is not known here."""

MOST_CLOSED = 16
"""How many closed conflicts of one entity another node is told of, the latest."""


class Page(list[T]):
    """A part of an answer, in order.

    more: it was cut, by its number of rows or by their bytes. bytes: of its rows, where they were counted.
    """

    more: bool = False
    bytes: int = 0

    def as_page(self, rows: Iterable[R]) -> Page[R]:
        """Other rows, made of these, cut where these were cut."""
        page: Page[R] = Page(rows)
        page.more = self.more
        return page


@frozen
class Whole:
    """An entity as it is now.

    seq: the last of its archived rows.
    base: its document as of that row; None if it has no later rows.
    records: the operations that are held without a row (`storage/packed.py`).
    closed: the latest of its closed conflicts.
    """

    seq: int
    row: EntityRow
    base: bytes | None
    records: bytes
    closed: Sequence[ConflictRow] = ()


@frozen
class Owed:
    """A notice whose row is archived, for a terminal that has not confirmed it."""

    seq: int
    message: bytes


@frozen
class Recalled:
    """What is kept of one copy of an operation, whose row is archived.

    row: what it did to counters, as far as that is known; otherwise its `updates` are empty.
    """

    operation: ArchivedOperation
    row: LogRow


@frozen
class Compacted:
    """A part of the archived log. What changed before `upto` and again after it comes with a later part.

    upto: what follows comes after this row. anchor: up to which row the log was archived.
    """

    wholes: Sequence[Whole]
    owed: Sequence[Owed]
    upto: int
    anchor: int


@frozen
class Fetched:
    """What `Reader.fetch` found. What is not in it is not stored.

    operations: name -> the rows of the operation, one under each writer, in log order.
    archived: name -> its copies without a row.
    too_many_bytes: of the entities, where those are more than was asked for. Nothing was read then.
    """

    entities: dict[tuple[str, str], EntityRow]
    operations: dict[str, list[LogRow]]
    conflicts: dict[str, ConflictRow]
    histories: list[list[LogRow]]
    archived: Mapping[str, Sequence[Recalled]] = field(factory=dict)
    too_many_bytes: int = 0


@frozen
class Unsent:
    """What tells to which nodes a row has still to go; the fields are those of its `LogRow`.

    entity_ids: what it is about, of a BULK_UPDATE all of them.
    """

    seq: int
    priority: int
    entity_ids: Sequence[str]
    via: str


@frozen
class Base:
    """An entity's document after its archived rows.

    seq: the last of those rows.
    accepted: the latest acceptance among their operations, an HLC.
    """

    seq: int
    snapshot: bytes
    accepted: int
