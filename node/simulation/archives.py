"""In some evenings nodes archive the older part of their log now and then."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import define, field

from node.simulation.restaurant import Restaurant
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from node.simulation.machine import Machine

SHARE = 0.25
"""Of the evenings."""

OFTEN_MS = (2_000, 20_000, 200_000)


@define(eq=False)
class Archives:
    """rng: a stream of its own. over: nobody archives any more."""

    restaurant: Restaurant
    rng: random.Random
    over: bool = False
    _every_ms: int = field(init=False)

    def begin(self) -> None:
        """Decide whether this evening has any."""
        self._every_ms = self.rng.choice(OFTEN_MS)
        if self.rng.random() < SHARE:
            self._later()

    def _later(self) -> None:
        self.restaurant.clockwork.later(self.rng.randrange(self._every_ms), self._act)

    def _act(self) -> None:
        if self.over:
            return
        machine = self.rng.choice(self.restaurant.machines)
        if machine.node_id not in self.restaurant.checks.set_back:  # its rows may not be those that were archived
            self._archive(machine)
        self._later()

    def _archive(self, machine: Machine) -> None:
        if not machine.alive or not machine.core.health.ok or not machine.disk.idle or machine.disk.doom is not None:
            return
        head = machine.store.head
        until = head if self.rng.random() < 0.3 else self.rng.randrange(head + 1)
        try:
            count = machine.archive(until)
        except StorageError:  # its disk refuses just now
            return
        if count:
            self.restaurant.transcript.note(machine.node_id, f"archives {count} rows")
