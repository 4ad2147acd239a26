"""What terminals knew of this node's log where they were before, and which of this node's terminals were elsewhere.

A terminal's positions are rows of one node's log, and mean nothing elsewhere. But a node knows how far it held the
log of each linked node at each of its own rows. So "it has seen my log up to here" becomes "it has seen your log up
to there", in the other node's own numbers. What a node hears so it passes on in the numbers of its other neighbours.

The same message says how far the other log was held where the terminal was: what lies behind that it was not shown
there, so a node that had sent it more sends that again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from node.core.links.host import Node, Peer
from node.wire.links.terminals import MOST_TERMINALS, Visit, read_visits, visits_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


MOST_VISITS = 10_000
"""Visits of terminals at other nodes that are remembered. One that is forgotten counts as new if it is told again."""


class OwnTerminals(Protocol):
    """The terminals that are or were connected to this node."""

    def last_here(self, terminals: Iterable[str] | None, /) -> Mapping[str, tuple[int, Sequence[int]]]:
        """When each was last here, and how far it has seen this log. terminals: which; None for all."""
        ...

    def was_elsewhere(self, terminal_id: str, seen_ms: int, held: Sequence[int], /) -> None:
        """A terminal was at another node, which held this log up to `held` by then."""
        ...


@define(eq=False, kw_only=True)
class Travellers:
    """Terminals that come from other nodes, and go to them. links: the linked nodes."""

    node: Node
    links: Mapping[str, Peer]
    own: OwnTerminals
    _visits: dict[tuple[str, str], int] = field(factory=dict, init=False)
    """(terminal, node) -> when it was there last, as that node says."""

    def link_up(self, link: Peer) -> None:
        """A new neighbour is told of all terminals that were here."""
        self._tell(link, self._own(link, self.own.last_here(None)))

    def moved(self, terminals: Iterable[str]) -> None:
        """Terminals left, or are heard of elsewhere: the neighbours are told what they knew."""
        names, links = list(terminals), self._up()
        if names and links:
            here = self.own.last_here(names)
            for link in links:
                self._tell(link, self._own(link, here))

    def _up(self) -> list[Peer]:
        return [link for link in self.links.values() if link.state == "up"]

    def _own(self, link: Peer, here: Mapping[str, tuple[int, Sequence[int]]]) -> list[Visit]:
        held = tuple(link.peer_log.positions)
        return [
            Visit(terminal, self.node.node_id, seen_ms, held, link.held_at.translated(positions))
            for terminal, (seen_ms, positions) in islice(here.items(), MOST_TERMINALS)
        ]

    def _tell(self, link: Peer, visits: Sequence[Visit]) -> None:
        if visits and link.hello is not None:
            link.reply(visits_message(link.hello.epoch, visits))

    def _mono(self, wall_ms: int) -> int:
        now = self.node.clock()
        return now.mono_ms - (now.wall_ms - wall_ms)

    def receive(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take what a neighbour says of terminals. Raises InvalidMessage."""
        epoch, visits = read_visits(message)
        if epoch != link.host.epoch:
            return  # it speaks of a log that is no more
        head, news = self.node.replica.log.committed, []
        for visit in visits:
            if visit.node == self.node.node_id or max(*visit.held, *visit.knew) > head:
                continue
            new = self._visits.get((visit.terminal, visit.node), 0) < visit.seen_ms
            more = self.node.replica.knowledge.brought(visit.terminal, self._mono(visit.seen_ms), visit.knew)
            if new:
                self._visits[visit.terminal, visit.node] = visit.seen_ms
                while len(self._visits) > MOST_VISITS:
                    del self._visits[next(iter(self._visits))]
                self.own.was_elsewhere(visit.terminal, visit.seen_ms, visit.held)
            if new or more:
                news.append(visit)
        for other in self._up():
            if news and other is not link:
                told = other.held_at.translated
                self._tell(
                    other,
                    [Visit(v.terminal, v.node, v.seen_ms, told(v.held), told(v.knew)) for v in news],
                )
