"""Terminals behind linked nodes: each node tells its neighbours who sits on which node, and passes on what is newer.

Only a node itself issues its list. Each issue has a growing number, so old lists stop circulating in a ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.core import monitors
from node.wire.links.terminals import (
    is_node_id,
    known_terminals,
    read_terminals,
    short_entry,
    terminals_message,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.core import Core  # noqa: TC004 (it imports this file)
    from node.core.links.link import Link
    from node.wire.links.terminals import Statement

NODES = 1_000
"""Most nodes remembered."""


@define(eq=False)
class Said:
    """What one node last said of itself. number: grows with each statement. alive: whether a path to it is up."""

    number: int
    terminals: dict[str, Any]
    link: str
    alive: bool = True


@define(eq=False)
class Neighbours:
    """Other nodes' terminals, by node id."""

    core: Core
    nodes: dict[str, Said] = field(factory=dict)
    _number: int = 0
    _own: dict[str, object] = field(factory=dict)

    def say(self, *, force: bool) -> None:
        """Tell all links about this node's own terminals, where they changed or by `force`."""
        own = {t: short_entry(entry) for t, entry in monitors.own_terminals(self.core).items()}
        if own == self._own and not force:
            return
        self._own = own
        self._number = max(self._number + 1, self.core.clock().wall_ms)
        message = terminals_message({self.core.node_id: (self._number, own)})
        for link in self.core.links.values():
            if link.state == "up":
                link.reply(message)

    def link_up(self, link: Link) -> None:
        """A new neighbour is told all that is known."""
        known = {node: (said.number, said.terminals) for node, said in self.nodes.items() if said.alive}
        if self._number:
            known[self.core.node_id] = (self._number, self._own)
        link.reply(terminals_message(known))
        self.say(force=True)

    def link_down(self, link: Link) -> None:
        """What came over this link is not known to be there any more."""
        for said in self.nodes.values():
            if said.link == link.peer_id:
                said.alive = False

    def receive(self, link: Link, message: Mapping[str, Any]) -> None:
        """Raises InvalidMessage."""
        news: dict[str, Statement] = {}
        for node, (number, terminals) in read_terminals(message).items():
            if self._is_news(node, number):
                known = known_terminals(terminals)
                self.nodes[node] = Said(number, known, link.peer_id)
                news[node] = (number, known)
        if news:
            passed_on = terminals_message(news)
            for other in self.core.links.values():
                if other is not link and other.state == "up":
                    other.reply(passed_on)
            self.core.sessions.mark_changed()

    def _is_news(self, node: str, number: int) -> bool:
        if node == self.core.node_id:
            return False
        said = self.nodes.get(node)
        if said is None:
            return is_node_id(node) and len(self.nodes) < NODES
        return not said.alive or number > said.number

    def terminals(self) -> dict[str, object]:
        """Terminals of other nodes as `terminal_status_update` shows them."""
        shown: dict[str, object] = {}
        for node, said in self.nodes.items():
            for terminal, entry in said.terminals.items():
                if isinstance(entry, dict):
                    state = entry.get("status") if said.alive else "unreachable"
                    shown[terminal] = {**entry, "status": state, "node": node}
        return shown
