"""[[conservation]]: the rules for sums that must come out. `node/core/history/conservation.py` counts by them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import Factory

from crdt.classes import frozen
from node.errors import ConfigError

if TYPE_CHECKING:
    from strategies.policy import Registry

DECIMAL = re.compile(r"-?\d{1,64}(\.\d{1,64})?\Z", re.ASCII)
"""A number of a conservation rule, or of an entity that gives its amounts as text."""


@frozen
class Sign:
    """Which way an amount counts, by the value of another field of its entity.

    plus, minus, zero: values of that field. Any other value is a problem that `comanda verify` names.
    """

    field: str
    plus: list[str]
    minus: list[str]
    zero: list[str] = Factory(list)


@frozen
class Conservation:
    """[[conservation]]: one sum that must come out, over the live entities of a type, group by group.

    The signed amounts of a group add up to a field of the entity that is named like the group, or to a number:

        name = "drawer"
        of = "cashier_operations"
        amount = "amount"
        sign = { field = "type", plus = ["opening", "deposit", "sale"], minus = ["withdrawal"], zero = ["count"] }
        group_by = "drawer_id"
        equals = "drawers.balance"

    of: the entity type whose amounts are added.
    equals: "type.field", or a decimal.
    group_by: a field of `of`; without it there is one group, named "", and `equals` is a number.
    sign: without it every amount counts as it is written.
    """

    name: str
    of: str
    amount: str
    equals: str
    group_by: str | None = None
    sign: Sign | None = None

    @property
    def number(self) -> Decimal | None:
        """What the sum must be, where `equals` is a number; else None."""
        return Decimal(self.equals) if DECIMAL.match(self.equals) else None

    @property
    def target(self) -> tuple[str, str]:
        """Entity type and field that hold the sum, where `equals` names them."""
        entity_type, _, name = self.equals.partition(".")
        return entity_type, name

    def entity_types(self) -> set[str]:
        """The types whose entities the rule counts."""
        return {self.of} if self.number is not None else {self.of, self.target[0]}

    def check(self, registry: Registry) -> None:
        """Raise ConfigError where the rule contradicts itself or names an unknown entity type."""
        where = f"[[conservation]] {self.name!r}"
        unknown = [name for name in sorted(self.entity_types()) if registry.get(name) is None]
        if unknown:
            raise ConfigError(f"{where}: unknown entity type {', '.join(unknown)}")
        if self.number is None and (not self.target[1] or self.group_by is None):
            raise ConfigError(
                f"{where}: equals is a number, or with group_by an entity type and a field: drawers.balance"
            )
        if self.number is None and self.target[0] == self.of:
            raise ConfigError(f"{where}: of and equals are two entity types")
        if self.sign is not None:
            words = [*self.sign.plus, *self.sign.minus, *self.sign.zero]
            if len(set(words)) != len(words):
                raise ConfigError(f"{where}: a value of {self.sign.field} has more than one sign")
