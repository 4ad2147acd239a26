"""For whom a linked node speaks: whose operations it may pass on as the node that accepted them.

What `origin` has signed may come from anybody, also what this node itself has: its log was set back, and what it lost
comes back from others. For what is not signed a node speaks for itself, and for those of which it says that it holds
operations (`speaks_for`), before it sends any; and for a node without a key others speak once its log was set back.
`[links] may_speak_for` narrows all that for the linked nodes that it names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson
from attrs import field

from crdt.classes import define

NODES = 1_000
"""Most nodes that one linked node may speak for."""

EVERYBODY = "*"


@define(eq=False, kw_only=True)
class Origins:
    """The nodes whose operations are in this log, and for whom each linked node speaks.

    configured: linked node -> for whom it may speak, whatever it says; `*` is everybody.
    recovered: this node's log was set back, or is another one than linked nodes know.
    """

    node_id: str
    configured: Mapping[str, Sequence[str]]
    recovered: bool = False
    known: set[str] = field(factory=set)
    said: dict[str, set[str]] = field(factory=dict)

    @classmethod
    def of(cls, node_id: str, configured: Mapping[str, Sequence[str]], meta: Mapping[str, str]) -> Origins:
        """As they are stored."""
        said = orjson.loads(meta.get("speaks_for", "{}"))
        return cls(
            node_id=node_id,
            configured=configured,
            recovered="recovered" in meta,
            known=set(orjson.loads(meta.get("origins", "[]"))),
            said={peer: set(nodes) for peer, nodes in said.items()},
        )

    def speaks_for(self, peer: str) -> list[str]:
        """For whom a linked node may speak, beside itself."""
        return sorted(self.configured.get(peer, self.said.get(peer, ())))

    def may_say(self, peer: str, origin: str, *, proven: bool) -> bool:
        """Whether a linked node may pass on what `origin` accepted. proven: `origin` has signed it."""
        if proven and (origin == self.node_id or peer not in self.configured):
            return True
        if origin == self.node_id:
            return self.recovered
        return origin == peer or self.may_speak(peer, origin)

    def may_speak(self, peer: str, node: str) -> bool:
        """Whether a linked node speaks for another one, by what it said and what is configured."""
        configured = self.configured.get(peer)
        if configured is None:
            return node in self.said.get(peer, ())
        return node in configured or EVERYBODY in configured

    def heard(self, peer: str, nodes: Sequence[str], meta: dict[str, str]) -> list[str]:
        """A linked node says for whom it speaks. Returns who is new. meta: of the next commit."""
        said = self.said.setdefault(peer, set())
        new = [name for name in nodes if name not in said and name not in (peer, self.node_id)]
        new = new[: max(NODES - len(said), 0)]
        if new:
            said.update(new)
            self.store(meta)
        return new

    def note(self, origin: str, meta: dict[str, str]) -> bool:
        """An operation that `origin` accepted is in this log. Returns whether that is news. meta: of its commit."""
        if origin in self.known or origin == self.node_id or len(self.known) >= NODES:
            return False
        self.known.add(origin)
        self.store(meta)
        return True

    def recover(self, meta: dict[str, str]) -> None:
        """This log was set back."""
        self.recovered = True
        self.store(meta)

    def store(self, meta: dict[str, str]) -> None:
        """Put all of it into a commit's meta."""
        meta["origins"] = orjson.dumps(sorted(self.known)).decode()
        meta["speaks_for"] = orjson.dumps({peer: sorted(nodes) for peer, nodes in self.said.items()}).decode()
        if self.recovered:
            meta["recovered"] = "1"
