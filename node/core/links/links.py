"""All the links of one node: which of two is kept, which one fills it, and when it must begin a new epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from node.core.clock import apart
from node.core.latest import put_latest, remember
from node.core.links import anti_entropy, history
from node.core.links.budget import MINUTE_MS, Budget
from node.core.links.first_sync import FirstSync
from node.core.links.hashes import Hashes
from node.core.links.heads import Heads
from node.core.links.held_at import HeldAt
from node.core.links.host import Node, Peer
from node.core.links.link import Link
from node.core.links.neighbours import Neighbours
from node.core.links.outages import Outages
from node.core.links.pace import Pace
from node.core.links.travellers import OwnTerminals, Travellers
from node.core.locks.lease import later_epoch
from node.core.operations.quarantine import BAD
from node.wire.close_codes import INTERNAL_ERROR, NORMAL, SERVICE_RESTART, TRY_AGAIN_LATER
from node.wire.frames import Latest
from storage.records import Key, PeerRow

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from node.wire.links.handshake import Hello

logger = logging.getLogger("comanda.link")

FORK_INTERVAL_MS = 60_000
"""The shortest time between two new epochs begun because of what linked nodes hold of this node's writer."""

MOST_BUDGETS = 1_000
"""Most linked nodes whose budgets, and first synchronisations, are remembered."""

NEWCOMERS_OF_NODE = 4
"""Most connections under one node's id that have not shown who they are."""

PROOF_MS = 10_000
"""How long a node that dialled may take to show who it is."""

MOST_TWINS = 10
"""Most reports of another node with this node's id that are remembered."""


@define(eq=False, kw_only=True)
class Links:
    """The linked nodes.

    epoch: names this node's log. A log that was set back goes on under another epoch.
    peers: what is durably held of other nodes' logs, by node id.
    window_rows: most rows under way on one link.
    backlog_bytes: what may wait on one link to be handled.
    max_offset_ms: a clock of the upstream that is further from this node's is not followed.
    minute: what one linked node may cost within a minute (budget.py). pace: what is done by the clock (pace.py).
    fresh: draws a new epoch and a fresh writer.
    own_terminals: the terminals connected to this node, as `terminal_status_update` shows them.
    terminals: those that were ever here, as the travellers need them.
    """

    node: Node
    epoch: str
    peers: dict[str, PeerRow]
    window_rows: int
    backlog_bytes: int
    max_offset_ms: int
    minute: dict[str, int]
    pace: Pace
    fresh: Callable[[], tuple[str, int]]
    own_terminals: Callable[[], Mapping[str, object]]
    terminals: OwnTerminals
    by_node: dict[str, Link] = field(factory=dict, init=False)
    """Id of the other node -> its link."""
    newcomers: dict[Link, int] = field(factory=dict, init=False)
    """Links of nodes that dialled and have not shown who they are -> since when that is waited for."""
    first_sync: FirstSync | None = field(default=None, init=False)
    """This node's first synchronisation, if there was one since its start."""
    states_after: dict[str, dict[int, Key]] = field(factory=dict, init=False)
    """Node:epoch -> class -> the last entity that came in a first synchronisation, since the start."""
    left_out: dict[str, tuple[int, ...]] = field(factory=dict, init=False)
    """Id of the other node -> how far its log was held when something came that could not be taken. A comparison that
    finds no difference ends it; so does a restart of this node."""
    _held_at: dict[str, tuple[str, HeldAt]] = field(factory=dict, init=False)
    """Id of the other node -> the epoch of its log, and how far that was held at rows of this one."""
    twins: list[str] = field(factory=list, init=False)
    """Reports of another live node with this node's id."""
    budgets: dict[str, Budget] = field(factory=dict, init=False)
    """Id of the other node -> what it has cost in this minute."""
    outages: Outages = field(factory=Outages, init=False)
    frames: Latest = field(factory=Latest, init=False)
    hashes: Hashes = field(init=False)
    neighbours: Neighbours = field(init=False)
    travellers: Travellers = field(init=False)
    heads: Heads = field(init=False)
    _elsewhere: set[str] = field(factory=set, init=False)
    """Terminals that are connected to other nodes, as far as heard."""
    _forked_ms: int | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        node = self.node
        self.hashes = Hashes(node.replica.residents.engine)
        self.neighbours = Neighbours(
            node_id=node.node_id,
            clock=node.clock,
            links=self.by_node,
            own_terminals=self.own_terminals,
            changed=node.mark_changed,
        )
        self.travellers = Travellers(node=node, links=self.by_node, own=self.terminals)
        self.heads = Heads(node=node, links=self.by_node, epoch=lambda: self.epoch)

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

    @property
    def connected(self) -> Collection[str]:
        return self.by_node

    # ------------------------------------------------------------------ links that come and go

    def came_up_to(self, via: str, after: Mapping[int, Key]) -> None:
        """Entities of a first synchronisation came, by class up to these."""
        put_latest(self.states_after, via, dict(after), MOST_BUDGETS)

    def came(self, link: Link) -> None:
        """A node dialled. Whoever it says it is, it takes nobody's place before it has shown that.

        Of many under one name the oldest goes: whoever has the token keeps the node itself out for a moment only.
        """
        same = [other for other in self.newcomers if other.peer_id == link.peer_id]
        for other in same[: max(len(same) + 1 - NEWCOMERS_OF_NODE, 0)]:
            other.close(TRY_AGAIN_LATER, "others came under its name")
            del self.newcomers[other]
        self.newcomers[link] = self.node.clock().mono_ms

    def linked(self, link: Link) -> bool:
        """The other node of a link has shown who it is. Returns whether `link` is kept.

        When two nodes dial each other, both sides must keep the same link: an upstream link before a peer link, then
        the one dialled by the smaller id.
        """
        self.newcomers.pop(link, None)
        old = self.by_node.get(link.peer_id)
        if old is not None and old is not link and old.state != "closed":
            if old.dialled != link.dialled and self._rank(old) < self._rank(link):
                return False
            old.close(NORMAL, "linked again")
        self.by_node[link.peer_id] = link
        return True

    def _rank(self, link: Link) -> tuple[bool, str]:
        return link.role == "peer", self.node.node_id if link.dialled else link.peer_id

    @property
    def signs(self) -> bool:
        """Whether what is accepted may leave at once, and is signed by then."""
        return bool(self.by_node)

    def link_up(self, link: Link) -> None:
        """Both sides know where they are in each other's log."""
        self.node.lock_requests.link_up(link)
        self.neighbours.link_up(link)
        self.travellers.link_up(link)
        self.heads.link_up(link)
        self.node.mark_changed()

    def held_at_of(self, hello: Hello) -> HeldAt:
        """As in Host."""
        epoch, held_at = self._held_at.get(hello.node_id, ("", HeldAt()))
        if epoch != hello.epoch:
            held_at = HeldAt()
            self._held_at[hello.node_id] = hello.epoch, held_at
        return held_at

    def unlink(self, link: Link) -> None:
        """The connection of a link ended."""
        link.end()
        self.newcomers.pop(link, None)
        if self.by_node.get(link.peer_id) is not link:
            return  # another one took its place
        del self.by_node[link.peer_id]
        guard = self.node.replica.faults.guard
        for what in (
            self._note_follower,
            self.node.lock_requests.link_down,
            self.neighbours.link_down,
            self.travellers.link_down,
            self._fill_from_another,
        ):
            guard(f"the end of a link to {link.peer_id!r}", partial(what, link))
        self.node.mark_changed()

    def close_all(self, code: int, reason: str) -> None:
        """Drop every connection; those who dialled dial again."""
        for link in (*self.by_node.values(), *self.newcomers):
            link.guarded(link.close, code, reason)

    def commit_failed(self) -> None:
        """A commit failed.

        What came since the last one is forgotten, so every link begins again from what is stored.
        """
        self.states_after.clear()
        self._held_at.clear()
        if self.first_sync is not None:
            self.first_sync.after = 0
        self.close_all(INTERNAL_ERROR, "the node cannot store anything at the moment")

    # ------------------------------------------------------------------ what is stored of them

    def stored(self, rows: Iterable[PeerRow]) -> None:
        """These positions in other nodes' logs are durable."""
        self.peers.update((row.node_id, row) for row in rows)

    def start_again(self, rows: Sequence[PeerRow]) -> None:
        """Writing works again: only what the disk holds counts."""
        self.peers = {row.node_id: row for row in rows}

    def note_followers(self) -> None:
        """Note how far the other nodes have confirmed this log, where that moved."""
        for link in self.by_node.values():
            if link.delivery.window.dirty:
                self._note_follower(link)

    def _note_follower(self, link: Link) -> None:
        row = link.follower()
        if row is not None:
            self.node.cursors.note_follower(row)
            link.delivery.window.dirty = False

    # ------------------------------------------------------------------ first synchronisation

    def go_on_with_history(self, stored: str) -> None:
        """This node starts, perhaps in the middle of its first synchronisation (`FirstSync.stored`)."""
        self.first_sync = FirstSync.of_stored(stored, self.node.clock().mono_ms)

    def met(self, hello: Hello, *, empty: bool) -> None:
        """A node said who it is. If this node holds nothing at all, that node fills it."""
        now_ms = self.node.clock().mono_ms
        sync = self.first_sync
        if sync is None:
            if empty and hello.head:
                self.first_sync = FirstSync(hello.node_id, hello.head, now_ms, now_ms)
            return
        nobody = self.filling() is None and (sync.phase == "states" or sync.left)
        if nobody or (sync.phase == "states" and sync.stands_still(now_ms)):
            sync.take_over(hello.node_id, hello.head, now_ms)
        if sync.runs_with(hello.node_id) and sync.via and sync.via != f"{hello.node_id}:{hello.epoch}":
            sync.upto = None  # it goes on as another log

    def filling(self) -> Link | None:
        """The link on which this node's first synchronisation comes, while it does."""
        sync = self.first_sync
        link = self.by_node.get(sync.peer) if sync is not None and sync.phase != "over" else None
        return link if link is not None and link.state != "closed" else None

    def holds_back(self, link: Peer) -> bool:
        """Whether another link is filling this node, so that this one waits in its handshake."""
        hello, filling, sync = link.hello, self.filling(), self.first_sync
        if sync is None or sync.phase != "states" or sync.stands_still(self.node.clock().mono_ms):
            return False
        return filling not in (None, link) and hello is not None and hello.head > 0

    def release(self) -> None:
        """Every entity is here, or nobody sends any: no other link is held back any more."""
        for link in (*self.by_node.values(), *self.newcomers):
            link.release()

    def _fill_from_another(self, ended: Link) -> None:
        """The link on which the first synchronisation came has ended: another one takes over, if there is one."""
        sync = self.first_sync
        if sync is None or sync.phase == "over" or sync.peer != ended.peer_id:
            return
        filled = sync.phase == "history"
        able = [link for link in self.by_node.values() if link.held or (filled and link.state == "up")]
        for link in able[:1]:
            sync.take_over(link.peer_id, link.hello.head if link.hello is not None else 0, self.node.clock().mono_ms)
            if link.state == "up":
                history.begin(link)
            link.release()
        if not able:
            sync.left = True
            self.release()  # of the newcomers the first one that shows who it is

    # ------------------------------------------------------------------ another log

    def budget(self, peer: str) -> Budget:
        budget = self.budgets.get(peer)
        if budget is None:
            while len(self.budgets) >= MOST_BUDGETS:
                del self.budgets[next(iter(self.budgets))]
            budget = self.budgets[peer] = Budget(self.minute, self.node.clock().mono_ms)
        return budget

    def levels(self) -> list[tuple[str, int, int]]:
        """Of each limit of a minute: its name, how far the node that is furthest has used it, and the limit."""
        now_ms = self.node.clock().mono_ms
        spent = [budget.spent for budget in self.budgets.values() if now_ms - budget.began_ms < MINUTE_MS]
        return [
            (f"link_{what.replace(' ', '_')}", max((one.get(what, 0) for one in spent), default=0), most)
            for what, most in self.minute.items()
        ]

    def forked(self, link: Peer, reason: str) -> None:
        """A peer holds what this log never had, so this log was set back: begin a new epoch under a fresh writer.

        A peer that says so again and again is not believed: it makes it up.
        """
        node = self.node
        if not self.budget(link.peer_id).may_begin_epoch(node.clock().mono_ms):
            link.close(TRY_AGAIN_LATER, f"{reason}; a new epoch began a short while ago")
            return
        self.epoch, writer = self.fresh()
        node.replica.residents.write_as(writer)
        locks = node.replica.locks
        locks.epoch = later_epoch(locks.epoch, node.clock().wall_ms)
        meta = {"epoch": self.epoch, "writer": str(writer), "lock_epoch": str(locks.epoch)}
        node.replica.origins.recover(meta)
        node.replica.log.group.commit.meta.update(meta)
        node.disk.wake_writer()
        logger.warning(
            "new epoch %(epoch)s, fresh writer %(writer)d: %(reason)s",
            {"epoch": self.epoch, "writer": writer, "reason": reason},
        )
        self.close_all(SERVICE_RESTART, f"new epoch: {reason}")
        for row in node.replica.quarantine:
            if row.state == BAD:  # perhaps bad only because of what this node wrote itself before
                node.retry_parked(row)

    def set_back(self, link: Peer, reason: str) -> None:
        """A peer holds operations of this node's writer that are missing here, so the database was set back.

        Once a minute at most: peers that make it up cannot keep this node from working.
        """
        now_ms = self.node.clock().mono_ms
        if self._forked_ms is None or now_ms - self._forked_ms >= FORK_INTERVAL_MS:
            self._forked_ms = now_ms
            self.forked(link, f"{link.peer_id}: {reason}")

    def report_twin(self, what: str) -> None:
        """Remember a report of another live node with this node's id."""
        if remember(self.twins, MOST_TWINS, what):
            logger.error("two nodes with one id: %(found)s", {"found": what})

    # ------------------------------------------------------------------ what links tell each other

    def follow_clock(self, link: Link) -> None:
        """Stamp with the upstream's time, unless the clocks are so far apart that one of them must be broken."""
        if link.role != "upstream":
            return
        clock = link.clock
        far = abs(clock.offset_ms) > self.max_offset_ms
        if not far:
            self.node.replica.clock.offset_ms = clock.offset_ms
        elif not clock.far:
            logger.error(
                "the clock of %(peer)s is %(offset)s from this one's; not followed",
                {"peer": link.peer_id, "offset": apart(clock.offset_ms)},
            )
        clock.far = far

    def owe_comparisons(self, but: Peer) -> None:
        """Something came without a row in the log. The other links learn of it by comparing."""
        for link in self.by_node.values():
            link.compare_owed |= link is not but

    def heard_of_terminals(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take a link's message of who sits at which node. Raises InvalidMessage."""
        self.neighbours.receive(link, message)
        elsewhere = {name for said in self.neighbours.nodes.values() if said.alive for name in said.terminals}
        new, self._elsewhere = elsewhere - self._elsewhere, elsewhere
        self.travellers.moved(sorted(new))

    def heard_what_terminals_knew(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take a link's message of what terminals knew. Raises InvalidMessage."""
        self.travellers.receive(link, message)

    def asked_of_terminal(self, link: Peer, message: Mapping[str, Any]) -> None:
        """A link asks what is known of a terminal that came to its node. Raises InvalidMessage."""
        self.travellers.asked(link, message)

    def heard_heads(self, link: Peer, message: Mapping[str, Any]) -> None:
        """Take a link's message of signed heads. Raises InvalidMessage."""
        self.heads.receive(link, message)

    def tell_origins(self) -> None:
        """Say whose operations this node passes on, and their keys: one of them has changed."""
        for link in self.by_node.values():
            if link.state == "up":
                link.say_origins()

    def ask_for(self, link_keys: Sequence[int]) -> None:
        """Ask every linked node for these operations again, as far as it holds them."""
        for link in self.by_node.values():
            if link_keys and link.state == "up":
                anti_entropy.ask_again(link, link_keys)

    # ------------------------------------------------------------------ outbound, and time

    def pump(self) -> None:
        """Rows were committed: send them."""
        for link in list(self.by_node.values()):
            link.guarded(link.pump)

    def tell_positions(self) -> None:
        """Every PING_INTERVAL_MS: tell the other nodes the positions of rows that were only passed over."""
        for link in list(self.by_node.values()):
            link.guarded(link.delivery.feed.tell_position, link.delivery)

    def tick(self, now_ms: int) -> None:
        """Once a second."""
        self.node.replica.faults.guard("the signed heads", partial(self.heads.tick, now_ms))
        for link, since_ms in list(self.newcomers.items()):
            if link.held and self.holds_back(link):
                self.newcomers[link] = now_ms
            elif link.held:
                link.guarded(link.release)
            elif now_ms - since_ms >= PROOF_MS:
                link.close(TRY_AGAIN_LATER, "it did not show who it is")
        for link in list(self.by_node.values()):
            link.guarded(link.delivery.read_again)
            link.guarded(link.tick, now_ms)
