"""Operations of linked nodes that are not applied: `waiting` for what they build on, or `bad`. Kept whole, durably.

What is here counts as held when two nodes compare, so that nobody sends it all again and again; of what is bad, a few
are asked for now and then, as they may have been damaged on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from storage.records import ParkedRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


BAD = "bad"
WAITING = "waiting"

MOST = 100_000
"""Most operations kept; with so many a link is closed rather than that anything of it is passed over."""


@define(eq=False)
class Quarantine:
    """Parked operations by number, by link key, and the waiting ones by entity ("" where they name none)."""

    _rows: dict[int, ParkedRow] = field(factory=dict)
    _by_key: dict[tuple[int, str], int] = field(factory=dict)
    _bad: dict[str, set[int]] = field(factory=dict)
    """Operation id -> the bad rows of it; what says which it is may be damaged itself."""
    _waiting: dict[tuple[str, str], dict[int, None]] = field(factory=dict)
    _last: int = 0

    @classmethod
    def of(cls, rows: Iterable[ParkedRow]) -> Quarantine:
        """As the disk has them."""
        quarantine = cls()
        for row in rows:
            quarantine.add(row)
        return quarantine

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ParkedRow]:
        return iter(list(self._rows.values()))

    def __contains__(self, row: ParkedRow) -> bool:
        return row.id in self._rows

    def holds(self, link_key: int, operation_id: str) -> bool:
        return (link_key, operation_id) in self._by_key

    def link_keys(self, entity_type: str) -> set[int]:
        return {row.link_key for row in self._rows.values() if row.entity_type == entity_type}

    def of_operation(self, link_key: int, operation_id: str) -> ParkedRow | None:
        number = self._by_key.get((link_key, operation_id))
        return self._rows[number] if number is not None else None

    def bad_of(self, operation_id: str) -> list[ParkedRow]:
        """What came damaged of an operation."""
        return [self._rows[number] for number in sorted(self._bad.get(operation_id, ()))]

    def of_link_key(self, link_key: int) -> list[ParkedRow]:
        return [row for row in self._rows.values() if row.link_key == link_key]

    def bad(self, after: int, most: int) -> list[ParkedRow]:
        """So many of the bad ones, from number `after` on; from the first on after the last."""
        found = [row for row in self._rows.values() if row.state == BAD]
        later = [row for row in found if row.id > after]
        return (later or found)[:most]

    def next_id(self) -> int:
        return self._last + 1

    def add(self, row: ParkedRow) -> None:
        self._rows[row.id] = row
        self._by_key[row.link_key, row.operation_id] = row.id
        self._last = max(self._last, row.id)
        if row.state == BAD:
            self._bad.setdefault(row.operation_id, set()).add(row.id)
        else:
            self._waiting.setdefault((row.entity_type, row.entity_id), {})[row.id] = None

    def remove(self, row: ParkedRow) -> None:
        del self._rows[row.id]
        self._by_key.pop((row.link_key, row.operation_id), None)
        self._done_waiting(row)
        bad = self._bad.get(row.operation_id, set())
        bad.discard(row.id)
        if not bad:
            self._bad.pop(row.operation_id, None)

    def _done_waiting(self, row: ParkedRow) -> None:
        waiting = self._waiting.get((row.entity_type, row.entity_id))
        if waiting is not None:
            waiting.pop(row.id, None)
            if not waiting:
                del self._waiting[row.entity_type, row.entity_id]

    def found_bad(self, row: ParkedRow, other: ParkedRow) -> None:
        """What waits turned out to be bad. It keeps its place."""
        self._rows[row.id] = other
        self._done_waiting(row)
        self._bad.setdefault(row.operation_id, set()).add(row.id)

    def waiting_for(self, entity_type: str, entity_id: str) -> list[ParkedRow]:
        """What may go on now that something came to this entity; a BULK_UPDATE names none, so any of its type."""
        keys = ((entity_type, entity_id), (entity_type, ""))
        return [self._rows[number] for key in keys for number in self._waiting.get(key, ())]

    def waiting(self, most: int) -> list[ParkedRow]:
        """Some that wait, the oldest of each entity first; the next call gives those of other entities."""
        found: list[ParkedRow] = []
        for key in list(self._waiting):
            numbers = self._waiting[key] = self._waiting.pop(key)
            found.extend(self._rows[number] for number in list(numbers)[: most - len(found)])
            if len(found) >= most:
                break
        return found
