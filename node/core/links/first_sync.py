"""The first synchronisation of an empty node: the peer's entities, urgent types first, then its history.

    states --every class is here--> history --the peer's operations are here--> over

It can be used from the first entity on. History comes as a comparison finds it missing, beside what is new.

What one peer sends no other has to: while entities come, links to others are held back in their handshake, and until
history is here nothing is compared with them. If the link ends, or nothing comes on it, the next one takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from collections.abc import Mapping


PATIENCE_MS = 10_000
"""How long links are held back while no entity comes."""


@define(eq=False)
class FirstSync:
    """How far it is. head: of the peer's log. moved_ms: when something came last. states: entities received;
    operations: of the peer's log held here. Totals as the peer told."""

    peer: str
    head: int
    began_ms: int
    moved_ms: int
    states: int = 0
    states_total: int = 0
    operations: int = 0
    operations_total: int | None = None
    states_ms: int | None = None
    """When the last entity came; None before."""
    ended_ms: int | None = None

    @property
    def phase(self) -> str:
        if self.ended_ms is not None:
            return "over"
        return "states" if self.states_ms is None else "history"

    def covers(self, head: int) -> bool:
        """Whether what it brings leaves so little of another log of this length that a comparison may find it."""
        return head <= 2 * self.head

    def take_over(self, peer: str, head: int, now_ms: int) -> None:
        """It goes on with this peer; from another one than before all entities come."""
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
