"""What a terminal is sent of the log: the messages of each row that is for it.

In a class of which it has nothing yet, it is sent the entities as they are.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt.classes import define
from node.core.delivery.archived_part import compacted_messages, raised
from node.core.entities.again import OfAll, with_more
from node.core.log.entries import NO_POSITION, PASSED, Entry
from node.core.log.messages import state_id, state_message
from node.errors import EntityTooLarge, NotRead
from node.wire import outgoing
from node.wire.fitting import MOST_CUT, fitting, shows
from node.wire.frames import Batch, Outgoing
from storage.answers import PAGE_BYTES
from storage.records import CLASSES, ConflictRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.delivery.delivery import Delivery
    from node.core.log.ring import RingRow
    from node.core.ports import Unreadable
    from storage.answers import Compacted, Page
    from storage.records import EntityRow

logger = logging.getLogger("comanda.core")


@define(eq=False, kw_only=True)
class TerminalFeed:
    """names: the terminal's id, and `resolve:<type>` for each entity type whose conflicts it may resolve (notices).
    reads: the entity types that it may read; None for all.
    monitor: whether it is told what monitors are.
    audited: whether it is sent the audit.
    """

    terminal_id: str
    names: frozenset[str]
    reads: frozenset[str] | None
    monitor: bool
    audited: bool
    by_position: bool
    """Whether the terminal confirms by position. Its rows then carry `seq`."""
    again: OfAll
    """What it is sent once more, by class (node/core/entities/again.py)."""
    told: tuple[int, ...]
    """By priority class, up to where the terminal has confirmed rows.

    A state shows entities, and no refusal or notice. So those that came since follow it.
    """
    _stated: list[int] = field(factory=lambda: [NO_POSITION] * CLASSES, init=False)
    """By priority class, the last row that a state has shown already."""
    _state_after: dict[int, tuple[str, str]] = field(factory=dict, init=False)
    """Priority class -> the last entity of the state that was sent."""
    _untold: dict[int, deque[ConflictRow]] = field(factory=dict, init=False)
    """Priority class whose entities were all sent -> its open conflicts that are still to be told."""

    def go_back(self, after: Sequence[int], head: int, acked: Sequence[int]) -> None:
        """Rows up to `head` may come once more; the entities of a class without a position come from the first.

        after, acked: by class, the row after which they may, and up to where the terminal has confirmed rows.
        """
        self.again = with_more(self.again, after, head)
        self.told = tuple(map(max, self.told, acked))
        self._stated = [NO_POSITION] * CLASSES
        self._state_after.clear()
        self._untold.clear()

    @property
    def owed_to(self) -> str | None:
        return self.terminal_id

    @property
    def again_upto(self) -> int:
        return self.again[-1][1]

    def types(self, entity_types: Sequence[str]) -> Sequence[str]:
        return entity_types if self.reads is None else [name for name in entity_types if name in self.reads]

    def take(self, row: RingRow, frames: list[Outgoing], entries: list[Entry]) -> None:
        if self.reads is not None and row.row.entity_type not in self.reads:
            return
        if row.seq <= self._stated[row.priority]:
            if row.audience is None or self.terminal_id not in row.audience:
                return
            row = row.told
        before = len(frames)
        if row.for_terminal(self.terminal_id, self.names, self.again[-1][1]) or (self.monitor and row.monitors):
            frames.extend(row.numbered if self.by_position else row.frames)
        if self.audited:
            frames.extend(row.audit)
        if len(frames) > before:
            entries.append(row.entry)

    def sending(self, delivery: Delivery[Any]) -> None:
        """Once half the window is under way, ask for it: the answer comes while the other half is read. A window of
        less than two pages is asked for at its end."""
        if delivery.half_full and delivery.window.most >= 2 * delivery.page:
            delivery.probe()

    def send(self, delivery: Delivery[Any], frames: list[Outgoing]) -> None:
        delivery.connection.send(Batch(frames))

    def stuck(self, delivery: Delivery[Any], why: Unreadable) -> None:
        """Tell the terminal once that it is behind; otherwise its user would trust a frozen screen. Its writes still
        work."""
        said = "the node cannot read from its disk what you missed; you get it as soon as it can"
        message = outgoing.sync_error(None, said, None, None, self.terminal_id, NotRead.code)
        delivery.connection.send(Outgoing(message))

    def pumped(self, delivery: Delivery[Any]) -> None:
        delivery.probe()

    def compacted(self, delivery: Delivery[Any], priority: int, after: int, found: Compacted) -> None:
        log = delivery.log
        conflicts = [c for c in log.open_conflicts(priority) if after < c.seq <= found.upto and self._decides(c)]
        messages, entries = compacted_messages(found, conflicts, log.registry, priority, log.node_id, log.now_iso())
        frames = [Outgoing(part) for text in messages for part in fitting(text, log.message_bytes)]
        sent = list(delivery.window.sent)
        sent[priority] = found.upto
        self._stated[priority] = NO_POSITION  # what is sent here is as old as the archive: the rows after it follow
        delivery.hand_over(frames, entries, sent)

    def _decides(self, conflict: ConflictRow) -> bool:
        """Whether this terminal is told of an open conflict."""
        if self.reads is not None and conflict.entity_type not in self.reads:
            return False
        return self.monitor or f"resolve:{conflict.entity_type}" in self.names

    # ------------------------------------------------------------------ first synchronisation

    def read_state(self, delivery: Delivery[Any], priority: int) -> None:
        """Read a page of the entities of one class. Its open conflicts follow, about PAGE_BYTES of them at a time.

        After the last of them the class stands where the terminal has confirmed rows; of those up to
        `committed_at_connect` it is sent what is for it by name.
        """
        if priority in self._untold:
            self._tell_conflicts(delivery, priority, [], [])
            return
        types, after = self.types(delivery.log.registry.of_class(priority)), self._state_after.get(priority)
        limit = delivery.at_once_read

        def then(rows: Page[EntityRow]) -> None:
            if rows:
                self._state_after[priority] = (rows[-1].entity_type, rows[-1].entity_id)
            self._send_state(delivery, priority, rows, last=not rows.more)

        since = delivery.committed_at_connect
        delivery.disk.state(types, after, limit, since, self.terminal_id, delivery.read(then))

    def _send_state(self, delivery: Delivery[Any], priority: int, rows: Sequence[EntityRow], *, last: bool) -> None:
        log = delivery.log
        frames: list[Outgoing] = []
        entries: list[Entry] = []
        for row in rows:
            policy = log.registry.get(row.entity_type)
            if policy is None:
                continue
            if len(row.view) > MOST_CUT * log.message_bytes:
                log.leave_out(f"{row.entity_type} {row.entity_id}", len(row.view))
                frames.append(Outgoing(self._too_large(row)))
                continue
            name = ("state", row.entity_type, row.entity_id)
            make = partial(state_message, policy, row, node_id=log.node_id, at=log.now_iso())
            try:
                frame = log.attempt(name, make)
            except ValueError:  # no JSON: its bytes were damaged
                frame = None
            if frame is None:
                frames.append(Outgoing(self._damaged(row)))
                continue
            parts = fitting(frame, log.message_bytes)
            frames += map(Outgoing, parts)
            if shows(parts):
                entries.append((NO_POSITION, priority, state_id(row.entity_type, row.entity_id, row.version)))
        if last:
            self._untold[priority] = deque(c for c in log.open_conflicts(priority) if self._decides(c))
            self._tell_conflicts(delivery, priority, frames, entries)
        else:
            delivery.hand_over(frames, entries, list(delivery.window.sent))

    def _tell_conflicts(
        self, delivery: Delivery[Any], priority: int, frames: list[Outgoing], entries: list[Entry]
    ) -> None:
        """Send these messages, and then a page of the open conflicts of a class."""
        untold, sent, size = self._untold[priority], list(delivery.window.sent), 0
        while untold and size <= PAGE_BYTES:
            parts = fitting(raised(untold.popleft()), delivery.log.message_bytes)
            frames += map(Outgoing, parts)
            size += sum(map(len, parts))
        if not untold:
            del self._untold[priority]
            self._stated[priority] = delivery.committed_at_connect
            sent[priority] = min(self.told[priority], delivery.committed_at_connect)
        entries.append((sent[priority], priority, PASSED))
        delivery.hand_over(frames, entries, sent)

    def _too_large(self, row: EntityRow) -> bytes:
        said = f"{row.entity_type} {row.entity_id} has {len(row.view)} bytes, which is too large to be sent"
        return outgoing.sync_error(None, said, row.entity_type, row.entity_id, self.terminal_id, EntityTooLarge.code)

    def _damaged(self, row: EntityRow) -> bytes:
        entity = f"{row.entity_type} {row.entity_id}"
        said = f"{entity} is damaged in the node's database, and not sent"
        logger.error("damaged, and not sent: %(entity)s; see `comanda verify`", {"entity": entity})
        return outgoing.sync_error(None, said, row.entity_type, row.entity_id, self.terminal_id, NotRead.code)
