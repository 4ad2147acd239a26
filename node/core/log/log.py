"""The log's open end: the last row with a number, the last durable one, and the group that is made durable next.

Only this file numbers rows and changes the head. What leaves the node goes into the group, and leaves once the group
is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from node.core.log.group import Group

if TYPE_CHECKING:
    from node.core.log.group import Recipient
    from storage.records import LogRow


@define(eq=False)
class Log:
    """head: the last row that has a number. committed: the last durable row. started_at: the head at the start."""

    head: int
    committed: int = field(init=False)
    started_at: int = field(init=False)
    group: Group = field(factory=Group)

    def __attrs_post_init__(self) -> None:
        self.committed = self.started_at = self.head

    def append(self, row: LogRow) -> None:
        """Number a row and put it into the current group."""
        self.head += 1
        row.seq = self.head
        self.group.commit.rows.append(row)

    def answer(self, recipient: Recipient, message: bytes, seq: int) -> bool:
        """Answer once row `seq` is durable. If it is, and no answer waits before this one, that is now.

        Returns whether the answer waits.
        """
        if seq <= self.committed and not self.group.replies:
            recipient.reply(message)
            return False
        self.group.replies.append((recipient, message))
        return True

    def take(self) -> Group:
        """The current group, sealed; a new one begins. Raises SealError, and then nothing has changed."""
        self.group.seal()
        group, self.group = self.group, Group()
        return group

    def durable(self, group: Group) -> None:
        """The group is stored."""
        if group.rows:
            self.committed = group.rows[-1].seq

    def undo(self) -> None:
        """A commit failed: the rows after the last durable one are gone, and their numbers are given out again."""
        self.head = self.committed
        self.group = Group()
