"""The rows under way on one connection: what was sent, what is acknowledged, and how much may be on its way.

A position is one number per priority class. `sent[c]` is the last row of class c written or passed over;
`acknowledged(c)` the end of the contiguous confirmed prefix. Rows that are not for this terminal are passed over
and need no confirmation. Acknowledged means: confirmed by `sync_confirmation`. Of a terminal that never confirms, it
means: sent before a WebSocket ping whose pong came back. A pong says only that a library has read, so for a terminal
that confirms it makes room for more rows and tells nothing else. Merely written to a socket is not acknowledged.

How many may be under way is configured (node/config): `[limits] window_rows` for a terminal, `[links]
window_rows` for a link.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import field

from crdt.classes import define
from node.core.delivery.sendings import Sendings
from node.core.log.entries import NOTHING, NOTICE, PASSED, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from storage.records import CursorRow


NOT_CONFIRMED = (NOTICE, PASSED)
"""What stands in the place of an operation's id where nobody confirms it."""

UNHEARD = 256
"""Ids of rows that a pong acknowledged, kept until the program confirms them. A larger window keeps as many as it has
rows."""

LET_GO_BITS = 8_192
"""In one bit each are kept the ids of those beyond: of 256 others, 3 in 100 share one."""


@define(eq=False)
class Window:
    """Cursors and rows under way of one connection. most: rows under way at once."""

    most: int
    sent: tuple[int, ...] = NOTHING
    """Replaced and never changed: all that are level have the log's own."""
    acked: tuple[int, ...] = NOTHING
    at_connect: tuple[int, ...] = NOTHING
    sent_before: tuple[int, ...] = NOTHING
    """What earlier connections of this terminal were sent."""
    sendings: Sendings | None = None
    """When this terminal was sent what."""
    _pending: deque[Entry] = field(factory=deque)
    _confirmed: Counter[str] = field(factory=Counter)
    """Ids that were confirmed before what was sent earlier, each as often as it was."""
    _first_pending: int = 0  # serial number of _pending[0]
    _arrived: int = 0
    """How many of the first rows in `_pending` have arrived, as a pong says, and wait for a confirmation."""
    _unheard: deque[str] = field(factory=deque)
    """Ids of the latest rows that a pong acknowledged before the terminal's program has confirmed them."""
    _let_go: int = 0
    """One bit of each id that `_unheard` had no room for, until a later one is heard of. A confirmation with such a
    bit may be of one of those, or of a later row with that id. It counts for none: a row that was read may count as
    not confirmed, and none as read that was not."""
    dirty: bool = False
    """`positions` moved since they were stored."""
    confirms: bool = False
    """The terminal sends `sync_confirmation`, on this connection or an earlier one."""

    @classmethod
    def at(cls, positions: Sequence[int], most: int) -> Window:
        """A window that resumes after `positions`, one a class."""
        window = cls(most)
        window.sent = window.acked = window.at_connect = tuple(positions)
        return window

    @classmethod
    def of(cls, cursor: CursorRow, most: int) -> Window:
        """A window that resumes where the cursor of its terminal is."""
        window = cls.at(cursor.positions, most)
        window.sent_before, window.confirms = cursor.sent, cursor.confirms
        return window

    @property
    def under_way(self) -> int:
        return len(self._pending) - self._arrived

    @property
    def pending(self) -> Iterable[Entry]:
        """The rows that are not acknowledged, in order."""
        return self._pending

    @property
    def room(self) -> int:
        return self.most - len(self._pending) + self._arrived

    @property
    def serial(self) -> int:
        """Number of the next row to be sent: a ping that carries it acknowledges every row before."""
        return self._first_pending + len(self._pending)

    @property
    def ever_sent(self) -> tuple[int, ...]:
        """What any connection of this terminal was sent, by class."""
        return tuple(map(max, self.sent, self.sent_before))

    def may_have_read(self, priority: int) -> int:
        """The last row of a class that the terminal may have read when it wrote what comes on this connection.

        A terminal that confirms says so before it writes. The confirmation of a row that an earlier connection was
        sent may have been lost.
        """
        before = self.sent_before[priority]
        return before if self.confirms else max(before, self.sent[priority])

    @property
    def heard(self) -> bool:
        """Whether the terminal confirms, and has confirmed all that is acknowledged. Of what a pong acknowledged
        while it seemed not to confirm its program may read some later."""
        return self.confirms and not self._unheard

    def read(self, mono_ms: int) -> tuple[int, ...]:
        """What the terminal's program has surely read, by class. What is acknowledged by pongs it may read late."""
        if self.heard or self.sendings is None:
            return self.acked
        return self.sendings.read(mono_ms, self.acked)

    def first_sent_here(self, operation_id: str | None) -> bool:
        """Whether the next row to be confirmed is this one, and no earlier connection was sent it.

        So its confirmation was made on this connection, and did not wait in a queue for it.
        """
        if not self._pending or self._unheard:
            return False
        seq, priority, waiting = self._pending[0]
        return waiting == operation_id and seq > self.sent_before[priority]

    @property
    def first(self) -> str:
        """The operation id of the oldest row under way, if that is the next one to be confirmed; else empty. Nobody
        confirms a notice."""
        operation_id = self._pending[0][2] if self._pending and not self._unheard else ""
        return operation_id if operation_id != NOTICE else ""

    @property
    def positions(self) -> tuple[int, ...]:
        """What is acknowledged, by class."""
        return self.acked

    def acknowledged(self, priority: int) -> int:
        return self.acked[priority]

    def go_back(self, positions: Sequence[int]) -> None:
        """The terminal was shown older rows meanwhile: what comes after these positions is sent again."""
        self.sent = tuple(map(min, self.sent, positions))
        self.acked = tuple(map(min, self.acked, positions))
        self.at_connect = tuple(map(min, self.at_connect, positions))
        self.dirty = True

    def follow(self, entries: Sequence[Entry], previous: tuple[int, ...], upto: tuple[int, ...]) -> int:
        """A commit's rows are written to the connection. Returns how much room is left; negative, and nothing is
        noted, where it had not everything up to the level before, or has no room for them.

        previous, upto: the log's level before the commit and with it.
        """
        pending, sent = self._pending, self.sent
        room = self.most - len(pending) + self._arrived - len(entries)
        if room < 0 or (sent is not previous and sent != previous):
            return -1
        pending.extend(entries)
        self.sent, self.dirty = upto, True
        if not pending or self._confirmed or self._arrived or pending[0][2] == PASSED:
            self._settle()
        return room

    def sending(self, entries: Iterable[Entry]) -> None:
        """Rows that were just written to the connection."""
        self._pending.extend(entries)

    def passed(self, upto: Sequence[int]) -> None:
        """All rows up to these positions were sent or are not for this terminal."""
        positions = tuple(upto)
        if self.sent != positions:
            self.sent = positions
            self.dirty = True
        self._settle()

    def confirm(self, operation_id: str) -> bool:
        """A `sync_confirmation`. False when no such row is surely under way (a repeat, or one never sent).

        Two terminals may give one id to two operations. It confirms the oldest one that is not confirmed; that may be
        acknowledged already.
        """
        self.confirms = True
        pending = self._pending
        if self._let_go and self._let_go & _bit(operation_id):
            return False
        if self._unheard and self._was_unheard(operation_id):
            return True
        for place, entry in enumerate(pending):
            if entry[2] == operation_id:  # nearly always the first row that is no notice
                self._pop(place + 1)
                self._settle()
                return True
            if entry[2] not in NOT_CONFIRMED:
                break
        if sum(entry[2] == operation_id for entry in pending) > self._confirmed[operation_id]:
            self._confirmed[operation_id] += 1
            self._settle()
            return True
        return False

    def confirm_first(self, *, everything: bool) -> None:
        """As `confirm` of `first`. everything: whether all rows of the log were sent, so every class is as far."""
        self.confirms = True
        pending, sent = self._pending, self.sent
        if everything and len(pending) == 1 and not self._confirmed and sent[0] >= max(self.acked):
            pending.clear()  # nearly always: nothing is left, so all that was sent is acknowledged
            self._first_pending += 1
            self._arrived = 0
            self.acked, self.dirty = sent, True
            return
        self._pop(1)
        self._settle()

    def confirm_seq(self, seq: int) -> bool:
        """A `sync_confirmation` by position: this row arrived, and with it all that was sent before. That is not all
        that is numbered before: urgent classes go first. False when no such row is under way."""
        self.confirms = True
        self._all_heard()
        for place, (row, _, operation_id) in enumerate(self._pending):
            if row == seq and operation_id != PASSED:
                self._take(place + 1)
                return True
        return False

    def pong(self, serial: int) -> None:
        """The pong to a ping sent when `serial` was the next number: all before it arrived.

        A terminal that lets as many rows as it may have under way go by without confirming one does not confirm.
        """
        arrived = min(serial - self._first_pending, len(self._pending))
        if self.confirms and arrived <= self.most:
            self._arrived = max(self._arrived, arrived)
            self._settle()
        else:
            self.confirms = False
            self._unheard.extend(
                entry[2] for entry in islice(self._pending, arrived) if entry[2] not in NOT_CONFIRMED
            )
            while len(self._unheard) > max(self.most, UNHEARD):
                self._let_go |= _bit(self._unheard.popleft())
            self._take(arrived)

    def _take(self, rows: int) -> None:
        """The first rows under way are acknowledged."""
        if self._confirmed:
            for place in range(rows):
                self._was_confirmed(self._pending[place][2])
        self._pop(rows)
        self._settle()

    def confirm_upto(self, positions: Sequence[int]) -> None:
        """A confirmation by position: the other side holds every row of each class up to there."""
        pending = self._pending
        while pending and pending[0][0] <= positions[pending[0][1]]:
            self._pop(1)
        self._acknowledge(map(min, positions, self.sent))
        self._settle()

    def _pop(self, rows: int) -> None:
        """Take away the first rows under way: each acknowledges its class up to itself. Where none is left, `_settle`
        acknowledges the same."""
        pending = self._pending
        self._first_pending += rows
        self._arrived = max(self._arrived - rows, 0)
        if rows and rows == len(pending) and max(pending)[0] <= min(self.sent):
            pending.clear()  # as `_settle` acknowledges what was sent, nearly always
            return
        acked = self.acked
        for _ in range(rows):
            seq, priority, _ = pending.popleft()
            if seq > acked[priority]:
                acked = (*acked[:priority], seq, *acked[priority + 1 :])
        if acked is not self.acked:
            self.acked, self.dirty = acked, True

    def _acknowledge(self, positions: Iterable[int]) -> None:
        """At least up to these."""
        acked = tuple(map(max, self.acked, positions))
        if acked != self.acked:
            self.acked = acked
            self.dirty = True

    def _was_unheard(self, operation_id: str) -> bool:
        """Whether a pong has acknowledged the row that is confirmed. Who confirms a later one has read all those."""
        if operation_id in self._unheard:
            while self._unheard.popleft() != operation_id:
                pass
            self._let_go = 0
            return True
        if any(entry[2] == operation_id for entry in self._pending):
            self._all_heard()
        return False

    def _all_heard(self) -> None:
        """The program has read everything that a pong acknowledged."""
        self._unheard.clear()
        self._let_go = 0

    def _was_confirmed(self, operation_id: str) -> bool:
        """Whether a row at the front was confirmed already; one confirmation counts for one row."""
        count = self._confirmed.get(operation_id, 0)
        if count > 1:
            self._confirmed[operation_id] = count - 1
        elif count:
            del self._confirmed[operation_id]
        return count > 0

    def _skipped(self, operation_id: str) -> bool:
        """Whether the row at the front needs no confirmation any more.

        A notice needs none once it arrived, or something later is confirmed. A row that arrived, and whose program
        confirmed a later one, was skipped.
        """
        if operation_id == NOTICE:
            return self._arrived > 0 or bool(self._confirmed)
        return self._arrived > 0 and bool(self._confirmed)

    def _needs_none(self, operation_id: str) -> bool:
        """Whether the row at the front was confirmed already, or needs no confirmation any more."""
        return self._was_confirmed(operation_id) or self._skipped(operation_id)

    def _settle(self) -> None:
        """Pass what needs no confirmation of its own, then let idle classes catch up with what was sent."""
        pending = self._pending
        while pending:
            operation_id = pending[0][2]
            late = self._confirmed or self._arrived
            if operation_id != PASSED and not (late and self._needs_none(operation_id)):
                return
            self._pop(1)
        if self._confirmed:
            self._confirmed.clear()
        if self.acked is not self.sent:
            if min(self.sent) >= max(self.acked):
                self.dirty = self.dirty or self.acked != self.sent
                self.acked = self.sent
            else:
                self._acknowledge(self.sent)


def _bit(operation_id: str) -> int:
    """The one in which an id is kept. The same in any process, as a simulated evening is."""
    return 1 << crc32(operation_id.encode()) % LET_GO_BITS
