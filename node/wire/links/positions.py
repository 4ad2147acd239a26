"""Places in a log, and how a node says that it holds a log up to there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field

from crdt.classes import frozen
from node.errors import InvalidMessage
from node.wire.json_text import is_count
from node.wire.links.states import StateProgress, after_fields, progress_fields, read_after
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence


MOST_POSITION = 2**62


@frozen
class Claim:
    """How much of a log its sender holds.

    epoch: of that log; None where nothing of it is held.
    positions: up to where, one a priority class.
    last_row, last_hash: the last row that it got, and that row's chain hash.
    empty: it holds no operation at all, and wants every entity.
    after: the last entity of each class that it got all the same.
    """

    epoch: str | None
    positions: tuple[int, ...]
    last_row: int
    last_hash: bytes
    empty: bool = False
    after: Mapping[int, tuple[str, str]] = field(factory=dict)


def log_position(
    positions: Sequence[int], last_row: int, last_hash: bytes, head: int, progress: StateProgress | None = None
) -> bytes:
    """At the end of a frame of rows: with them the receiver holds the sender's log up to here."""
    message: dict[str, object] = {"type": "log_position", "positions": list(positions)}
    message |= {"mark": last_row, "hash": last_hash.hex(), "head": head}
    if progress is not None:
        message["state"] = progress_fields(progress)
    return orjson.dumps(message)


def claim_fields(claim: Claim) -> dict[str, object]:
    return {
        "epoch": claim.epoch,
        "positions": list(claim.positions),
        "mark": claim.last_row,
        "hash": claim.last_hash.hex(),
        "empty": claim.empty,
        "after": after_fields(claim.after),
    }


def position_confirmation(claim: Claim, identification: Mapping[str, object] | None = None) -> bytes:
    """`sync_confirmation` by position: the log up to `seq` (by priority class, `positions`) is durable.

    identification: who sends it, where that is its first message.
    """
    seq = max(min(claim.positions), 0)
    return orjson.dumps({"type": "sync_confirmation", "seq": seq, **claim_fields(claim), **(identification or {})})


def read_positions(message: Mapping[str, Any]) -> tuple[int, ...]:
    """One a priority class. Raises InvalidMessage."""
    positions = message.get("positions")
    if (
        type(positions) is not list
        or len(positions) != CLASSES
        or not all(is_count(p, MOST_POSITION, -1) for p in positions)
    ):
        raise InvalidMessage(f"expected {CLASSES} positions", "$.positions")
    return tuple(positions)


def read_last_row(message: Mapping[str, Any]) -> tuple[int, bytes]:
    """(row, its chain hash). Raises InvalidMessage."""
    row, text = message.get("mark"), message.get("hash")
    if not is_count(row, MOST_POSITION) or type(text) is not str or len(text) > 64:
        raise InvalidMessage("expected a row and its hash", "$.mark")
    try:
        return row, bytes.fromhex(text)
    except ValueError:
        raise InvalidMessage("expected a hash in hex", "$.hash") from None


def read_head(message: Mapping[str, Any]) -> int:
    """The end of the sender's log; 0 where it does not say."""
    head = message.get("head")
    return head if is_count(head, MOST_POSITION) else 0


def read_claim(message: Mapping[str, Any]) -> Claim:
    """Raises InvalidMessage."""
    epoch = message.get("epoch")
    if epoch is not None and (type(epoch) is not str or len(epoch) > 64):
        raise InvalidMessage("expected an epoch", "$.epoch")
    last_row, last_hash = read_last_row(message)
    after = read_after(message.get("after", {}))
    return Claim(epoch, read_positions(message), last_row, last_hash, message.get("empty") is True, after)
