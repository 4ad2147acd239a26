"""A whole document of another replica, taken instead of the operations it is made of (first synchronisation)."""

from __future__ import annotations

from crdt.document import Document
from crdt.engine import merge
from crdt.records import Contradiction, ForkError


def absorbed(document: Document, snapshot: bytes) -> Document | None:
    """`document` with everything that `snapshot` holds; None where that is nothing new. Changes neither.

    An operation's deletions travel with the header it inserts, so the state vectors tell who holds what. Raises
    UpdateError, DocumentError or ForkError for what our own nodes would not have written, and Contradiction where
    both hold the same operations and show other records of them.
    """
    theirs = Document.load(snapshot, writer=document.writer, engine=document.engine_name)
    theirs.check_whole()
    own = document.writer
    if theirs.vector.get(own, 0) > document.vector.get(own, 0):
        raise ForkError(f"snapshot claims our own writer {own} up to clock {theirs.vector[own]}")
    if not document.vector:
        return theirs if theirs.vector else None
    ahead, behind = _covers(document, theirs), _covers(theirs, document)
    _compare(document, theirs, "there", whole=ahead)
    _compare(theirs, document, "here", whole=behind)
    if ahead:
        return None
    if behind:
        return theirs
    together = merge([document.encode(), snapshot], document.engine_name)
    return Document.load(together, writer=own, engine=document.engine_name)


def _covers(one: Document, other: Document) -> bool:
    return all(one.holds(writer, clock) for writer, clock in other.vector.items())


def _compare(one: Document, other: Document, where: str, *, whole: bool) -> None:
    """Raise Contradiction where `other` holds the writing of a live record of `one`, and has another or none.

    whole: `one` holds all operations of `other`. Then none of them removed what is live in `one`.
    """
    for record in one.records():
        if not other.holds(record.writer, record.clock + 1):
            continue
        same = other.record(*record.id)
        if same is None and whole:
            raise Contradiction(
                f"clock {record.clock} of writer {record.writer} is gone {where}, and nothing removed it"
            )
        if same is not None and not record.says(same):
            raise Contradiction(f"clock {record.clock} of writer {record.writer} is another record {where}")
    for writer, header in one.headers.items():
        same_header = other.headers.get(writer)
        if same_header is None or same_header.clock != header.clock:
            continue
        if (same_header.n, same_header.counters) != (header.n, header.counters):
            raise Contradiction(f"writer {writer} counts otherwise {where}")
