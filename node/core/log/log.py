"""The log's open end: the last row with a number, the last durable one, and the group that is made durable next.

Only this file numbers rows and changes the head. What leaves the node goes into the group, and leaves once the group
is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.log.group import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.log.group import Recipient
    from storage.records import LogRow


@define(eq=False)
class Log:
    """head: the last row that has a number. committed: the last durable row. started_at: the head at the start."""

    head: int
    committed: int = field(init=False)
    started_at: int = field(init=False)
    group: Group = field(factory=Group)
    open_row: int = field(default=0, init=False)
    """The number of a row that is not decided to its end yet; 0 for none. The group waits for it."""
    _unsigned: int = field(init=False)
    """Up to this row operations may wait for a signature."""
    _when_signed: list[Callable[[], None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.committed = self.started_at = self._unsigned = self.head

    def append(self, row: LogRow) -> None:
        """Number a row and put it into the current group."""
        self.head += 1
        row.seq = self.head
        self.group.commit.rows.append(row)

    def reserve(self, row: LogRow) -> None:
        """Number a row of which no more is known than who wrote it. Nothing is stored until `close`."""
        self.append(row)
        self.open_row = row.seq

    def fill(self, row: LogRow) -> None:
        """Write the row whose number was reserved."""
        rows = self.group.commit.rows
        row.seq = self.open_row
        rows[row.seq - rows[0].seq] = row

    def close(self) -> None:
        """The operation whose row number was reserved is decided: what goes with its row is in the group."""
        self.open_row = 0

    def answer(self, recipient: Recipient, message: bytes, seq: int) -> bool:
        """Answer once row `seq` is durable. If it is, and no answer waits before this one, that is now.

        Returns whether the answer waits.
        """
        if seq <= self.committed and not self.group.replies:
            recipient.reply(message)
            return False
        self.group.replies.append((recipient, message))
        return True

    def when_signed(self, act: Callable[[], None]) -> None:
        """Call this once every durable operation that was accepted here is signed: at once, or after a commit."""
        if self._unsigned:
            self.group.commit.sign = True
            self._when_signed.append(act)
        else:
            act()

    def take(self) -> Group:
        """The current group, sealed; a new one begins. Raises SealError, and then nothing has changed."""
        self.group.seal()
        group, self.group = self.group, Group()
        if group.rows and not group.commit.sign:
            self._unsigned = group.rows[-1].seq
        return group

    def durable(self, group: Group) -> None:
        """The group is stored."""
        if group.rows:
            self.committed = group.rows[-1].seq

    def signed(self, group: Group) -> Sequence[Callable[[], None]]:
        """A durable group has been sent. Returns what waited for signatures, to be called."""
        if not group.commit.sign or self._unsigned > self.committed:
            return ()
        self._unsigned, acts, self._when_signed = 0, self._when_signed, []
        return acts

    def undo(self) -> None:
        """A commit failed: the rows after the last durable one are gone, and their numbers are given out again."""
        self.head = self._unsigned = self.committed
        self.open_row = 0
        self.group = Group()
        self._when_signed.clear()  # they wait on links, and no link outlives a failed commit
