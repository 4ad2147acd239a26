"""What one commit persists, and what leaves once it has: commit, then send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field

from crdt.classes import define
from node.core.entities.entity import Entity
from node.core.ports import Disk, Health
from node.wire.messages import Message
from storage.records import Commit, FirstAttempt, Key, LogRow


class Recipient(Protocol):
    """A connected session, as far as an answer to it is concerned."""

    def reply(self, *messages: bytes) -> None:
        """Send JSON messages on this session's connection, if it is still there."""
        ...

    def again(self, messages: Sequence[Message]) -> None:
        """Decide messages once more that came before and were not stored, before everything that came since."""
        ...

    def lose(self, told: str) -> None:
        """Our own code failed on what this session waits for: close its connection. told: why."""
        ...


@define
class Refusal:
    """What becomes of a message whose group is not stored.

    say: makes what its author is told if it has to send the message again.
    message: makes the message, which is decided once more if the disk is well.
    """

    recipient: Recipient
    say: Callable[[], bytes]
    message: Callable[[], Message]


class SealError(Exception):
    """An entity cannot be encoded. key: which."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key[0]} {key[1]} cannot be written")
        self.key = key


@define(eq=False)
class Group:
    """Operations that share one transaction.

    replies: leave after the commit, in order, before the rows.
    """

    commit: Commit = field(factory=Commit)
    replies: list[tuple[Recipient, bytes]] = field(factory=list)
    refusals: list[Refusal] = field(factory=list)
    touched: dict[Key, Entity] = field(factory=dict)
    first_attempts: dict[tuple[str, str], FirstAttempt] = field(factory=dict)
    """(terminal, operation id) -> what the author knew; kept in case the commit fails and it is sent again."""
    looks: list[Callable[[Disk, Health], None]] = field(factory=list)
    """What is to be looked up on the disk once the group is durable."""

    @property
    def rows(self) -> list[LogRow]:
        return self.commit.rows

    def pending(self) -> bool:
        """Whether there is anything to write or to send."""
        return bool(self.replies) or bool(self.touched) or not self.commit.empty()

    def seal(self) -> None:
        """Encode every touched entity once, however many operations of the group touched it."""
        for entity in self.touched.values():
            try:
                self.commit.entities.append(entity.row())
            except Exception as error:
                raise SealError(entity.key) from error
