"""What outlasts an operation's row: 32 bytes, so that the operation is never applied or asked for a second time.

They are four little-endian words of 64 bits:

    op key
    link key                  0 for an operation that never had one
    HLC of its acceptance
    content, parts, version   23, 16 and 24 bits
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

WORDS = 4
RECORD_BYTES = 8 * WORDS
MOST_VERSION = 2**24 - 1
MOST_PARTS = 2**16 - 1


@frozen
class ArchivedOperation:
    """What is kept of one operation.

    op_key: of its name (`storage.records.op_key`).
    content: a check of what it said, which tells it from another operation of its name (`storage/understood.py`).
    parts: how many entities it touched; each of them keeps a record of it.
    """

    op_key: int
    link_key: int
    accepted: int
    content: int
    parts: int
    version: int


def pack_operations(operations: Iterable[ArchivedOperation]) -> bytes:
    words = array("q")
    for one in operations:
        last = one.content << 40 | min(one.parts, MOST_PARTS) << 24 | min(one.version, MOST_VERSION)
        words.extend((one.op_key, one.link_key, one.accepted, last))
    return _swapped(words).tobytes()


def unpack_operations(records: bytes) -> list[ArchivedOperation]:
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
