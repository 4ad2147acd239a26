"""Who sends an operation, and what they are known to have seen."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from node.core.log.group import Recipient
from storage.records import Try


class Nobody:
    """Whom nothing can be said to: the author sits on another node, which answers it, or is a node itself."""

    def reply(self, *messages: bytes) -> None:
        return None


NOBODY = Nobody()


def _nothing(_: int) -> int:
    return 0


@frozen
class Author:
    """Who sends an operation. acknowledged: log position confirmed so far, by priority class.

    received: the same of its latest connection, which may be sent again what an earlier one confirms late.
    began, resumed: when that connection began, its positions, and the last row that was numbered.
    tried: of an operation that was refused before, how it was then.
    """

    terminal_id: str
    terminal_type: str
    user_id: str | None
    acknowledged: Callable[[int], int]
    recipient: Recipient
    received: Callable[[int], int] = _nothing
    began: Callable[[int], int] = _nothing
    resumed: int = 0
    tried: Try | None = None


def absent(terminal_id: str, user_id: str | None = None) -> Author:
    """An author who is not connected here: a terminal of another node, or a node itself."""
    return Author(terminal_id, "", user_id, _nothing, NOBODY)
