"""Who sends an operation, and what they are known to have seen."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from node.core.log.group import Recipient
from storage.records import CLASSES, Try

NOWHERE = (0,) * CLASSES
"""The position of an author that is not connected here."""


class Nobody:
    """Whom nothing can be said to: the author sits on another node, which answers it, or is a node itself."""

    def reply(self, *messages: bytes) -> None:
        return None


NOBODY = Nobody()


@frozen
class Author:
    """Who sends an operation. Positions are rows of the log, by priority class.

    acknowledged: confirmed so far on the connection on which it came.
    received: confirmed so far on the terminal's latest connection, which may be sent again what an earlier one
    confirms late.
    at_connect: the position with which that connection began.
    head_at_connect: the last row that had a number then.
    tried: for an operation that was refused before, what its author knew at the first attempt.
    """

    terminal_id: str
    terminal_type: str
    user_id: str | None
    recipient: Recipient
    acknowledged: Sequence[int] = NOWHERE
    received: Sequence[int] = NOWHERE
    at_connect: Sequence[int] = NOWHERE
    head_at_connect: int = 0
    tried: Try | None = None


def absent(terminal_id: str, user_id: str | None = None) -> Author:
    """An author who is not connected here: a terminal of another node, or a node itself."""
    return Author(terminal_id, "", user_id, NOBODY)
