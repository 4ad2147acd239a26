"""What a document gives and takes: an edit made here, an update from elsewhere that fits, or why it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from crdt.classes import define, frozen
from crdt.decimals import Total, decimal_of, plus
from crdt.records import FieldRecord, Header

if TYPE_CHECKING:
    from crdt.update_format import DecodedUpdate

ZERO = Decimal(0)
NOTHING_COUNTED: Mapping[str, Decimal] = {}
NO_TOTALS: Mapping[str, Total] = {}


@define(eq=False)
class Edit:
    """What one local operation did to the document, ready for the log and the links.

    update: Yjs v1 bytes, exactly what the transaction added.
    before: the state vector entries that a receiver must hold to apply it.
    span: the clocks [first, end) of this document's writer.
    added, removed: field records.
    """

    update: bytes
    before: Mapping[int, int]
    writer: int
    span: tuple[int, int]
    added: tuple[FieldRecord, ...]
    removed: tuple[FieldRecord, ...]


class Prepared(NamedTuple):
    """A remote update that can be applied now.

    inserts: its records in the order of their clocks, which are `header` and those in `added`.
    doomed: (writer, clock) of the live records it deletes. removed: those of them that are field records.
    grown: what it adds to the version. counts: what it adds to the counters.
    """

    update: bytes
    decoded: DecodedUpdate
    author: int
    end: int
    inserts: Sequence[FieldRecord | Header]
    header: Header
    added: Sequence[FieldRecord]
    doomed: Sequence[tuple[int, int]]
    removed: Sequence[FieldRecord]
    grown: int
    counts: Mapping[str, Decimal]


def counted(old: Header | None, new: Header) -> Mapping[str, Decimal]:
    """What an update adds to the counters. old: its author's live header. new: the one that it puts in its place."""
    before, after = old.counters if old is not None else NO_TOTALS, new.counters
    if before == after:
        return NOTHING_COUNTED
    changed = [name for name in {**before, **after} if before.get(name, 0) != after.get(name, 0)]
    changes = {n: plus((decimal_of(after.get(n, 0)), -decimal_of(before.get(n, 0)))) for n in changed}
    return {name: amount for name, amount in changes.items() if amount}


class Applied(NamedTuple):
    """A remote update that is now part of the document."""

    added: Sequence[FieldRecord]
    removed: Sequence[FieldRecord]


@frozen
class Known:
    """A remote update whose clock range the document already holds; nothing changed."""


@frozen
class Gap:
    """A remote update that must wait: for each writer, the clocks [have, need) that are missing."""

    missing: Mapping[int, tuple[int, int]]
