"""A whole document of another replica, taken instead of the operations it is made of (first synchronisation)."""

from __future__ import annotations

from crdt.document import Document
from crdt.engine import merge
from crdt.records import ForkError


def absorbed(document: Document, snapshot: bytes) -> Document | None:
    """`document` with everything that `snapshot` holds; None where that is nothing new. Changes neither.

    An operation's deletions travel with the header it inserts, so the state vectors tell who holds what. Raises
    UpdateError, DocumentError or ForkError for what our own nodes would not have written.
    """
    theirs = Document.load(snapshot, writer=document.writer, engine=document.engine_name)
    theirs.check_whole()
    own = document.writer
    if theirs.vector.get(own, 0) > document.vector.get(own, 0):
        raise ForkError(f"snapshot claims our own writer {own} up to clock {theirs.vector[own]}")
    if _covers(document, theirs):
        return None
    if _covers(theirs, document):
        return theirs
    together = merge([document.encode(), snapshot])
    return Document.load(together, writer=own, engine=document.engine_name)


def _covers(one: Document, other: Document) -> bool:
    return all(one.holds(writer, clock) for writer, clock in other.vector.items())
