"""How the history behind whole entities is asked for, by rows of the other node's log (node/core/links/history.py).

The operations themselves travel as ordinary `data_sync`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import orjson

from crdt.classes import frozen
from node.errors import InvalidMessage
from node.wire.json_text import is_count
from storage.proofs import HASH, SIGNATURE, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPES = ("history_want", "history_position", "history_proofs")

MOST = 2**53

MOST_SIGNATURES = 512
"""Most signatures of one `history_proofs`."""

SIGNED = HASH + SIGNATURE
"""Bytes of what is signed together in it: tree and signature."""


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


def proofs(runs: Sequence[Run]) -> bytes:
    """`history_proofs`: of the operations that follow, who signed them."""
    said = [[run.origin, _text(run.before), _text(b"".join(map(b"".join, run.signed)))] for run in runs]
    return orjson.dumps({"type": "history_proofs", "runs": said})


def read_proofs(message: Mapping[str, Any]) -> list[Run]:
    """Raises InvalidMessage."""
    said = message.get("runs")
    if type(said) is not list or len(said) > MOST_SIGNATURES:
        raise InvalidMessage("expected runs of signatures", "$.runs")
    runs = [_run(one) for one in said]
    if sum(len(run.signed) for run in runs) > MOST_SIGNATURES:
        raise InvalidMessage("too many signatures", "$.runs")
    return runs


def _run(said: Any) -> Run:
    match said:
        case [str(origin), str(before_text), str(signed_text)]:
            try:
                before, signed = b64decode(before_text, validate=True), b64decode(signed_text, validate=True)
            except ValueError:
                raise InvalidMessage("expected base64", "$.runs") from None
            if len(before) == HASH and signed and not len(signed) % SIGNED:
                cut = [signed[place : place + SIGNED] for place in range(0, len(signed), SIGNED)]
                return Run(origin, before, [(one[:HASH], one[HASH:]) for one in cut])
    raise InvalidMessage("expected [node, what was before, signatures]", "$.runs")


def _text(value: bytes) -> str:
    return b64encode(value).decode()
