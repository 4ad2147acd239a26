"""How the people of a simulated store write: what they knew is noted with what they meant."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from crdt.records import name_of
from node.simulation.restaurant import Restaurant
from node.simulation.terminal import Data, Terminal, own_name

if TYPE_CHECKING:
    from node.simulation.intentions import CountEvent, Edit, Meant


@define(eq=False)
class Authors:
    """operations: how many were written. sent: every operation by its name, in order, and whose it is.

    refused: operations that a node refused at first, and that were sent again.
    absolutes: whether stock is sold by writing what is left, as documented clients do, or by `$inc`.
    versions: whether what is made from a screen is written with the version of that.
    """

    restaurant: Restaurant
    rng: random.Random = field(init=False)
    absolutes: bool = field(init=False)
    versions: bool = field(init=False)
    operations: int = 0
    sent: dict[str, tuple[Terminal, Data]] = field(factory=dict)
    refused: set[str] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.rng = self.restaurant.rng
        self.absolutes = self.rng.random() < 0.5
        self.versions = self.rng.random() < 0.5

    # ------------------------------------------------------------------ writing

    def write(
        self, terminal: Terminal, entity_type: str, entity_id: str | None, kind: str, data: Data, **extra: Any
    ) -> str:
        """Returns the operation's name."""
        operation_id = terminal.write(entity_type, entity_id, kind, data, **extra)
        self.operations += 1
        name = name_of(terminal.name, operation_id)
        self.sent[name] = (terminal, terminal.unanswered[operation_id])
        if any(own_name(other) in self.refused for other in terminal.unanswered.values()):
            self.restaurant.ledger.claims.add(name)
        return name

    def write_meant(
        self, terminal: Terminal, key: tuple[str, str | None], kind: str, data: Data, meant: Meant
    ) -> str:
        """Write what is known to mean something. Returns the operation's name."""
        operation = self.write(terminal, *key, kind, data)
        self.restaurant.ledger.meant[operation] = meant
        self.judged(terminal, operation)
        return operation

    def edit(self, terminal: Terminal, kind: str, data: Data, edit: Edit) -> None:
        """Write a change of one field."""
        operation = self.write(terminal, *edit.entity, kind, data)
        self.restaurant.ledger.edits[operation] = edit
        self.judged(terminal, operation)

    def count(self, terminal: Terminal, data: Data, event: CountEvent) -> None:
        """Write to a number that is counted. What its author wrote before it, it knows."""
        own = [name for name, (author, _) in self.sent.items() if author is terminal]
        operation = self.write(terminal, "products", event.name, "UPDATE", data)
        self.restaurant.ledger.counts[operation] = evolve(event, seen=event.seen.union(own))
        self.judged(terminal, operation)

    def judged(self, terminal: Terminal, operation: str) -> None:
        """What is sent by a clock that its node takes for another seems to be of a time when its author knew less."""
        if terminal.session is not None and terminal.misjudged:
            self.restaurant.ledger.forget([operation])

    def may_write(self, terminal: Terminal, entity_type: str) -> bool:
        return self.restaurant.machines[0].config.permissions()[terminal.kind].may_write(entity_type)

    # ------------------------------------------------------------------ knowing

    def version(self, terminal: Terminal, key: tuple[str, str]) -> Data:
        """The documented version, where people send it: one more than what is on the screen, own writes counted."""
        shown = terminal.screen.get(key, {}).get("version")
        return {"version": shown + 1} if self.versions and isinstance(shown, int) else {}

    def knows(self, terminal: Terminal, *, named: bool = False) -> bool:
        """Whether the node knows what is on this screen: a person works from a screen at rest, not in the moment in
        which it is shown the past again. Terminals that say nothing of what arrived are never known that well.

        named: what is written names the version of what is on the screen, where people write versions.
        """
        if not terminal.manner.confirms or terminal.lazy or terminal.strayed:
            return False
        if terminal.manner.reads_ms and terminal.session is not None and not terminal.heard_confirming:
            return False
        if terminal.at_rest:
            return True
        return terminal.session is None and not terminal.blank and (not terminal.unheard or (named and self.versions))

    def seen(self, terminal: Terminal) -> frozenset[str]:
        """Operations that came to this terminal at its node, and its own that it was confirmed there."""
        here = f"{terminal.name} by {terminal.machine.node_id}"
        own = (o for o, told in self.restaurant.checks.confirmed.items() if told == here)
        return frozenset([*(r for r in terminal.received[terminal.came :] if isinstance(r, str)), *own])

    def looked_at(self, terminal: Terminal) -> frozenset[str]:
        """Of `seen` what its program has read. Of the rest its node cannot tell, and may take it for seen or not."""
        times = Counter(row for row in terminal.received if isinstance(row, str))  # what is read later is noted twice
        unread = {name for name in times if times[name] == 1 and name in terminal.unread}
        return self.seen(terminal) - unread

    def flickers(self, terminal: Terminal, key: tuple[str, str], name: str) -> bool:
        """Whether what this terminal just wrote is not on its screen, for what was on its way to it meanwhile, or is
        there once more, as it is tried again: nobody reads and writes that fast. An earlier write of its own may have
        come back, and the one after it, which was answered, comes in a moment."""
        lately = terminal.unanswered.keys() | terminal.coming()
        own = [
            (o, data)
            for author, o in self.sent.values()
            if author is terminal and o["id"] in lately and (data := _written_to(o, key)) is not None
        ]
        if any(own_name(o) in self.refused for o, _ in own if o["id"] in terminal.unanswered):
            return True
        written = [data[name] for _, data in own if name in data]
        return bool(written) and written[-1] != terminal.screen.get(key, {}).get(name)


def _written_to(operation: Data, key: tuple[str, str]) -> Data | None:
    """What an operation writes to an entity."""
    if operation["entity_type"] != key[0]:
        return None
    if operation["operation"] == "BULK_UPDATE":
        return next((item["data"] for item in operation["data"]["updates"] if item["entity_id"] == key[1]), None)
    found: Data | None = operation["data"] if operation["entity_id"] == key[1] else None
    return found
