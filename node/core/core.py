"""The whole node without its sockets and its disk: commit, then send; and what happens when the disk fails.

Sessions and links put what they decide into the log's current group. The disk takes the group and makes it durable.
Then `committed` sends the answers and the rows. Nothing leaves before that. node/core/README.md tells the whole of
it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, TypeVar

from attrs import field

from crdt.classes import define, frozen
from node.config.sections import Permissions
from node.core.admission import MOST_NODES
from node.core.delivery.cursors import Cursors
from node.core.faults import Exhibit, Torn
from node.core.figures import Figures
from node.core.links.links import Links
from node.core.locks.requests import LockRequests
from node.core.log.fan_out import SharedBatch
from node.core.log.group import Group, Recipient, Refusal, SealError
from node.core.log.ring import ring_row
from node.core.log.rows import act_row
from node.core.log.view import PINGS, LogView
from node.core.operations import parked, states
from node.core.operations.exhibits import exhibit
from node.core.operations.knowledge import FIRST_ATTEMPTS_KEPT, READS_KEPT
from node.core.operations.quarantine import BAD, MOST, WAITING
from node.core.operations.replica import Replica
from node.core.ports import Disk, Health, Instant, Surroundings
from node.core.sessions.session import Shared
from node.core.sessions.sessions import Bounds, Sessions
from node.core.statistics import Statistics
from node.wire.codec import CodecLimits
from storage.answers import PAGE_BYTES
from storage.records import objection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Set

    from node.core.locks.table import LockTable
    from node.core.sessions.session import Session
    from storage.records import Boot, Key, LogRow, ParkedRow

T = TypeVar("T")

logger = logging.getLogger("comanda.core")

WRITER_FIRST_MS = 1_000
"""Who has written on its connection is pinged before terminals that were asked up to so much earlier."""

RETRIES_A_SECOND = 200
"""Parked operations tried again each second."""


@frozen(kw_only=True)
class Limits:
    """Bounds of a core, from the configuration.

    max_offset_ms: an upstream's clock that is further from this node's is not followed.
    outbox_bytes, backlog_bytes: what may wait for one connection to be sent, and on it to be handled.
    """

    sessions: Bounds
    codec: CodecLimits
    max_offset_ms: int
    has_upstream: bool
    outbox_bytes: int
    backlog_bytes: int


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
    figures: Figures = field(factory=Figures, init=False)
    instance: str = field(init=False)
    """Drawn anew at each start. Two connections with one instance come from one process, not from two nodes."""
    links: Links = field(init=False)
    """Set by start.py after the core is made, since the links need the core."""
    lock_requests: LockRequests = field(init=False)
    sessions: Sessions = field(init=False)
    health: Health = field(factory=Health, init=False)
    damaged: list[str] = field(factory=list, init=False)
    """What is said of rows that this start left out, since they are not what was written."""
    _in_flight: list[tuple[Group, int]] = field(factory=list, init=False)
    _again: list[Refusal] = field(factory=list, init=False)
    """What is decided once more after `recovered`."""
    _mended: bool = field(default=False, init=False)
    """Memory was read again since the last commit."""

    def __attrs_post_init__(self) -> None:
        now = self.clock()
        self.statistics = Statistics(now.mono_ms)
        self.log.took = self.statistics.delivery.add
        self.instance = self.around.draws.id()
        self.replica.clock.begin(now)
        self.lock_requests = LockRequests(
            log=self.replica.log,
            faults=self.replica.faults,
            table_now=lambda: self.replica.locks,
            around=self.around,
            has_upstream=self.limits.has_upstream,
            upstream=lambda: self.links.upstream(),
            downstream=lambda: self.links.downstream(),
            sits_below=lambda link, terminal: self.links.neighbours.may_sit(link, terminal),
            online=lambda terminal: self.sessions.online.get(terminal),
        )
        shared = Shared(
            replica=self.replica,
            log=self.log,
            around=self.around,
            locks=self.lock_requests,
            codec=self.limits.codec,
            health=self.health,
            backlog_bytes=self.limits.backlog_bytes,
        )
        self.replica.rights_of = self._rights_of
        self.replica.in_turns.later = lambda act: self.around.timer.call_later(0, act)
        self.replica.is_online = lambda terminal: terminal in self.sessions.online
        self.sessions = Sessions(
            shared=shared,
            permissions=self.permissions,
            bounds=self.limits.sessions,
            cursors=self.cursors,
            store_cursors=self.store_cursors,
            left=lambda terminal: self.links.travellers.moved([terminal]),
            came=lambda terminal, last_ms, known: self.links.travellers.came(terminal, last_ms, known),
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
        """What is to be made durable next, or None. Raises Torn where nothing of it may be: see `torn`."""
        replica = self.replica
        faults, log = replica.faults, replica.log
        try:
            if faults.torn is None:
                if log.open_row:
                    return None  # whoever writes it wakes the writer
                exhibit(replica, self.clock())
                if not log.group.pending():
                    return None
                replica.clock.note(log.group.commit.meta)
                log.group.commit.sign |= self.links.signs
                group = log.take()
                self._in_flight.append((group, self.clock().mono_ms))
                replica.in_turns.taken()
                return group
        except SealError as error:
            raise Torn(self._not_sealed(error)) from error
        except Exception as error:
            raise Torn(faults.report("a commit", b"", error)) from error
        raise Torn(faults.torn)

    def _not_sealed(self, error: SealError) -> str:
        """An entity cannot be encoded: what wrote to it since the last commit is not tried again."""
        self._blame(self.replica.log.group.rows, {error.key}, error)
        return f"{error.key[0]} {error.key[1]} cannot be stored"

    def _blame(self, rows: Sequence[LogRow], keys: Set[Key], error: Exception) -> None:
        """What wrote to these entities in a group caused a fault."""
        for row in rows:
            touched = {(row.entity_type, entity_id) for entity_id in (row.entity_id or "", *row.targets)}
            if touched & keys and row.kind != "notice":
                self._caused(row, error)

    def _caused(self, row: LogRow, error: Exception) -> None:
        faults, cause = self.replica.faults, states.cause_of(row) if row.kind == "state" else row.link_key
        if not row.via:
            cause = (row.terminal_id, row.operation_id)
        told = faults.report(f"storing {row.entity_type} {row.entity_id}", row.operation, error, cause)
        if not row.via:
            named = (row.terminal_id, row.operation_id, row.entity_type, row.entity_id or "")
            faults.exhibits.append(Exhibit(*named, row.operation, told))

    def committed(self, group: Group) -> None:
        """`group` is durable: answer its authors, then send its rows to everybody whose cursor is behind.

        Each step is tried whatever became of the one before. A connection that our own code failed to serve is
        closed, and goes on from its cursor.
        """
        replica, guard = self.replica, self.replica.faults.guard
        if group.rows:
            self.log.begun(next((at for g, at in self._in_flight if g is group), self.clock().mono_ms))
        self._in_flight = [(g, at) for g, at in self._in_flight if g is not group]
        self.statistics.commits += 1
        self._mended = False
        if guard("a commit", partial(replica.durable, group)):
            replica.faults.tear("the end of a commit failed")  # the log is read again, and goes on from its end
        guard("the positions of links", partial(self.links.stored, group.commit.peers))
        if group.rows:
            self.links.heads.end = (group.rows[-1].seq, group.rows[-1].hash)
        for lock in group.commit.locks:
            guard("a stored lease", partial(replica.locks.stored, lock))
        told = guard("answers", partial(self._answer, group.replies))
        if told:
            self._lose_all([recipient for recipient, _ in group.replies], told)
        told = guard("terminals that wait", partial(self.sessions.stored, group.commit.cursors))
        if told:
            guard("terminals that wait", self.sessions.let_all_begin)
        if group.rows and guard("the delivery of a commit", partial(self._send, group)):
            guard("the delivery of a commit", partial(self._send_later, group))
        for act in replica.log.signed(group):
            guard("what waits for signatures", act)
        for look in group.looks:
            guard("what a commit left to look up", partial(look, self.disk, self.health))

    def not_finished(self, group: Group, error: Exception) -> None:
        """`committed` failed. The group is durable: its authors come back, and memory is read again."""
        faults = self.replica.faults
        told = faults.report("the end of a commit", b"", error)
        faults.tear("the end of a commit failed")
        self._in_flight = [(g, at) for g, at in self._in_flight if g is not group]
        self._lose_all([recipient for recipient, _ in group.replies], told)
        if group.rows:
            faults.guard("the delivery of a commit", partial(self._send_later, group))

    def _answer(self, replies: Sequence[tuple[Recipient, bytes]]) -> None:
        """Answers in order, those of one terminal as one write."""
        for recipient, messages in _by_recipient(replies):
            try:
                recipient.reply(*messages)
            except Exception as error:
                self._lose(recipient, self.replica.faults.report("an answer", b"", error))

    def _lose(self, recipient: Recipient, told: str) -> None:
        self.replica.faults.guard("the end of a connection", partial(recipient.lose, told))

    def _lose_all(self, recipients: Iterable[Recipient], told: str) -> None:
        """Each of these once: it comes back, and asks again for what it has not heard of."""
        for recipient in {id(recipient): recipient for recipient in recipients}.values():
            self._lose(recipient, told)

    def _send(self, group: Group) -> None:
        ring, log = self.log.ring, self.log
        previous, now_ms = log.level, self.clock().mono_ms
        self.statistics.operations.add(now_ms, sum(row.kind == "operation" for row in group.rows))
        sessions = list(self.sessions.online.values())
        monitored = any(session.delivery.feed.audited for session in sessions)
        rows = [
            ring_row(row, log.message_bytes, audit=monitored and log.audited(row.entity_type)) for row in group.rows
        ]
        ring.extend(rows)
        log.moved()
        for row in rows:
            log.class_heads[row.priority] = row.seq
        shared = SharedBatch(rows)
        small, entries = sum(row.size for row in rows) <= PAGE_BYTES, shared.entries
        followed = 0
        for session in sessions:
            delivery = session.delivery
            if delivery.closed:
                continue
            try:
                batch = shared.batch_of(delivery.feed) if small else None
                if batch is not None and delivery.follow(batch, entries, previous, now_ms):
                    followed += 1
                    continue
                delivery.pump()
            except Exception as error:
                delivery.failed(error)
        self.statistics.deliveries.add(now_ms, followed * len(entries))
        self.links.pump()

    def _send_later(self, group: Group) -> None:
        """What was stored could not be sent from memory: everybody reads it from the disk."""
        for row in group.rows:
            self.log.class_heads[row.priority] = row.seq
        self.log.ring.begin_at(group.rows[-1].seq)
        self.log.moved()
        for session in list(self.sessions.online.values()):
            session.delivery.pump()
        self.replica.faults.guard("the delivery of a commit to links", self.links.pump)

    def pruned(self, op_keys: Iterable[int], anchor: int) -> None:
        """The rows of these operations are archived and gone, and all rows up to `anchor`."""
        self.links.heads.owe()
        self.log.ring.archived(anchor)
        faults = self.replica.faults
        if faults.guard("the operations of an archive", partial(self.replica.held.moved, op_keys)) is not None:
            faults.forgotten = True
            faults.tear("which operations are archived is not known")

    # ------------------------------------------------------------------ when the disk fails

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Why this node is not ready: in words, and the disk's reason. None while all is well."""
        if not self.health.ok:
            return "the node cannot store anything; terminals are told to send again", self.health.failure or ""
        if self.disk.trouble is not None:
            return "the node works, but part of its database cannot be read or written", self.disk.trouble
        damaged = [*self.replica.residents.damaged.values(), *self.damaged]
        if damaged:
            more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
            return "the node works, but part of its database is damaged", damaged[0] + more
        return None

    def torn(self, reason: str) -> bool:
        """Memory is otherwise than the log, and the disk is well. Returns whether to go on (`recovered`) at once.

        What came since the last commit is then decided once more, and only what caused it is refused. A second time
        without a commit in between is as a failed commit, or the node would do nothing else.
        """
        at_once, self._mended = not self._mended, True
        if at_once:
            logger.error("everything since the last commit is read and decided again: %(reason)s", {"reason": reason})
            self._undo(reason, again=True)
        else:
            self.failed(reason)
        return at_once

    def failed(self, reason: str) -> None:
        """A commit failed: every uncommitted operation is refused, and nothing is accepted until `recovered`."""
        logger.error(
            "nothing can be stored, and every operation is refused until a write works: %(reason)s",
            {"reason": reason},
        )
        self.statistics.commit_failures += 1
        self._undo(reason, again=False)

    def unstorable(self, error: Exception) -> str:
        """A commit failed, though not for the disk's sake: find what holds a value that no disk takes, and blame it.

        Returns what was found, for `torn`.
        """
        said = ""
        for group, _ in self._in_flight:
            bad = {(e.entity_type, e.entity_id) for e in group.commit.entities if objection(e) is not None}
            for row in group.rows:
                if objection(row) is not None:
                    self._caused(row, error)
                    said = said or f"row {row.seq} cannot be stored"
            self._blame(group.rows, bad, error)
            said = said or (f"{' '.join(min(bad))} cannot be stored" if bad else "")
        return said

    def _undo(self, reason: str, *, again: bool) -> None:
        replica, guard = self.replica, self.replica.faults.guard
        self.health.ok, self.health.failure = False, reason
        groups = [group for group, _ in self._in_flight]
        groups.append(replica.log.group)
        self._in_flight.clear()
        for group in groups:
            if again:
                self._again += group.refusals
            else:
                told = guard("refusals", partial(self._refuse, group.refusals))
                if told:
                    self._lose_all([refusal.recipient for refusal in group.refusals], told)
            guard("positions that were not stored", partial(self.cursors.not_stored, group.commit))
        guard("terminals that wait", self.sessions.let_all_begin)
        guard("the links after a failed commit", self.links.commit_failed)
        undo = partial(replica.undo, groups, replica.residents.writer)
        if guard("undoing a commit", undo) is not None:
            replica.faults.forgotten = True

    def lost(self, error: Exception) -> None:
        """Telling of a commit that failed has failed itself. Who waits for an answer is let go, to send it again, and
        memory is read from the disk as at a start."""
        faults = self.replica.faults
        told = faults.report("the end of a commit that failed", b"", error)
        self.health.ok, self.health.failure, faults.forgotten = False, told, True
        groups = [*(group for group, _ in self._in_flight), self.replica.log.group]
        self._in_flight.clear()
        self._lose_all([refusal.recipient for group in groups for refusal in group.refusals], told)
        faults.guard("terminals that wait", self.sessions.let_all_begin)
        faults.guard("the links after a failed commit", self.links.commit_failed)

    def _refuse(self, refusals: Iterable[Refusal]) -> None:
        self._answer([(refusal.recipient, refusal.say()) for refusal in refusals])

    def still_failing(self, reason: str) -> None:
        """Writing was tried again, and does not work yet."""
        self.health.failure = reason

    def recovered(self, boot: Boot, locks: LockTable, writer: int) -> None:
        """Writing works again: go on from what the disk holds, under a fresh writer. Raises nothing but faults of our
        own; then it is to be tried again."""
        faults = self.replica.faults
        if faults.forgotten or boot.head != self.replica.log.committed:
            self.replica.start_again(boot)
            self.log.ring.begin_at(boot.head)
            self.log.moved()
            self.log.class_heads[:] = boot.class_heads
            faults.forgotten = False
        self.replica.go_on(boot, locks, writer)
        self.links.start_again(boot.peers)
        self.links.heads.begin(boot.heads, (boot.head, boot.chain))
        self.health.ok, self.health.failure = True, None
        refusals, self._again = self._again, []
        for recipient, messages in _by_recipient((refusal.recipient, refusal.message()) for refusal in refusals):
            told = faults.guard("what is decided again", partial(recipient.again, messages))
            if told:
                self._lose(recipient, told)

    def levels(self) -> list[tuple[str, int, int]]:
        """Of each limit on what this node keeps in memory: its name, how far it is used, and the limit."""
        replica, ring = self.replica, self.log.ring
        residents, held, quarantine = replica.residents, replica.held, replica.quarantine
        backlog = [session.backlog for session in self.sessions.online.values()]
        backlog += [link.backlog for link in self.links.by_node.values()]
        waiting = [session.connection.outbox_bytes for session in self.sessions.online.values()]
        return [
            ("resident_entities", len(residents.entities), residents.most),
            ("resident_bytes", residents.bytes, residents.most_bytes),
            ("ring_rows", len(ring.rows), ring.max_rows),
            ("ring_bytes", ring.size, ring.max_bytes),
            ("recent_rows", len(held.recent), held.most),
            ("recent_bytes", held.size, held.most_bytes),
            ("quarantine_rows", len(quarantine), MOST),
            ("quarantine_bytes", quarantine.bytes, quarantine.most_bytes),
            ("terminals", len(self.cursors.terminals), self.limits.sessions.terminals),
            ("nodes", len(self.cursors.nodes), MOST_NODES),
            ("backlog_bytes", max(backlog, default=0), self.limits.backlog_bytes),
            ("outbox_bytes", max(waiting, default=0), self.limits.outbox_bytes),
            ("first_attempts", len(replica.knowledge.first_attempts), FIRST_ATTEMPTS_KEPT),
            ("reads", len(replica.knowledge.reads), READS_KEPT),
            ("leases", len(replica.locks.leases), replica.locks.max_leases),
            *self.links.levels(),
        ]

    # ------------------------------------------------------------------ time

    def note_figures(self, database_bytes: int, memory_bytes: int) -> None:
        """Every POINT_MS: a point of the last hours' figures."""
        now, counts = self.clock(), self.replica.counts
        self.figures.take(now.wall_ms, now.mono_ms, self.statistics, counts, database_bytes, memory_bytes)

    def probe_owed(self) -> None:
        """Every PING_INTERVAL_MS: ask the terminals that do not confirm whether their rows arrived."""
        self._probe_owed()
        self.links.tell_positions()

    def _probe_owed(self) -> None:
        """Send the pings that were held back, PINGS of them; those first who were asked longest ago."""
        owed = [session for session in self.sessions.online.values() if session.delivery.owed]
        if len(owed) > PINGS:
            owed = nsmallest(PINGS, owed, key=_turn)
        self.log.pings = PINGS
        for session in owed:
            self._due(session, session.delivery.probe_owed)

    def tick(self) -> None:
        """Once a second: store positions that moved, ask silent terminals whether rows arrived, retry what waits."""
        now, guard = self.clock(), self.replica.faults.guard
        self.statistics.messages.count(now.mono_ms)
        guard("the clock", partial(self.replica.clock.tick, now))
        for session in list(self.sessions.online.values()):
            self._due(session, session.delivery.read_again)
            self._due(session, session.delivery.owe_probe)
        self._probe_owed()
        guard("the links", partial(self.links.tick, now.mono_ms))
        guard("what waits in the quarantine", self._retry_parked)
        if self.cursors.due(now.mono_ms):
            guard("the positions of terminals", self.store_cursors)

    def _due(self, session: Session, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            session.delivery.failed(error)

    def _retry_parked(self) -> None:
        """Retry some of the operations that wait. Their entities may have come by now, or can be read by now."""
        replica = self.replica
        if not self.health.ok:
            return
        for row in replica.quarantine.due(RETRIES_A_SECOND):
            self.retry_parked(row)

    def _retry_soon(self, rows: Sequence[ParkedRow]) -> None:
        """Retry the first of some parked operations at once, and the others by the clock: so many hold up nobody."""
        for row in rows[:RETRIES_A_SECOND]:
            self.retry_parked(row)
        for row in rows[RETRIES_A_SECOND:]:
            self.replica.quarantine.make_due(row)

    def retry_quarantine(self) -> int:
        """Retry every parked operation, and ask the linked nodes for the bad ones again. Returns how many there are.

        A bad one may have been damaged on the way, or its entity type may be known by now.
        """
        rows = [row for row in self.replica.quarantine if row.state in (BAD, WAITING)]
        self._retry_soon(rows)
        self.links.ask_for([row.link_key for row in rows if row.state == BAD])
        for link in self.links.by_node.values():
            link.compare_owed = True
        return len(rows)

    def drop_parked(self, number: int) -> bool:
        """Keep only the name of an operation of the quarantine. Returns whether there is one of this number."""
        dropped = parked.drop(self.replica, number)
        if dropped:
            self.disk.wake_writer()
        return dropped

    def decide_key(self, what: str, node: str, said: str) -> bool:
        """Somebody decides about a node's key. what: trust or forget. said: its fingerprint.

        Returns whether there is such a key to decide about.
        """
        keyring, meta = self.replica.keyring, self.replica.log.group.commit.meta
        if not (keyring.trust(node, said, meta) if what == "trust" else keyring.forget(node, said, meta)):
            return False
        self.key_is_known(node)
        self.links.tell_origins()
        self.disk.wake_writer()
        return True

    def key_is_known(self, node: str) -> None:
        """A key of a node was taken, or is taken no longer: what is bad of it perhaps is so no more."""
        self._retry_soon(self.replica.quarantine.bad_from(node))

    def note_act(self, terminal_id: str, user_id: str | None, act: str, details: Mapping[str, object]) -> None:
        """An administrator did something: keep it in the audit, and say it in the log."""
        logger.info(
            "an administrator did %(act)s, by %(who)s",
            {"act": act, "who": user_id if user_id is not None else terminal_id or "nobody in particular"},
        )
        accepted = self.replica.clock.hlc.tick(self.clock().wall_ms)
        self.replica.log.append(act_row(terminal_id, user_id, act, details, accepted))
        self.disk.wake_writer()

    def _rights_of(self, terminal_id: str) -> tuple[str, Callable[[str], bool]] | None:
        """As which type this node knows a terminal, and which entity types that may write; None for a stranger."""
        session, row = self.sessions.online.get(terminal_id), self.cursors.terminals.get(terminal_id)
        kind = session.identity.terminal_type if session is not None else row.terminal_type if row is not None else ""
        permissions = self.permissions.get(kind)
        return (kind, permissions.may_write) if permissions is not None else None

    def retry_parked(self, row: ParkedRow) -> None:
        """Try a parked operation again, once its entities are here."""
        parked.retry_when_here(self.replica, row, self.disk, self.health, self.clock)


def _turn(session: Session) -> int:
    """The order in which terminals are pinged. What one that writes is taken to have seen hangs on its pongs."""
    return session.delivery.pinged_ms - (WRITER_FIRST_MS if session.activity.operations else 0)


def _by_recipient(pairs: Iterable[tuple[Recipient, T]]) -> Iterable[tuple[Recipient, list[T]]]:
    """What each recipient gets, in order; the recipients in the order of the first thing for each."""
    found: dict[int, tuple[Recipient, list[T]]] = {}
    for recipient, what in pairs:
        found.setdefault(id(recipient), (recipient, []))[1].append(what)
    return found.values()
