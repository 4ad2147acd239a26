"""One message, encoded once and framed once for all who receive it (RFC 6455, RFC 7692)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFLATE_FROM = 1_024
"""Messages of this many bytes and more are compressed where the client agreed; smaller ones are sent plain."""

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
        self._deflated: bytes | None = None

    def frame(self, deflate: bool) -> bytes:
        """An unmasked server text frame. Compressed without context takeover, so one serves everybody."""
        if deflate and len(self.payload) >= DEFLATE_FROM:
            if self._deflated is None:
                squeezer = zlib.compressobj(wbits=-15)
                squeezed = squeezer.compress(self.payload) + squeezer.flush(zlib.Z_SYNC_FLUSH)
                self._deflated = _frame(_TEXT_DEFLATED, squeezed[:-4])
            return self._deflated
        if self._plain is None:
            self._plain = _frame(_TEXT, self.payload)
        return self._plain


class Batch:
    """Several messages as one write, joined once for all connections that get the same."""

    __slots__ = ("_joined", "messages")

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages = messages
        self._joined: dict[bool, bytes] = {}

    def frame(self, deflate: bool) -> bytes:
        joined = self._joined.get(deflate)
        if joined is None:
            joined = self._joined[deflate] = b"".join([message.frame(deflate) for message in self.messages])
        return joined
