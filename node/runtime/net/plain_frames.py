"""Which frames of a client need no WebSocket library: a whole text message, or a pong, in one masked frame.

Nearly all that terminals send is such frames, and taking one apart here costs a tenth of what wsproto takes for it.
Everything else goes to wsproto, byte for byte and in order: fragments, what is compressed, pings and closes, what is
too large, what breaks a rule. A frame of which a read brought only a part is wsproto's too, so nothing waits here but
the bytes of a header. wsproto is always at the start of a frame when a plain one comes.
"""

from __future__ import annotations

from attrs import field

from crdt.classes import define

try:
    from websockets.speedups import apply_mask
except ImportError:  # a machine without the compiled part
    from websockets.utils import apply_mask

_TEXT = 0x81
_PONG = 0x8A
"""The first byte of such a frame: final, of no extension."""

_SHORT = 125
"""Most bytes whose number fits into the second byte."""

_MASKED = 0x80
_HEADER = 6
"""Bytes before the payload of a short masked frame."""

_FINAL, _CONTROL = 0x80, 0x08
_UNKNOWN = -1


class Pong(bytes):
    """The payload of a pong."""

    __slots__ = ()


Piece = str | Pong | bytes
"""A text message; a pong; or bytes that wsproto is to have."""


@define(eq=False)
class Cutter:
    """Cuts what one client sends, read by read. most: bytes of a text message that is taken apart here."""

    most: int
    _held: bytes = field(default=b"", init=False)
    """Of a header that is not complete yet."""
    _left: int = field(default=0, init=False)
    """Bytes still to come of a frame of which wsproto has the beginning."""
    _inside: bool = field(default=False, init=False)
    """A fragmented message is not over: a text frame breaks a rule then, and wsproto says which."""

    def only(self, data: bytes) -> str | Pong | None:
        """What was read, where it is one short plain frame and nothing else. Nearly every read is."""
        size = len(data) - _HEADER
        if not 0 <= size <= _SHORT or data[1] != size | _MASKED or self._held or self._left:
            return None
        first = data[0]
        if first == _TEXT and not self._inside:
            try:
                return apply_mask(data[_HEADER:], data[2:_HEADER]).decode()
            except UnicodeDecodeError:
                return None  # wsproto says so
        return Pong(apply_mask(data[_HEADER:], data[2:_HEADER])) if first == _PONG else None

    def cut(self, data: bytes) -> list[Piece]:
        """All that was read, in order."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[Piece] = []
        end = len(data)
        start, at = 0, min(self._left, end)
        self._left -= at
        while at < end:
            size = data[at + 1] if at + 1 < end else _UNKNOWN
            smallest, payload = 0, at + _HEADER
            if size > _SHORT | _MASKED or size < _MASKED:
                size, smallest, payload = _long_header(data, at)
            else:
                size -= _MASKED
            if payload > end:
                self._held = data[at:]
                break
            first, stop = data[at], payload + size
            piece: str | Pong | None = None
            if stop <= end and smallest <= size <= self.most:
                if first == _TEXT and not self._inside:
                    piece = _text(data[payload - 4 : payload], data[payload:stop])
                elif first == _PONG and size <= _SHORT:
                    piece = Pong(apply_mask(data[payload:stop], data[payload - 4 : payload]))
            if piece is None:
                if not first & _CONTROL:
                    self._inside = not first & _FINAL
                self._left, at = max(stop - end, 0), min(stop, end)
                continue
            if start < at:
                pieces.append(data[start:at])
            pieces.append(piece)
            start = at = stop
        if start < at:
            pieces.append(data[start:at])
        return pieces


def _long_header(data: bytes, at: int) -> tuple[int, int, int]:
    """Of a frame that is not both masked and short: its size, the smallest that may be written so (more than any
    where it is not masked), and where its payload begins (behind the end where the header is not complete)."""
    if at + 1 >= len(data):
        return 0, 0, len(data) + 1
    second, payload, smallest = data[at + 1], at + 2, 0
    size = second & ~_MASKED
    if size > _SHORT:
        wide = 2 if size == 126 else 8
        smallest = 126 if wide == 2 else 65_536
        size = int.from_bytes(data[payload : payload + wide], "big")
        payload += wide
    if second & _MASKED:
        return size, smallest, payload + 4
    return size, size + 1, payload


def _text(mask: bytes, payload: bytes) -> str | None:
    """None where it is not UTF-8: wsproto says so."""
    try:
        return apply_mask(payload, mask).decode()
    except UnicodeDecodeError:
        return None
