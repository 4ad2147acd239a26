"""The whole node without its sockets and its disk: sessions, replica, log's end, and what a commit sends.

`step(input) -> what to persist, then what to send`: sessions put operations into the replica's group; the writer
takes it, makes it durable, and `committed` lets the answers and the rows go. Nothing leaves before that.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from node.config.sections import Permissions
from node.core.clock import apart
from node.core.delivery.positions import Positions
from node.core.entities.entity import Key
from node.core.links import anti_entropy
from node.core.links.first_sync import FirstSync
from node.core.links.link import Link
from node.core.links.neighbours import Neighbours
from node.core.locks.authority import LockService
from node.core.locks.lease import later_epoch
from node.core.log.fan_out import SharedBatch
from node.core.log.group import Group, Recipient
from node.core.log.ring import ring_row
from node.core.log.view import LogView
from node.core.operations import parked
from node.core.operations.quarantine import BAD
from node.core.operations.replica import Replica
from node.core.ports import Disk, Health, Instant, Surroundings
from node.core.sessions.session import Shared
from node.core.sessions.sessions import Bounds, Sessions
from node.core.statistics import Statistics
from node.wire.close_codes import INTERNAL_ERROR, NORMAL, SERVICE_RESTART
from node.wire.codec import CodecLimits
from storage.records import PeerRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.locks.table import LockTable
    from storage.records import Boot, ParkedRow


logger = logging.getLogger("comanda.core")

FORK_INTERVAL_MS = 60_000
"""How soon a node begins a new epoch again because of what linked nodes say its own writer wrote."""

RETRIES_A_SECOND = 200
"""Parked operations tried again each second."""


@frozen(kw_only=True)
class Limits:
    """Bounds of a core, from the configuration. max_offset_ms: a clock of the upstream that is further from this
    node's is not followed."""

    sessions: Bounds
    codec: CodecLimits
    max_offset_ms: int
    has_upstream: bool


@define(eq=False, kw_only=True)
class Core:
    """One node's decisions."""

    replica: Replica
    around: Surroundings
    log: LogView
    positions: Positions
    limits: Limits
    permissions: Mapping[str, Permissions]
    epoch: str
    statistics: Statistics = field(init=False)
    instance: str = field(init=False)
    """Drawn anew at each start: two connections of one instance are no two nodes."""
    peers: dict[str, PeerRow] = field(factory=dict, init=False)
    """What is durably held of other nodes' logs."""
    links: dict[str, Link] = field(factory=dict, init=False)
    first_sync: FirstSync | None = field(default=None, init=False)
    """The synchronisation this node began empty, once there was one since its start."""
    states_after: dict[str, dict[int, Key]] = field(factory=dict, init=False)
    """Of a first synchronisation with "node:epoch": by class, the last entity that came, since this start."""
    lock_service: LockService = field(init=False)
    neighbours: Neighbours = field(init=False)
    twins: list[str] = field(factory=list, init=False)
    """Another live node with this node's id, as far as anybody told."""
    sessions: Sessions = field(init=False)
    health: Health = field(factory=Health, init=False)
    _forked_ms: int | None = field(default=None, init=False)
    _in_flight: list[tuple[Group, int]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        now = self.clock()
        self.statistics = Statistics(now.mono_ms)
        self.instance = self.around.draws.id()
        self.replica.clock.begin(now)
        self.lock_service = LockService(self, self.limits.has_upstream)
        self.neighbours = Neighbours(self)
        shared = Shared(
            replica=self.replica,
            log=self.log,
            around=self.around,
            locks=self.lock_service,
            codec=self.limits.codec,
            health=self.health,
        )
        self.sessions = Sessions(
            shared=shared,
            permissions=self.permissions,
            bounds=self.limits.sessions,
            positions=self.positions,
            store_positions=self.store_positions,
        )

    @property
    def node_id(self) -> str:
        return self.replica.settings.node_id

    @property
    def disk(self) -> Disk:
        return self.around.disk

    def clock(self) -> Instant:
        """The time now."""
        return self.around.clock()

    # ------------------------------------------------------------------ positions

    def store_positions(self, *, every: bool = False) -> None:
        """Put places that moved into the current group; or every one, also of who has confirmed nothing yet."""
        self.sessions.note_cursors(every=every)
        for link in self.links.values():
            if link.delivery.window.dirty:
                self._follow(link)
        if self.health.ok and self.positions.store(self.replica.log.group.commit, self.clock().mono_ms):
            self.disk.wake_writer()

    def _follow(self, link: Link) -> None:
        row = link.follower()
        if row is not None:
            self.positions.note_follower(row)
            link.delivery.window.dirty = False

    # ------------------------------------------------------------------ links

    def authority(self) -> str:
        """The node at the root of the upstream chain, as far as this one can reach it."""
        upstream = self.upstream()
        hello = upstream.hello if upstream is not None else None
        return hello.authority if hello is not None else self.node_id

    def upstream(self) -> Link | None:
        """The link locks are asked for on, while it is up."""
        return next((link for link in self.links.values() if link.role == "upstream" and link.state == "up"), None)

    def downstream(self) -> list[Link]:
        return [link for link in self.links.values() if link.role == "downstream" and link.state == "up"]

    def linked(self, link: Link) -> bool:
        """A node said who it is. Of two nodes that dial each other one link stays, on both sides the same: a tree's
        before one side by side, then that of the smaller id. Whether it is this one."""
        old = self.links.get(link.peer_id)
        if old is not None and old is not link and old.state != "closed":
            if old.dialled != link.dialled and self._rank(old) < self._rank(link):
                return False
            old.close(NORMAL, "linked again")
        self.links[link.peer_id] = link
        return True

    def _rank(self, link: Link) -> tuple[bool, str]:
        return link.role == "peer", self.node_id if link.dialled else link.peer_id

    def link_up(self, link: Link) -> None:
        """Both sides know where they are in each other's log."""
        self.lock_service.link_up(link)
        self.neighbours.link_up(link)
        self.sessions.mark_changed()

    def follow_clock(self, link: Link) -> None:
        """Stamp with the upstream's time, where the two clocks are not so far apart that one must be broken."""
        if link.role != "upstream":
            return
        most = self.limits.max_offset_ms
        far = abs(link.offset_ms) > most
        if not far:
            self.replica.clock.offset_ms = link.offset_ms
        elif not link.clock_far:
            logger.error("the clock of %s is %s from this one's; not followed", link.peer_id, apart(link.offset_ms))
        link.clock_far = far

    def unlink(self, link: Link) -> None:
        """The connection of a link ended."""
        link.end()
        if self.links.get(link.peer_id) is not link:
            return  # another one took its place
        self._follow(link)
        del self.links[link.peer_id]
        self.lock_service.link_down(link)
        self.neighbours.link_down(link)
        self.sessions.mark_changed()
        self._fill_from_another(link)

    def filling(self) -> Link | None:
        """The link on which this node's first synchronisation comes, while it does."""
        sync = self.first_sync
        link = self.links.get(sync.peer) if sync is not None and sync.phase != "over" else None
        return link if link is not None and link.state != "closed" else None

    def release_links(self) -> None:
        """Every entity is here: no other link is held back any more."""
        for link in list(self.links.values()):
            link.release()

    def _fill_from_another(self, ended: Link) -> None:
        """The link on which the first synchronisation came has ended: another one takes over, if there is one."""
        sync = self.first_sync
        if sync is None or sync.phase == "over" or sync.peer != ended.peer_id:
            return
        of_phase = [
            link for link in self.links.values() if link.held or (sync.phase == "history" and link.state == "up")
        ]
        for link in of_phase[:1]:
            sync.take_over(link.peer_id, link.hello.head if link.hello is not None else 0, self.clock().mono_ms)
            link.release()

    def forked(self, reason: str) -> None:
        """A peer holds what this log never had, so it was rolled back: go on as another log, under a fresh writer."""
        draws = self.around.draws
        self.epoch, writer = draws.id(), draws.writer()
        self.replica.residents.write_as(writer)
        locks = self.replica.locks
        locks.epoch = later_epoch(locks.epoch, self.clock().wall_ms)
        meta = {"epoch": self.epoch, "writer": str(writer), "lock_epoch": str(locks.epoch)}
        self.replica.log.group.commit.meta.update(meta)
        self.disk.wake_writer()
        logger.warning("new epoch %s, fresh writer %d: %s", self.epoch, writer, reason)
        for link in list(self.links.values()):
            link.close(SERVICE_RESTART, f"new epoch: {reason}")
        for row in self.replica.quarantine:
            if row.state == BAD:  # perhaps only for what this node wrote itself, before
                self.retry_parked(row)

    def set_back(self, reason: str) -> None:
        """Operations of this node's own writer come from elsewhere, so its database was set back behind its back.
        Once a minute at most: a peer that makes it up cannot keep this node from working."""
        now_ms = self.clock().mono_ms
        if self._forked_ms is None or now_ms - self._forked_ms >= FORK_INTERVAL_MS:
            self._forked_ms = now_ms
            self.forked(reason)

    def report_twin(self, what: str) -> None:
        """Another live node has this node's id."""
        if what not in self.twins:
            logger.error("two nodes with one id: %s", what)
            self.twins = [*self.twins, what][-10:]

    # ------------------------------------------------------------------ commit, then send

    def take_group(self) -> Group | None:
        """What is to be made durable next, or None."""
        if not self.replica.log.group.pending():
            return None
        group = self.replica.log.take()
        self.replica.clock.note(group.commit.meta)
        self._in_flight.append((group, self.clock().mono_ms))
        return group

    def committed(self, group: Group) -> None:
        """`group` is durable: answer its authors, then send its rows to everybody whose cursor is behind."""
        self._in_flight = [(g, at) for g, at in self._in_flight if g is not group]
        self.replica.durable(group)
        self.statistics.commits += 1
        for row in group.commit.peers:
            self.peers[row.node_id] = row
        for lock in group.commit.locks:
            self.replica.locks.stored(lock)
        now = self.clock()
        self._answer(group.replies)
        self.sessions.stored(group.commit.cursors)
        if group.rows:
            self.statistics.operations.add(now.mono_ms, sum(r.kind == "operation" for r in group.rows))
            self._send(group)

    def _answer(self, replies: Sequence[tuple[Recipient, bytes]]) -> None:
        """Answers in order, those of one terminal as one write."""
        by_recipient: dict[int, tuple[Recipient, list[bytes]]] = {}
        for recipient, message in replies:
            by_recipient.setdefault(id(recipient), (recipient, []))[1].append(message)
        for recipient, messages in by_recipient.values():
            recipient.reply(*messages)

    def _send(self, group: Group) -> None:
        ring, log = self.log.ring, self.log
        previous = ring.head
        sessions = list(self.sessions.online.values())
        monitored = any(session.delivery.feed.monitor for session in sessions)
        rows = [ring_row(row, audit=monitored) for row in group.rows]
        ring.extend(rows)
        for row in rows:
            log.class_heads[row.priority] = row.seq
        shared = SharedBatch(rows)
        delivered = 0
        for session in sessions:
            delivery = session.delivery
            if delivery.closed:
                continue
            feed = delivery.feed
            if shared.suits(feed.terminal_id, monitor=feed.monitor) and delivery.live(previous, len(rows)):
                delivery.send_batch(shared.batch(numbered=feed.by_position), shared.entries, ring.head)
                delivered += len(shared.entries)
            else:
                delivery.pump()
        self.statistics.deliveries.add(self.clock().mono_ms, delivered)
        for link in list(self.links.values()):
            link.delivery.pump()

    # ------------------------------------------------------------------ when the disk fails

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why this node is not ready, in words and as the disk put it; None while all is well."""
        if not self.health.ok:
            return "the node cannot store anything; terminals are told to send again", self.health.failure or ""
        if self.disk.trouble is not None:
            return "the node works, but part of its database cannot be read or written", self.disk.trouble
        damaged = self.replica.residents.damaged
        if damaged:
            more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
            return "the node works, but part of its database is damaged", next(iter(damaged.values())) + more
        return None

    def failed(self, reason: str) -> None:
        """A commit failed: every uncommitted operation is refused, and nothing is accepted until `recovered`."""
        logger.error("nothing can be stored, and every operation is refused until a write works: %s", reason)
        self.health.ok, self.health.failure = False, reason
        self.statistics.commit_failures += 1
        groups = [group for group, _ in self._in_flight]
        current = self.replica.log.group
        if current.pending():
            groups.append(current)
        self._in_flight.clear()
        for group in groups:
            self._answer([(recipient, make()) for recipient, make in group.refusals])
            self.positions.not_stored(group.commit)
        self.states_after.clear()
        self.sessions.let_all_begin()
        for link in list(self.links.values()):
            link.close(INTERNAL_ERROR, "the node cannot store anything at the moment")
        self.replica.undo(groups, self.replica.residents.writer)

    def still_failing(self, reason: str) -> None:
        """Writing was tried again, and does not work yet."""
        self.health.failure = reason

    def recovered(self, boot: Boot, locks: LockTable, writer: int) -> None:
        """Writing works again: go on from what the disk holds, under a fresh writer."""
        self.replica.go_on(boot, locks, writer)
        self.peers = {row.node_id: row for row in boot.peers}
        self.health.ok, self.health.failure = True, None

    # ------------------------------------------------------------------ time

    def probe_owed(self) -> None:
        """Every PING_INTERVAL_MS: ask the terminals that do not confirm whether their rows arrived."""
        for session in self.sessions.online.values():
            session.delivery.probe_owed()
        for link in self.links.values():
            link.delivery.feed.tell_position(link.delivery)

    def tick(self) -> None:
        """Once a second: store moved cursors, ask silent sessions whether rows arrived."""
        now = self.clock()
        self.replica.clock.tick(now)
        for session in list(self.sessions.online.values()):
            session.delivery.read_again()
            session.delivery.probe(force=True)
        for link in list(self.links.values()):
            link.delivery.read_again()
            link.tick(now.mono_ms)
        self._retry_parked()
        if self.positions.due(now.mono_ms):
            self.store_positions()

    def _retry_parked(self) -> None:
        """What waits may go on where its entities are here, also those that were not when something of them came."""
        replica = self.replica
        if not self.health.ok:
            return
        for row in replica.quarantine.waiting(RETRIES_A_SECOND):
            self.retry_parked(row)

    def retry_quarantine(self) -> int:
        """Try everything that is parked again, and have the linked nodes send what is bad once more: it may have been
        damaged on the way, or its entity type be known by now. How many operations that are."""
        rows = list(self.replica.quarantine)
        for row in rows:
            self.retry_parked(row)
        bad = [row.link_key for row in rows if row.state == BAD]
        for link in self.links.values():
            if bad and link.state == "up":
                anti_entropy.ask(link, bad)
        return len(rows)

    def retry_parked(self, row: ParkedRow) -> None:
        """Try a parked operation again, once its entities are here."""
        parked.retry_when_here(self.replica, row, self.disk, self.health, self.clock)
