"""Removals of lines that somebody's change overruled: the two had not seen each other, and the line stays.

Nothing in the document tells of it, since a removal leaves nothing. So it is found where the second of the two comes:
a change of a line that is gone, or a removal of a line that somebody has changed meanwhile. Each node finds the same
pair. Who removed the line is told. If the line was moved to another entity, it is in both: see moved.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from crdt.records import Path, terminal_of
from node.core.entities.entity import Entity
from node.core.entities.past import ALL, digest
from storage.records import Key
from strategies.kinds.keyed_list import KeyedList, element_of, keyed
from strategies.kinds.register import winner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from node.core.entities.past import Replaced


@frozen
class Overruled:
    """A line that stays.

    removal, change: the names of the two operations (crdt.records.name_of).
    row: that of the removal; None for the one that is written next.
    """

    entity: Entity
    path: Path
    removal: str
    change: str
    row: int | None = None


def brought_back(
    entity: Entity, added: Iterable[Path], change: str, had: Callable[[Path, Replaced], bool]
) -> Iterator[Overruled]:
    """Removals that a change is about to overrule. added: the registers that it writes.

    had: whether the author of the change knew a line as it was when it was removed, and not that it is gone.
    """
    for path in added:
        gone = entity.movements.gone.get(path[0], {}).get(path[1]) if len(path) == 2 else None
        if gone is None or not gone.by or terminal_of(gone.by) == terminal_of(change):
            continue
        if any(one.taken == gone.taken and had(path, one) for one in entity.past.of.get(path, ())):
            yield Overruled(entity, path, gone.by, change, gone.taken)


def not_removed(
    entity: Entity, written: Mapping[str, object], removal: str, had: Callable[[Path, Replaced], bool]
) -> Iterator[Overruled]:
    """Changes that overruled the removals of an operation that was carried out. written: the fields that it named.

    had: whether its author knew a line as it was before somebody changed it.
    """
    for field, value in written.items():
        kind = entity.policy.kinds.of(field)
        elements = keyed(value, kind.declared.key) if isinstance(kind, KeyedList) else None
        if elements is None:
            continue
        for path in [path for path in entity.document.fields if len(path) == 2 and path[0] == field]:
            there = winner(entity.document, entity.policy, path)
            if path[1] in elements or there is None or there.terminal == terminal_of(removal):
                continue
            if any(had(path, one) for one in entity.past.of.get(path, ())):
                yield Overruled(entity, path, removal, there.name)


def deleted_by(deletes: Mapping[int, Iterable[tuple[int, int]]]) -> Callable[[Path, Replaced], bool]:
    """Whether an update of another node deletes what a register held.

    deletes: by writer, the (first clock, length) of what it deletes.
    """

    def had(_path: Path, one: Replaced) -> bool:
        return any(first <= one.clock < first + length for first, length in deletes.get(one.writer, ()))

    return had


def line_of(entity: Entity, path: Path) -> Mapping[str, object] | None:
    """A line as it is shown; None where there is none."""
    kind = entity.policy.kinds.of(path[0])
    key = kind.declared.key if isinstance(kind, KeyedList) else "id"
    line = (keyed(entity.view.fields.get(path[0]), key) or {}).get(path[1])
    return line if isinstance(line, dict) else None


@frozen
class Stays:
    """A line that stays though its removal is confirmed.

    key: of its entity. row: that of the removal. removal, change: the names of the two operations.
    was: digests of what it was when it was removed. operation_id, accepted: as the notice of it has them.
    """

    key: Key
    path: Path
    row: int
    removal: str
    change: str
    was: frozenset[int | None]
    operation_id: str
    accepted: int

    @classmethod
    def of(cls, found: Overruled, row: int, operation_id: str, accepted: int) -> Stays:
        """row: that of the removal, where `found` does not say."""
        was = frozenset(one.parts.get(ALL) for one in found.entity.past.of.get(found.path, ()))
        removed = row if found.row is None else found.row
        return cls(found.entity.key, found.path, removed, found.removal, found.change, was, operation_id, accepted)

    @property
    def remover(self) -> str:
        return terminal_of(self.removal)

    def is_in(self, other: Entity) -> bool:
        """Whether its remover put the line into another entity, and it is there."""
        there = winner(other.document, other.policy, self.path)
        if there is None or not other.view.alive or other.key == self.key or other.key[0] != self.key[0]:
            return False
        same = there.terminal == self.remover and digest(element_of(there)) in self.was
        return same or there.name == self.removal
