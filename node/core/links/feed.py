"""What a linked node is sent of the log: many rows to a frame, confirmed by position.

A frame is a JSON array of `data_sync`, then a `log_position`: with these rows the receiver holds this log up to
there. Rows that came from the peer itself, and rows that concern this node only, are passed over. Operations that a
comparison found missing go out in between, by link key. If the row of one is archived, its entities are sent instead.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from node.core.log.entries import NO_POSITION, NOTHING
from node.core.log.messages import state_id
from node.wire.frames import Outgoing
from node.wire.heads import Head
from node.wire.links.history import HistoryPosition
from node.wire.links.history import position as history_position
from node.wire.links.history import proofs as history_proofs
from node.wire.links.operations import operation_message
from node.wire.links.positions import log_position
from node.wire.links.states import LARGEST_STATE, StateProgress, state_messages, state_operation
from storage.answers import PAGE_BYTES
from storage.packed import RECORD_BYTES
from storage.proofs import runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from node.core.delivery.delivery import Delivery
    from node.core.log.entries import Entry
    from node.core.log.ring import RingRow
    from node.core.ports import Unreadable
    from storage.answers import Compacted, Page, Whole
    from storage.records import LogRow

logger = logging.getLogger("comanda.link")

LINK_PAGE = 128
"""Most rows read from disk at once for one link."""

LINK_OUTBOX = 4 * 1024 * 1024
"""Bytes queued on a link above which nothing more is handed to it."""

FRAME_BYTES = 64 * 1024
"""About how much goes into one frame."""

LINK_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest frame of a link: one operation of the largest message, as update and as JSON, of `[limits] bulk_bytes`."""

MOST_WANTED = 1_000_000
"""Operations that a comparison found missing and that wait to be sent. The next one finds what is beyond it."""

HISTORY_PAGE = 64
"""Rows of a page of history. Reading and encoding one are turns for which everybody else waits."""

PAGES = 8
"""Pages of history under way: while they are taken, the next ones come."""

RECORDS_BYTES = 10_000 * RECORD_BYTES
"""Archived operations named in one message, 32 bytes each."""


@define(eq=False)
class History:
    """Rows that the other side asks for after whole entities.

    after: the last one that was sent. here: the last one that the other side has. pages: where each page under way
    ends.
    """

    after: int
    upto: int
    here: int = field(init=False)
    pages: deque[int] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self.here = self.after

    def confirmed(self, after: int) -> bool:
        """The other side has them up to this row. Returns whether what is under way goes on from there: whoever asks
        again only waits."""
        if after == self.here:
            return True
        if after not in self.pages:
            return False
        while self.pages.popleft() != after:
            pass
        self.here = after
        return True


@define(eq=False, kw_only=True)
class LinkFeed:
    """What one link is sent.

    total, operations: how many entities and operations this node has, for the other side's progress bar.
    later: calls a function after others had their turn.
    outgoing: makes the message of a frame, or finds the one that another link was just sent.
    """

    total: Callable[[], int]
    operations: Callable[[], int]
    later: Callable[[Callable[[], None]], None]
    outgoing: Callable[[bytes], Outgoing] = Outgoing
    peer: str = field(default="", init=False)
    """The other side as "node:epoch". Rows that came from there are not sent back."""
    _state_after: dict[int, tuple[str, str]] = field(factory=dict, init=False)
    _wanted: deque[int] = field(factory=deque, init=False)
    _history: History | None = field(default=None, init=False)
    _lacked: dict[str, set[int]] = field(factory=dict, init=False)
    _searched: tuple[str, frozenset[int], str] | None = field(default=None, init=False)
    """The search for archived operations under way: (entity type, link keys, entity to go on after)."""
    _told: tuple[int, ...] = field(default=NOTHING, init=False)
    _last_row: tuple[int, bytes] = field(default=(0, b""), init=False)
    """The last row of this log that was sent or passed over, and its hash."""
    _states: int = field(default=0, init=False)
    _rest: Iterator[bytes] | None = field(default=None, init=False)
    """Of the page that is sent: what is left. Nothing else is read or sent meanwhile."""

    @property
    def owed_to(self) -> str | None:
        return None

    @property
    def again_upto(self) -> int:
        return 0

    @property
    def audited(self) -> bool:
        return False

    def start(self, delivery: Delivery[Any], positions: Sequence[int], after: Mapping[int, tuple[str, str]]) -> None:
        """Go on from `positions`, where the other side holds the log.

        after: for a class without a position, the last entity that it has.
        """
        self._state_after.update(after)
        delivery.window.sent = tuple(positions)
        delivery.window.confirm_upto(positions)
        delivery.held = False
        delivery.pump()

    def pumped(self, delivery: Delivery[Any]) -> None:
        self._send_wanted(delivery)

    def stuck(self, delivery: Delivery[Any], why: Unreadable) -> None:
        logger.warning(
            "%(peer)s is not sent what comes next: %(reason)s",
            {"peer": self.peer or "a linked node", "reason": why.reason},
        )

    def tell_position(self, delivery: Delivery[Any]) -> None:
        """Every PING_INTERVAL_MS: tell the position if rows were only passed over, so the other side keeps up."""
        if self._rest is not None:
            self._hand_over(delivery)
            return
        if not (delivery.held or delivery.closed) and delivery.window.sent != self._told:
            self._send(delivery, [])
        self._send_wanted(delivery)

    def lag(self, delivery: Delivery[Any]) -> int:
        """Rows of the log that the other side has not confirmed, and operations that it is still to be sent."""
        behind: int = delivery.log.head - min(delivery.window.positions)
        searched = len(self._searched[1]) if self._searched is not None else 0
        if self._history is not None:
            behind += self._history.upto - self._history.after
        return behind + len(self._wanted) + searched + sum(map(len, self._lacked.values()))

    # ------------------------------------------------------------------ the log

    def types(self, entity_types: Sequence[str]) -> Sequence[str]:
        return entity_types

    def take(self, row: RingRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        if row.seq > self._last_row[0]:
            self._last_row = (row.seq, row.row.hash)
        linked = row.linked if row.row.via != self.peer else None
        if linked is not None:
            frames.append(Outgoing(linked))
            entries.append((row.seq, row.priority, row.row.operation_id))

    def sending(self, delivery: Delivery[Any]) -> None:
        """The other side confirms by position, of its own accord."""

    def send(self, delivery: Delivery[Any], frames: list[Outgoing]) -> None:
        self._send(delivery, [frame.payload for frame in frames])

    def _send(self, delivery: Delivery[Any], messages: list[bytes]) -> None:
        """Send messages in frames of about FRAME_BYTES. The position goes with the last."""
        messages.append(self._position(delivery))
        _send_frames(delivery, messages)

    def _position(self, delivery: Delivery[Any], progress: StateProgress | None = None) -> bytes:
        self._told = delivery.window.sent
        return log_position(self._told, *self._last_row, delivery.log.head, progress)

    def _send_bit_by_bit(self, delivery: Delivery[Any], messages: Iterator[bytes]) -> None:
        """Send a page of whole entities, however large they are: PAGE_BYTES in a turn, and while the outbox has
        room."""
        delivery.reading, self._rest = True, messages
        self._hand_over(delivery)

    def _hand_over(self, delivery: Delivery[Any]) -> None:
        rest, part, size = self._rest, list[bytes](), 0
        if rest is None or delivery.closed or delivery.connection.outbox_bytes > delivery.outbox_high:
            return
        try:
            for message in rest:
                part.append(message)
                size += len(message)
                if size > PAGE_BYTES:
                    break
            else:
                self._rest = None
            _send_frames(delivery, part)
        except Exception as error:
            delivery.failed(error)
            return
        if self._rest is not None:
            self.later(lambda: self._hand_over(delivery))
        else:
            delivery.reading = False
            delivery.pump()

    # ------------------------------------------------------------------ whole entities

    def compacted(self, delivery: Delivery[Any], priority: int, after: int, found: Compacted) -> None:
        window = delivery.window
        sent = list(window.sent)
        sent[priority] = found.upto
        window.sending([(whole.seq, priority, _name(whole)) for whole in found.wholes])
        window.passed(sent)
        self._send_bit_by_bit(delivery, chain(_wholes(delivery, found.wholes), [self._position(delivery)]))

    def read_state(self, delivery: Delivery[Any], priority: int) -> None:
        types, after = delivery.log.registry.of_class(priority), self._state_after.get(priority)
        limit = min(delivery.page, delivery.window.room)

        def then(wholes: Page[Whole]) -> None:
            if wholes:
                self._state_after[priority] = (wholes[-1].row.entity_type, wholes[-1].row.entity_id)
            self._send_wholes(delivery, priority, wholes, last=not wholes.more)

        delivery.disk.wholes(types, after, limit, delivery.read(then))

    def _send_wholes(self, delivery: Delivery[Any], priority: int, wholes: Sequence[Whole], *, last: bool) -> None:
        """Send a page of entities of one class as whole documents.

        The position follows the last page of the class.
        """
        window = delivery.window
        self._states += len(wholes)
        sent = list(window.sent)
        if last:
            sent[priority] = delivery.committed_at_connect
            self._state_after.pop(priority, None)
        window.sending([(NO_POSITION, priority, _name(whole)) for whole in wholes])
        window.passed(sent)
        progress = StateProgress(dict(self._state_after), self._states, self.total())
        self._send_bit_by_bit(delivery, chain(_wholes(delivery, wholes), [self._position(delivery, progress)]))

    # ------------------------------------------------------------------ what a comparison found missing

    def want(self, delivery: Delivery[Any], link_keys: Iterable[int]) -> None:
        """Send these operations too, whatever the position is. link_keys: in log order."""
        self._wanted.extend(islice(link_keys, max(MOST_WANTED - len(self._wanted), 0)))
        delivery.pump()

    def lacks(self, delivery: Delivery[Any], entity_type: str, link_keys: Set[int]) -> None:
        """Send the entities that these archived operations are part of."""
        under_way = self._searched[1] if self._searched is not None else frozenset()
        self._lacked.setdefault(entity_type, set()).update(link_keys - under_way)
        delivery.pump()

    def _send_wanted(self, delivery: Delivery[Any]) -> None:
        """Send what the other side asked for, whoever finds that there is room. While the delivery is held, some of
        it may have no signature yet: it waits as the log does."""
        if delivery.held or delivery.reading or delivery.closed:
            return
        if delivery.connection.outbox_bytes > delivery.outbox_high:
            return
        if not self._wanted:
            self._send_lacked(delivery)
            if not delivery.reading:
                self._send_history(delivery)
            return
        keys = [self._wanted.popleft() for _ in range(min(LINK_PAGE, len(self._wanted)))]

        def then(rows: Page[LogRow]) -> None:
            if rows.more:
                came = {row.link_key for row in rows}
                self._wanted.extendleft(key for key in reversed(keys) if key not in came)
            made = [delivery.log.attempt(("row", row.seq), partial(operation_message, row)) for row in rows]
            _send_frames(delivery, [message for message in made if message is not None])

        delivery.disk.linked(keys, delivery.read(then, undo=lambda: self._wanted.extendleft(reversed(keys))))

    def send_history(self, delivery: Delivery[Any], after: int, upto: int) -> None:
        """Send the operations of these rows, a page at a time; the other side asks on after each."""
        under_way = self._history
        if under_way is None or under_way.upto != upto or not under_way.confirmed(after):
            self._history = History(after, upto)
        delivery.pump()

    def _send_history(self, delivery: Delivery[Any]) -> None:
        history = self._history
        if history is None or history.after >= history.upto or len(history.pages) >= PAGES:
            return

        def then(rows: Page[LogRow]) -> None:
            if history is not self._history:
                return
            history.after = rows[-1].seq if rows.more else history.upto
            history.pages.append(history.after)
            made = [
                delivery.log.attempt(("row", row.seq), partial(operation_message, row))
                for row in rows
                if row.link_key is not None
            ]
            at = HistoryPosition(history.after, history.upto, self.operations())
            proofs = history_proofs(runs_of(row for row in rows if row.link_key is not None))
            _send_frames(
                delivery, [proofs, *(message for message in made if message is not None), history_position(at)]
            )

        delivery.disk.history(history.after, history.upto, HISTORY_PAGE, delivery.read(then))

    def _send_lacked(self, delivery: Delivery[Any]) -> None:
        """Send one page of the search through a type's archived operations.

        Later requests wait for the next search.
        """
        if self._searched is None:
            entity_type = next((t for t, keys in self._lacked.items() if keys), None)
            if entity_type is None:
                return
            self._searched = (entity_type, frozenset(self._lacked.pop(entity_type)), "")
        entity_type, keys, after = self._searched

        def then(found: tuple[Sequence[Whole], str | None]) -> None:
            wholes, following = found
            self._searched = (entity_type, keys, following) if following is not None else None
            self._send_bit_by_bit(delivery, _wholes(delivery, wholes))

        delivery.disk.lacking(entity_type, after, keys, delivery.read(then))


def _send_frames(delivery: Delivery[Any], messages: Iterable[bytes]) -> None:
    """Send messages as JSON arrays of about FRAME_BYTES each. One that no frame holds is left out, and named."""
    part: list[bytes] = []
    size = 0
    for message in messages:
        if len(message) > LINK_MESSAGE_BYTES - len("[]"):
            _leave_out(delivery, message)
            continue
        if part and size + len(message) > FRAME_BYTES:
            delivery.connection.send(delivery.feed.outgoing(b"[" + b",".join(part) + b"]"))
            part, size = [], 0
        part.append(message)
        size += len(message)
    if part:
        delivery.connection.send(delivery.feed.outgoing(b"[" + b",".join(part) + b"]"))


def _leave_out(delivery: Delivery[Any], message: bytes) -> None:
    head = Head(depth=32)
    head.feed(message[:FRAME_BYTES])
    named = head.names()
    what = f"operation {named.get('operation_id')} of {named.get('entity_type')} {named.get('entity_id')}"
    delivery.log.leave_out(what, len(message))


def _name(whole: Whole) -> str:
    return state_id(whole.row.entity_type, whole.row.entity_id, whole.row.version)


def _wholes(delivery: Delivery[Any], wholes: Iterable[Whole]) -> Iterator[bytes]:
    """Entities for another node, without those that our own code cannot send, and those that are too large."""
    log = delivery.log
    for whole in wholes:
        if len(whole.row.snapshot) > LARGEST_STATE:
            log.leave_out(f"{whole.row.entity_type} {whole.row.entity_id}", len(whole.row.snapshot))
            continue
        operations = log.attempt(("whole", _name(whole)), partial(_operations, whole))
        for operation in operations or ():
            yield from state_messages(operation, whole.row.snapshot)


def _operations(whole: Whole) -> list[bytes]:
    """The operations under which an entity is sent whole: very many archived ones are named in several."""
    key, records, name = (whole.row.entity_type, whole.row.entity_id), whole.records, _name(whole)
    return [
        state_operation(name, key, records[first : first + RECORDS_BYTES], () if first else whole.closed)
        for first in range(0, max(len(records), 1), RECORDS_BYTES)
    ]
