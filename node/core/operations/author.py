"""Who sends an operation, and what they are known to have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from attrs import evolve

from crdt.classes import define
from node.core.entities.again import OfAll
from node.core.log.group import Recipient
from storage.records import CLASSES, FirstAttempt

if TYPE_CHECKING:
    from node.wire.messages import Message

NOWHERE = (0,) * CLASSES
"""The position of an author that is not connected here."""


class Nobody:
    """A recipient that drops every answer: the author sits on another node, which answers it, or is a node itself."""

    def reply(self, *messages: bytes) -> None:
        return None

    def again(self, messages: Sequence[Message]) -> None:
        return None

    def lose(self, told: str) -> None:
        return None


NOBODY = Nobody()


class Sent(Protocol):
    """When a terminal was sent what (node/core/delivery/sendings.py)."""

    away: tuple[int, int]

    def as_now(self) -> Sent:
        """The same, whatever is sent from now on."""
        ...

    def by(self, mono_ms: int, priority: int) -> int:
        """The last row of a class that it had been sent by then."""
        ...

    def confirmed_by(self, mono_ms: int, priority: int, confirmed: int) -> int:
        """Of what it has confirmed of a class, what it may have confirmed by then."""
        ...

    def since(self, mono_ms: int, priority: int) -> int:
        """A row of a class before every row that it was sent from then on."""
        ...

    def waiting(self, priority: int) -> int:
        """A row of a class before every row that it was sent since it may have written what comes only now."""
        ...


@define
class Author:
    """Who sends an operation. Cursors are rows of the log, by priority class.

    acknowledged: confirmed so far on the connection on which the operation came.
    may_have_read: by priority class, the last row that was sent to the terminal and that it may have read.
    received: what its program has surely read, by what was confirmed on the terminal's latest connection. It may be
        sent rows again that an earlier connection confirms late.
    again: what it was sent once more on the latest connection, by class (node/core/entities/again.py).
    sendings: when the terminal was sent what.
    wrote_ms: when it wrote the operation at the latest, on the monotonic clock; None for now, or where nothing tells.
    age_ms: how long ago it wrote it at the most, by the timestamp alone; None where there is none.
    read_upto: the row up to which it says itself that it has read over HTTP, with an operation that rests on that.
    first_attempt: if the operation was refused before, what its author knew then.
    stranger: it comes from elsewhere, and no node that answers knows what it had seen there.
    """

    terminal_id: str
    terminal_type: str
    user_id: str | None
    recipient: Recipient
    acknowledged: Sequence[int] = NOWHERE
    may_have_read: Callable[[int], int] = NOWHERE.__getitem__
    received: Sequence[int] = NOWHERE
    again: OfAll = ((NOWHERE, 0),)
    first_attempt: FirstAttempt | None = None
    sendings: Sent | None = None
    wrote_ms: int | None = None
    age_ms: int | None = 0
    read_upto: int = -1
    stranger: bool = False

    def as_now(self) -> Author:
        """The same, whatever the terminal is sent and reads from now on."""
        may_have_read = tuple(map(self.may_have_read, range(CLASSES))).__getitem__
        sendings = None if self.sendings is None else self.sendings.as_now()
        return evolve(self, may_have_read=may_have_read, sendings=sendings)


def absent(terminal_id: str, user_id: str | None = None) -> Author:
    """An author who is not connected here: a terminal of another node, or a node itself."""
    return Author(terminal_id, "", user_id, NOBODY)
