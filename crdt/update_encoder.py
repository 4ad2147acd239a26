"""The update of one edit, encoded without an engine: strings appended to a writer's own root array, and deletions.

Byte for byte what an engine makes of such a transaction, but for the order of several writers in the delete set,
which no reader minds. A document that is changed by applying updates only touches no root and needs no observer, so
that an engine gives its memory back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from crdt.engine import EngineError
from crdt.update_format import DEFAULT_LIMITS, UpdateLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Upper bounds of what one update spends beside its strings: on itself, on each string and on each deletion.
_UPDATE_BYTES = 64
_STRING_BYTES = 24
_DELETION_BYTES = 20

_BYTES = [bytes((n,)) for n in range(128)]
"""Numbers of one byte."""

_SHORT = [bytes((0x77, n)) for n in range(128)]
"""What comes before a string of so many bytes."""


def encode_edit(
    writer: int,
    first: int,
    texts: Sequence[str],
    deletes: Iterable[tuple[int, int]],
    limits: UpdateLimits = DEFAULT_LIMITS,
) -> bytes:
    """Append `texts` to the array of `writer` at clock `first`, and delete live strings: (writer, clock).

    Raises EngineError for what is no string that can be stored, for a string deleted twice, and for more than one
    update may hold. So `decode_update` takes whatever this returns.
    """
    clocks: dict[int, list[int]] = {}
    for owner, clock in deletes:
        clocks.setdefault(owner, []).append(clock)
    encoded = _encoded(texts, sum(map(len, clocks.values())), limits)
    parts = [b"\x00"]
    if encoded:
        parts = [b"\x01\x01", _writer(writer), _varint(first)]
        if first:
            parts += (b"\x88", _writer(writer), _varint(first - 1))
        else:
            name = b"%d" % writer
            parts += (b"\x08\x01", _BYTES[len(name)], name)
        parts.append(_varint(len(encoded)))
        for text in encoded:
            length = len(text)
            parts.append(_SHORT[length] if length < 128 else b"\x77" + _varint(length))
            parts.append(text)
    parts.append(_varint(len(clocks)))
    for owner, deleted in clocks.items():
        ranges = _ranges(deleted)
        parts += (_writer(owner), _varint(len(ranges)))
        for clock, length in ranges:
            parts += (_varint(clock), _varint(length))
    return b"".join(parts)


def _encoded(texts: Sequence[str], deletions: int, limits: UpdateLimits) -> list[bytes]:
    size = _UPDATE_BYTES + _STRING_BYTES * len(texts) + _DELETION_BYTES * deletions
    encoded = []
    for text in texts:
        if type(text) is not str:
            raise EngineError(f"only strings are stored, not {type(text).__name__}")
        try:
            encoded.append(text.encode())
        except UnicodeEncodeError:
            raise EngineError("a string with a lone surrogate cannot be stored") from None
        length = len(encoded[-1])
        if length > limits.string_bytes:
            raise EngineError(f"a string of {length} bytes, at most {limits.string_bytes} are stored")
        size += length
    if size > limits.update_bytes or max(len(texts), deletions) > limits.structs:
        raise EngineError(f"{len(texts)} strings and {deletions} deletions are too much for one update")
    return encoded


def _ranges(clocks: list[int]) -> list[tuple[int, int]]:
    """Neighbouring clocks as (first, length), in order."""
    if len(clocks) == 1:
        return [(clocks[0], 1)]
    ranges: list[tuple[int, int]] = []
    for clock in sorted(clocks):
        first, length = ranges[-1] if ranges else (-2, 1)
        if clock < first + length:
            raise EngineError(f"clock {clock} is deleted twice")
        if clock == first + length:
            ranges[-1] = (first, length + 1)
        else:
            ranges.append((clock, 1))
    return ranges


@lru_cache(maxsize=1_024)
def _writer(number: int) -> bytes:
    """The same few writers are named by every update, with numbers of eight bytes."""
    return _varint(number)


def _varint(number: int) -> bytes:
    """LEB128."""
    if number < 128:
        return _BYTES[number]
    if number < 1 << 14:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
