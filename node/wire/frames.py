"""One message, encoded once and framed once for all who receive it (RFC 6455, RFC 7692)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFLATE_FROM = 1_024
"""Messages of this many bytes and more are compressed where the client agreed; smaller ones are sent plain."""

LARGE = 32 * 1024
FAST = 1
"""Messages of this many bytes and more are compressed at zlib's fastest level, so that nobody's turn is long."""

_TEXT = 0x81
_TEXT_DEFLATED = 0xC1


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


class Outgoing:
    """One JSON message for any number of connections. payload: UTF-8 bytes."""

    __slots__ = ("_deflated", "_plain", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._plain: bytes | None = None
        self._deflated: dict[int, bytes] | None = None

    def frame(self, window_bits: int) -> bytes:
        """An unmasked server text frame. Compressed without context takeover, so one serves everybody.

        window_bits: base-2 logarithm of the LZ77 window that the client asked for (9 to 15; nearly always 15), or 0
        for a client that agreed to no compression.
        """
        if window_bits and len(self.payload) >= DEFLATE_FROM:
            if self._deflated is None:
                self._deflated = {}
            deflated = self._deflated.get(window_bits)
            if deflated is None:
                level = FAST if len(self.payload) >= LARGE else zlib.Z_DEFAULT_COMPRESSION
                squeezer = zlib.compressobj(level, wbits=-window_bits)
                squeezed = squeezer.compress(self.payload) + squeezer.flush(zlib.Z_SYNC_FLUSH)
                deflated = self._deflated[window_bits] = _frame(_TEXT_DEFLATED, squeezed[:-4])
            return deflated
        if self._plain is None:
            self._plain = _frame(_TEXT, self.payload)
        return self._plain


class Batch:
    """Several messages as one write, joined once for all connections that get the same."""

    __slots__ = ("_joined", "messages")

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages = messages
        self._joined: dict[int, bytes] = {}

    def frame(self, window_bits: int) -> bytes:
        joined = self._joined.get(window_bits)
        if joined is None:
            joined = b"".join([message.frame(window_bits) for message in self.messages])
            self._joined[window_bits] = joined
        return joined
