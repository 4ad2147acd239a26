"""A stock that is delivered before it was ever counted, counted now and then, and not counted any more."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define

from node.simulation.authors import Authors
from node.simulation.intentions import CountEvent
from strategies.kinds.kind import ABSENT

if TYPE_CHECKING:
    from node.simulation.terminal import Terminal

COUNTED = ("products", "s-2")


@define(eq=False)
class Counting:
    authors: Authors

    def count(self, terminal: Terminal) -> None:
        """Count what is there, move it, write what is left, or stop counting."""
        authors, rng = self.authors, self.authors.rng
        if not authors.may_write(terminal, COUNTED[0]) or not authors.knows(terminal, named=True):
            return
        if authors.flickers(terminal, COUNTED, "stock"):
            return
        on_screen = terminal.screen.get(COUNTED, {}).get("stock")
        amount = rng.choice([24, 5, -1, -2])
        choice = rng.random()
        moved, counted = Decimal(amount), ABSENT
        value: object = {"$inc": amount}
        if choice < 0.25 or (on_screen is None and choice < 0.5 and COUNTED in terminal.screen):
            counted = rng.randrange(10, 40)
            value, moved = {"$set": counted} if choice < 0.25 else counted, Decimal(0)
        elif choice < 0.32:
            value, counted, moved = None, None, Decimal(0)
        elif choice < 0.65 and isinstance(on_screen, int | float):
            value = on_screen + amount
        version = authors.version(terminal, COUNTED)
        seen = authors.looked_at(terminal) if version else authors.seen(terminal)  # it says itself what it had read
        authors.count(terminal, {"stock": value, **version}, CountEvent(COUNTED[1], seen, counted, moved))
