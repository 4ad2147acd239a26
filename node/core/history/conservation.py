"""Sums that must come out: what the drawer's operations add up to is what the drawer holds.

The rules are [[conservation]] of the configuration (node/config/conservation.py). Amounts are exact decimals. The
field of an entity that does not exist counts as 0.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define, frozen
from node.config.conservation import DECIMAL, Conservation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.entities.entity import Entity

_EXACT = Context(prec=2_000, Emax=MAX_EMAX, Emin=MIN_EMIN)  # two doubles differ by at most 632 digits
NOTHING = Decimal(0)

PROBLEMS = 1_000
"""Most entities of one rule that are named because they cannot be counted."""


@frozen
class Share:
    """What one entity adds to the sum of its group.

    amount: of a movement its amount; of the entity that holds the balance the negative of its field.
    problem: why the entity cannot be counted.
    """

    group: str = ""
    amount: Decimal = NOTHING
    problem: str | None = None


def share_of(rule: Conservation, entity: Entity) -> Share:
    """The share of an entity of one of the rule's types. A deleted entity adds nothing."""
    if not entity.view.alive:
        return Share()
    fields = entity.view.fields
    if entity.key[0] != rule.of:
        name = rule.target[1]
        held = _decimal(fields[name]) if name in fields else NOTHING
        if held is None:
            return Share(entity.key[1], problem=f"{name} is no number: {fields[name]!r}")
        return Share(entity.key[1], -held)
    group = "" if rule.group_by is None else fields.get(rule.group_by)
    if type(group) is int:
        group = str(group)
    if not isinstance(group, str):
        return Share(problem=f"{rule.group_by} names no group: {group!r}")
    amount = _decimal(fields.get(rule.amount))
    if amount is None:
        return Share(group, problem=f"{rule.amount} is no number: {fields.get(rule.amount)!r}")
    sign = rule.sign
    if sign is None:
        return Share(group, amount)
    word = fields.get(sign.field)
    if word in sign.plus or word in sign.zero:
        return Share(group, amount if word in sign.plus else NOTHING)
    if word in sign.minus:
        return Share(group, -amount)
    return Share(group, problem=f"{sign.field} is neither plus nor minus: {word!r}")


def _decimal(value: object) -> Decimal | None:
    """The amount that a JSON value stands for, exactly as it was written."""
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return Decimal(repr(value))
    return Decimal(value) if isinstance(value, str) and DECIMAL.match(value) else None


def _text(amount: Decimal) -> str:
    return f"{amount.normalize(_EXACT):f}"


def add(one: Decimal, other: Decimal) -> Decimal:
    """The exact sum."""
    return _EXACT.add(one, other)


@define(eq=False)
class Ledger:
    """One rule over all entities: by how much the sum of each group is too large.

    problems: entities that cannot be counted, and why.
    """

    rule: Conservation
    differences: dict[str, Decimal] = field(factory=dict)
    sums: dict[str, Decimal] = field(factory=dict)
    problems: dict[tuple[str, str], str] = field(factory=dict)

    def note(self, entity: Entity) -> None:
        """Add one entity's share."""
        share = share_of(self.rule, entity)
        if share.problem is not None:
            if len(self.problems) < PROBLEMS:
                self.problems[entity.key] = share.problem
        elif entity.view.alive:
            self._add(self.differences, share)
            if entity.key[0] == self.rule.of:
                self._add(self.sums, share)

    @staticmethod
    def _add(to: dict[str, Decimal], share: Share) -> None:
        to[share.group] = add(to.get(share.group, NOTHING), share.amount)

    def broken(self) -> dict[str, str]:
        """Group -> in words, by how much the rule does not hold there."""
        should = self.rule.number or NOTHING
        wrong = {group: difference for group, difference in self.differences.items() if difference != should}
        return {group: self._words(group, difference) for group, difference in sorted(wrong.items())}

    def _words(self, group: str, difference: Decimal) -> str:
        total = self.sums.get(group, NOTHING)
        held = self.rule.number if self.rule.number is not None else add(total, -difference)
        place = self.rule.equals if self.rule.number is None else "the rule"
        return f"{self.rule.of} of {group or 'all'} add up to {_text(total)}, {place} says {_text(held)}"


@define(eq=False)
class Account:
    """The movements of some groups through the log, gathered entity by entity."""

    rule: Conservation
    groups: set[str]
    movements: dict[str, list[tuple[int, Decimal, tuple[str, str]]]] = field(factory=dict)

    def walk(self, states: Iterable[tuple[int, Entity]]) -> int | None:
        """Add one entity through all its rows. Returns the row since which it cannot be counted, None if it can.

        states: (row, the entity after that row), in order.
        """
        group, amount, wrong = "", NOTHING, None
        for seq, entity in states:
            share = share_of(self.rule, entity)
            wrong = None if share.problem is None else wrong or seq
            now = (share.group, NOTHING if share.problem is not None else share.amount)
            if now != (group, amount):
                self._move(seq, group, -amount, entity.key)
                self._move(seq, *now, entity.key)
                group, amount = now
        return wrong

    def _move(self, seq: int, group: str, amount: Decimal, key: tuple[str, str]) -> None:
        if amount and group in self.groups:
            self.movements.setdefault(group, []).append((seq, amount, key))

    def broke_at(self, group: str) -> tuple[int, tuple[str, str]] | None:
        """The row after which the rule never held again, and the entity that moved with it."""
        should = self.rule.number or NOTHING
        total, since = NOTHING, None
        moved = sorted(self.movements.get(group, ()), key=lambda movement: movement[0])
        for place, (seq, amount, key) in enumerate(moved):
            total = add(total, amount)
            if place + 1 < len(moved) and moved[place + 1][0] == seq:
                since = since or (seq, key)  # one row may move several entities
                continue
            since = None if total == should else since or (seq, key)
        return since
