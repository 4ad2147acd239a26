"""Removals of lines that somebody's change overruled: the two had not seen each other, and the line stays.

Nothing in the document tells of it, since a removal leaves nothing. So it is found where the second of the two comes:
a change of a line that is gone, or a removal of a line that somebody has changed meanwhile. Each node finds the same
pair. Who removed the line is told. If the line was moved to another entity, it is in both: see moved.py. So is a line
that two removed who had not seen each other, where each put it elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from crdt.records import Path, terminal_of
from node.core.entities.entity import Entity
from strategies.kinds.keyed_list import KeyedList, keyed
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


@frozen
class Twice:
    """A line that two took off who had not seen each other.

    first, second: the names of the two operations. row: that of the first.
    """

    entity: Entity
    path: Path
    first: str
    second: str
    row: int


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


def removed_twice(
    entity: Entity, written: Mapping[str, object], removal: str, had: Callable[[Path, Replaced], bool]
) -> Iterator[Twice]:
    """Lines that an operation takes off, and that somebody else has taken off before. written: the fields that it
    names.

    had: as in `brought_back`.
    """
    for field, lines in entity.movements.gone.items():
        if field not in written:
            continue
        found = []
        for key, gone in lines.items():
            if gone.by and terminal_of(gone.by) != terminal_of(removal):
                path = (field, key)
                past = entity.past.of.get(path, ())
                found += [(path, gone) for one in past if one.taken == gone.taken and had(path, one)][:1]
        kind = entity.policy.kinds.of(field)
        elements = keyed(written[field], kind.declared.key) if found and isinstance(kind, KeyedList) else None
        if elements is not None:
            yield from (
                Twice(entity, path, gone.by, removal, gone.taken) for path, gone in found if path[1] not in elements
            )


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
