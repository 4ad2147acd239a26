"""One field of an operation in one entity's document: by its kind, which records it supersedes and which it adds.

Pure planning: nothing is changed here. `Plan` is then carried out in one document transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
from attrs import define, frozen

from crdt.decimals import (
    amount_of,
    plus,
    shown,
    total_of,
)
from crdt.records import CANONICAL, FieldRecord, NewField, Path
from node.core.entities.entity import Entity
from node.core.entities.last_known import KnownList
from node.errors import InvalidMessage
from strategies.keyed_list import element_of, keyed, place_of, placed
from strategies.kinds import COUNTED, COUNTER, GROUP, KEYED_LIST, PROGRESS, FieldKind, group_path
from strategies.view import counter_amount

if TYPE_CHECKING:
    from node.core.entities.entity import Seen

ZERO = Decimal(0)
LIMITS = "below 10^15 with at most nine decimals"
MOST_COUNTED = Decimal(10) ** 18
"""Bound of what is added to or taken from one counter in all."""


@frozen
class Stamp:
    """Who writes, with which clocks. stamp: HLC of the documented timestamp; accepted: HLC of this node."""

    terminal: str
    operation: str
    stamp: int
    accepted: int


@frozen
class Writer:
    """The author of an operation, as far as its plan depends on who it is. kind: the terminal's type.

    known: what it last knew a counter to be; None where nothing is known. known_list: a list as it last knew it.
    """

    stamp: Stamp
    kind: str
    known: Callable[[Entity, str], Decimal | None]
    known_list: Callable[[Entity, str], KnownList]


@define(eq=False)
class Plan:
    """One document transaction. named: top-level fields the operation names. counts: what counters move by."""

    supersede: tuple[FieldRecord, ...]
    fields: tuple[NewField, ...]
    increment: int
    named: tuple[str, ...]
    counts: Mapping[str, Decimal]


def increment(current: int, version: int | None, jump: int) -> int:
    """How much the writer's share grows: one, or what a documented version runs ahead by, at most `jump`."""
    if version is None or version <= current:
        return 1
    return min(version - current, jump)


class FieldWriter:
    """Collects what one author's operation does to the fields of one entity."""

    def __init__(self, entity: Entity, author: Writer, seen: Seen, version: int | None, jump: int) -> None:
        self.entity = entity
        self.author = author
        self.stamp = author.stamp
        self.seen = seen
        self.increment = increment(entity.document.version, version, jump)
        self.version = entity.document.version + self.increment
        self._supersede: dict[tuple[int, int], FieldRecord] = {}
        self._fields: list[NewField] = []
        self._counts: dict[str, Decimal] = {}
        self._grouped: dict[Path, dict[str, object]] = {}

    # ------------------------------------------------------------------ fields by their kind

    def _write_fields(self, fields: Mapping[str, object], *, create: bool = False, afresh: bool = False) -> None:
        kinds = self.entity.policy.kinds
        for name, value in fields.items():
            group = kinds.group_of(name)
            if group is not None:
                self._grouped.setdefault(group_path(group), {})[name] = value
                continue
            kind = kinds.of(name)
            if kind.kind == COUNTER:
                self._count(name, value, create=create, afresh=afresh)
            elif kind.kind == KEYED_LIST:
                self._list(name, value, afresh=afresh)
            elif kind.kind == PROGRESS:
                self._progress(name, value, kind, afresh=afresh)
            else:
                self._register((name,), value, afresh=afresh)
        for path, values in self._grouped.items():
            shown = self.entity.view.fields
            base = {} if afresh else {name: shown[name] for name in kinds.names(path) if name in shown}
            self._register(path, {**base, **values}, afresh=afresh)
        self._grouped.clear()

    def _count(self, name: str, value: object, *, create: bool, afresh: bool) -> None:
        """A counter: an opening, or what an absolute value differs by from what its author last knew."""
        if isinstance(value, dict) and value.keys() == {"$inc"}:
            step = amount_of(value["$inc"])
            if step is None:
                raise InvalidMessage(f"a counter moves by a number {LIMITS}", f"$.operation.data.{name}.$inc")
            self._move(name, step)
            return
        document, amount = self.entity.document, amount_of(value)
        openings = document.siblings((name,))
        now = counter_amount(document, self.entity.policy, name)
        if afresh and amount is not None:
            self._register((name,), shown(plus((amount, -self._moved(name)))), afresh=True)
        elif amount is None or not isinstance(now, Decimal) or not openings:
            self._register((name,), value, afresh=afresh)
        elif create and not any(map(self.seen, openings)):
            self._register((name,), value)  # two nodes that create one product: one opening is shown
        else:
            known = self.author.known(self.entity, name)
            self._move(name, plus((amount, -(now if known is None else known))))

    def _moved(self, name: str) -> Decimal:
        """All that was counted since the opening."""
        document, policy = self.entity.document, self.entity.policy
        now, openings = counter_amount(document, policy, name), document.siblings((name,))
        if not isinstance(now, Decimal):
            return ZERO
        opening = amount_of(policy.ordered((name,), openings)[0].value) if openings else None
        return plus((now, -(opening or ZERO)))

    def _move(self, name: str, amount: Decimal) -> None:
        total = plus((self.entity.document.counters.get(name, ZERO), self._counts.get(name, ZERO), amount))
        if abs(total) >= MOST_COUNTED:
            raise InvalidMessage(f"the counter {name} would be out of range", f"$.operation.data.{name}")
        if amount:
            self._counts[name] = plus((self._counts.get(name, ZERO), amount))

    def _list(self, name: str, value: object, *, afresh: bool) -> None:
        """A list: what its author added, changed, moved and took out of the list that it had seen."""
        entity = self.entity
        document, policy, base = entity.document, entity.policy, self.author.known_list(entity, name)
        elements = keyed(value)
        known: dict[str, FieldRecord] = {}
        for path in document.fields:
            if len(path) == 2 and path[0] == name:
                records = [record for record in document.siblings(path) if self.seen(record)]
                if records:
                    known[path[1]] = policy.ordered(path, records)[0]
        self._register((name,), value if elements is None else [], afresh=afresh)
        elements = elements or {}
        places = placed(list(elements), {key: place_of(record) for key, record in known.items() if key in elements})
        for key, element in elements.items():
            path = (name, key)
            if key in known and not afresh and _same_element(known[key], places[key], element):
                continue
            if key not in known and not afresh and base.carries_over(key, element):
                continue
            self._add(path, [places[key], element], self._supersede_seen(path))
        for key in sorted(known.keys() - elements.keys()):
            self._supersede_seen((name, key), lambda record: base.holds(record.path[1], entity.seqs[record.id]))

    def _progress(self, name: str, value: object, kind: FieldKind, *, afresh: bool) -> None:
        """A ranked status: who may not go back writes a lower one beside what is there, where it loses."""
        path: Path = (name,)
        if afresh or self.author.kind in kind.lower:
            self._register(path, value, afresh=afresh)
            return
        rank = kind.rank(value)
        self._register(path, value, replaces=lambda record: kind.rank(record.value) <= rank)

    # ------------------------------------------------------------------ parts

    def _register(
        self,
        path: Path,
        value: object,
        *,
        afresh: bool = False,
        replaces: Callable[[FieldRecord], bool] = lambda record: True,
    ) -> None:
        """One write to one register. Writing again what its author saw there is no write, so a client that
        sends the whole entity each time contests only what it changed."""
        policy = self.entity.policy
        seen = [record for record in self.entity.document.siblings(path) if self.seen(record)]
        if seen and not afresh:
            known = policy.ordered(path, seen)[0]
            if known.canonical() == orjson.dumps(value, option=CANONICAL):
                return
        self._add(path, value, self._supersede_seen(path, replaces))

    def _supersede_seen(
        self, path: Path, replaces: Callable[[FieldRecord], bool] = lambda record: True
    ) -> list[FieldRecord]:
        """What an ordinary write to a register replaces."""
        siblings = self.entity.document.siblings(path)
        seen = [record for record in siblings if self.seen(record) and replaces(record)]
        doomed = self.entity.policy.strategy.superseded(siblings, seen, self.stamp.terminal)
        self._replace(doomed)
        return doomed

    def _decided(self, path: Path, chosen: FieldRecord, given: Mapping[str, object]) -> object:
        """The value a resolution writes: the chosen record's, or what `resolved_data` gives for its fields."""
        if path[0] == GROUP:
            return {**as_object(chosen.value), **given}
        if len(path) == 2:
            element = (keyed(given.get(path[0])) or {}).get(path[1], element_of(chosen))
            return [place_of(chosen), element]
        value = given.get(path[0], chosen.value)
        amount = amount_of(value)
        if path[0] in given and amount is not None and self.entity.policy.kinds.of(path[0]).kind == COUNTER:
            return shown(plus((amount, -self._moved(path[0]))))  # what is to be shown, not where it began
        return value

    def _replace(self, records: Iterable[FieldRecord]) -> None:
        for record in records:
            self._supersede[record.id] = record

    def _add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        stamp = self.stamp
        rank = min((record.rank for record in superseded), default=stamp.accepted)
        self._fields.append(
            NewField(
                path,
                value,
                stamp.stamp,
                stamp.terminal,
                stamp.operation,
                self.version,
                stamp.accepted,
                min(rank, stamp.accepted),
            )
        )

    def _plan(self, named: Iterable[str]) -> Plan:
        names = tuple(dict.fromkeys(named))
        counts = {name: amount for name, amount in self._counts.items() if amount}
        if counts:
            moved = {name: total_of(amount) for name, amount in counts.items()}
            self._add(COUNTED, moved, self._supersede_seen(COUNTED))
        return Plan(tuple(self._supersede.values()), tuple(self._fields), self.increment, names, counts)


def _same_element(record: FieldRecord, place: str, element: object) -> bool:
    return record.canonical() == orjson.dumps([place, element], option=CANONICAL)


def as_object(value: object) -> dict[str, object]:
    """A record's value where it is an object by construction (a whole entity, a deletion)."""
    return value if isinstance(value, dict) else {}
