"""Up to where an author had seen the rows of an entity when it wrote.

Two kinds of evidence tell, and each bounds the other. What the author acknowledged are rows of this node's log. The
documented `version` names the state that it had on its screen: one above it. That takes away rows which made the
version greater, however they were acknowledged. It adds rows which were sent to the author and lead to that state:
their confirmation may have been lost with the connection.

A terminal without a connection counts its own writes on: 3, 4 and 5 after it was shown 2. Such a chain names the
state at its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crdt.classes import define, frozen
from node.core.entities.again import Again

if TYPE_CHECKING:
    from collections.abc import Iterator


MOST_CLAIMS = 16
"""Terminals whose latest version is remembered with an entity. Of one that is forgotten, each write in a chain counts
as one that names a state of its own."""


@define
class Evidence:
    """What tells how far an author had seen a priority class, as rows of the log.

    acknowledged: confirmed.
    sent: written to its connection. Nothing after it was seen.
    again: what it was sent once more, its own rows among them.
    """

    acknowledged: int
    sent: int
    again: Again = ((0, 0),)


@frozen
class Claim:
    """What a terminal said with its latest write of an entity that carried a version.

    version: as written.
    base: the version of the state that it had been shown by then. What it counts above that are its own writes.
    acknowledged: the row that it had confirmed by then. What the named state rests on counts as confirmed: when that
        is confirmed later, it tells of nothing new.
    """

    version: int
    base: int
    acknowledged: int

    def stored(self) -> tuple[int, ...]:
        return (self.version, self.base, self.acknowledged)


@define
class Reach:
    """row: the last row that the author had seen.

    newest: the version of the state that it named. A row after which the entity's version was greater was not seen.
        None where no version tells.
    """

    row: int
    newest: int | None = None

    def holds(self, seq: int, version: int) -> bool:
        """Whether the author had seen a row, after which the entity had this version."""
        return seq <= self.row and (self.newest is None or version <= self.newest)


class Rows(Protocol):
    """What an entity knows of its own rows. claims: by terminal."""

    claims: dict[str, Claim]

    @property
    def version(self) -> int:
        """Its version now."""
        ...

    def rows_known(self) -> Iterator[tuple[int, int]]:
        """Rows of which something is left, and its version after each."""
        ...

    def rows_shown_to(self, terminal: str, again: Again) -> Iterator[int]:
        """Rows of which something is left, and that a terminal was or will be sent. again: as in Evidence."""
        ...


def reach_of(entity: Rows, terminal: str, version: int | None, evidence: Evidence) -> Reach:
    """How far the author of an operation had seen the entity. version: the operation's, if it has one."""
    current = entity.version
    if version is None or version > current + 1:  # none, or a number that no state here has had
        return Reach(evidence.acknowledged)
    named = _named(entity, terminal, version, evidence)
    row = max(evidence.sent, evidence.acknowledged)
    if named < current:
        later = (seq for seq, after in entity.rows_known() if after > named)
        row = min(row, min(later, default=row + 1) - 1)
    return Reach(row, named)


def note_claim(entity: Rows, terminal: str, version: int, reach: Reach, acknowledged: int) -> None:
    """Note the version of a write, for the next one of the same terminal. acknowledged: what it has confirmed."""
    base = version - 1 if reach.newest is None else reach.newest
    entity.claims.pop(terminal, None)
    entity.claims[terminal] = Claim(version, base, max(acknowledged, reach.row))
    while len(entity.claims) > MOST_CLAIMS:
        del entity.claims[next(iter(entity.claims))]


def _named(entity: Rows, terminal: str, version: int, evidence: Evidence) -> int:
    """The version of the state that was shown to the author of an operation."""
    named, claim = version - 1, entity.claims.get(terminal)
    if claim is None or not claim.base < named <= claim.version:
        return named
    shown = entity.rows_shown_to(terminal, evidence.again)
    shown_since = any(claim.acknowledged < seq <= evidence.acknowledged for seq in shown)
    return named if shown_since else claim.base
