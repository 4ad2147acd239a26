"""What is ordered at a table, and paid: lines are put on a list, changed and taken off, by writing the whole list."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from node.simulation.authors import Authors
from node.simulation.intentions import ITEM_STATUSES, Edit, Meant

if TYPE_CHECKING:
    import random

    from node.simulation.terminal import Data, Terminal

LISTS = ("mesa-0", "mesa-1")
TABS = ("comanda-0", "comanda-1", "comanda-2")
"""Orders between which guests go, and their lines with them."""
PAID = ("orders", "caixa-0")
"""An order that is paid in parts."""


@define(eq=False)
class Tables:
    """names: the tables that have guests."""

    authors: Authors
    names: tuple[str, ...] = field(init=False)
    _items: int = 0
    _payments: int = 0
    _notes: int = 0

    def __attrs_post_init__(self) -> None:
        self.names = LISTS[: self.authors.rng.choice([1, 2])]

    def serve(self, terminal: Terminal) -> None:
        """Put an item on a table's order, change one, or take some off."""
        authors, rng = self.authors, self.authors.rng
        name = rng.choice(self.names)
        key = ("orders", name)
        if not self._may_write(terminal, key, "items"):
            return
        listed = _listed(terminal, key, "items")
        choice = rng.random()
        if listed and choice < 0.3:
            gone = frozenset(item["id"] for item in listed if rng.random() < 0.4)
            listed = [item for item in listed if item["id"] not in gone]
            meant = Meant(removes=(name, gone), seen=authors.looked_at(terminal))
        elif listed and choice < 0.6:
            listed, meant = self._changed(name, listed, rng)
        else:
            listed, meant = self._added(name, listed, rng)
        data: Data = {"items": listed, **authors.version(terminal, key)}
        authors.write_meant(terminal, key, "UPDATE", data, meant)

    def change_seats(self, terminal: Terminal, rng: random.Random) -> None:
        """Order something on a tab, change it, or take it to another tab, where nobody has had it before."""
        authors, (one, other) = self.authors, rng.sample(TABS, 2)
        if not all(self._may_write(terminal, ("orders", name), "items") for name in (one, other)):
            return
        here, there = (_listed(terminal, ("orders", name), "items") for name in (one, other))
        known = {m.adds[1] for m in authors.restaurant.ledger.meant.values() if m.adds and m.adds[0] == other}
        movable = [line for line in here if line["id"] not in known]
        choice = rng.random()
        if movable and choice < 0.4:
            line = rng.choice(movable)
            self._move(terminal, (one, [x for x in here if x is not line]), (other, [*there, line]), line, rng)
            return
        listed, meant = (self._changed if here and choice < 0.8 else self._added)(one, here, rng)
        key = ("orders", one)
        data: Data = {"items": listed, **authors.version(terminal, key)}
        authors.write_meant(terminal, key, "UPDATE", data, meant)

    def _move(
        self,
        terminal: Terminal,
        left: tuple[str, list[Data]],
        right: tuple[str, list[Data]],
        line: Data,
        rng: random.Random,
    ) -> None:
        """In one operation or in two, in either order. left, right: the two tabs and what is then on them."""
        authors, key = self.authors, line["id"]
        seen = authors.looked_at(terminal)
        off = Meant(removes=(left[0], frozenset([key])), seen=seen)
        quantity, status = Decimal(str(line.get("quantity", 0))), line.get("status")
        on = Meant(adds=(right[0], key), quantity=quantity, status=status if status in ITEM_STATUSES else None)
        writes: list[tuple[str, Data]] = [
            (name, {"items": listed, **authors.version(terminal, ("orders", name))}) for name, listed in (left, right)
        ]
        if rng.random() < 0.6:
            updates = [{"entity_id": name, "data": data} for name, data in writes]
            meant = evolve(on, removes=off.removes, seen=seen)
            authors.write_meant(terminal, ("orders", None), "BULK_UPDATE", {"updates": updates}, meant)
            return
        for (name, data), meant in rng.sample([(writes[0], off), (writes[1], on)], 2):
            authors.write_meant(terminal, ("orders", name), "UPDATE", data, meant)

    def note(self, terminal: Terminal, rng: random.Random) -> None:
        """Write a note beside a line: no onions."""
        authors, name = self.authors, rng.choice(self.names)
        key, listed = ("orders", name), _listed(terminal, ("orders", name), "items")
        if not listed or not self._may_write(terminal, key, "items"):
            return
        self._notes += 1
        place, value = rng.randrange(len(listed)), f"n-{self._notes}"
        line = listed[place]["id"]
        seen = authors.looked_at(terminal)
        listed[place] = {**listed[place], "note": value}
        data: Data = {"items": listed, **authors.version(terminal, key)}
        operation = authors.write_meant(terminal, key, "UPDATE", data, Meant(changes=(name, line)))
        authors.restaurant.ledger.edits[operation] = Edit(key, f"items/{line}/note", value, seen, whole=False)
        authors.judged(terminal, operation)

    def pay(self, terminal: Terminal, rng: random.Random) -> None:
        """Take a part of what is owed, or give one back."""
        authors, listed = self.authors, _listed(terminal, PAID, "payments")
        if not self._may_write(terminal, PAID, "payments"):
            return
        if listed and rng.random() < 0.2:
            gone = rng.choice(listed)["id"]
            listed = [payment for payment in listed if payment["id"] != gone]
            meant = Meant(removes=(PAID[1], frozenset([gone])), seen=authors.looked_at(terminal))
        else:
            self._payments += 1
            amount, key = rng.randrange(1, 90), f"p-{self._payments}"
            listed.append({"id": key, "amount": amount})
            meant = Meant(adds=(PAID[1], key), quantity=Decimal(amount))
        data: Data = {"payments": listed, **authors.version(terminal, PAID)}
        authors.write_meant(terminal, PAID, "UPDATE", data, meant)

    def _may_write(self, terminal: Terminal, key: tuple[str, str], field_: str) -> bool:
        authors = self.authors
        may = authors.may_write(terminal, "orders") and authors.knows(terminal, named=True)
        return may and not authors.flickers(terminal, key, field_)

    def _added(self, name: str, listed: list[Data], rng: random.Random) -> tuple[list[Data], Meant]:
        self._items += 1
        quantity, key, status = rng.randrange(1, 4), f"i-{self._items}", ITEM_STATUSES[0]
        item = {"id": key, "quantity": quantity, "status": status}
        place = rng.randrange(len(listed) + 1)
        meant = Meant(adds=(name, key), quantity=Decimal(quantity), status=status)
        return [*listed[:place], item, *listed[place:]], meant

    def _changed(self, name: str, listed: list[Data], rng: random.Random) -> tuple[list[Data], Meant]:
        """Two more of something, or one less; or the kitchen goes on with it."""
        place = rng.randrange(len(listed))
        item: dict[str, Any] = dict(listed[place])
        more, status = 0, None
        at = ITEM_STATUSES.index(item["status"]) if item.get("status") in ITEM_STATUSES else 0
        if rng.random() < 0.6 or at + 1 == len(ITEM_STATUSES):
            more = rng.choice([1, 2, -1])
            item["quantity"] = item.get("quantity", 0) + more
        else:
            status = item["status"] = ITEM_STATUSES[at + 1]
        changes = (name, item["id"])
        return [*listed[:place], item, *listed[place + 1 :]], Meant(
            changes=changes, quantity=Decimal(more), status=status
        )


def _listed(terminal: Terminal, key: tuple[str, str], field_: str) -> list[Data]:
    """The lines of an order that a terminal shows."""
    items = terminal.screen.get(key, {}).get(field_)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
