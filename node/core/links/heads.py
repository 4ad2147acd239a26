"""Signed heads: what each node says its log ends with, kept by the nodes that it is linked with.

A node signs the last row of its log and that row's chain hash at its start, each hour, and when rows were archived.
It tells its linked nodes, and they keep it. Each row's hash covers all rows before it, so whoever writes the log anew
from some row on, and computes every hash after it, cannot make it lead to a head that another node holds.

When a link begins, each side also tells the other which of its heads it holds. So a node finds by itself that its
database is not the one that it had; `comanda audit verify --against` asks the other nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import evolve, field

from crdt.classes import define
from crdt.hlc import iso
from node.core.latest import remember
from node.core.links.host import Node, Peer
from node.core.ports import Unreadable
from node.wire.links.heads import heads_message, read_heads
from storage.answers import ARCHIVED
from storage.proofs import head_statement
from storage.records import HeadRow

logger = logging.getLogger("comanda.link")

HEAD_INTERVAL_MS = 3_600_000
"""How often a node signs the end of its log."""

HEARD_INTERVAL_MS = 300_000
"""No more than one head of a linked node is kept in this time, so that none is pushed out by many."""

TOLD = 5
"""Latest heads of the other side that it is told when a link begins."""

MOST_ALARMS = 10
"""Most alarms that are remembered, the latest."""


@define(eq=False, kw_only=True)
class Heads:
    """The heads of this node and of the linked ones.

    epoch: of this node's log.
    latest: node -> its latest heads that are held here, the latest last.
    end: the last durable row of this log, and its chain hash.
    """

    node: Node
    links: Mapping[str, Peer]
    epoch: Callable[[], str]
    latest: dict[str, list[HeadRow]] = field(factory=dict, init=False)
    end: tuple[int, bytes] = field(default=(0, b""), init=False)
    alarms: list[str] = field(factory=list, init=False)
    """Where a head that this node signed is not what its log has."""
    _signed_ms: int | None = field(default=None, init=False)
    _heard_ms: dict[str, int] = field(factory=dict, init=False)

    def owe(self) -> None:
        """Sign the next time the clock asks."""
        self._signed_ms = None

    def tick(self, now_ms: int) -> None:
        """Once a second: sign the end of the log, when due. now_ms: of the monotonic clock."""
        node, (seq, row_hash) = self.node, self.end
        key = node.around.signatures
        due = self._signed_ms is None or now_ms - self._signed_ms >= HEAD_INTERVAL_MS
        if not due or not key.public or not seq or not node.health.ok:
            return
        self._signed_ms = now_ms
        if any(own.seq == seq for own in self._own()):
            return
        wall_ms = node.clock().wall_ms
        head = HeadRow(node.node_id, self.epoch(), seq, row_hash, wall_ms, key.public, b"", wall_ms)
        head = evolve(head, signature=key.sign(head_statement(head)))
        self._keep(head)
        for link in self.links.values():
            if link.state == "up":
                link.reply(heads_message([head]))

    def link_up(self, link: Peer) -> None:
        """Tell the other side this log's latest head, and those of its own log that are held here."""
        told = [*self._own()[-1:], *self.latest.get(link.peer_id, ())]
        if told:
            link.reply(heads_message(told))

    def _own(self) -> list[HeadRow]:
        """Those of this log, the latest last."""
        own = [head for head in self.latest.get(self.node.node_id, ()) if head.epoch == self.epoch()]
        return sorted(own, key=lambda head: head.seq)

    def receive(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take what a linked node says of its own log, and what it holds of this one. Raises InvalidMessage."""
        node, now = self.node, self.node.clock()
        keyring = node.replica.keyring
        for head in read_heads(message, now.wall_ms):
            own, held = head.node_id == node.node_id, self._held(head)
            if not own and (held is not None or head.node_id != link.peer_id):
                continue
            if head.key not in keyring.pinned.get(head.node_id, {}):
                continue
            again = held is not None and evolve(head, received_ms=held.received_ms) == held
            if not again and not node.around.signatures.verify(head.key, head_statement(head), head.signature):
                continue
            if own:
                self._compare(head, link.peer_id)
            elif not self._too_soon(head.node_id, now.mono_ms):
                self._keep(head)

    def _too_soon(self, node_id: str, now_ms: int) -> bool:
        heard = self._heard_ms.get(node_id)
        if heard is not None and now_ms - heard < HEARD_INTERVAL_MS:
            return True
        self._heard_ms[node_id] = now_ms
        return False

    def _held(self, head: HeadRow) -> HeadRow | None:
        """What is held here and says the same."""
        return next((one for one in self.latest.get(head.node_id, ()) if one.says == head.says), None)

    def _keep(self, head: HeadRow) -> None:
        if self._held(head) is not None:
            return
        self._note(head)
        self.node.replica.log.group.commit.heads.append(head)
        self.node.disk.wake_writer()

    def _note(self, head: HeadRow) -> None:
        held = self.latest.setdefault(head.node_id, [])
        held.append(head)
        if head.node_id == self.node.node_id:  # what another node holds of this one may be old
            held.sort(key=lambda one: (one.epoch == self.epoch(), one.seq))
        del held[:-TOLD]

    def _compare(self, head: HeadRow, peer: str) -> None:
        """A linked node holds a head that this node signed. This log has that row, or is not the one that it was."""
        self._keep(head)
        self.node.disk.row_hash(head.seq, partial(self._found, head, peer))

    def _found(self, head: HeadRow, peer: str, row_hash: bytes | Unreadable | None) -> None:
        if isinstance(row_hash, Unreadable) or row_hash in (head.hash, ARCHIVED):
            return
        signed = f"{peer} holds the head of row {head.seq} that this node signed at {iso(head.at_ms)}"
        found = "no such row" if row_hash is None else "another row there"
        what = f"{signed}, and this log has {found}"
        if head.epoch != self.epoch():
            what += " (under an earlier epoch: it was set back, or written anew)"
        if remember(self.alarms, MOST_ALARMS, what):
            logger.error("the log is not the one that it was: %(found)s", {"found": what})

    def begin(self, heads: Sequence[HeadRow], end: tuple[int, bytes]) -> None:
        """What the disk holds. heads: the latest last."""
        self.latest, self.end = {}, end
        for head in heads:
            self._note(head)
        self.owe()
