"""One message, encoded once and framed once for all who receive it (RFC 6455, RFC 7692)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFLATE_FROM = 1_024
"""Messages of this many bytes and more are compressed where the client agreed; smaller ones are sent plain."""

HEAVY = 8 * 1024
"""So many bytes that are still to be compressed are not compressed between two turns, but on a thread."""

LARGE = 32 * 1024
FAST = 1
"""Messages of this many bytes and more are compressed at zlib's fastest level."""

MOST_LATEST = 4
"""Most messages that `Latest` remembers."""

_TEXT = 0x81
_TEXT_DEFLATED = 0xC1


def _frame(first: int, payload: bytes, mask: bytes = b"") -> bytes:
    length, masked = len(payload), 0x80 if mask else 0
    if length < 126:
        return bytes((first, masked | length)) + mask + payload
    if length < 65_536:
        return struct.pack("!BBH", first, masked | 126, length) + mask + payload
    return struct.pack("!BBQ", first, masked | 127, length) + mask + payload


class Outgoing:
    """One JSON message for any number of connections. payload: UTF-8 bytes."""

    __slots__ = ("_deflated", "_plain", "payload")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self._plain: bytes | None = None
        self._deflated: dict[int, bytes] | None = None

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return len(self.payload)

    def heavy(self, window_bits: int) -> bool:
        """Whether `frame` has to compress more than what fits between two turns."""
        return len(self.payload) >= HEAVY and not self.ready(window_bits)

    def ready(self, window_bits: int) -> bool:
        """Whether `frame` has nothing to compress."""
        small = not window_bits or len(self.payload) < DEFLATE_FROM
        return small or (self._deflated is not None and window_bits in self._deflated)

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
                deflated = self._deflated[window_bits] = _frame(_TEXT_DEFLATED, deflated_payload(self, window_bits))
            return deflated
        if self._plain is None:
            self._plain = _frame(_TEXT, self.payload)
        return self._plain

    def masked(self, window_bits: int, draw: Callable[[int], bytes]) -> bytes:
        """A client's text frame, under a mask of its own. draw: so many random bytes."""
        first, payload, mask = _TEXT, self.payload, draw(4)
        if window_bits and len(payload) >= DEFLATE_FROM:
            first, payload = _TEXT_DEFLATED, _carried(self.frame(window_bits))
        key = (mask * (len(payload) // 4 + 1))[: len(payload)]
        hidden = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        return _frame(first, hidden.to_bytes(len(payload), "big"), mask)


def _carried(frame: bytes) -> bytes:
    """The payload of an unmasked frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def deflated_payload(message: Outgoing, window_bits: int) -> bytes:
    """What a frame of the message carries, compressed."""
    level = FAST if len(message.payload) >= LARGE else zlib.Z_DEFAULT_COMPRESSION
    squeezer = zlib.compressobj(level, wbits=-window_bits)
    return (squeezer.compress(message.payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Latest:
    """The messages worth compressing that were sent last. Whoever is sent the same bytes next, as another link that
    stands at the same place of the log, gets the same message: it is compressed once for all of them."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: dict[bytes, Outgoing] = {}

    def outgoing(self, payload: bytes) -> Outgoing:
        if len(payload) < DEFLATE_FROM:
            return Outgoing(payload)
        message = self._messages.pop(payload, None) or Outgoing(payload)
        self._messages[payload] = message
        if len(self._messages) > MOST_LATEST:
            del self._messages[next(iter(self._messages))]
        return message


class Batch:
    """Several messages as one write, joined once for all connections that get the same."""

    __slots__ = ("_joined", "messages")

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages = messages
        self._joined: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Bytes of the messages."""
        return sum(len(message.payload) for message in self.messages)

    def heavy(self, window_bits: int) -> bool:
        """As that of a message."""
        if not window_bits or window_bits in self._joined:
            return False
        return sum(len(m.payload) for m in self.messages if not m.ready(window_bits)) >= HEAVY

    def frame(self, window_bits: int) -> bytes:
        joined = self._joined.get(window_bits)
        if joined is None:
            joined = b"".join([message.frame(window_bits) for message in self.messages])
            self._joined[window_bits] = joined
        return joined

    def masked(self, window_bits: int, draw: Callable[[int], bytes]) -> bytes:
        """As that of a message."""
        return b"".join([message.masked(window_bits, draw) for message in self.messages])
