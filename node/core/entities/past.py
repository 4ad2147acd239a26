"""What registers held before, for as long as somebody may not have seen what replaced it.

A client that sends the whole entity to change one field sends the others as it knew them. A field that comes back as
its author knew it is no change, also where somebody has changed it since. So what a register held is remembered by
its hash, with the row that brought it and the row that took it away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import define
from crdt.json_values import canonical
from crdt.records import Path
from strategies.kinds.keyed_list import ELEMENT, PLACE
from strategies.kinds.kind import ABSENT
from strategies.paths import COUNTED, DELETED_AT, GROUP, SETTLEMENT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crdt.records import FieldRecord
    from node.core.entities.reach import Reach

LATEST = 8
"""Replaced values kept of each entity, whoever has seen what came after: a queue may be sent after reading."""

MOST = 2_000
"""Replaced values kept of one entity, about 150 KB. Of what is let go, a stale copy counts as a write by somebody who
had not seen what is there: it becomes a sibling, and a removed line comes back."""

ALL = ""
"""The name of a register's value where it is not made of fields."""


UNCOUNTED = "@uncounted"
"""The name of a line without the fields that are counted, which it holds as they began; where there are such."""


@define
class Replaced:
    """A value that a register held.

    parts: hash of each of its fields, or of the whole by the name ALL. Of a line those that were changed when it was
        taken away, None for one that was not there.
    terminal: who wrote it.
    brought, version: the row that brought it, and the entity's version after that.
    taken, after: the row that took it away, likewise.
    writer, clock: the record that held it.
    by: the terminal that took it away.
    """

    parts: Mapping[str, int | None]
    terminal: str
    brought: int
    version: int
    taken: int
    after: int
    writer: int
    clock: int
    by: str

    def stored(self) -> bytes:
        """As JSON; the order is that of `Replaced(...)`."""
        rows = (self.brought, self.version, self.taken, self.after)
        return orjson.dumps((self.parts, self.terminal, *rows, self.writer, self.clock, self.by))

    def known(self, terminal: str, reach: Reach, head: int | None) -> bool:
        """Whether an author had seen the value. head: as in `Past.repeats`."""
        seen = self.terminal == terminal or reach.holds(self.brought, self.version)
        return seen and (head is None or self.brought <= head)

    def known_gone(self, terminal: str, reach: Reach, head: int | None) -> bool:
        """Whether an author knew that the value is there no more. head: as in `Past.repeats`."""
        own = self.by == terminal and (head is None or self.taken <= head)
        return own or reach.holds(self.taken, self.after)


@define(eq=False)
class Past:
    """By register, the values that it held, in the order in which they went."""

    of: dict[Path, list[Replaced]] = field(factory=dict)
    size: int = 0
    _stored: dict[Path, bytes] = field(factory=dict, init=False)
    """What is stored of a register: a write encodes what it replaces, and nothing else of the past."""

    @classmethod
    def load(cls, stored: Iterable[Any]) -> Past:
        of = {tuple(path): [Replaced(*one) for one in found] for path, found in stored}
        return cls(of, sum(map(len, of.values())))

    def store(self) -> list[object]:
        stored = self._stored
        for path, found in self.of.items():
            if path not in stored:
                stored[path] = b",".join([one.stored() for one in found])
        return [[path, orjson.Fragment(b"[" + stored[path] + b"]")] for path in self.of]

    def replaced(
        self,
        record: FieldRecord,
        came: tuple[int, int],
        went: tuple[int, int],
        by: str,
        changed: Collection[Path] = (),
        counted: Collection[str] = (),
    ) -> None:
        """A record was removed. came, went: the row that added and that removed it, and the entity's version then.

        by: the terminal that removed it. changed: the registers that the row wrote. counted: of a line, those of its
        fields that are counters.
        """
        path = record.path
        if path in (COUNTED, DELETED_AT) or path[:1] == (SETTLEMENT,):
            return
        parts = _parts(path, record.value, changed, counted)
        one = Replaced(parts, record.terminal, *came, *went, record.writer, record.clock, by)
        self.of.setdefault(path, []).append(one)
        if path in self._stored:
            self._stored[path] += b"," + one.stored()
        self.size += 1

    def let_go(self, everybody: int) -> None:
        """Forget what nobody needs. everybody: the row up to which all terminals have confirmed."""
        last = needless([one.taken for found in self.of.values() for one in found], everybody)
        for path, found in list(self.of.items()):
            kept = [one for one in found if one.taken > last]
            if len(kept) < len(found):
                self.size -= len(found) - len(kept)
                self._stored.pop(path, None)
                self.of[path] = kept
                if not kept:
                    del self.of[path]

    def rows_known(self) -> Iterator[tuple[int, int]]:
        """Rows that brought and took something, and the entity's version after each."""
        for found in self.of.values():
            for one in found:
                yield one.brought, one.version
                yield one.taken, one.after

    def repeats(self, path: Path, name: str, value: object, terminal: str, reach: Reach, head: int | None) -> bool:
        """Whether a value is what an author last knew of a register that it has not seen as it is.

        name: one of the register's fields, or ALL. value: ABSENT for a field that was not there.
        head: as `Entity.seen_by` has it (`first_attempt`).
        """
        found = self.of.get(path)
        if not found:
            return False
        known = [one for one in found if one.known(terminal, reach, head)]
        came = {one.brought for one in known}
        last = [one for one in known if one.taken not in came and not one.known_gone(terminal, reach, head)]
        wanted = None if value is ABSENT else digest(value)
        return bool(last) and wanted in [_part(found, one, name) for one in last]

    def became(self, path: Path, row: int, terminal: str, reach: Reach, head: int | None) -> bool:
        """Whether an author had seen a value in whose place that came which row `row` brought, without a gap between.

        head: as in `repeats`.
        """
        for one in reversed(self.of.get(path, ())):
            if one.taken != row:
                return False
            if one.known(terminal, reach, head):
                return True
            row = one.brought
        return False

    def known(self, path: Path, terminal: str, reach: Reach, head: int | None) -> bool:
        """Whether an author had seen one of the values that a register held. head: as in `repeats`."""
        return any(one.known(terminal, reach, head) for one in self.of.get(path, ()))


def _part(found: list[Replaced], one: Replaced, name: str) -> int | None:
    """A part of a value, or the same part of the next one, where what took this one away left it as it was."""
    while name not in one.parts:
        after = next((other for other in found if other.brought == one.taken), None)
        if after is None:
            return None
        one = after
    return one.parts[name]


def needless(taken: list[int], everybody: int) -> int:
    """Up to which row nothing need be kept of what these rows took away."""
    taken.sort(reverse=True)
    last = min(everybody, taken[LATEST]) if len(taken) > LATEST else 0
    return max(last, taken[MOST]) if len(taken) > MOST else last


def _parts(
    path: Path, value: object, changed: Collection[Path], counted: Collection[str]
) -> Mapping[str, int | None]:
    if path == WHOLE or path[0] == GROUP:
        return {name: digest(one) for name, one in value.items()} if isinstance(value, dict) else {}
    if len(path) == 2 and isinstance(value, list) and len(value) in ELEMENT:
        line = value[1] if isinstance(value[1], dict) else {}
        parts: dict[str, int | None] = {PLACE: digest(value[0]), ALL: digest(value[1])}
        for one in changed:
            if len(one) == 3 and one[:2] == path:
                parts[one[2]] = digest(line[one[2]]) if one[2] in line else None
        if counted:
            parts[UNCOUNTED] = digest({name: one for name, one in line.items() if name not in counted})
        return parts
    return {ALL: digest(value)}


def digest(value: object) -> int:
    """What is kept of a value."""
    return int.from_bytes(blake2b(canonical(value), digest_size=8).digest(), "big", signed=True)
