"""The first synchronisation of an empty node: the peer's entities, urgent types first, then its history.

    states --every class is here--> history --the peer's operations are here--> over

The node can be used from the first entity on. The history comes as a comparison finds it missing, beside new rows.

One peer sends everything. While entities come, other links wait in their handshake, and until the history is here
nothing is compared with them. If the link ends, or nothing comes on it, the next one takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Mapping


PATIENCE_MS = 10_000
"""How long other links are held back while no entity comes."""

FRUITLESS = 10
"""Comparisons that bring nothing, after which the history is left to those that come each minute."""


@define(eq=False)
class FirstSync:
    """How far a first synchronisation is. Times are of the monotonic clock. Totals are those that the peer told."""

    peer: str
    head: int
    """The last row of the peer's log."""
    began_ms: int
    moved_ms: int
    """When the latest entity came."""
    states: int = 0
    """Entities received."""
    states_total: int = 0
    operations: int = 0
    """Operations held here, parked ones too."""
    operations_total: int | None = None
    states_ms: int | None = None
    """When the last entity came; None before."""
    ended_ms: int | None = None
    fruitless: int = 0
    """Seconds in a row in which nothing of the history came."""

    @property
    def phase(self) -> str:
        if self.ended_ms is not None:
            return "over"
        return "states" if self.states_ms is None else "history"

    def runs_with(self, peer: str) -> bool:
        """Whether the synchronisation is under way with this peer."""
        return self.peer == peer and self.phase != "over"

    def covers(self, head: int) -> bool:
        """True when at most half of a log of this length is missing afterwards, so that anti-entropy can fetch the
        rest."""
        return head <= 2 * self.head

    def wants_states(self, peer: str, head: int, *, known: bool, empty: bool) -> bool:
        """Whether to ask a peer for every entity.

        head: of the peer's log. known: whether something of that log is held. empty: whether nothing at all is held.
        """
        if peer == self.peer:
            return empty or (not known and self.phase == "states")  # also if something was written here meanwhile
        return empty and not self.covers(head)

    def state_came(self, now_ms: int) -> None:
        """One more entity is here."""
        self.states += 1
        self.moved_ms = now_ms

    def states_are_here(self, now_ms: int) -> None:
        """The last entity has come; the history follows."""
        self.states_ms = now_ms

    def stands_still(self, now_ms: int) -> bool:
        """Whether nothing has come for so long that another link takes over."""
        return now_ms - self.moved_ms >= PATIENCE_MS

    def broke_off(self, operations: int, now_ms: int) -> bool:
        """Once a second: note how much of the history is here. Returns whether nothing more is on its way.

        operations: how many are held here by now. When all of the peer's are, the synchronisation is over. It is over
            too when nothing came in FRUITLESS tries: something cannot be taken, and is found missing each minute.
        """
        before, self.operations = self.operations, operations
        self.fruitless = 0 if operations != before else self.fruitless + 1
        complete = self.operations_total is not None and operations >= self.operations_total
        if complete or self.fruitless > FRUITLESS:
            self.ended_ms = now_ms
            return False
        return operations == before

    def take_over(self, peer: str, head: int, now_ms: int) -> None:
        """Go on with this peer. If it is another one than before, all entities come again."""
        another, self.peer, self.head, self.moved_ms = peer != self.peer, peer, head, now_ms
        if another and self.phase == "states":
            self.states = self.states_total = 0

    def report(self) -> Mapping[str, object]:
        """For HTTP and the command line."""
        return {
            "peer": self.peer,
            "phase": self.phase,
            "entities": self.states,
            "entities_total": self.states_total,
            "operations": self.operations,
            "operations_total": self.operations_total,
        }

    def said(self) -> str:
        """The log line at its end."""
        states_s = ((self.states_ms or self.began_ms) - self.began_ms) / 1000
        all_s = ((self.ended_ms or self.began_ms) - self.began_ms) / 1000
        return (
            f"first synchronisation from {self.peer}: {self.states} entities in {states_s:.1f} s, "
            f"{self.operations} operations of history in {all_s:.1f} s"
        )
