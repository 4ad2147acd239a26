"""The whole node without its sockets and its disk: sessions, replica, log's end, and what a commit sends.

`step(input) -> what to persist, then what to send`: sessions put operations into the replica's group; the writer
takes it, makes it durable, and `committed` lets the answers and the rows go. Nothing leaves before that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import define, field

from crdt import hlc
from node.core import monitors as status
from node.core.delivery.delivery import Delivery
from node.core.delivery.terminal_feed import TerminalFeed
from node.core.delivery.window import Window
from node.core.links.links import Links
from node.core.locks.authority import LockService
from node.core.log.entries import CLASSES, NO_POSITION
from node.core.log.group import Group, Recipient
from node.core.log.ring import Ring, RingRow, ring_row
from node.core.log.view import LogView
from node.core.operations import parked
from node.core.operations.quarantine import BAD
from node.core.operations.replica import Replica
from node.core.ports import Clock, Connection, Disk, Timer
from node.core.sessions.identity import Activity, Identity, Permissions
from node.core.sessions.session import Session
from node.core.sessions.token_bucket import Bucket
from node.core.statistics import Statistics
from node.wire import outgoing
from node.wire.codec import CodecLimits
from node.wire.frames import Batch, Outgoing
from storage.records import ConflictRow, CursorRow, FollowerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.core.locks.table import LockTable
    from storage.records import Boot, ParkedRow


logger = logging.getLogger("comanda.core")

CURSOR_FLUSH_MS = 1_000
"""How long a moved cursor may wait before it is stored; what is lost in a crash is delivered again."""

RETRIES_A_SECOND = 200
"""Parked operations tried again each second."""


@define(eq=False)
class Bounds:
    """Limits of sessions, from the configuration."""

    rate_per_second: float = 2_000
    rate_burst: float = 5_000
    window_rows: int = 1_024
    codec: CodecLimits = field(factory=CodecLimits)


@define(eq=False)
class Core:
    """One node's decisions."""

    node_id: str
    replica: Replica
    ring: Ring
    disk: Disk
    timer: Timer
    clock: Clock
    permissions: dict[str, Permissions]
    bounds: Bounds
    statistics: Statistics
    class_heads: list[int]
    instance: str = ""
    """Drawn anew at each start: two connections of one instance are no two nodes."""
    cursors: dict[str, CursorRow] = field(factory=dict)
    followers: dict[str, FollowerRow] = field(factory=dict)
    """How far other nodes have confirmed this log, the last that was heard of each."""
    has_upstream: bool = False
    links: Links = field(init=False)
    """Set right after, by who makes the core: the links need it."""
    lock_service: LockService = field(init=False)
    sessions: dict[str, Session] = field(factory=dict)
    healthy: bool = True
    failure: str | None = None
    log: LogView = field(init=False)
    _dirty: set[str] = field(factory=set)
    _followed: set[str] = field(factory=set)
    _leaving: dict[str, Session] = field(factory=dict)
    """Sessions whose connection ended with something still to be decided."""
    _beginning: dict[str, bytes] = field(factory=dict)
    """Terminals that keep nothing, and what they are greeted with once it is stored that they begin again."""
    _flushed_ms: int = 0
    _in_flight: list[tuple[Group, int]] = field(factory=list)
    _changed: bool = True

    def __attrs_post_init__(self) -> None:
        self.replica.clock.begin(self.clock())
        self.lock_service = LockService(self, self.has_upstream)
        self.log = LogView(
            self.ring,
            self.replica.registry,
            self.node_id,
            self.class_heads,
            self._open_conflicts,
            lambda: hlc.iso(self.clock().wall_ms),
            lambda: self.clock().mono_ms,
        )

    def _open_conflicts(self, priority: int) -> list[ConflictRow]:
        types = self.replica.registry.of_class(priority)
        rows = [c for c in self.replica.conflicts.known.values() if c.state == "open" and c.entity_type in types]
        return [c for c in rows if c.seq <= self.replica.log.committed]

    # ------------------------------------------------------------------ connections

    def connect(
        self, identity: Identity, connection: Connection, *, full: bool = False, by_position: bool = False
    ) -> Session:
        """A terminal is connected: it is told so, and gets what lies after its cursor (full: everything).

        by_position: it speaks the subprotocol, and may confirm many rows at once.
        """
        now = self.clock()
        bounds = self.bounds
        known = self.cursors.get(identity.terminal_id)
        positions = [NO_POSITION] * CLASSES if known is None or full else list(known.positions)
        permissions = self.permissions[identity.terminal_type]
        writable = [p.entity_type for p in self.replica.registry.all() if permissions.may_write(p.entity_type)]
        feed = TerminalFeed(
            terminal_id=identity.terminal_id,
            names=frozenset([identity.terminal_id, *(f"write:{entity_type}" for entity_type in writable)]),
            monitor=identity.terminal_type == "monitor",
            by_position=by_position,
            head_at_connect=self.replica.log.head,
        )
        delivery = Delivery(
            window=Window.at(positions, bounds.window_rows),
            feed=feed,
            log=self.log,
            disk=self.disk,
            connection=connection,
        )
        session = Session(
            identity,
            permissions,
            self.replica,
            delivery,
            connection,
            self.disk,
            self.timer,
            self.clock,
            bounds.codec,
            Bucket.full(bounds.rate_per_second, bounds.rate_burst, now.mono_ms),
            Activity(now.wall_ms, now.wall_ms),
            self.lock_service,
            lambda: self.healthy,
        )
        earlier = self._leaving.pop(identity.terminal_id, None)
        if earlier is not None and earlier.unfinished:
            session.follow(earlier)
        self.sessions[identity.terminal_id] = session
        self._changed = True
        greeting = outgoing.connection_established(identity.terminal_id, hlc.iso(now.wall_ms), identity.session_id)
        if full and known is not None and self.healthy:
            # Stored first: a node that dies now must not go on where this terminal, which keeps nothing, once was.
            self._beginning[identity.terminal_id] = greeting
            delivery.held = True
            self._remember(session)
            self.flush_cursors()
        else:
            session.reply(greeting)
            delivery.pump()
        return session

    def disconnect(self, session: Session) -> None:
        """The connection ended; the cursor stays where the terminal confirmed up to."""
        session.end()
        terminal_id = session.identity.terminal_id
        if self.sessions.get(terminal_id) is session:
            del self.sessions[terminal_id]
        self._leaving = {t: s for t, s in self._leaving.items() if s.unfinished}
        if session.unfinished:
            self._leaving[terminal_id] = session
        self._remember(session)
        self._changed = True
        self.flush_cursors()

    def _remember(self, session: Session) -> None:
        identity = session.identity
        window = session.delivery.window
        self.cursors[identity.terminal_id] = CursorRow(
            terminal_id=identity.terminal_id,
            terminal_type=identity.terminal_type,
            user_id=identity.user_id,
            positions=window.positions,
            last_seen_ms=self.clock().wall_ms,
        )
        window.dirty = False
        self._dirty.add(identity.terminal_id)

    def note_follower(self, row: FollowerRow) -> None:
        """A linked node has confirmed this log up to here; it is stored with the cursors."""
        self.followers[row.node_id] = row
        self._followed.add(row.node_id)

    def flush_cursors(self, *, every: bool = False) -> None:
        """Put moved cursors into the current group; or every one, also of who has confirmed nothing yet."""
        for session in self.sessions.values():
            if every or session.delivery.window.dirty:
                self._remember(session)
        self.links.note_followers()
        if not (self._dirty or self._followed) or not self.healthy:
            return
        self.replica.log.group.commit.followers.extend(self.followers[n] for n in sorted(self._followed))
        self._followed.clear()
        self.replica.log.group.commit.cursors.extend(self.cursors[t] for t in sorted(self._dirty))
        self._dirty.clear()
        self._flushed_ms = self.clock().mono_ms
        self.disk.wake_writer()

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
        self.links.stored(group.commit.peers)
        for lock in group.commit.locks:
            self.replica.locks.stored(lock)
        now = self.clock()
        self._answer(group.replies)
        for cursor in group.commit.cursors:
            session = self.sessions.get(cursor.terminal_id)
            if session is not None and max(cursor.positions) == NO_POSITION:
                self._let_begin(session)
        if group.rows:
            self.statistics.operations.add(now.mono_ms, sum(r.kind == "operation" for r in group.rows))
            self._send(group)

    def _let_begin(self, session: Session) -> None:
        if session.delivery.held:
            session.reply(self._beginning.pop(session.identity.terminal_id))
            session.delivery.held = False
            session.delivery.pump()

    def _answer(self, replies: Sequence[tuple[Recipient, bytes]]) -> None:
        """Answers in order, those of one terminal as one write."""
        by_recipient: dict[int, tuple[Recipient, list[bytes]]] = {}
        for recipient, message in replies:
            by_recipient.setdefault(id(recipient), (recipient, []))[1].append(message)
        for recipient, messages in by_recipient.values():
            recipient.reply(*messages)

    def _send(self, group: Group) -> None:
        previous = self.ring.head
        monitored = any(s.delivery.feed.monitor for s in self.sessions.values())
        rows = [ring_row(row, audit=monitored) for row in group.rows]
        self.ring.extend(rows)
        for row in rows:
            self.class_heads[row.priority] = row.seq
        shared = _Shared(rows)
        delivered = 0
        for session in list(self.sessions.values()):
            delivery = session.delivery
            if delivery.closed:
                continue
            if shared.suits(delivery.feed) and delivery.live(previous, len(rows)):
                delivery.send_batch(shared.batch(numbered=delivery.feed.by_position), shared.entries, self.ring.head)
                delivered += len(shared.entries)
            else:
                delivery.pump()
        self.statistics.deliveries.add(self.clock().mono_ms, delivered)
        self.links.pump()

    # ------------------------------------------------------------------ when the disk fails

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why this node is not ready, in words and as the disk put it; None while all is well."""
        if not self.healthy:
            return "the node cannot store anything; terminals are told to send again", self.failure or ""
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
        self.healthy, self.failure = False, reason
        self.statistics.commit_failures += 1
        groups = [group for group, _ in self._in_flight]
        current = self.replica.log.group
        if current.pending():
            groups.append(current)
        self._in_flight.clear()
        for group in groups:
            self._answer([(recipient, make()) for recipient, make in group.refusals])
            self._dirty.update(row.terminal_id for row in group.commit.cursors)
            self._followed.update(row.node_id for row in group.commit.followers)
        for session in list(self.sessions.values()):
            self._let_begin(session)  # it can be read all the same
        self.links.commit_failed()
        self.replica.undo(groups, self.replica.residents.writer)

    def still_failing(self, reason: str) -> None:
        """Writing was tried again, and does not work yet."""
        self.failure = reason

    def recovered(self, boot: Boot, locks: LockTable, writer: int) -> None:
        """Writing works again: go on from what the disk holds, under a fresh writer."""
        self.replica.go_on(boot, locks, writer)
        self.links.start_again(boot.peers)
        self.healthy, self.failure = True, None

    # ------------------------------------------------------------------ time

    def probe_owed(self) -> None:
        """Every PING_INTERVAL_MS: ask the terminals that do not confirm whether their rows arrived."""
        for session in self.sessions.values():
            session.delivery.probe_owed()
        self.links.tell_positions()

    def tick(self) -> None:
        """Once a second: store moved cursors, ask silent sessions whether rows arrived."""
        now = self.clock()
        self.replica.clock.tick(now)
        for session in list(self.sessions.values()):
            session.delivery.read_again()
            session.delivery.probe(force=True)
        self.links.tick(now.mono_ms)
        self._retry_parked()
        if now.mono_ms - self._flushed_ms >= CURSOR_FLUSH_MS:
            self.flush_cursors()

    def _retry_parked(self) -> None:
        """What waits may go on where its entities are here, also those that were not when something of them came."""
        replica = self.replica
        if not self.healthy:
            return
        for row in replica.quarantine.waiting(RETRIES_A_SECOND):
            self.retry_parked(row)

    def retry_quarantine(self) -> int:
        """Try everything that is parked again, and have the linked nodes send what is bad once more: it may have been
        damaged on the way, or its entity type be known by now. How many operations that are."""
        rows = list(self.replica.quarantine)
        for row in rows:
            self.retry_parked(row)
        self.links.ask_for([row.link_key for row in rows if row.state == BAD])
        return len(rows)

    def retry_parked(self, row: ParkedRow) -> None:
        """Try a parked operation again, once its entities are here."""
        parked.retry_when_here(self.replica, row, self.disk, lambda: self.healthy, self.clock)

    def changed(self) -> bool:
        """Whether a terminal came or went since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def mark_changed(self) -> None:
        """Monitors are to be told the status soon."""
        self._changed = True

    def tell_monitors(self, messages: Iterable[bytes]) -> None:
        """Status and metrics, to every monitor. They are no log rows: the newest replaces the older."""
        monitors = [s for s in self.sessions.values() if s.delivery.feed.monitor and not (s.closed or s.gone)]
        if not monitors:
            return
        batch = Batch([Outgoing(message) for message in messages])
        for session in monitors:
            if session.connection.outbox_bytes < 1_000_000:
                session.connection.send(batch)

    def status_messages(self) -> list[bytes]:
        return [status.terminal_status(self)]

    def metrics_messages(self, memory_mb: float) -> list[bytes]:
        return status.performance(self, memory_mb)


class _Shared:
    """A commit's frames for the sessions that get all its rows alike, joined once."""

    def __init__(self, rows: Sequence[RingRow]) -> None:
        plain = [row for row in rows if row.audience is None]
        self.whole = len(plain) == len(rows)
        self.authors = {row.author for row in plain if not row.echo}
        self.entries = [row.entry for row in rows]
        self._rows = rows
        self._batches: dict[bool, Batch] = {}

    def suits(self, feed: TerminalFeed) -> bool:
        return self.whole and not feed.monitor and feed.terminal_id not in self.authors

    def batch(self, *, numbered: bool) -> Batch:
        if numbered not in self._batches:
            frames = [frame for row in self._rows for frame in (row.numbered if numbered else row.frames)]
            self._batches[numbered] = Batch(frames)
        return self._batches[numbered]
