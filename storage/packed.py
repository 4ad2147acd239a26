"""What outlasts an operation's row: 32 bytes of it, so that it is never applied or asked for a second time.

Four little-endian words of 64 bits an operation: its op key; its link key (0: it never had one); the HLC of its
acceptance; and 23 bits of what it said, 16 of how many entities it touched, 24 of its version.
"""

from __future__ import annotations

import sys
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = 4
RECORD_BYTES = 8 * WORDS
MOST_VERSION = 2**24 - 1
MOST_PARTS = 2**16 - 1


@frozen
class ArchivedOperation:
    """content: tells the same operation from another one of its id. parts: entities it touched, of which each keeps a
    record of it."""

    op_key: int
    link_key: int
    accepted: int
    content: int
    parts: int
    version: int


def content_of(terminal_id: str, entity_type: object, entity_id: object, kind: object, data: object) -> int:
    """A check of what an operation says, below 2**23."""
    text = orjson.dumps([terminal_id, entity_type, entity_id, kind, data], option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(blake2b(text, digest_size=3).digest(), "big") >> 1


def authored_content(terminal_id: str, operation: bytes) -> int:
    """The same of a log row's operation."""
    said = orjson.loads(operation)
    words = (said.get("entity_type"), said.get("entity_id"), said.get("operation"), said.get("data", {}))
    return content_of(terminal_id, *words)


def pack(operations: Iterable[ArchivedOperation]) -> bytes:
    words = array("q")
    for one in operations:
        last = one.content << 40 | min(one.parts, MOST_PARTS) << 24 | min(one.version, MOST_VERSION)
        words.extend((one.op_key, one.link_key, one.accepted, last))
    return _swapped(words).tobytes()


def unpack(records: bytes) -> list[ArchivedOperation]:
    """records: a multiple of RECORD_BYTES."""
    words = _words(records)
    return [
        ArchivedOperation(
            words[place],
            words[place + 1],
            words[place + 2],
            words[place + 3] >> 40 & 0x7FFFFF,
            words[place + 3] >> 24 & MOST_PARTS,
            words[place + 3] & MOST_VERSION,
        )
        for place in range(0, len(words), WORDS)
    ]


def op_keys(records: bytes) -> array[int]:
    return _words(records)[0::WORDS]


def link_keys(records: bytes) -> array[int]:
    return _words(records)[1::WORDS]


def acceptances(records: bytes) -> array[int]:
    """HLCs."""
    return _words(records)[2::WORDS]


def _words(records: bytes) -> array[int]:
    words = array("q")
    words.frombytes(records)
    return _swapped(words)


def _swapped(words: array[int]) -> array[int]:
    if sys.byteorder == "big":
        words.byteswap()
    return words
