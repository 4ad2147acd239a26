"""What a linked node is sent: the same cursor over the log, many rows to a frame, confirmed by position.

A frame is a JSON array of `data_sync`, then a `log_position`: with these rows the receiver holds this log up to
there. Rows that came from the peer itself, and what is this node's alone, are passed over. Operations that a
comparison found missing go out between, by link key.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.cursors import CLASSES, NO_POSITION
from node.core.delivery import Delivery
from node.wire.frames import Outgoing
from node.wire.link_messages import log_position, operation_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.core.cursors import Entry
    from node.core.ring import RingRow
    from storage.records import LogRow

LINK_PAGE = 512
"""Most rows read from disk at once for one link."""

LINK_WINDOW = 4_096
"""Most rows under way on one link."""

LINK_OUTBOX = 4 * 1024 * 1024
"""Bytes queued on a link above which nothing more is handed to it."""

FRAME_BYTES = 256 * 1024
"""About how much goes into one frame."""


@define(eq=False)
class LinkDelivery(Delivery):
    """One link's place in the log. peer: "node:epoch" of the other side, whose own rows it is not sent."""

    peer: str = ""
    page: int = LINK_PAGE
    outbox_high: int = LINK_OUTBOX
    started: bool = False
    _wanted: deque[int] = field(factory=deque)
    _told: list[int] = field(factory=lambda: [NO_POSITION] * CLASSES)
    _mark: tuple[int, bytes] = (0, b"")

    def start(self, positions: Sequence[int]) -> None:
        """The other side holds the log up to here: go on from there."""
        self.cursor.sent[:] = positions
        self.cursor.confirm_upto(positions)
        self.started = True
        self.pump()

    def live(self, previous_head: int, rows: int) -> bool:
        return False

    def probe(self, *, force: bool = False) -> None:
        """A node confirms by position; nothing has to be asked."""

    def probe_owed(self) -> None:
        """Tell the position where rows were only passed over, so that the other side's place keeps up."""
        if self.started and not self.closed and self.cursor.sent != self._told:
            self._send([])
        self._send_wanted()

    @property
    def idle(self) -> bool:
        """Whether everything of the log was sent and confirmed."""
        head = self.log.head
        return self.started and not self._wanted and min(self.cursor.positions) >= head

    # ------------------------------------------------------------------ the log

    def pump(self) -> None:
        if not self.started:
            return
        super().pump()
        self._send_wanted()

    def _take(self, row: RingRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        if row.seq > self._mark[0]:
            self._mark = (row.seq, row.row.hash)
        linked = row.linked if row.row.via != self.peer else None
        if linked is not None:
            frames.append(Outgoing(linked))
            entries.append((row.seq, row.priority, row.row.operation_id))

    def _hand_over(self, frames: list[Outgoing], entries: list[Entry], sent: Sequence[int]) -> None:
        self.cursor.sending(entries)
        self.cursor.passed(sent)
        if frames:
            self._send([frame.payload for frame in frames])

    def _send(self, messages: list[bytes]) -> None:
        """Frames of about FRAME_BYTES; the position goes with the last."""
        self._told = list(self.cursor.sent)
        messages.append(log_position(self._told, *self._mark, self.log.head))
        self._frames(messages)

    def _frames(self, messages: Sequence[bytes]) -> None:
        part: list[bytes] = []
        size = 0
        for message in messages:
            if part and size + len(message) > FRAME_BYTES:
                self.connection.send(Outgoing(b"[" + b",".join(part) + b"]"))
                part, size = [], 0
            part.append(message)
            size += len(message)
        if part:
            self.connection.send(Outgoing(b"[" + b",".join(part) + b"]"))

    # ------------------------------------------------------------------ what a comparison found missing

    def want(self, link_keys: Iterable[int]) -> None:
        """Send these operations too, whatever the cursor says. They are given in log order."""
        self._wanted.extend(link_keys)
        self.pump()

    def _send_wanted(self) -> None:
        if not self._wanted or self._reading or self.closed or self.connection.outbox_bytes > self.outbox_high:
            return
        keys = [self._wanted.popleft() for _ in range(min(LINK_PAGE, len(self._wanted)))]
        self._reading = True

        def arrived(rows: Sequence[LogRow]) -> None:
            self._reading = False
            if not self.closed:
                self._frames([operation_message(row) for row in rows])
                self.pump()

        self.disk.linked(keys, arrived)
