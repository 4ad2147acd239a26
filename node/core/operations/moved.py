"""Lines that are in two entities: one terminal moved them from one to the other, and somebody changed them unseen.

A move is a removal and an addition by one terminal, in one operation or in two, in either order. A removal that is
overruled leaves the line where it was. Whether it was added elsewhere is looked up in the log, in what the terminal
wrote about then, once the row that tells of the overruling is durable: so an ordinary write costs nothing, and the
other entity need not be in memory. What the terminal writes afterwards is held against the lines that stayed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from attrs import evolve

from node.core.latest import put_latest
from node.core.operations.needs import fetch
from node.core.operations.notices import tell_stays
from node.core.operations.overruled import Overruled, Stays, line_of
from node.core.ports import Disk, Health, Needs, Unreadable
from strategies.kinds.keyed_list import KeyedList, keyed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from node.core.entities.entity import Touch
    from node.core.operations.replica import Replica
    from storage.records import Key, LogRow

ABOUT = 64
"""Rows of the terminal that are looked at, before the removal and after it."""

NEAR = 1_000
"""Rows of the log after a removal within which an addition makes it a move."""

TERMINALS, OF_A_TERMINAL = 256, 32
"""Terminals of which lines that stayed are remembered, and how many of each."""


def tell_overruled(replica: Replica, found: Sequence[Overruled], operation_id: str, accepted: int) -> None:
    """Tell those who removed lines that stay, and monitors. Whether a line was moved is looked up afterwards."""
    row = replica.log.head
    for one in found:
        tell_stays(replica, one, operation_id, accepted)
    stays = [Stays.of(one, row, operation_id, accepted) for one in found]
    replica.log.group.looks.append(partial(_look, replica, stays))


def _look(replica: Replica, stays: Sequence[Stays], disk: Disk, health: Health) -> None:
    """Find where else these lines are, and tell."""
    about: dict[tuple[str, int], list[Stays]] = {}
    for one in stays:
        about.setdefault((one.remover, one.row), []).append(one)
    for (terminal, row), found in about.items():
        disk.about(terminal, row, ABOUT, partial(_read, replica, disk, health, found))


def _read(
    replica: Replica, disk: Disk, health: Health, stays: Sequence[Stays], rows: Sequence[LogRow] | Unreadable
) -> None:
    if isinstance(rows, Unreadable):
        return
    keys = dict.fromkeys(key for row in rows if row.kind == "operation" for key in _added(replica, row, stays))
    held = (*dict.fromkeys(one.key for one in stays), *keys)
    needs = Needs(replica.residents.missing(held), held=held)
    fetch(replica, disk, needs, partial(_tell, replica, disk, health, stays, tuple(keys)))


def _added(replica: Replica, row: LogRow, stays: Sequence[Stays]) -> Iterator[Key]:
    """The entities into which an operation wrote one of these lines."""
    raw = orjson.loads(row.operation)
    data = raw.get("data") or {}
    writes = [(raw.get("entity_id"), data)]
    if row.entity_id is None:
        writes = [(item.get("entity_id"), item.get("data") or {}) for item in data.get("updates", ())]
    for one in stays:
        for entity_id, fields in writes:
            key = (row.entity_type, entity_id)
            if row.entity_type == one.key[0] and key != one.key and _has_line(replica, one, fields):
                yield key


def _has_line(replica: Replica, one: Stays, fields: Any) -> bool:
    policy = replica.registry.get(one.key[0])
    kind = policy.kinds.of(one.path[0]) if policy is not None else None
    return isinstance(kind, KeyedList) and one.path[1] in (keyed(fields.get(one.path[0]), kind.declared.key) or ())


def _tell(
    replica: Replica,
    disk: Disk,
    health: Health,
    stays: Sequence[Stays],
    keys: Sequence[Key],
    unreadable: Unreadable | None,
) -> None:
    if unreadable is not None or not health.ok:
        return
    entities = replica.residents.entities
    for one in stays:
        other = next((entities[key] for key in keys if one.is_in(entities[key])), None)
        if other is None:
            _remember(replica.stayed, one)
            continue
        overruled = Overruled(entities[one.key], one.path, one.removal, one.change)
        if line_of(overruled.entity, one.path) is not None:
            tell_stays(replica, overruled, one.operation_id, one.accepted, other.key[1])
            disk.wake_writer()


# ------------------------------------------------------------------ what is written afterwards


def _remember(stayed: dict[str, list[Stays]], one: Stays) -> None:
    found = [*stayed.get(one.remover, ()), one]
    put_latest(stayed, one.remover, found[-OF_A_TERMINAL:], TERMINALS)


def moved_since(replica: Replica, row: LogRow, touches: Iterable[Touch]) -> None:
    """Of the lines that stayed, look for those that their remover adds to another entity with this row."""
    found = replica.stayed.pop(row.terminal_id, [])
    near = [one for one in found if row.seq - one.row < NEAR]
    moved = [one for one in near if any(one.is_in(touch.entity) for touch in touches)]
    if len(moved) < len(near):
        replica.stayed[row.terminal_id] = [one for one in near if one not in moved]
    if moved:
        looked = [evolve(one, row=row.seq) for one in moved]
        replica.log.group.looks.append(partial(_look, replica, looked))
