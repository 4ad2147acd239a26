"""An independent model of what must come out: sums of movements and sets of items, from what people meant to do."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

OPENING = 100
REGISTERS = ("a", "b", "c")
"""Plain fields, of which each write is a value of its own."""


@frozen
class Meant:
    """What one operation was meant to do: move a stock by an amount, put an item on a list, or take some off."""

    moves: tuple[str, Decimal] | None = None
    relative: bool = False
    """Whether the movement itself was written, and not what is left."""
    opens: str | None = None
    adds: tuple[str, str] | None = None
    removes: tuple[str, frozenset[str]] | None = None


@frozen
class Deletion:
    """A deletion by somebody of whom the node knows what was on the screen. seen: all operations that had come to it,
    and its author's own that were confirmed."""

    entity: tuple[str, str]
    seen: frozenset[str]


@define(eq=False)
class Ledger:
    """By operation id. It knows nothing of CRDTs: an operation that is in the log counts once, one that is not does
    not count.

    exact: whether removals count too. They do while each node knows what its terminals have seen; a crash within the
    second after a confirmation, or a restored backup, makes it forget some of that (README, Limits).
    """

    meant: dict[str, Meant] = field(factory=dict)
    deletions: dict[str, Deletion] = field(factory=dict)
    paid: dict[str, set[str]] = field(factory=dict)
    """Order -> the operations that say that it is paid."""
    taken_back: dict[str, set[str]] = field(factory=dict)
    """Order -> what those wrote who may take that back: a lower status, a deletion, a decision."""
    exact: bool = True
    vague: set[str] = field(factory=set)
    """Stocks and lists of which nobody can say what is right: somebody wrote the whole of one from a screen of which
    the node does not know that it was shown."""

    def forget(self, operations: Iterable[str]) -> None:
        """The node does not know what their authors had seen."""
        for operation in operations:
            self.deletions.pop(operation, None)
            meant = self.meant.get(operation, Meant())
            if meant.moves is not None and not meant.relative:
                self.vague.add(meant.moves[0])
            for what in (meant.adds, meant.removes):
                if what is not None:
                    self.vague.add(what[0])

    def taken_off(self, operation: str) -> bool:
        """Whether what this operation adds was taken off by somebody already, who saw it on its author's screen."""
        meant = self.meant.get(operation)
        if meant is None or meant.adds is None:
            return False
        return any(m.removes is not None and meant.adds[1] in m.removes[1] for m in self.meant.values())

    def problems(
        self, held: Iterable[str], view: Mapping[str, Mapping[str, Mapping[str, Any]]], refused: Collection[str]
    ) -> list[str]:
        """What one node shows against what the operations it holds were meant to do. view: by entity type and id.
        refused: operations that some node refused at first, and that were perhaps sent again in another order."""
        held = list(held)
        stocks: dict[str, Decimal] = {}
        opened: set[str] = set()
        added: dict[str, list[str]] = {}
        removed: dict[str, set[str]] = {}
        doubtful: set[str] = set()
        for operation in held:
            meant = self.meant.get(operation)
            if meant is None:
                continue
            if meant.opens is not None:
                opened.add(meant.opens)
            if meant.moves is not None:
                name, amount = meant.moves
                stocks[name] = stocks.get(name, Decimal(0)) + amount
            if meant.adds is not None:
                added.setdefault(meant.adds[0], []).append(meant.adds[1])
                if operation in refused:
                    doubtful.add(meant.adds[1])
            if meant.removes is not None and operation not in refused:
                removed.setdefault(meant.removes[0], set()).update(meant.removes[1])
        found = [
            problem
            for name in sorted(opened - self.vague)
            for problem in self._stock(name, OPENING + stocks.get(name, Decimal(0)), view["products"].get(name))
        ]
        found += self._unpaid(set(held), view["orders"])
        for name, items in sorted(added.items()):
            found += self._items(name, items, removed.get(name, set()) - doubtful, view["orders"].get(name))
        return found

    def _unpaid(self, held: set[str], orders: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """An order that somebody paid is there and paid, unless somebody took that back who may."""
        return [
            f"orders {name}: it is paid, and shown as {orders.get(name, {}).get('status', 'nothing')}"
            for name, operations in sorted(self.paid.items())
            if operations & held
            and not self.taken_back.get(name, set()) & held
            and orders.get(name, {}).get("status") != "paid"
        ]

    def _stock(self, name: str, expected: Decimal, shown: Mapping[str, Any] | None) -> list[str]:
        stock = None if shown is None else shown.get("stock")
        if stock is None or Decimal(str(stock)) != expected:
            return [f"products {name}: stock is {stock}, its movements make {expected}"]
        return []

    def _items(self, name: str, added: list[str], removed: set[str], shown: Mapping[str, Any] | None) -> list[str]:
        items = [] if shown is None else [item["id"] for item in shown.get("items") or []]
        found = [f"orders {name}: item {i} is there {items.count(i)} times" for i in set(items) if items.count(i) > 1]
        if name not in self.vague:  # a removal that was lost with a restored backup is still what its author shows
            taken = {
                i for m in self.meant.values() if m.removes is not None and m.removes[0] == name for i in m.removes[1]
            }
            found += [f"orders {name}: item {i} is lost" for i in sorted({*added} - taken - {*items})]
        ever = {meant.adds[1] for meant in self.meant.values() if meant.adds is not None}
        found += [f"orders {name}: item {i} came from nowhere" for i in sorted({*items} - ever)]
        if self.exact and name not in self.vague:
            found += [f"orders {name}: item {i} was removed and is there" for i in sorted({*items} & removed)]
        return found
