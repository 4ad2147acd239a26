"""What a linked node is sent: the same cursor over the log, many rows to a frame, confirmed by position.

A frame is a JSON array of `data_sync`, then a `log_position`: with these rows the receiver holds this log up to
there. Rows that came from the peer itself, and what is this node's alone, are passed over. Operations that a
comparison found missing go out between, by link key; those whose rows are archived as the entities they are part of.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.delivery.delivery import Delivery
from node.core.log.entries import NO_POSITION
from node.core.log.messages import state_id
from node.core.ports import Unreadable
from node.wire.frames import Outgoing
from node.wire.links.operations import operation_message
from node.wire.links.positions import log_position
from node.wire.links.states import (
    StateProgress,
    snapshot_b64,
    state_message,
    state_operation,
)
from storage.packed import RECORD_BYTES
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

    from node.core.log.entries import Entry
    from node.core.log.ring import RingRow
    from storage.answers import Compacted, Whole
    from storage.records import LogRow

logger = logging.getLogger("comanda.link")

LINK_PAGE = 128
"""Most rows read from disk at once for one link."""

LINK_WINDOW = 2_048
"""Most rows under way on one link."""

LINK_OUTBOX = 4 * 1024 * 1024
"""Bytes queued on a link above which nothing more is handed to it."""

FRAME_BYTES = 64 * 1024
"""About how much goes into one frame."""


RECORDS_BYTES = 10_000 * RECORD_BYTES
"""Archived operations named in one message, 32 bytes each."""


@define(eq=False)
class LinkDelivery(Delivery):
    """One link's place in the log. peer: "node:epoch" of the other side, whose own rows it is not sent."""

    peer: str = ""
    total: Callable[[], int] = lambda: 0
    """How many entities there are."""
    page: int = LINK_PAGE
    outbox_high: int = LINK_OUTBOX
    started: bool = False
    _wanted: deque[int] = field(factory=deque)
    _lacked: dict[str, set[int]] = field(factory=dict)
    _searched: tuple[str, frozenset[int], str] | None = None
    """Whose archived operations are looked through, for which keys, and after which entity."""
    _told: list[int] = field(factory=lambda: [NO_POSITION] * CLASSES)
    _mark: tuple[int, bytes] = (0, b"")
    _states: int = 0

    def start(self, positions: Sequence[int], after: Mapping[int, tuple[str, str]]) -> None:
        """The other side holds the log up to here: go on from there. after: of a class of which it holds no position,
        the last entity it has."""
        self._state_after.update(after)
        self.cursor.sent[:] = positions
        self.cursor.confirm_upto(positions)
        self.started = True
        self.pump()

    def live(self, previous_head: int, rows: int) -> bool:
        return False

    def probe(self, *, force: bool = False) -> None:
        """A node confirms by position; nothing has to be asked."""

    def _tell_stuck(self, unreadable: Unreadable) -> None:
        logger.warning("%s is not sent what comes next: %s", self.peer or "a linked node", unreadable.reason)

    def probe_owed(self) -> None:
        """Tell the position where rows were only passed over, so that the other side's place keeps up."""
        if self.started and not self.closed and self.cursor.sent != self._told:
            self._send([])
        self._send_wanted()

    @property
    def lag(self) -> int:
        """Rows of the log that the other side has not confirmed."""
        behind: int = self.log.head - min(self.cursor.positions)
        searched = len(self._searched[1]) if self._searched is not None else 0
        return behind + len(self._wanted) + searched + sum(map(len, self._lacked.values()))

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

    def _send(self, messages: list[bytes], progress: StateProgress | None = None) -> None:
        """Frames of about FRAME_BYTES; the position goes with the last."""
        self._told = list(self.cursor.sent)
        messages.append(log_position(self._told, *self._mark, self.log.head, progress))
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

    # ------------------------------------------------------------------ whole entities

    @property
    def _owed_to(self) -> str | None:
        return None

    def _send_compacted(self, priority: int, after: int, found: Compacted) -> None:
        sent = list(self.cursor.sent)
        sent[priority] = found.upto
        names = [state_id(w.row.entity_type, w.row.entity_id, w.row.version) for w in found.wholes]
        self.cursor.sending([(w.seq, priority, name) for w, name in zip(found.wholes, names, strict=True)])
        self.cursor.passed(sent)
        self._send([message for whole in found.wholes for message in _whole(whole)])

    def _read_state(self, priority: int) -> None:
        types, after = self.log.registry.of_class(priority), self._state_after.get(priority)
        self._reading = True
        limit = min(self.page, self.cursor.room)

        def arrived(wholes: Sequence[Whole] | Unreadable) -> None:
            if isinstance(wholes, Unreadable):
                self._cannot_read(wholes)
                return
            self._was_read()
            if self.closed:
                return
            if wholes:
                self._state_after[priority] = (wholes[-1].row.entity_type, wholes[-1].row.entity_id)
            self._send_wholes(priority, wholes, last=len(wholes) < limit)
            self.pump()

        self.disk.wholes(types, after, limit, arrived)

    def _send_wholes(self, priority: int, wholes: Sequence[Whole], *, last: bool) -> None:
        """The entities of one class, as whole documents. A position stands for all of a class."""
        names = [state_id(w.row.entity_type, w.row.entity_id, w.row.version) for w in wholes]
        self._states += len(wholes)
        sent = list(self.cursor.sent)
        if last:
            sent[priority] = self.begun
            self._state_after.pop(priority, None)
        self.cursor.sending([(NO_POSITION, priority, name) for name in names])
        self.cursor.passed(sent)
        messages = [message for whole in wholes for message in _whole(whole)]
        self._send(messages, StateProgress(dict(self._state_after), self._states, self.total()))

    # ------------------------------------------------------------------ what a comparison found missing

    def want(self, link_keys: Iterable[int]) -> None:
        """Send these operations too, whatever the cursor says. They are given in log order."""
        self._wanted.extend(link_keys)
        self.pump()

    def lacks(self, entity_type: str, link_keys: Set[int]) -> None:
        """Send the entities that these archived operations are part of."""
        under_way = self._searched[1] if self._searched is not None else frozenset()
        self._lacked.setdefault(entity_type, set()).update(link_keys - under_way)
        self.pump()

    def _send_wanted(self) -> None:
        if self._reading or self.closed or self.connection.outbox_bytes > self.outbox_high:
            return
        if not self._wanted:
            self._send_lacked()
            return
        keys = [self._wanted.popleft() for _ in range(min(LINK_PAGE, len(self._wanted)))]
        self._reading = True

        def arrived(rows: Sequence[LogRow] | Unreadable) -> None:
            if isinstance(rows, Unreadable):
                self._wanted.extendleft(reversed(keys))
                self._cannot_read(rows)
                return
            self._was_read()
            if not self.closed:
                self._frames([operation_message(row) for row in rows])
                self.pump()

        self.disk.linked(keys, arrived)

    def _send_lacked(self) -> None:
        """One page of a look through a type's archived operations; what is lacked meanwhile waits for the next."""
        if self._searched is None:
            entity_type = next((t for t, keys in self._lacked.items() if keys), None)
            if entity_type is None:
                return
            self._searched = (entity_type, frozenset(self._lacked.pop(entity_type)), "")
        entity_type, keys, after = self._searched
        self._reading = True

        def arrived(found: tuple[Sequence[Whole], str | None] | Unreadable) -> None:
            if isinstance(found, Unreadable):
                self._cannot_read(found)
                return
            self._was_read()
            wholes, following = found
            self._searched = (entity_type, keys, following) if following is not None else None
            if not self.closed:
                self._frames([message for whole in wholes for message in _whole(whole)])
                self.pump()

        self.disk.lacking(entity_type, after, keys, arrived)


def _whole(whole: Whole) -> Iterator[bytes]:
    """An entity for another node; of very many archived operations a part with each message."""
    key, snapshot = (whole.row.entity_type, whole.row.entity_id), snapshot_b64(whole.row.snapshot)
    name = state_id(*key, whole.row.version)
    for first in range(0, max(len(whole.records), 1), RECORDS_BYTES):
        closed = whole.closed if not first else ()
        yield state_message(
            state_operation(name, key, whole.records[first : first + RECORDS_BYTES], closed), snapshot
        )
