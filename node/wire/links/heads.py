"""`chain_heads`: what logs ended with, as their nodes signed it.

{"type": "chain_heads", "heads": [{"node", "epoch", "seq", "hash", "at", "key", "signature"}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from node.errors import InvalidMessage
from node.wire.codec import TERMINAL_ID
from node.wire.json_text import is_count
from node.wire.links.handshake import KEY_BYTES, MOST_CLOCK_MS, SIGNATURE_BYTES, hex_bytes
from node.wire.links.positions import MOST_POSITION
from storage.records import HeadRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HASH_BYTES = 32

MOST_HEADS = 16
"""Heads of one message."""


def head_fields(head: HeadRow) -> dict[str, object]:
    return {
        "node": head.node_id,
        "epoch": head.epoch,
        "seq": head.seq,
        "hash": head.hash.hex(),
        "at": head.at_ms,
        "key": head.key.hex(),
        "signature": head.signature.hex(),
    }


def heads_message(heads: Sequence[HeadRow]) -> bytes:
    return orjson.dumps({"type": "chain_heads", "heads": [head_fields(head) for head in heads]})


def read_heads(message: Mapping[str, Any], received_ms: int) -> list[HeadRow]:
    """received_ms: wall clock. Raises InvalidMessage."""
    heads = message.get("heads")
    if type(heads) is not list or len(heads) > MOST_HEADS:
        raise InvalidMessage(f"expected up to {MOST_HEADS} heads", "$.heads")
    return [head_of(head, received_ms) for head in heads]


def head_of(head: Any, received_ms: int) -> HeadRow:
    """One of them. Raises InvalidMessage."""
    match head:
        case {"node": str(node_id), "epoch": str(epoch), "seq": seq, "at": at_ms} if (
            TERMINAL_ID.match(node_id) is not None
            and 0 < len(epoch) <= 64
            and is_count(seq, MOST_POSITION, 1)
            and is_count(at_ms, MOST_CLOCK_MS)
        ):
            row_hash = hex_bytes(head.get("hash"), HASH_BYTES, "$.heads")
            key = hex_bytes(head.get("key"), KEY_BYTES, "$.heads")
            signature = hex_bytes(head.get("signature"), SIGNATURE_BYTES, "$.heads")
            return HeadRow(node_id, epoch, seq, row_hash, at_ms, key, signature, received_ms)
    raise InvalidMessage("expected a node, its epoch, a row and a time", "$.heads")
