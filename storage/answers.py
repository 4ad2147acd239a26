"""What reads of a database answer, as values: entities whole, notices owed, what is left of archived rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from storage.packed import ArchivedOperation
from storage.records import ConflictRow, EntityRow, LogRow

ARCHIVED = b""
"""The hash of a row that is in an archive, and no archive's last: nobody here knows it."""


MOST_CLOSED = 16
"""Closed conflicts of one entity that another node is told of, the latest."""


@frozen
class Whole:
    """An entity as it is. seq: the last of its rows that is archived. base: its document as of there, where it has
    later ones. records: its archived operations (packed), and those that came without their rows. closed: the latest
    of its conflicts that are no longer."""

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
    """What is kept of an operation whose row is archived. row: with what it did to counters, as far as that is known
    (its `updates` are empty otherwise)."""

    operation: ArchivedOperation
    row: LogRow


@frozen
class Compacted:
    """A part of the archived log. upto: whoever takes it holds the log (of one priority class) up to there."""

    wholes: Sequence[Whole]
    owed: Sequence[Owed]
    upto: int


@frozen
class Fetched:
    """What `fetch` found; what is not in it is not there. archived: operations without a row."""

    entities: dict[tuple[str, str], EntityRow]
    operations: dict[str, LogRow]
    conflicts: dict[str, ConflictRow]
    histories: list[list[LogRow]]
    archived: Mapping[str, Recalled] = field(factory=dict)


@frozen
class Base:
    """What is left of an entity's archived rows: its document after them. seq: the last of them. accepted: the latest
    acceptance among their operations, an HLC."""

    seq: int
    snapshot: bytes
    accepted: int
