"""Money that is taken out of the drawer: written down under the number of its slip, and corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from node.simulation.authors import Authors
from node.simulation.intentions import Edit

if TYPE_CHECKING:
    import random

    from node.simulation.terminal import Data, Terminal

SLIPS = 3
"""The fewer, the more often two tills write down the same one."""

CASH = "cashier_operations"


@define(eq=False)
class Drawer:
    authors: Authors
    _amounts: int = 0

    def withdraw(self, terminal: Terminal, rng: random.Random) -> None:
        """Write a slip down, or correct its amount. No amount comes twice."""
        authors, key = self.authors, (CASH, f"mov-{rng.randrange(SLIPS)}")
        if not authors.may_write(terminal, CASH) or not authors.knows(terminal, named=True):
            return
        if authors.flickers(terminal, key, "amount"):
            return
        self._amounts += 1
        amount = 100 + self._amounts
        data: Data = {"amount": amount, **authors.version(terminal, key)}
        kind = "UPDATE" if key in terminal.screen else "CREATE"
        if kind == "CREATE":
            data["type"] = "withdrawal"
        authors.edit(terminal, kind, data, Edit(key, "amount", amount, authors.looked_at(terminal), whole=False))
