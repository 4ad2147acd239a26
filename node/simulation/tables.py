"""What is ordered at a table: items are put on a list, changed and taken off, by writing the whole list."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.simulation.authors import Authors
from node.simulation.intentions import ITEM_STATUSES, Meant

if TYPE_CHECKING:
    from node.simulation.terminal import Data, Terminal

LISTS = ("mesa-0", "mesa-1")


@define(eq=False)
class Tables:
    """names: the tables that have guests."""

    authors: Authors
    names: tuple[str, ...] = field(init=False)
    _items: int = 0

    def __attrs_post_init__(self) -> None:
        self.names = LISTS[: self.authors.rng.choice([1, 2])]

    def serve(self, terminal: Terminal) -> None:
        """Put an item on a table's order, change one, or take some off."""
        authors, rng = self.authors, self.authors.rng
        name = rng.choice(self.names)
        key = ("orders", name)
        if not authors.may_write(terminal, "orders") or not authors.knows(terminal, named=True):
            return
        if authors.flickers(terminal, key, "items"):
            return
        items = terminal.screen.get(key, {}).get("items")
        listed = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        choice = rng.random()
        if listed and choice < 0.3:
            gone = frozenset(item["id"] for item in listed if rng.random() < 0.4)
            listed = [item for item in listed if item["id"] not in gone]
            meant = Meant(removes=(name, gone), seen=authors.seen(terminal))
        elif listed and choice < 0.6:
            listed, meant = self._changed(name, listed)
        else:
            listed, meant = self._added(name, listed)
        data: Data = {"items": listed, **authors.version(terminal, key)}
        authors.write_meant(terminal, key, "UPDATE", data, meant)

    def _added(self, name: str, listed: list[Data]) -> tuple[list[Data], Meant]:
        rng = self.authors.rng
        self._items += 1
        quantity, key, status = rng.randrange(1, 4), f"i-{self._items}", ITEM_STATUSES[0]
        item = {"id": key, "quantity": quantity, "status": status}
        place = rng.randrange(len(listed) + 1)
        meant = Meant(adds=(name, key), quantity=Decimal(quantity), status=status)
        return [*listed[:place], item, *listed[place:]], meant

    def _changed(self, name: str, listed: list[Data]) -> tuple[list[Data], Meant]:
        """Two more of something, or one less; or the kitchen goes on with it."""
        rng = self.authors.rng
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
