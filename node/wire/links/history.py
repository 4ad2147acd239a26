"""How the history behind whole entities is asked for, by rows of the other node's log (node/core/links/history.py).

The operations themselves travel as ordinary `data_sync`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from attrs import frozen

from node.errors import InvalidMessage
from node.wire.json_text import is_count

if TYPE_CHECKING:
    from collections.abc import Mapping

TYPES = ("history_want", "history_position")

MOST = 2**53


@frozen
class HistoryPosition:
    """A `history_position`.

    at: with the operations before this message, everything up to this row of the sender's log came.
    upto: the last row that was asked for.
    held: operations that the sender holds.
    """

    at: int
    upto: int
    held: int


def want(after: int, upto: int) -> bytes:
    """`history_want`: send the operations of these rows. It confirms what came up to `after`."""
    return orjson.dumps({"type": "history_want", "after": after, "upto": upto})


def read_want(message: Mapping[str, Any]) -> tuple[int, int]:
    """(after, upto). Raises InvalidMessage."""
    match message:
        case {"after": after, "upto": upto} if is_count(after, MOST) and is_count(upto, MOST):
            return after, upto
    raise InvalidMessage("expected two rows", "$.after, $.upto")


def position(at: HistoryPosition) -> bytes:
    return orjson.dumps({"type": "history_position", "at": at.at, "upto": at.upto, "held": at.held})


def read_position(message: Mapping[str, Any]) -> HistoryPosition:
    """Raises InvalidMessage."""
    match message:
        case {"at": at, "upto": upto, "held": held} if all(is_count(n, MOST) for n in (at, upto, held)):
            return HistoryPosition(at, upto, held)
    raise InvalidMessage("expected a row of the history", "$.at")
