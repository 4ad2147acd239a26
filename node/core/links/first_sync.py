"""The first synchronisation of an empty node: the peer's entities, urgent types first, then its history.

    states --every class is here--> history --the peer's rows are here--> over

The node can be used from the first entity on. The history comes a page at a time, beside new rows (history.py).

One peer sends everything. While entities come, other links wait in their handshake, and until the history is here
nothing is compared with them. If the link ends, or nothing comes on it, the next one takes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define

if TYPE_CHECKING:
    from collections.abc import Mapping


PATIENCE_MS = 10_000
"""How long other links are held back while nothing comes, and after how long the history is asked for again."""

ASKED_AGAIN = 5
"""How often in a row the history is asked for again in vain before comparisons are left to find it."""


@define(eq=False)
class FirstSync:
    """How far a first synchronisation is. Times are of the monotonic clock. Totals are those that the peer told."""

    peer: str
    head: int
    """The last row of the peer's log."""
    began_ms: int
    moved_ms: int
    """When the latest entity or page of history came."""
    states: int = 0
    """Entities received."""
    states_total: int = 0
    operations: int = 0
    """Operations held here, parked ones too."""
    operations_total: int | None = None
    states_ms: int | None = None
    """When the last entity came; None before."""
    via: str = field(default="", init=False)
    """The log that the history is of, as "node:epoch"."""
    after: int = field(default=0, init=False)
    """The row of it up to which the history is here."""
    upto: int | None = field(default=None, init=False)
    """Its last row that the entities had in them; None until they are here."""
    left: bool = field(default=False, init=False)
    """Its link ended, and no other one was there to go on."""
    ended_ms: int | None = None
    asked_again: int = field(default=0, init=False)
    """How often the history was asked for again since something of it came."""

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
        """Whether nothing has come for so long that another link takes over, or the history is asked for again."""
        return now_ms - self.moved_ms >= PATIENCE_MS

    def asks_again(self, now_ms: int) -> bool:
        """Nothing came. Returns whether to ask for the history once more; False when that was in vain too often."""
        self.asked_again, self.moved_ms = self.asked_again + 1, now_ms
        return self.asked_again <= ASKED_AGAIN

    def begin_history(self, via: str, upto: int) -> None:
        """Every entity is here as of this row of that log."""
        self.via, self.after, self.upto = via, 0, upto

    def history_came(self, at: int, operations: int, now_ms: int) -> None:
        """The history is here up to this row. operations: how many are held by now."""
        self.after, self.operations, self.moved_ms = max(self.after, at), operations, now_ms
        self.asked_again = 0

    @property
    def complete(self) -> bool:
        """Whether all of the history is here."""
        return self.upto is not None and self.after >= self.upto

    def stored(self) -> str:
        """How far the history is, for a start that comes before its end."""
        return f"{self.via} {self.after} {self.upto}"

    @classmethod
    def of_stored(cls, text: str, now_ms: int) -> FirstSync | None:
        """The synchronisation that a start goes on with; None where there is none."""
        match text.rsplit(" ", 2):
            case [via, after, upto] if after.isdigit() and upto.isdigit():
                found = cls(via.partition(":")[0], int(upto), now_ms, now_ms, states_ms=now_ms)
                found.begin_history(via, int(upto))
                found.after = int(after)
                return found
        return None

    def take_over(self, peer: str, head: int, now_ms: int) -> None:
        """Go on with this peer. If it is another one than before, all entities come again."""
        another, self.peer, self.head, self.moved_ms = peer != self.peer, peer, head, now_ms
        self.left, self.asked_again = False, 0
        if another:
            self.upto = None
            if self.phase == "states":
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

    def took_s(self) -> tuple[float, float]:
        """How long the states took, and all of it. Seconds, once it is over."""
        states_s = ((self.states_ms or self.began_ms) - self.began_ms) / 1000
        all_s = ((self.ended_ms or self.began_ms) - self.began_ms) / 1000
        return states_s, all_s
