"""Terminals behind linked nodes: each node tells its neighbours who sits on which node, and passes on what is newer.

Only a node itself issues its list. Each issue has a growing number, so old lists stop circulating in a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from node.core.links.host import Peer
from node.core.ports import Clock
from node.wire.links.terminals import (
    is_node_id,
    known_terminals,
    read_terminals,
    short_entry,
    terminals_message,
)

if TYPE_CHECKING:
    from node.wire.links.terminals import Statement

MOST_AHEAD_MS = 86_400_000
"""By how much a list's number may be ahead of this node's clock. One that is far greater would stay for good."""

NODES = 1_000
"""Most nodes remembered."""


@define(eq=False)
class Said:
    """The latest list of one node's terminals.

    number: of the list; it grows with each one that the node issues.
    link: the node over which the list came.
    alive: whether that link is up.
    """

    number: int
    terminals: dict[str, Any]
    link: str
    alive: bool = True


@define(eq=False, kw_only=True)
class Neighbours:
    """Who sits at which node.

    nodes: node id -> the latest list of its terminals.
    own_terminals: the terminals of this node.
    changed: called when monitors are to be told.
    """

    node_id: str
    clock: Clock
    links: Mapping[str, Peer]
    own_terminals: Callable[[], Mapping[str, object]]
    changed: Callable[[], None]
    nodes: dict[str, Said] = field(factory=dict, init=False)
    _number: int = field(default=0, init=False)
    _own: dict[str, object] = field(factory=dict, init=False)

    def say(self, *, force: bool) -> None:
        """Tell all links about this node's own terminals, where they changed or by `force`."""
        own = {terminal: short_entry(entry) for terminal, entry in self.own_terminals().items()}
        if own == self._own and not force:
            return
        self._own = own
        self._number = max(self._number + 1, self.clock().wall_ms)
        message = terminals_message({self.node_id: (self._number, own)})
        for link in self.links.values():
            if link.state == "up":
                link.reply(message)

    def link_up(self, link: Peer) -> None:
        """A new neighbour is told all that is known."""
        known = {node: (said.number, said.terminals) for node, said in self.nodes.items() if said.alive}
        if self._number:
            known[self.node_id] = (self._number, self._own)
        link.reply(terminals_message(known))
        self.say(force=True)

    def link_down(self, link: Peer) -> None:
        """The nodes whose lists came over this link are not known to be alive any more."""
        for said in self.nodes.values():
            if said.link == link.peer_id:
                said.alive = False

    def receive(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take another node's lists. Newer ones are passed on. Raises InvalidMessage."""
        news: dict[str, Statement] = {}
        for node, (number, terminals) in read_terminals(message).items():
            if self._is_news(link, node, number):
                known = known_terminals(terminals)
                self.nodes[node] = Said(number, known, link.peer_id)
                news[node] = (number, known)
        if news:
            passed_on = terminals_message(news)
            for other in self.links.values():
                if other is not link and other.state == "up":
                    other.reply(passed_on)
            self.changed()

    def _is_news(self, link: Peer, node: str, number: int) -> bool:
        if node == self.node_id or number > self.clock().wall_ms + MOST_AHEAD_MS:
            return False
        direct = self.links.get(node)
        if direct is not None and direct is not link and direct.state == "up":
            return False  # that node speaks for itself
        said = self.nodes.get(node)
        if said is None:
            return is_node_id(node) and len(self.nodes) < NODES
        return not said.alive or number > said.number

    def may_sit(self, link: Peer, terminal: str) -> bool:
        """Whether a terminal may sit behind a link: that said so last, or nobody else does."""
        if terminal in self.own_terminals():
            return False
        there = {said.link for said in self.nodes.values() if said.alive and terminal in said.terminals}
        return not there or link.peer_id in there

    def terminals(self) -> dict[str, object]:
        """Terminals of other nodes as `terminal_status_update` shows them."""
        shown: dict[str, object] = {}
        for node, said in self.nodes.items():
            for terminal, entry in said.terminals.items():
                if isinstance(entry, dict):
                    state = entry.get("status") if said.alive else "unreachable"
                    shown[terminal] = {**entry, "status": state, "node": node}
        return shown
