"""The whole node without its sockets and its disk: commit, then send; and what happens when the disk fails.

Sessions and links put what they decide into the log's current group. The disk takes the group and makes it durable.
Then `committed` sends the answers and the rows. Nothing leaves before that. node/core/README.md tells the whole of
it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from node.config.sections import Permissions
from node.core.delivery.cursors import Cursors
from node.core.faults import Torn
from node.core.links.links import Links
from node.core.locks.requests import LockRequests
from node.core.log.fan_out import SharedBatch
from node.core.log.group import Group, Recipient, SealError
from node.core.log.ring import ring_row
from node.core.log.view import LogView
from node.core.operations import parked
from node.core.operations.quarantine import BAD
from node.core.operations.replica import Replica
from node.core.ports import Disk, Health, Instant, Surroundings
from node.core.sessions.session import Shared
from node.core.sessions.sessions import Bounds, Sessions
from node.core.statistics import Statistics
from node.wire.codec import CodecLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.locks.table import LockTable
    from storage.records import Boot, ParkedRow


logger = logging.getLogger("comanda.core")

RETRIES_A_SECOND = 200
"""Parked operations tried again each second."""


@frozen(kw_only=True)
class Limits:
    """Bounds of a core, from the configuration.

    max_offset_ms: an upstream's clock that is further from this node's is not followed.
    """

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
    cursors: Cursors
    limits: Limits
    permissions: Mapping[str, Permissions]
    statistics: Statistics = field(init=False)
    instance: str = field(init=False)
    """Drawn anew at each start. Two connections with one instance come from one process, not from two nodes."""
    links: Links = field(init=False)
    """Set by start.py after the core is made, since the links need the core."""
    lock_requests: LockRequests = field(init=False)
    sessions: Sessions = field(init=False)
    health: Health = field(factory=Health, init=False)
    _in_flight: list[tuple[Group, int]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        now = self.clock()
        self.statistics = Statistics(now.mono_ms)
        self.instance = self.around.draws.id()
        self.replica.clock.begin(now)
        self.lock_requests = LockRequests(
            log=self.replica.log,
            table_now=lambda: self.replica.locks,
            around=self.around,
            has_upstream=self.limits.has_upstream,
            upstream=lambda: self.links.upstream(),
            downstream=lambda: self.links.downstream(),
        )
        shared = Shared(
            replica=self.replica,
            log=self.log,
            around=self.around,
            locks=self.lock_requests,
            codec=self.limits.codec,
            health=self.health,
        )
        self.sessions = Sessions(
            shared=shared,
            permissions=self.permissions,
            bounds=self.limits.sessions,
            cursors=self.cursors,
            store_cursors=self.store_cursors,
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

    def store_cursors(self, *, every: bool = False) -> None:
        """Put the positions that moved into the current group.

        every: all positions, also of terminals that have confirmed nothing.
        """
        self.sessions.note_cursors(every=every)
        self.links.note_followers()
        if self.health.ok and self.cursors.store(self.replica.log.group.commit, self.clock().mono_ms):
            self.disk.wake_writer()

    def mark_changed(self) -> None:
        """Monitors are to be told the status soon."""
        self.sessions.mark_changed()

    # ------------------------------------------------------------------ commit, then send

    def take_group(self) -> Group | None:
        """What is to be made durable next, or None. Raises Torn where nothing of it may be: see `failed`."""
        if self.replica.faults.torn is not None:
            raise Torn(self.replica.faults.torn)
        if not self.replica.log.group.pending():
            return None
        try:
            group = self.replica.log.take()
        except SealError as error:
            raise Torn(self._not_sealed(error)) from error
        self.replica.clock.note(group.commit.meta)
        self._in_flight.append((group, self.clock().mono_ms))
        return group

    def _not_sealed(self, error: SealError) -> str:
        """An entity cannot be encoded: what wrote to it since the last commit is not tried again."""
        faults, said = self.replica.faults, f"{error.key[0]} {error.key[1]}"
        for row in self.replica.log.group.rows:
            if row.entity_type == error.key[0] and error.key[1] in (row.entity_id, *row.targets):
                cause = row.link_key if row.via else (row.terminal_id, row.operation_id)
                faults.report(f"storing {said}", row.operation, error, cause)
        return f"{said} cannot be stored"

    def committed(self, group: Group) -> None:
        """`group` is durable: answer its authors, then send its rows to everybody whose cursor is behind."""
        self._in_flight = [(g, at) for g, at in self._in_flight if g is not group]
        self.replica.durable(group)
        self.statistics.commits += 1
        self.links.stored(group.commit.peers)
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
            try:
                if shared.suits(delivery.feed.terminal_id, monitor=delivery.feed.monitor) and delivery.live(
                    previous, len(rows)
                ):
                    batch = shared.batch(numbered=delivery.feed.by_position)
                    delivery.send_batch(batch, shared.entries, ring.head)
                    delivered += len(shared.entries)
                else:
                    delivery.pump()
            except Exception as error:
                delivery.failed(error)
        self.statistics.deliveries.add(self.clock().mono_ms, delivered)
        self.links.pump()

    # ------------------------------------------------------------------ when the disk fails

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why this node is not ready: in words, and the disk's reason. None while all is well."""
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
            self.cursors.not_stored(group.commit)
        self.sessions.let_all_begin()
        self.links.commit_failed()
        self.replica.undo(groups, self.replica.residents.writer)

    def still_failing(self, reason: str) -> None:
        """Writing was tried again, and does not work yet."""
        self.health.failure = reason

    def recovered(self, boot: Boot, locks: LockTable, writer: int) -> None:
        """Writing works again: go on from what the disk holds, under a fresh writer."""
        self.replica.go_on(boot, locks, writer)
        self.links.start_again(boot.peers)
        self.health.ok, self.health.failure = True, None

    # ------------------------------------------------------------------ time

    def probe_owed(self) -> None:
        """Every PING_INTERVAL_MS: ask the terminals that do not confirm whether their rows arrived."""
        for session in self.sessions.online.values():
            session.delivery.probe_owed()
        self.links.tell_positions()

    def tick(self) -> None:
        """Once a second: store positions that moved, ask silent terminals whether rows arrived, retry what waits."""
        now = self.clock()
        self.replica.clock.tick(now)
        for session in list(self.sessions.online.values()):
            try:
                session.delivery.read_again()
                session.delivery.probe(force=True)
            except Exception as error:
                session.delivery.failed(error)
        self.links.tick(now.mono_ms)
        self._retry_parked()
        if self.cursors.due(now.mono_ms):
            self.store_cursors()

    def _retry_parked(self) -> None:
        """Retry some of the operations that wait. Their entities may have come by now, or can be read by now."""
        replica = self.replica
        if not self.health.ok:
            return
        for row in replica.quarantine.waiting(RETRIES_A_SECOND):
            self.retry_parked(row)

    def retry_quarantine(self) -> int:
        """Retry every parked operation, and ask the linked nodes for the bad ones again. Returns how many there are.

        A bad one may have been damaged on the way, or its entity type may be known by now.
        """
        rows = list(self.replica.quarantine)
        for row in rows:
            self.retry_parked(row)
        self.links.ask_for([row.link_key for row in rows if row.state == BAD])
        return len(rows)

    def retry_parked(self, row: ParkedRow) -> None:
        """Try a parked operation again, once its entities are here."""
        parked.retry_when_here(self.replica, row, self.disk, self.health, self.clock)
