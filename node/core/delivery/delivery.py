"""One path for live delivery, catch-up and first synchronisation: a window that follows the log.

`pump` sends what lies between the window and the head: from the shared ring or, when further behind, from SQLite,
critical classes first. A class without a position gets its entities' state and then the tail. A class whose position
is archived gets the state of what has changed since. `pump` stops when the window or the outbox is full, or to wait
for the disk. It is called again when there is room.

What a row becomes on its way, and how a state is written, differs between terminals and linked nodes: that is the
`Feed` (terminal_feed.py, node/core/links/feed.py).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import field

from crdt.classes import define
from node.core.delivery.window import Window
from node.core.entities.entity import NOT_LOADED
from node.core.log.entries import NO_POSITION, Entry
from node.core.log.ring import RingRow, ring_row
from node.core.log.view import TRIES, LogView
from node.core.ports import Connection, Disk, Unreadable
from node.wire.close_codes import INTERNAL_ERROR
from storage.answers import PAGE_BYTES
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from node.wire.frames import Batch, Outgoing
    from storage.answers import Compacted, Page
    from storage.records import LogRow

T = TypeVar("T")

PAGE = 128
"""Most rows or entities read from disk at once for one connection."""

PING_INTERVAL_MS = 50
"""How often a client that does not confirm is pinged at most while rows keep coming. After a silence it is pinged at
once, where few are (`PINGS`).

Each pong costs the node as much as a confirmation.
"""

OUTBOX_HIGH = 256 * 1024
"""Bytes queued on a connection above which nothing more is handed to it."""


class Feed(Protocol):
    """What one receiver is sent of the log. delivery: the one that the feed belongs to."""

    @property
    def owed_to(self) -> str | None:
        """The terminal whose unconfirmed notices come with the archived part of the log; None for nobody's."""
        ...

    @property
    def again_upto(self) -> int:
        """The last row of which the receiver is sent what it wrote itself, too."""
        ...

    @property
    def audited(self) -> bool:
        """Whether the receiver is sent the audit's entries too."""
        ...

    def types(self, entity_types: Sequence[str]) -> Sequence[str]:
        """Those of these entity types that the receiver may read."""
        ...

    def take(self, row: RingRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        """Add the messages of a row and its entry. A row that is not for this receiver adds nothing."""
        ...

    def sending(self, delivery: Delivery[Any]) -> None:
        """More is about to be counted and sent."""
        ...

    def send(self, delivery: Delivery[Any], frames: list[Outgoing]) -> None:
        """Write messages to the connection. The window has counted them."""
        ...

    def read_state(self, delivery: Delivery[Any], priority: int) -> None:
        """Ask the disk for the next page of entities of a class, and send them when they come."""
        ...

    def compacted(self, delivery: Delivery[Any], priority: int, after: int, found: Compacted) -> None:
        """Send a page of the archived part of the log, after row `after`. Raises NOT_LOADED."""
        ...

    def stuck(self, delivery: Delivery[Any], why: Unreadable) -> None:
        """What comes next cannot be read. Called once, until something can be read again."""
        ...

    def pumped(self, delivery: Delivery[Any]) -> None:
        """Everything that there is room for was sent."""
        ...


F = TypeVar("F", bound=Feed)


@define(eq=False, kw_only=True)
class Delivery(Generic[F]):
    """One connection's place in the log, and what moves it on.

    page: rows read from disk at once.
    outbox_high: bytes queued on the connection above which nothing more is handed to it.
    """

    window: Window
    feed: F
    log: LogView
    disk: Disk
    connection: Connection
    page: int = PAGE
    outbox_high: int = OUTBOX_HIGH
    committed_at_connect: int = field(init=False)
    """The log's last durable row when the connection began.

    What is committed later reaches the receiver as rows, even if the state that is read meanwhile shows it already.
    Entities that others have created since reach it as rows only.
    """
    closed: bool = field(default=False, init=False)
    held: bool = field(default=False, init=False)
    """Nothing is sent yet."""
    reading: bool = field(default=False, init=False)
    """The disk was asked; nothing is sent until it answers."""
    _timed: tuple[Entry, int] | None = field(default=None, init=False)
    """A row, and when its commit began: so long its delivery takes."""
    _ping: int | None = field(default=None, init=False)
    pinged_ms: int = field(default=-PING_INTERVAL_MS, init=False)
    """When the last ping was sent."""
    owed: bool = field(default=False, init=False)
    """A ping is held back."""
    _full: bool = field(default=False, init=False)
    """The outbox had no room when the pump stopped."""
    _stuck: bool = field(default=False, init=False)
    """What comes next could not be read. It is tried again by the clock, and nothing else is read until then."""
    _told_stuck: bool = field(default=False, init=False)
    _anchor: int = field(default=NO_POSITION, init=False)
    """Up to this row the receiver is sent what became of rows, and no rows: a part of that tells of no later part."""
    _back: bool = field(default=False, init=False)
    """What the disk was asked for is not what comes next any more."""

    def __attrs_post_init__(self) -> None:
        self.committed_at_connect = self.log.head

    # ------------------------------------------------------------------ live

    def follow(self, batch: Batch, entries: Sequence[Entry], previous: tuple[int, ...], now_ms: int) -> bool:
        """Send a commit's frames, joined once for all terminals that get the same rows. Returns whether: not where
        this connection had not everything up to `previous`, the level before, or has no room.

        entries: those of the rows. now_ms: by the monotonic clock.
        """
        window, log = self.window, self.log
        if self.reading or self.connection.outbox_bytes > self.outbox_high:
            return False
        room = window.follow(entries, previous, log.level)
        if room < 0:
            return False
        if entries:
            self.connection.send(batch)
            if log.timing and self._timed is None:
                self._timed = entries[-1], log.taken_ms
        if window.sendings is not None:
            window.sendings.followed(now_ms, previous, log.level)
        if self._ping is None and (not window.confirms or room <= window.most // 2):
            self.probe(now_ms)
        return True

    # ------------------------------------------------------------------ behind

    def pump(self) -> None:
        """Send what there is until the window is full, the outbox is, or the disk is asked."""
        try:
            self._pump()
        except Exception as error:
            self.failed(error)

    def _pump(self) -> None:
        window, log = self.window, self.log
        while not (self.closed or self.reading or self.held):
            self._full = self.connection.outbox_bytes > self.outbox_high
            if window.room <= 0 or self._full or window.sent == log.level:
                break
            behind = self._next_class()
            if behind is None:
                break
            if min(window.sent) >= max(log.ring.reaches_back_to, self._anchor):
                self._from_ring()
            elif window.sent[behind] == NO_POSITION:
                self.feed.read_state(self, behind)
            else:
                then = partial(self._rows, behind, log.head)
                self.disk.rows(behind, window.sent[behind], log.head, self.at_once_read, self.read(then))
        self.feed.pumped(self)

    def _next_class(self) -> int | None:
        """The most urgent class that has something; classes with nothing new are moved to the head."""
        window, log = self.window, self.log
        positions = list(window.sent)
        urgent = None
        for priority in range(CLASSES):
            if positions[priority] == NO_POSITION or log.class_heads[priority] > positions[priority]:
                urgent = priority if urgent is None else urgent
            else:
                positions[priority] = log.head
        window.passed(positions)
        return urgent

    def _from_ring(self) -> None:
        sent = self.window.sent
        after, most = min(sent), self.at_once
        frames: list[Outgoing] = []
        entries: list[Entry] = []
        size = 0
        take, failed = self.feed.take, self.log.failed
        for row in self.log.ring.after(after):
            if row.seq > sent[row.priority]:
                try:
                    if not failed or failed.get(("row", row.seq), 0) < TRIES:
                        take(row, frames, entries)
                except Exception:
                    self.log.not_sent(("row", row.seq))
                    raise
            after = row.seq
            size += row.size
            if len(entries) >= most or size > PAGE_BYTES:
                break
        self.hand_over(frames, entries, [max(position, after) for position in sent])

    def hand_over(self, frames: list[Outgoing], entries: list[Entry], sent: Sequence[int]) -> None:
        """Send these messages. sent: where the log was sent up to with them, by class."""
        if frames:
            self.feed.sending(self)
            self.window.sending(entries)
        self.window.passed(sent)
        self._note_sending()
        if frames:
            self.feed.send(self, frames)

    def _note_sending(self) -> None:
        window = self.window
        if window.sendings is not None:
            window.sendings.note(self.log.mono_ms(), window.sent)

    def go_back(self, positions: Sequence[int]) -> None:
        """Send again what comes after these positions. A page that is being read is dropped when it comes."""
        self._back = self.reading
        self.window.go_back(positions)
        if self.window.sendings is not None:
            self.window.sendings.again(self.log.mono_ms(), self.window.sent)
        self.committed_at_connect = self.log.head
        self.pump()

    # ------------------------------------------------------------------ reading

    def read(
        self, then: Callable[[T], None], undo: Callable[[], None] = lambda: None
    ) -> Callable[[T | Unreadable], None]:
        """The callback for a read of the disk. Nothing is sent until it is called.

        then: gets the answer, unless the connection is closed by then. The pump goes on after it.
        undo: called if the read failed. The read is tried again by the clock.
        """
        self.reading = True

        def arrived(found: T | Unreadable) -> None:
            try:
                if isinstance(found, Unreadable):
                    undo()
                    self._cannot_read(found)
                    return
                self.reading = self._told_stuck = False
                if self.closed:
                    return
                back, self._back = self._back, False
                if not back:
                    then(found)
                if not self.reading:
                    self.pump()
            except Exception as error:
                self.failed(error)

        return arrived

    def failed(self, error: Exception) -> None:
        """Our own code failed on what this connection is sent: it is closed, and nobody else notices."""
        told = self.log.faults.report("a delivery", b"", error)
        self.closed = True
        self.connection.close(INTERNAL_ERROR, told)

    def _cannot_read(self, why: Unreadable) -> None:
        self._stuck = True
        if not (self._told_stuck or self.closed):
            self._told_stuck = True
            self.feed.stuck(self, why)

    def read_again(self) -> None:
        """Once a second: go on where something could not be read, or the outbox was full with nothing to confirm."""
        if self._stuck:
            self._stuck = self.reading = False
            self.pump()
        elif self._full:
            self.pump()

    def _rows(self, priority: int, upto: int, rows: Page[LogRow] | None) -> None:
        if rows is None:
            self._read_compacted(priority)
            return
        frames: list[Outgoing] = []
        entries: list[Entry] = []
        for row in rows:
            take = partial(self._take_stored, row, frames, entries)
            self.log.attempt(("row", row.seq), take)
        sent = list(self.window.sent)
        sent[priority] = rows[-1].seq if rows.more else upto
        self.hand_over(frames, entries, sent)

    def _take_stored(self, row: LogRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        audit = self.feed.audited and self.log.audited(row.entity_type)
        self.feed.take(ring_row(row, self.log.message_bytes, audit=audit), frames, entries)

    def _read_compacted(self, priority: int) -> None:
        """The log does not reach back so far: send what has changed since as it is now; then go on in the log."""
        types, after = self.feed.types(self.log.registry.of_class(priority)), self.window.sent[priority]

        def then(found: Compacted) -> None:
            self._anchor = max(self._anchor, found.anchor)
            try:
                self.feed.compacted(self, priority, after, found)
            except NOT_LOADED as error:
                self.reading = True
                self._cannot_read(Unreadable(f"an archived entity is damaged: {error}"))

        limit, feed = max(1, self.at_once_read), self.feed
        self.disk.compacted(priority, types, after, limit, feed.owed_to, feed.again_upto, self.read(then))

    # ------------------------------------------------------------------ acknowledgements of a terminal

    @property
    def half_full(self) -> bool:
        """Whether half the window is under way."""
        return self.window.room <= self.window.most // 2

    @property
    def at_once(self) -> int:
        """Most rows that are sent together: half a window, so that one half is read while the other is sent; of a
        small window all."""
        return min(self.window.room, max((self.window.most + 1) // 2, self.page))

    @property
    def at_once_read(self) -> int:
        """Most rows or entities that are read from disk together."""
        return min(self.page, self.window.room)

    def probe(self, now_ms: int | None = None, *, force: bool = False) -> None:
        """Ask for a pong that acknowledges what is under way, one at a time.

        A client that confirms is asked only when it leaves the window half full, or by the clock (`force`). So is who
        has no more room for what is ready, whatever the clock says: its answer is what goes on with a backlog.
        """
        window = self.window
        if self._ping is not None or self.closed or not window.under_way:
            return
        if not force and not self.half_full:
            if window.confirms:
                return
            now_ms = self.log.mono_ms() if now_ms is None else now_ms
            stopped = self._full and self._behind
            if not stopped and (self.log.pings <= 0 or now_ms - self.pinged_ms < PING_INTERVAL_MS):
                self.owed = True
                return
        self._ping, self.owed = window.serial, False
        self.pinged_ms = self.log.mono_ms() if now_ms is None else now_ms
        self.log.pings -= 1
        self.connection.ping(b"%d" % window.serial)

    def owe_probe(self) -> None:
        """Each second: whoever leaves rows unacknowledged is to be asked, also a client that confirms."""
        self.owed = self.owed or (self._ping is None and bool(self.window.under_way))

    def probe_owed(self) -> None:
        """Send the ping that was held back."""
        self.owed = False
        self.probe(force=True)

    def pong(self, serial: int) -> None:
        if self._ping is None or serial != self._ping:
            return
        self._ping = None
        window, before = self.window, self.window.acked
        window.pong(serial)
        if window.sendings is not None and not window.confirms and window.acked is not before:
            window.sendings.arrived(self.log.mono_ms(), before)
        if window.under_way or self._behind:
            self.pump()

    def confirm(self, operation_id: str) -> bool:
        """A `sync_confirmation`. Returns whether such a row is under way."""
        return self._confirmed(self.window.confirm(operation_id))

    def confirm_seq(self, seq: int) -> bool:
        """A `sync_confirmation`. Returns whether such a row is under way."""
        return self._confirmed(self.window.confirm_seq(seq))

    def confirm_first(self, now_ms: int) -> None:
        """As `confirm` of `window.first`. now_ms: by the monotonic clock."""
        window, timed = self.window, self._timed
        everything = window.sent is self.log.level
        window.confirm_first(everything=everything)
        if timed is not None and window.acked[timed[0][1]] >= timed[0][0]:
            self._timed = None
            self.log.took(now_ms - timed[1])
        if not everything:
            self._go_on()

    @property
    def _behind(self) -> bool:
        return self.window.sent != self.log.level

    def _confirmed(self, known: bool) -> bool:
        window, timed = self.window, self._timed
        if timed is not None and window.acked[timed[0][1]] >= timed[0][0]:
            self._timed = None
            self.log.took(self.log.mono_ms() - timed[1])
        if known:
            self._go_on()
        return known

    def _go_on(self) -> None:
        """More is sent where there is room for a page: one row read from the disk costs as much as many. While there
        is not, more is under way that will be confirmed."""
        window = self.window
        if window.room >= min(self.page, window.most // 2) and self._behind:  # of a hundred asked, room is for one
            self.pump()
