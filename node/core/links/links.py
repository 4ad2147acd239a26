"""All the links of one node: which of two stays, which one fills it, and when it has to go on as another log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.core.clock import apart
from node.core.links import anti_entropy
from node.core.links.first_sync import FirstSync
from node.core.links.host import Node, Peer
from node.core.links.link import Link
from node.core.links.neighbours import Neighbours
from node.core.locks.lease import later_epoch
from node.core.operations.quarantine import BAD
from node.wire.close_codes import INTERNAL_ERROR, NORMAL, SERVICE_RESTART
from storage.records import Key, PeerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.wire.links.handshake import Hello

logger = logging.getLogger("comanda.link")

FORK_INTERVAL_MS = 60_000
"""How soon a node begins a new epoch again because of what linked nodes say its own writer wrote."""

MOST_TWINS = 10
"""Reports of another node with this node's id that are remembered."""


@define(eq=False, kw_only=True)
class Links:
    """epoch: names this node's log; a log that was set back goes on under another one.
    peers: what is durably held of other nodes' logs, by node id.
    window_rows: most rows under way on one link.
    max_offset_ms: a clock of the upstream that is further from this node's is not followed.
    fresh: draws a new epoch and a fresh writer.
    own_terminals: the terminals connected to this node, as `terminal_status_update` shows them.
    """

    node: Node
    epoch: str
    peers: dict[str, PeerRow]
    window_rows: int
    max_offset_ms: int
    fresh: Callable[[], tuple[str, int]]
    own_terminals: Callable[[], Mapping[str, object]]
    by_node: dict[str, Link] = field(factory=dict, init=False)
    """By the id of the other node."""
    first_sync: FirstSync | None = field(default=None, init=False)
    """The synchronisation this node began empty, once there was one since its start."""
    states_after: dict[str, dict[int, Key]] = field(factory=dict, init=False)
    """By "node:epoch" and class: the last entity that came in a first synchronisation, since the start."""
    twins: list[str] = field(factory=list, init=False)
    """Another live node with this node's id, as far as anybody told."""
    neighbours: Neighbours = field(init=False)
    _forked_ms: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        node = self.node
        self.neighbours = Neighbours(
            node_id=node.node_id,
            clock=node.clock,
            links=self.by_node,
            own_terminals=self.own_terminals,
            changed=node.mark_changed,
        )

    # ------------------------------------------------------------------ the tree

    def authority(self) -> str:
        """The node at the root of the upstream chain, as far as this one can reach it."""
        upstream = self.upstream()
        hello = upstream.hello if upstream is not None else None
        return hello.authority if hello is not None else self.node.node_id

    def upstream(self) -> Link | None:
        """The link locks are asked for on, while it is up."""
        return next((link for link in self.by_node.values() if link.role == "upstream" and link.state == "up"), None)

    def downstream(self) -> list[Link]:
        """The links to the nodes below, while they are up."""
        return [link for link in self.by_node.values() if link.role == "downstream" and link.state == "up"]

    # ------------------------------------------------------------------ links that come and go

    def linked(self, link: Link) -> bool:
        """The other node of a link has said who it is. Returns whether `link` is kept.

        When two nodes dial each other, both sides must keep the same link: an upstream link before a peer link, then
        the one dialled by the smaller id.
        """
        old = self.by_node.get(link.peer_id)
        if old is not None and old is not link and old.state != "closed":
            if old.dialled != link.dialled and self._rank(old) < self._rank(link):
                return False
            old.close(NORMAL, "linked again")
        self.by_node[link.peer_id] = link
        return True

    def _rank(self, link: Link) -> tuple[bool, str]:
        return link.role == "peer", self.node.node_id if link.dialled else link.peer_id

    def link_up(self, link: Link) -> None:
        """Both sides know where they are in each other's log."""
        self.node.lock_requests.link_up(link)
        self.neighbours.link_up(link)
        self.node.mark_changed()

    def unlink(self, link: Link) -> None:
        """The connection of a link ended."""
        link.end()
        if self.by_node.get(link.peer_id) is not link:
            return  # another one took its place
        self._note_follower(link)
        del self.by_node[link.peer_id]
        self.node.lock_requests.link_down(link)
        self.neighbours.link_down(link)
        self.node.mark_changed()
        self._fill_from_another(link)

    def close_all(self, code: int, reason: str) -> None:
        """Drop every connection; those who dialled dial again."""
        for link in list(self.by_node.values()):
            link.close(code, reason)

    def commit_failed(self) -> None:
        """What came since the last commit is forgotten, so every link begins again from what is stored."""
        self.states_after.clear()
        self.close_all(INTERNAL_ERROR, "the node cannot store anything at the moment")

    # ------------------------------------------------------------------ what is stored of them

    def stored(self, rows: Iterable[PeerRow]) -> None:
        """What is held of other nodes' logs is durable up to here."""
        self.peers.update((row.node_id, row) for row in rows)

    def start_again(self, rows: Sequence[PeerRow]) -> None:
        """Writing works again: only what the disk holds counts."""
        self.peers = {row.node_id: row for row in rows}

    def note_followers(self) -> None:
        """Have stored how far the other nodes have confirmed this log, where that moved."""
        for link in self.by_node.values():
            if link.delivery.window.dirty:
                self._note_follower(link)

    def _note_follower(self, link: Link) -> None:
        row = link.follower()
        if row is not None:
            self.node.cursors.note_follower(row)
            link.delivery.window.dirty = False

    # ------------------------------------------------------------------ first synchronisation

    def met(self, hello: Hello, *, empty: bool) -> None:
        """A node said who it is. empty: whether this one holds nothing at all: it is then filled by that node."""
        now_ms = self.node.clock().mono_ms
        if self.first_sync is None:
            if empty and hello.head:
                self.first_sync = FirstSync(hello.node_id, hello.head, now_ms, now_ms)
        elif self.first_sync.phase == "states" and self.filling() is None:
            self.first_sync.take_over(hello.node_id, hello.head, now_ms)

    def filling(self) -> Link | None:
        """The link on which this node's first synchronisation comes, while it does."""
        sync = self.first_sync
        link = self.by_node.get(sync.peer) if sync is not None and sync.phase != "over" else None
        return link if link is not None and link.state != "closed" else None

    def holds_back(self, link: Peer) -> bool:
        """Whether another link is filling this node, so that this one waits in its handshake."""
        hello, filling = link.hello, self.filling()
        filled = self.first_sync is not None and self.first_sync.phase == "states"
        return filled and filling not in (None, link) and hello is not None and hello.head > 0

    def release(self) -> None:
        """Every entity is here: no other link is held back any more."""
        for link in list(self.by_node.values()):
            link.release()

    def _fill_from_another(self, ended: Link) -> None:
        """The link on which the first synchronisation came has ended: another one takes over, if there is one."""
        sync = self.first_sync
        if sync is None or sync.phase == "over" or sync.peer != ended.peer_id:
            return
        history = sync.phase == "history"
        able = [link for link in self.by_node.values() if link.held or (history and link.state == "up")]
        for link in able[:1]:
            sync.take_over(link.peer_id, link.hello.head if link.hello is not None else 0, self.node.clock().mono_ms)
            link.release()

    # ------------------------------------------------------------------ another log

    def forked(self, reason: str) -> None:
        """A peer holds what this log never had, so it was rolled back: go on as another log, under a fresh writer."""
        node = self.node
        self.epoch, writer = self.fresh()
        node.replica.residents.write_as(writer)
        locks = node.replica.locks
        locks.epoch = later_epoch(locks.epoch, node.clock().wall_ms)
        meta = {"epoch": self.epoch, "writer": str(writer), "lock_epoch": str(locks.epoch)}
        node.replica.log.group.commit.meta.update(meta)
        node.disk.wake_writer()
        logger.warning("new epoch %s, fresh writer %d: %s", self.epoch, writer, reason)
        self.close_all(SERVICE_RESTART, f"new epoch: {reason}")
        for row in node.replica.quarantine:
            if row.state == BAD:  # perhaps only for what this node wrote itself, before
                node.retry_parked(row)

    def set_back(self, reason: str) -> None:
        """Operations of this node's own writer come from elsewhere, so its database was set back behind its back.

        Once a minute at most: a peer that makes it up cannot keep this node from working.
        """
        now_ms = self.node.clock().mono_ms
        if self._forked_ms is None or now_ms - self._forked_ms >= FORK_INTERVAL_MS:
            self._forked_ms = now_ms
            self.forked(reason)

    def report_twin(self, what: str) -> None:
        """Another live node has this node's id."""
        if what not in self.twins:
            logger.error("two nodes with one id: %s", what)
            self.twins = [*self.twins, what][-MOST_TWINS:]

    # ------------------------------------------------------------------ what links tell each other

    def follow_clock(self, link: Link) -> None:
        """Stamp with the upstream's time, where the two clocks are not so far apart that one must be broken."""
        if link.role != "upstream":
            return
        clock = link.clock
        far = abs(clock.offset_ms) > self.max_offset_ms
        if not far:
            self.node.replica.clock.offset_ms = clock.offset_ms
        elif not clock.far:
            logger.error("the clock of %s is %s from this one's; not followed", link.peer_id, apart(clock.offset_ms))
        clock.far = far

    def owe_comparisons(self, but: Peer) -> None:
        """Something came without a row in the log: the other links find it by comparing."""
        for link in self.by_node.values():
            link.compare_owed |= link is not but

    def heard_of_terminals(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Who sits at which node. Raises InvalidMessage."""
        self.neighbours.receive(link, message)

    def ask_for(self, link_keys: Sequence[int]) -> None:
        """Have every linked node send these operations once more, as far as it holds them."""
        for link in self.by_node.values():
            if link_keys and link.state == "up":
                anti_entropy.ask(link, link_keys)

    # ------------------------------------------------------------------ outbound, and time

    def pump(self) -> None:
        """Rows were committed: send them."""
        for link in list(self.by_node.values()):
            link.delivery.pump()

    def tell_positions(self) -> None:
        """Every PING_INTERVAL_MS."""
        for link in self.by_node.values():
            link.delivery.feed.tell_position(link.delivery)

    def tick(self, now_ms: int) -> None:
        """Once a second."""
        for link in list(self.by_node.values()):
            link.delivery.read_again()
            link.tick(now_ms)
