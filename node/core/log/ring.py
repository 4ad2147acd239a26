"""The recent end of the log in memory, encoded once and shared by all sessions."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import evolve, field

from crdt.classes import define
from node.core.log.entries import NOTICE, Entry
from node.core.log.messages import audit_entry
from node.wire import outgoing
from node.wire.fitting import NUMBERED_BYTES, fitting, shows
from node.wire.frames import Outgoing
from node.wire.links.operations import operation_message
from storage.records import LogRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@define(eq=False)
class RingRow:
    """A committed row as sessions and links need it.

    frames: its messages for a plain terminal, each encoded.
    audit: its `audit_log` message, if a monitor was connected when it was made.
    audience: the terminals it addresses. None for every terminal; its author is then left out unless `echo`.
    size: bytes that it takes in the ring.
    """

    seq: int
    priority: int
    author: str
    echo: bool
    audience: frozenset[str] | None
    monitors: bool
    frames: tuple[Outgoing, ...]
    audit: tuple[Outgoing, ...]
    entry: Entry
    size: int
    row: LogRow
    _linked: bytes | None = None
    _numbered: tuple[Outgoing, ...] | None = None

    @property
    def numbered(self) -> tuple[Outgoing, ...]:
        """The frames for a terminal that confirms by position, encoded once.

        The last has `seq`: it completes the row.
        """
        if self._numbered is None:
            last = [Outgoing(b'{"seq":%d,%b' % (self.seq, frame.payload[1:])) for frame in self.frames[-1:]]
            self._numbered = (*self.frames[:-1], *last)
        return self._numbered

    @property
    def told(self) -> RingRow:
        """A refusal or notice without what it shows: a state has shown that as it became since."""
        frames = tuple(frame for frame in self.frames if not shows([frame.payload]))
        return evolve(self, frames=frames, numbered=None)

    @property
    def linked(self) -> bytes | None:
        """The row as linked nodes are sent it, encoded once; None if it concerns this node only.

        A state is not passed on: who has not asked for it does not take it.
        """
        if self._linked is None and self.row.link_key is not None:
            self._linked = operation_message(self.row)
        return self._linked

    def for_terminal(self, terminal: str, names: frozenset[str], head_at_connect: int) -> bool:
        """Whether a terminal, known by these names (its id, and what it may write), gets this row.

        head_at_connect: the last row that had a number when it connected. Rows up to there may come a second time.
            Its own rows come with them; without those the rows of others would undo its writes on its screen.
        """
        if self.audience is None:
            return self.echo or self.author != terminal or self.seq <= head_at_connect
        return not self.audience.isdisjoint(names)


def ring_row(row: LogRow, most: int, *, audit: bool) -> RingRow:
    """A log row, encoded. most: bytes of a message. audit: also its `audit_log`, where a monitor is connected."""
    if row.kind == "operation" and not row.message and not audit:  # history: no terminal is sent it
        entry = (row.seq, row.priority, row.operation_id)
        return RingRow(
            row.seq, row.priority, row.terminal_id, row.echo, None, row.monitors, (), (), entry, row.size, row
        )
    told = row.kind in ("notice", "refused")
    texts = row.message.split(b"\n") if row.message else []
    if len(row.message) > most:
        texts = [part for text in texts for part in fitting(text, most - NUMBERED_BYTES)]
        told = not shows(texts)  # nothing of it fits
    frames = tuple(map(Outgoing, texts))
    audited: tuple[Outgoing, ...] = ()
    if audit and row.kind not in ("notice", "act"):
        audited = tuple(map(Outgoing, fitting(outgoing.audit_log(audit_entry(row)), most)))
    return RingRow(
        row.seq,
        row.priority,
        row.terminal_id,
        row.echo,
        frozenset(row.targets) if row.kind in ("notice", "refused", "act") else None,
        row.monitors,
        frames,
        audited,
        (row.seq, row.priority, NOTICE if told else row.operation_id),
        row.size + (sum(len(frame.payload) for frame in (*frames, *audited)) if frames or audited else 0),
        row,
    )


@define(eq=False)
class Ring:
    """The latest durable rows, bounded in number and bytes. Older ones are read from SQLite."""

    max_rows: int
    max_bytes: int
    head: int
    rows: deque[RingRow] = field(factory=deque)
    size: int = 0

    @property
    def reaches_back_to(self) -> int:
        """The last row that is *not* in memory: a cursor at or past it can be served from here."""
        return self.rows[0].seq - 1 if self.rows else self.head

    def extend(self, rows: Sequence[RingRow]) -> None:
        for row in rows:
            self.rows.append(row)
            self.size += row.size
        if rows:
            self.head = rows[-1].seq
        while len(self.rows) > self.max_rows or self.size > self.max_bytes:
            self.size -= self.rows.popleft().size

    def archived(self, upto: int) -> None:
        """Hold nothing up to this row: whoever lacks it lacks what became of it, and not the row."""
        while self.rows and self.rows[0].seq <= upto:
            self.size -= self.rows.popleft().size

    def begin_at(self, head: int) -> None:
        """Hold nothing up to this row: it is read from SQLite."""
        self.rows.clear()
        self.size, self.head = 0, head

    def after(self, seq: int) -> Iterator[RingRow]:
        """Rows after `seq`, in log order. `seq` must not be before `reaches_back_to`."""
        skip = len(self.rows) - (self.head - seq)
        rows = self.rows
        for place in range(max(skip, 0), len(rows)):
            yield rows[place]
