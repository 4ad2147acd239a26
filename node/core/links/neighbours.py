"""Terminals behind linked nodes: each node tells its neighbours who sits on which node, and passes on what is newer.

Told of every node by itself only, numbered by its clock, so that nothing circles in a ring of links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, field

from node.core import monitors
from node.errors import InvalidMessage
from node.wire.codec import TERMINAL_ID
from node.wire.json_text import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.core import Core  # noqa: TC004 (it imports this file)
    from node.core.links.link import Link

NODES = 1_000
"""Most nodes remembered; of each at most so many terminals."""
TERMINALS = 2_000


@define(eq=False)
class Seen:
    """What one node last said of itself. number: grows with each statement. alive: whether a path to it is up."""

    number: int
    terminals: dict[str, Any]
    link: str
    alive: bool = True


@define(eq=False)
class Neighbours:
    """Other nodes' terminals, by node id."""

    core: Core
    nodes: dict[str, Seen] = field(factory=dict)
    _said: int = 0
    _own: dict[str, object] = field(factory=dict)

    def say(self, *, force: bool) -> None:
        """Tell all links about this node's own terminals, where they changed or by `force`."""
        own = {t: _short(entry) for t, entry in monitors.own_terminals(self.core).items()}
        if own == self._own and not force:
            return
        self._own = own
        self._said = max(self._said + 1, self.core.clock().wall_ms)
        message = self._message({self.core.node_id: (self._said, own)})
        for link in self.core.links.values():
            if link.state == "up":
                link.reply(message)

    def link_up(self, link: Link) -> None:
        """A new neighbour is told all that is known."""
        known = {node: (seen.number, seen.terminals) for node, seen in self.nodes.items() if seen.alive}
        if self._said:
            known[self.core.node_id] = (self._said, self._own)
        link.reply(self._message(known))
        self.say(force=True)

    def link_down(self, link: Link) -> None:
        """What came over this link is not known to be there any more."""
        for seen in self.nodes.values():
            if seen.link == link.peer_id:
                seen.alive = False

    def receive(self, link: Link, message: Mapping[str, Any]) -> None:
        """Raises InvalidMessage."""
        nodes = message.get("nodes")
        if not isinstance(nodes, dict):
            raise InvalidMessage("expected nodes", "$.nodes")
        news: dict[str, tuple[int, dict[str, Any]]] = {}
        for node, entry in nodes.items():
            match entry:
                case [int(number), dict(terminals)] if 0 <= number < 2**62 and len(terminals) <= TERMINALS:
                    pass
                case _:
                    raise InvalidMessage("expected [number, terminals]", "$.nodes")
            if node == self.core.node_id:
                continue
            old = self.nodes.get(node)
            if old is not None and old.alive and number <= old.number:
                continue
            if TERMINAL_ID.match(node) is None or (old is None and len(self.nodes) >= NODES):
                continue
            shown = {t: _short(e) for t, e in terminals.items() if TERMINAL_ID.match(t) and isinstance(e, dict)}
            self.nodes[node] = Seen(number, shown, link.peer_id)
            news[node] = (number, shown)
        if news:
            passed = self._message(news)
            for other in self.core.links.values():
                if other is not link and other.state == "up":
                    other.reply(passed)
            self.core.mark_changed()

    def _message(self, nodes: Mapping[str, tuple[int, Mapping[str, Any]]]) -> bytes:
        return orjson.dumps({"type": "terminal_status_update", "nodes": nodes})

    def terminals(self) -> dict[str, object]:
        """Terminals of other nodes as `terminal_status_update` shows them."""
        shown: dict[str, object] = {}
        for node, seen in self.nodes.items():
            for terminal, entry in seen.terminals.items():
                if isinstance(entry, dict):
                    state = entry.get("status") if seen.alive else "unreachable"
                    shown[terminal] = {**entry, "status": state, "node": node}
        return shown


def _short(entry: object) -> object:
    """Without what changes all the time, so that only real changes travel; of others, not more than that."""
    if not isinstance(entry, dict):
        return {}
    return {name: word(entry[name], 64) for name in ("type", "status", "connected_at") if name in entry}
