"""One path for live delivery, catch-up and first synchronisation: a cursor that follows the log.

`pump` sends whatever lies between the cursor and the head, from the shared ring or, when further behind, from
SQLite, critical classes first; a class without a position gets its entities' state and then the tail, one whose
position is archived the state of what has changed since. It stops at the window, at a full outbox, or to wait for
the disk, and is called again when one of these has room.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.delivery.archived_part import compacted_frames, raised
from node.core.delivery.window import Cursor
from node.core.entities.entity import NOT_LOADED
from node.core.log.entries import NO_POSITION, PASSED, Entry
from node.core.log.messages import state_id, state_message
from node.core.log.ring import RingRow, ring_row
from node.core.log.view import LogView
from node.core.ports import Connection, Disk, Unreadable
from node.errors import NotRead
from node.wire import outgoing
from node.wire.frames import Batch, Outgoing
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.answers import Compacted
    from storage.records import ConflictRow, EntityRow, LogRow


logger = logging.getLogger("comanda.core")

PAGE = 128
"""Most rows or entities read from disk at once for one session."""

PING_INTERVAL_MS = 50
"""A client that does not confirm is pinged at once after a silence, and this often while rows keep coming: each pong
costs the node as much as a confirmation."""

OUTBOX_HIGH = 256 * 1024
"""Bytes queued on a connection above which nothing more is handed to it."""


@define(eq=False)
class Delivery:
    """What one terminal is sent. names: its id and `write:<type>` for what it may write (conflict notices)."""

    terminal_id: str
    names: frozenset[str]
    monitor: bool
    cursor: Cursor
    log: LogView
    disk: Disk
    connection: Connection
    _reading: bool = False
    _state_after: dict[int, tuple[str, str]] = field(factory=dict)
    begun: int = field(init=False)
    """The log's head when the terminal connected: what is committed later reaches it as rows, whatever the state
    that is read meanwhile already shows; what others have created since reaches it as rows alone."""
    resumed: int = 0
    """The last row that was numbered when the terminal connected, committed or not."""
    by_position: bool = False
    """Whether it confirms by position: its rows say theirs."""
    _ping: int | None = None
    _pinged_ms: int = -PING_INTERVAL_MS
    _owed: bool = False
    _stuck: bool = False
    """What comes next could not be read; it is tried again with the clock, and nothing else is read until then."""
    _told_stuck: bool = False
    closed: bool = False
    held: bool = False
    """Nothing is sent until it is stored that this terminal begins again."""
    page: int = PAGE
    outbox_high: int = OUTBOX_HIGH

    def __attrs_post_init__(self) -> None:
        self.begun = self.log.head

    # ------------------------------------------------------------------ live

    def live(self, previous_head: int, rows: int) -> bool:
        """Whether this session had everything up to the last commit and has room for this one."""
        cursor = self.cursor
        return (
            not self._reading
            and cursor.room >= rows
            and min(cursor.sent) >= previous_head
            and self.connection.outbox_bytes <= self.outbox_high
        )

    def send_batch(self, batch: Batch, entries: Sequence[Entry], head: int) -> None:
        """The fast path: a commit's frames, joined once for all sessions that get the same rows."""
        self.connection.send(batch)
        self.cursor.sending(entries)
        self.cursor.passed([head] * CLASSES)
        self.probe()

    # ------------------------------------------------------------------ behind

    def pump(self) -> None:
        """Send what there is until the window is full, the outbox is, or the disk is asked."""
        cursor, log = self.cursor, self.log
        while not (self.closed or self._reading or self.held):
            if cursor.room <= 0 or self.connection.outbox_bytes > self.outbox_high:
                break
            behind = self._next_class()
            if behind is None:
                break
            if min(cursor.sent) >= log.ring.reaches_back_to:
                self._from_ring()
            elif cursor.sent[behind] == NO_POSITION:
                self._read_state(behind)
            else:
                self._reading = True
                limit = min(self.page, cursor.room)
                after = cursor.sent[behind]
                self.disk.rows(behind, after, log.head, limit, self._rows_arrived(behind, log.head, limit))
        self.probe()

    def _cannot_read(self, unreadable: Unreadable) -> None:
        self._stuck = True
        if not (self._told_stuck or self.closed):
            self._told_stuck = True
            self._tell_stuck(unreadable)

    def _tell_stuck(self, unreadable: Unreadable) -> None:
        """Once: a screen that stands still without a word would be believed. What it writes is taken as ever."""
        said = "the node cannot read from its disk what you missed; you get it as soon as it can"
        self.connection.send(Outgoing(outgoing.sync_error(None, said, None, None, self.terminal_id, NotRead.code)))

    def read_again(self) -> None:
        """Once a second: go on where something could not be read."""
        if self._stuck:
            self._stuck = self._reading = False
            self.pump()

    def _was_read(self) -> None:
        self._reading = self._told_stuck = False

    def _next_class(self) -> int | None:
        """The most urgent class that has something; classes with nothing new are moved to the head."""
        cursor, log = self.cursor, self.log
        positions = list(cursor.sent)
        found = None
        for priority in range(CLASSES):
            if positions[priority] == NO_POSITION or log.class_heads[priority] > positions[priority]:
                found = priority if found is None else found
            else:
                positions[priority] = log.head
        cursor.passed(positions)
        return found

    def _from_ring(self) -> None:
        cursor = self.cursor
        sent = list(cursor.sent)
        room = cursor.room
        frames: list[Outgoing] = []
        entries: list[Entry] = []
        for row in self.log.ring.after(min(sent)):
            if row.seq > sent[row.priority]:
                self._take(row, frames, entries)
            for priority in range(CLASSES):
                if sent[priority] < row.seq:
                    sent[priority] = row.seq
            if len(entries) >= room:
                break
        self._hand_over(frames, entries, sent)

    def _take(self, row: RingRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        before = len(frames)
        if row.for_terminal(self.terminal_id, self.names, self.resumed) or (self.monitor and row.monitors):
            frames.extend(row.numbered if self.by_position else row.frames)
        if self.monitor:
            frames.extend(row.audit)
        if len(frames) > before:
            entries.append(row.entry)

    def _hand_over(self, frames: list[Outgoing], entries: list[Entry], sent: Sequence[int]) -> None:
        if frames:
            self.connection.send(Batch(frames))
            self.cursor.sending(entries)
        self.cursor.passed(sent)

    def _rows_arrived(
        self, priority: int, upto: int, limit: int
    ) -> Callable[[Sequence[LogRow] | Unreadable | None], None]:
        def arrived(rows: Sequence[LogRow] | Unreadable | None) -> None:
            if isinstance(rows, Unreadable):
                self._cannot_read(rows)
                return
            self._was_read()
            if self.closed:
                return
            if rows is None:
                self._read_compacted(priority)
                return
            frames: list[Outgoing] = []
            entries: list[Entry] = []
            for row in rows:
                self._take(ring_row(row, audit=self.monitor), frames, entries)
            sent = list(self.cursor.sent)
            sent[priority] = rows[-1].seq if len(rows) == limit else upto
            self._hand_over(frames, entries, sent)
            self.pump()

        return arrived

    # ------------------------------------------------------------------ further behind than the log reaches

    @property
    def _owed_to(self) -> str | None:
        """Whose notices are owed."""
        return self.terminal_id

    def _read_compacted(self, priority: int) -> None:
        """What has changed since, as it is now, in the order of the log; then the class goes on in the log."""
        self._reading = True
        types, after = self.log.registry.of_class(priority), self.cursor.sent[priority]

        def arrived(found: Compacted | Unreadable) -> None:
            if isinstance(found, Unreadable):
                self._cannot_read(found)
                return
            self._was_read()
            if self.closed:
                return
            try:
                self._send_compacted(priority, after, found)
            except NOT_LOADED as error:
                self._reading = True
                self._cannot_read(Unreadable(f"an archived entity is damaged: {error}"))
                return
            self.pump()

        limit = max(1, min(self.page, self.cursor.room))
        self.disk.compacted(priority, types, after, limit, self._owed_to, arrived)

    def _send_compacted(self, priority: int, after: int, found: Compacted) -> None:
        log = self.log
        conflicts = [c for c in log.open_conflicts(priority) if after < c.seq <= found.upto and self._decides(c)]
        frames, entries = compacted_frames(found, conflicts, log.registry, priority, log.node_id, log.now_iso())
        sent = list(self.cursor.sent)
        sent[priority] = found.upto
        self._hand_over(frames, entries, sent)

    def _decides(self, conflict: ConflictRow) -> bool:
        """Whether this terminal is told of an open conflict."""
        return self.monitor or f"write:{conflict.entity_type}" in self.names

    # ------------------------------------------------------------------ first synchronisation

    def _read_state(self, priority: int) -> None:
        """The entities of one class, a page at a time; then the class has the position the session began with."""
        types = self.log.registry.of_class(priority)
        self._reading = True
        limit = min(self.page, self.cursor.room)
        after = self._state_after.get(priority)

        def arrived(rows: Sequence[EntityRow] | Unreadable) -> None:
            if isinstance(rows, Unreadable):
                self._cannot_read(rows)
                return
            self._was_read()
            if self.closed:
                return
            if rows:
                self._state_after[priority] = (rows[-1].entity_type, rows[-1].entity_id)
            self._send_state(priority, rows, last=len(rows) < limit)
            self.pump()

        self.disk.state(types, after, limit, self.begun, self.terminal_id, arrived)

    def _send_state(self, priority: int, rows: Sequence[EntityRow], *, last: bool) -> None:
        log = self.log
        frames: list[Outgoing] = []
        entries: list[Entry] = []
        for row in rows:
            policy = log.registry.get(row.entity_type)
            if policy is None:
                continue
            try:
                frame = state_message(policy, row, node_id=log.node_id, at=log.now_iso())
            except ValueError:  # no JSON: its bytes were damaged
                said = f"{row.entity_type} {row.entity_id} is damaged in the node's database, and not sent"
                logger.error("%s; see `comanda verify`", said)
                ids = (row.entity_type, row.entity_id, self.terminal_id)
                frames.append(Outgoing(outgoing.sync_error(None, said, *ids, NotRead.code)))
                continue
            frames.append(Outgoing(frame))
            entries.append((NO_POSITION, priority, state_id(row.entity_type, row.entity_id, row.version)))
        sent = list(self.cursor.sent)
        if last:
            frames += [Outgoing(raised(c)) for c in log.open_conflicts(priority) if self._decides(c)]
            sent[priority] = self.begun
            entries.append((sent[priority], priority, PASSED))
        self._hand_over(frames, entries, sent)

    # ------------------------------------------------------------------ acknowledgements

    def probe(self, *, force: bool = False) -> None:
        """Ask for a pong that acknowledges what is under way, one at a time.

        A client that confirms is asked only when it leaves the window half full, or by `force` (the clock).
        """
        cursor = self.cursor
        if self._ping is not None or self.closed or not cursor.under_way:
            return
        if not force and cursor.room > cursor.window // 2:
            if cursor.confirms:
                return
            if self.log.mono_ms() - self._pinged_ms < PING_INTERVAL_MS:
                self._owed = True
                return
        self._ping, self._owed = cursor.serial, False
        self._pinged_ms = self.log.mono_ms()
        self.connection.ping(b"%d" % cursor.serial)

    def probe_owed(self) -> None:
        """Send the ping that `probe` held back."""
        if self._owed:
            self._owed = False
            self.probe(force=True)

    def pong(self, serial: int) -> None:
        if self._ping is None or serial != self._ping:
            return
        self._ping = None
        self.cursor.pong(serial)
        self.pump()

    def confirm(self, operation_id: str) -> bool:
        return self._confirmed(self.cursor.confirm(operation_id))

    def confirm_seq(self, seq: int) -> bool:
        return self.by_position and self._confirmed(self.cursor.confirm_seq(seq))

    def _confirmed(self, known: bool) -> bool:
        if known and min(self.cursor.sent) < self.log.head:
            self.pump()
        return known
