"""Lines that are in two entities: moved by one terminal while another changed them unseen, or moved by two.

A move is a removal and an addition by one terminal, in one operation or in two, in either order. A removal that is
overruled leaves the line where it was, and two removals by two who had not seen each other may have put it into two
places. Where it was added is looked up in the log, in what each terminal wrote about then, once the row at which this
is noticed is durable: so an ordinary write costs nothing, and the other entities need not be in memory. A line that
was moved on from there, by whomever, is followed. What a terminal writes afterwards is held against the lines that it
took off so.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import define
from node.core.latest import put_latest
from node.core.operations.needs import fetch
from node.core.operations.notices import tell_in_two, tell_stays
from node.core.operations.overruled import Overruled, Twice, line_of
from node.core.operations.replica import Replica
from node.core.operations.transfers import Removal, Transfer
from node.core.ports import Disk, Health, Needs, Unreadable
from storage.records import Key
from strategies.kinds.keyed_list import KeyedList, keyed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from node.core.entities.entity import Entity, Touch
    from storage.records import LogRow

ABOUT = 64
"""Rows of the terminal that are looked at, before the removal and after it."""

NEAR = 1_000
"""Rows of the log after a removal within which an addition makes it a move."""

MOST_LOOKS = 32
"""Removals whose surroundings are read for one row."""

MOST_STEPS = 8
"""Moves of one line, one after the other, that are followed."""

TERMINALS, OF_A_TERMINAL = 256, 32
"""Terminals of which lines that they may have moved are remembered, and how many of each."""


def tell_overruled(replica: Replica, found: Sequence[Overruled], operation_id: str, accepted: int) -> None:
    """Tell those who removed lines that stay, and monitors. Whether a line was moved is looked up afterwards."""
    for one in found:
        tell_stays(replica, one, operation_id, accepted)
    row = replica.log.head
    _look_later(replica, [Transfer.overruled(one, row, operation_id, accepted) for one in found])


def look_for_two(replica: Replica, found: Sequence[Twice], row: int, operation_id: str, accepted: int) -> None:
    """Look up whether lines that two took off were put elsewhere by both. row: that of the second removal."""
    _look_later(replica, [Transfer.twice(one, row, operation_id, accepted) for one in found])


def _look_later(replica: Replica, transfers: Sequence[Transfer]) -> None:
    def look(disk: Disk, health: Health) -> None:
        _Look(replica, disk, health, transfers).begin()

    replica.log.group.looks.append(look)


@define(eq=False)
class _Look:
    """Finds where lines are, and tells of those that are in two entities.

    keys: by removal, the entities into which its author wrote the line.
    last: by removal, the one by which the line was moved on last.
    """

    replica: Replica
    disk: Disk
    health: Health
    transfers: Sequence[Transfer]
    keys: dict[Removal, dict[Key, None]] = field(factory=dict)
    last: dict[Removal, Removal] = field(factory=dict)
    _about: dict[tuple[str, int], list[Removal]] = field(factory=dict)
    _steps: int = 0

    def begin(self) -> None:
        for one in (removal for transfer in self.transfers for removal in transfer.removals):
            self.last[one] = one
        self._look_about(self.last)

    def _look_about(self, removals: Iterable[Removal]) -> None:
        for one in removals:
            self._about.setdefault((one.terminal, one.row), []).append(one)
        for place in [*self._about][MOST_LOOKS:]:
            del self._about[place]
        self._next()

    def _next(self) -> None:
        """Read about one removal after the other, then what they are about."""
        if not self._about:
            entities = [one.key for transfer in self.transfers for one in transfer.removals]
            held = tuple(dict.fromkeys([*entities, *(key for keys in self.keys.values() for key in keys)]))
            needs = Needs(self.replica.residents.missing(held), held=held)
            fetch(self.replica, self.disk, needs, self._tell)
            return
        (terminal, row), removals = next(iter(self._about.items()))
        del self._about[terminal, row]
        self.disk.about(terminal, row, ABOUT, partial(self._read, removals))

    def _read(self, removals: Sequence[Removal], rows: Sequence[LogRow] | Unreadable) -> None:
        if isinstance(rows, Unreadable):
            return
        for row in rows:
            if row.kind == "operation":
                for removal, key in _added(self.replica, row, removals):
                    self.keys.setdefault(removal, {})[key] = None
        self._next()

    def _tell(self, unreadable: Unreadable | None) -> None:
        if unreadable is not None or not self.health.ok:
            return
        onward = {first: step for first in self.last if (step := self._moved_on(first)) is not None}
        if onward and self._steps < MOST_STEPS:
            self._steps += 1
            self.last |= onward
            self._look_about(onward.values())
            return
        for transfer in self.transfers:
            places = {one: self._place(one) for one in transfer.removals}
            for removal, place in places.items():
                if place is None:
                    _remember(self.replica.transfers, removal.terminal, transfer)
            found = [(removal.name, place) for removal, place in places.items() if place is not None]
            if len(found) == len(places):
                self._tell_of(transfer, found)

    def _place(self, removal: Removal) -> Entity | None:
        entities, last = self.replica.residents.entities, self.last[removal]
        keys = [key for key in self.keys.get(last, ()) if key != removal.key]
        return next((entities[key] for key in keys if last.is_in(entities[key])), None)

    def _moved_on(self, removal: Removal) -> Removal | None:
        """The removal of the line from where it was put last; None where it is there, or was there never."""
        if self._place(removal) is not None:
            return None
        last, entities = self.last[removal], self.replica.residents.entities
        return next((step for key in self.keys.get(last, ()) if (step := last.onward(entities[key]))), None)

    def _tell_of(self, transfer: Transfer, places: Sequence[tuple[str, Entity]]) -> None:
        removal, (_, place) = transfer.removals[0], places[0]
        if transfer.change is None:
            if places[0][1] is places[1][1]:
                return  # both put it into the same
            tell_in_two(self.replica, places, removal.path, transfer.operation_id, transfer.accepted)
        else:
            entity = self.replica.residents.entities[removal.key]
            if line_of(entity, removal.path) is None:
                return
            overruled = Overruled(entity, removal.path, removal.name, transfer.change)
            tell_stays(self.replica, overruled, transfer.operation_id, transfer.accepted, place.key[1])
        self.disk.wake_writer()


def _added(replica: Replica, row: LogRow, removals: Sequence[Removal]) -> Iterator[tuple[Removal, Key]]:
    """The entities into which an operation wrote one of these lines."""
    raw = orjson.loads(row.operation)
    data = raw.get("data") or {}
    writes = [(raw.get("entity_id"), data)]
    if row.entity_id is None:
        writes = [(item.get("entity_id"), item.get("data") or {}) for item in data.get("updates", ())]
    for one in removals:
        for entity_id, fields in writes:
            key = (row.entity_type, entity_id)
            if row.entity_type == one.key[0] and key != one.key and _has_line(replica, one, fields):
                yield one, key


def _has_line(replica: Replica, one: Removal, fields: Any) -> bool:
    policy = replica.registry.get(one.key[0])
    kind = policy.kinds.of(one.path[0]) if policy is not None else None
    return isinstance(kind, KeyedList) and one.path[1] in (keyed(fields.get(one.path[0]), kind.declared.key) or ())


# ------------------------------------------------------------------ what is written afterwards


def _remember(transfers: dict[str, list[Transfer]], terminal: str, one: Transfer) -> None:
    found = [*transfers.get(terminal, ()), one]
    put_latest(transfers, terminal, found[-OF_A_TERMINAL:], TERMINALS)


def moved_since(replica: Replica, row: LogRow, touches: Iterable[Touch]) -> None:
    """Of the lines that its author took off, look for those that this row adds to another entity."""
    terminal = row.terminal_id
    found = replica.transfers.pop(terminal, [])
    near = [one for one in found if row.seq - one.by(terminal).row < NEAR]
    moved = [one for one in near if any(one.by(terminal).is_in(touch.entity) for touch in touches)]
    if len(moved) < len(near):
        replica.transfers[terminal] = [one for one in near if one not in moved]
    if moved:
        _look_later(replica, [one.seen_at(terminal, row.seq) for one in moved])
