"""One operation on one entity while it is planned: which records it supersedes, which it adds, what it counts.

Nothing is changed here. A field is planned by its kind (strategies/kinds); the `Plan` that comes of all of them is
then carried out in one document transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
from attrs import define, frozen

from crdt.decimals import total_of
from crdt.records import CANONICAL, FieldRecord, NewField, Path
from node.core.entities.entity import Entity
from node.core.entities.last_known import KnownList
from node.errors import InvalidMessage
from strategies.kinds.kind import UnfitValue
from strategies.paths import COUNTED

if TYPE_CHECKING:
    from node.core.entities.entity import Seen


@frozen
class Stamp:
    """Who writes, with which clocks. stamp: HLC of the documented timestamp. accepted: HLC of this node."""

    terminal: str
    operation: str
    stamp: int
    accepted: int


@frozen
class Authorship:
    """The author of an operation, as far as the plan depends on who it is.

    known: what it last knew a counter to be; None where nothing is known.
    known_list: a list as it last knew it.
    """

    stamp: Stamp
    terminal_type: str
    known: Callable[[Entity, str], Decimal | None]
    known_list: Callable[[Entity, str], KnownList]


@define(eq=False)
class Plan:
    """One document transaction. increment: by how much the entity's version grows.

    named: top-level fields the operation names. counts: by how much each counter moves.
    """

    supersede: tuple[FieldRecord, ...]
    fields: tuple[NewField, ...]
    increment: int
    named: tuple[str, ...]
    counts: Mapping[str, Decimal]


def increment(current: int, version: int | None, jump: int) -> int:
    """By how much the writer's share of the version grows: one, or what a documented version runs ahead by.

    jump: the most that it may run ahead.
    """
    if version is None or version <= current:
        return 1
    return min(version - current, jump)


def _all(record: FieldRecord) -> bool:
    return True


class FieldWriter:
    """Collects what one operation does to the registers of one entity: the `Write` of strategies/kinds/kind.py."""

    def __init__(self, entity: Entity, author: Authorship, seen: Seen, version: int | None, jump: int) -> None:
        self.entity = entity
        self.document = entity.document
        self.policy = entity.policy
        self.author = author
        self.terminal_type = author.terminal_type
        self.seen = seen
        self.create = False
        self.afresh = False
        self.increment = increment(entity.document.version, version, jump)
        self.version = entity.document.version + self.increment
        self.counts: dict[str, Decimal] = {}
        self._supersede: dict[tuple[int, int], FieldRecord] = {}
        self._fields: list[NewField] = []
        self._joined: dict[Path, dict[str, object]] = {}

    # ------------------------------------------------------------------ what a kind asks

    def seq_of(self, record: FieldRecord) -> int:
        return self.entity.seqs[record.id]

    def known_amount(self, field: str) -> Decimal | None:
        return self.author.known(self.entity, field)

    def known_list(self, field: str) -> KnownList:
        return self.author.known_list(self.entity, field)

    # ------------------------------------------------------------------ what is written

    def write(self, fields: Mapping[str, object]) -> None:
        """Each field by its kind; registers that several fields share come last. Raises InvalidMessage."""
        kinds = self.policy.kinds
        try:
            for name, value in fields.items():
                kinds.of(name).plan(self, name, value)
        except UnfitValue as error:
            raise InvalidMessage(str(error), f"$.operation.data.{error.where}") from None
        for path, values in self._joined.items():
            shown = self.entity.view.fields
            base = {} if self.afresh else {name: shown[name] for name in kinds.names(path) if name in shown}
            self.register(path, {**base, **values})
        self._joined.clear()

    def join(self, path: Path, field: str, value: object) -> None:
        self._joined.setdefault(path, {})[field] = value

    def register(self, path: Path, value: object, *, replaces: Callable[[FieldRecord], bool] = _all) -> None:
        """One write to one register.

        Writing again what its author saw there is no write, so a client that sends the whole entity each time
        contests only what it changed.
        """
        seen = [record for record in self.document.siblings(path) if self.seen(record)]
        if seen and not self.afresh:
            known = self.policy.ordered(path, seen)[0]
            if known.canonical() == orjson.dumps(value, option=CANONICAL):
                return
        self.add(path, value, self.supersede(path, replaces))

    def supersede(self, path: Path, replaces: Callable[[FieldRecord], bool] = _all) -> list[FieldRecord]:
        """Remove what an ordinary write to a register replaces, and return it."""
        siblings = self.document.siblings(path)
        seen = [record for record in siblings if self.seen(record) and replaces(record)]
        doomed = self.policy.strategy.superseded(siblings, seen, self.author.stamp.terminal)
        self.remove(doomed)
        return doomed

    def remove(self, records: Iterable[FieldRecord]) -> None:
        for record in records:
            self._supersede[record.id] = record

    def add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        """Append a record. It inherits the lowest rank among those it supersedes: who was first stays first."""
        stamp = self.author.stamp
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

    def plan(self, named: Iterable[str]) -> Plan:
        """All that was collected. named: top-level fields the operation names."""
        names = tuple(dict.fromkeys(named))
        counts = {name: amount for name, amount in self.counts.items() if amount}
        if counts:
            moved = {name: total_of(amount) for name, amount in counts.items()}
            self.add(COUNTED, moved, self.supersede(COUNTED))
        return Plan(tuple(self._supersede.values()), tuple(self._fields), self.increment, names, counts)
