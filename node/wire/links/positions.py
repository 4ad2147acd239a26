"""Places in a log, and how a node says that it holds a log up to there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import field, frozen

from node.errors import InvalidMessage
from node.wire.links.states import StateProgress, after_fields, progress_fields, read_after
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Sequence


MOST_POSITION = 2**62


@frozen
class Claim:
    """How much of a log the other side holds: one position a priority class, of that epoch, and the chain hash at the
    last row it got. An `empty` node holds no operation at all; after: the entities it got all the same, by class."""

    epoch: str | None
    positions: tuple[int, ...]
    mark: int
    mark_hash: bytes
    empty: bool = False
    after: Mapping[int, tuple[str, str]] = field(factory=dict)


def log_position(
    positions: Sequence[int], mark: int, mark_hash: bytes, head: int, progress: StateProgress | None = None
) -> bytes:
    """At the end of a frame of rows: with them the receiver holds the sender's log up to here."""
    message: dict[str, object] = {"type": "log_position", "positions": list(positions)}
    message |= {"mark": mark, "hash": mark_hash.hex(), "head": head}
    if progress is not None:
        message["state"] = progress_fields(progress)
    return orjson.dumps(message)


def claim_fields(claim: Claim) -> dict[str, object]:
    return {
        "epoch": claim.epoch,
        "positions": list(claim.positions),
        "mark": claim.mark,
        "hash": claim.mark_hash.hex(),
        "empty": claim.empty,
        "after": after_fields(claim.after),
    }


def position_confirmation(claim: Claim) -> bytes:
    """`sync_confirmation` by position: the log up to `seq` (by priority class, `positions`) is durable."""
    return orjson.dumps({"type": "sync_confirmation", "seq": max(min(claim.positions), 0), **claim_fields(claim)})


def read_positions(message: Mapping[str, Any]) -> tuple[int, ...]:
    positions = message.get("positions")
    if (
        type(positions) is not list
        or len(positions) != CLASSES
        or not all(type(p) is int and -1 <= p <= MOST_POSITION for p in positions)
    ):
        raise InvalidMessage(f"expected {CLASSES} positions", "$.positions")
    return tuple(positions)


def read_mark(message: Mapping[str, Any]) -> tuple[int, bytes]:
    mark, text = message.get("mark"), message.get("hash")
    if type(mark) is not int or not 0 <= mark <= MOST_POSITION or type(text) is not str or len(text) > 64:
        raise InvalidMessage("expected a row and its hash", "$.mark")
    try:
        return mark, bytes.fromhex(text)
    except ValueError:
        raise InvalidMessage("expected a hash in hex", "$.hash") from None


def read_claim(message: Mapping[str, Any]) -> Claim:
    epoch = message.get("epoch")
    if epoch is not None and (type(epoch) is not str or len(epoch) > 64):
        raise InvalidMessage("expected an epoch", "$.epoch")
    mark, mark_hash = read_mark(message)
    after = read_after(message.get("after", {}))
    return Claim(epoch, read_positions(message), mark, mark_hash, message.get("empty") is True, after)
