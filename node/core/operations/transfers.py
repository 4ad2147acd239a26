"""What is remembered of a line that was taken off an entity, for as long as it may be put into another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from crdt.classes import frozen
from crdt.records import Path, terminal_of
from node.core.entities.past import ALL, UNCOUNTED, digest
from storage.records import Key
from strategies.kinds.keyed_list import KeyedList, element_of
from strategies.kinds.register import winner

if TYPE_CHECKING:
    from node.core.entities.entity import Entity
    from node.core.entities.past import Replaced
    from node.core.operations.overruled import Overruled, Twice


def _was(line: Replaced) -> int | None:
    """What tells a line that was taken away from another of its name."""
    return line.parts.get(UNCOUNTED, line.parts.get(ALL))


@frozen
class Removal:
    """Somebody's taking a line off, perhaps in order to put it elsewhere.

    key: of the entity that had the line. row: that of the removal, or a later one of its author's to look about.
    name: the operation's (crdt.records.name_of). was: digests of what the line was.
    """

    key: Key
    path: Path
    row: int
    name: str
    was: frozenset[int | None]

    @classmethod
    def of(cls, entity: Entity, path: Path, row: int, name: str) -> Removal:
        return cls(entity.key, path, row, name, frozenset(map(_was, entity.past.of.get(path, ()))))

    @property
    def terminal(self) -> str:
        return terminal_of(self.name)

    def onward(self, other: Entity) -> Removal | None:
        """The next removal, where its author put the line into another entity, and somebody took it off there."""
        gone = other.movements.gone.get(self.path[0], {}).get(self.path[1])
        put = [one for one in other.past.of.get(self.path, ()) if one.terminal == self.terminal]
        if gone is None or not gone.by or not any(_was(one) in self.was for one in put):
            return None
        return Removal.of(other, self.path, gone.taken, gone.by)

    def is_in(self, other: Entity) -> bool:
        """Whether its author put the line into another entity, and it is there."""
        there = winner(other.document, other.policy, self.path)
        if there is None or not other.view.alive or other.key == self.key or other.key[0] != self.key[0]:
            return False
        if there.name == self.name:
            return True
        element, kind = element_of(there), other.policy.kinds.of(self.path[0])
        if isinstance(kind, KeyedList):
            element = kind.comparable(element)
        return there.terminal == self.terminal and digest(element) in self.was


@frozen
class Transfer:
    """A line that may be in two entities.

    removals: one, which somebody's change overruled, so that the line is in its entity too; or two, by two who had
    not seen each other, each of whom may have put it elsewhere.
    change: the name of the operation that changed it; None of two removals.
    operation_id, accepted: as the notice of it has them.
    """

    removals: tuple[Removal, ...]
    change: str | None
    operation_id: str
    accepted: int

    @classmethod
    def overruled(cls, found: Overruled, row: int, operation_id: str, accepted: int) -> Transfer:
        """row: that of the removal, where `found` does not say."""
        removed = row if found.row is None else found.row
        one = Removal.of(found.entity, found.path, removed, found.removal)
        return cls((one,), found.change, operation_id, accepted)

    @classmethod
    def twice(cls, found: Twice, row: int, operation_id: str, accepted: int) -> Transfer:
        """row: that of the second removal."""
        first = Removal.of(found.entity, found.path, found.row, found.first)
        return cls((first, evolve(first, row=row, name=found.second)), None, operation_id, accepted)

    def by(self, terminal: str) -> Removal:
        """That terminal's removal."""
        return next(one for one in self.removals if one.terminal == terminal)

    def seen_at(self, terminal: str, row: int) -> Transfer:
        """The same, to look about this row for what that terminal wrote."""
        return evolve(
            self, removals=tuple(evolve(one, row=row) if one.terminal == terminal else one for one in self.removals)
        )
