"""permessage-deflate (RFC 7692) for wsproto, which has it with gaps; and what a client may offer of it."""

from __future__ import annotations

import re
import zlib
from collections import deque

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.utilities import RemoteProtocolError

from node.wire.frames import DEFLATE_FROM

_DEFLATE_OFFER = re.compile(
    r"permessage-deflate(\s*;\s*(client_max_window_bits(\s*=\s*(9|1[0-5]))?|client_no_context_takeover|"
    r"server_no_context_takeover|server_max_window_bits\s*=\s*(9|1[0-5])))*"
)

_DEFLATE_ANSWER = re.compile(
    r"permessage-deflate(\s*;\s*(client_no_context_takeover|server_no_context_takeover|"
    r"client_max_window_bits\s*=\s*(9|1[0-5])|server_max_window_bits\s*=\s*([89]|1[0-5])))*"
)

_TAIL = b"\x00\x00\xff\xff"
"""What a sender takes off the end of a message."""

_FINAL_BLOCK = 1_024
"""How many compressed bytes a final block in the middle of a message counts for: each needs a fresh zlib stream."""


def usable_extension(offers: str) -> str | None:
    """The first part of a Sec-WebSocket-Extensions offer that can be agreed to; wsproto chokes on some others."""
    for offer in offers.split(","):
        parameters = _parameters(offer)
        if _DEFLATE_OFFER.fullmatch(offer.strip()) and len(dict(parameters)) == len(parameters):
            return offer.strip()
    return None


def _parameters(extension: str) -> list[tuple[str, str]]:
    """Names and values in one extension of such a header, its own name first."""
    parts = [part.partition("=") for part in extension.split(";")]
    return [(name.strip(), value.strip()) for name, _, value in parts]


SKIM_BYTES = 8 * 1024
"""How much of a message that is too big is decompressed at a time."""

_CHARACTER = 4
"""Most bytes of one character in UTF-8."""


class Deflate(PerMessageDeflate):
    """permessage-deflate (RFC 7692) with what wsproto's lacks, and small messages left alone.

    A message is refused (1009) as soon as it has grown past `max_message_bytes`, so that a compression bomb never
    takes more than that, or has taken twice as many compressed. A ping between two frames of a compressed message
    does not end its decompression; what follows a final block is read on (zlib would keep it all, as unused); and a
    server's answer to our offer is taken as RFC 7692 has it or not at all.

    Once `skim` was called (of a server), a message that grows past the limit is not refused yet: wsproto gets its
    first bytes and nothing more. The rest comes out of `more`, a little at a time, so that nobody's turn is long.
    """

    def __init__(self, client: bool, max_message_bytes: int) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=client)
        self._max = max_message_bytes
        self._skim_up_to = 0
        self._control = False
        self._skimming = False
        self._waiting: deque[bytes] = deque()
        """Of the message that is skimmed: what is still compressed."""
        self._left_to_skim = 0
        self._grown = b""
        """Of the same: what is decompressed, and `more` has not given out."""
        self._finishing = False
        self._tail_due = True
        self._new_message()

    def skim(self, up_to: int) -> None:
        """From now on, give out what is too big, up to so many bytes of a message; beyond them it is refused."""
        self._skim_up_to = up_to
        self._new_message()

    def _new_message(self) -> None:
        # A few bytes over the limit, so that what wsproto gets is too big and ends where a character does.
        self._left = self._max + (2 * _CHARACTER if self._skim_up_to else 0)
        self._left_compressed = 2 * self._max + _FINAL_BLOCK

    def finalize(self, offer: str) -> None:
        """The server's answer. Raises RemoteProtocolError for one that does not fit what we offered."""
        answer = dict(_parameters(offer))
        if self._enabled or not _DEFLATE_ANSWER.fullmatch(offer) or len(answer) < len(_parameters(offer)):
            raise RemoteProtocolError(f"it answers our offer of permessage-deflate with {offer[:200]!r}")
        self.client_max_window_bits = int(answer.get("client_max_window_bits", 15))
        # Where the answer lacks it, the server goes on with its context, whatever we asked for.
        self.server_no_context_takeover = "server_no_context_takeover" in answer
        self._enabled = True

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._control = opcode.iscontrol()
        if self._control:
            return CloseReason.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        if self._control or not self._inbound_compressed:
            return data
        self._left_compressed -= len(data)
        if self._skimming:
            self._waiting.append(data)
            return CloseReason.MESSAGE_TOO_BIG if self._left_compressed < 0 else b""
        try:
            grown, rest = self._inflate(data, proto.client)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(grown)
        if self._left_compressed < 0 or (self._left < 0 and not self._skim_up_to):
            return CloseReason.MESSAGE_TOO_BIG
        return grown if self._left >= 0 else self._skim_from(grown, rest)

    def _inflate(self, data: bytes, client: bool) -> tuple[bytes, bytes]:
        """At most one byte more than is left to the message; and what is still compressed."""
        grown = b""
        while data and len(grown) <= self._left and self._left_compressed >= 0:
            grown += self._stream(client).decompress(data, self._left + 1 - len(grown))
            data = self._rest()
        return grown, data

    def _stream(self, client: bool) -> zlib._Decompress:
        if self._decompressor is None or self._decompressor.eof:  # a final block ended its stream (7.2.1)
            self._decompressor = zlib.decompressobj(-(15 if client else self.client_max_window_bits))
            self._left_compressed -= _FINAL_BLOCK
        return self._decompressor

    def _rest(self) -> bytes:
        """What the stream has not decompressed of what it was given."""
        stream = self._decompressor
        return b"" if stream is None else (stream.unused_data if stream.eof else stream.unconsumed_tail)

    # ------------------------------------------------------------------ what is too big

    def _skim_from(self, grown: bytes, rest: bytes) -> bytes:
        """The message is too big: what wsproto still gets of it, up to the end of a character."""
        self._skimming = True
        self._left_compressed += 2 * self._skim_up_to
        self._left_to_skim = self._skim_up_to - self._max - 2 * _CHARACTER - 1
        if rest:
            self._waiting.append(rest)
        ends = [at for at in range(len(grown) - _CHARACTER, len(grown)) if at >= 0 and grown[at] & 0xC0 != 0x80]
        cut = ends[-1] if ends else len(grown)
        self._grown = grown[cut:]
        return grown[:cut]

    def more(self) -> bytes | CloseReason | None:
        """More of the message that is skimmed, at most SKIM_BYTES; None where there is nothing more yet."""
        if self._grown:
            grown, self._grown = self._grown, b""
            return grown
        found = self._next_of_waiting()
        if found is None and self._finishing and self._tail_due:
            self._tail_due = False
            if self._decompressor is not None and not self._decompressor.eof:
                self._waiting.append(_TAIL)
                found = self._next_of_waiting()
        if found is None and self._finishing:
            self._end_skimming()
        return found

    def _next_of_waiting(self) -> bytes | CloseReason | None:
        while self._waiting:
            data = self._waiting.popleft()
            try:
                grown = self._stream(client=False).decompress(data, SKIM_BYTES)
            except zlib.error:
                return CloseReason.INVALID_FRAME_PAYLOAD_DATA
            if rest := self._rest():
                self._waiting.appendleft(rest)
            elif len(grown) == SKIM_BYTES:
                self._waiting.appendleft(b"")  # the stream may hold more, of what it took
            self._left_to_skim -= len(grown)
            if self._left_to_skim < 0 or self._left_compressed < 0:
                return CloseReason.MESSAGE_TOO_BIG
            if grown:
                return grown
        return None

    def _end_skimming(self) -> None:
        """The message is over. The stream goes on with the next one, unless its last block was a final one."""
        if self.client_no_context_takeover or (self._decompressor is not None and self._decompressor.eof):
            self._decompressor = None
        self._skimming = self._finishing = False
        self._tail_due = True
        self._new_message()

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if self._control:
            return None
        if self._skimming:
            if fin:
                self._finishing = True
                self._inbound_compressed = None
            return b""
        if fin:
            self._new_message()
        rest: bytes | CloseReason | None = b""
        if fin and self._inbound_compressed and self._decompressor is not None and self._decompressor.eof:
            self._inbound_compressed = None  # it needs no tail
        else:
            rest = super().frame_inbound_complete(proto, fin)
        if self._decompressor is not None and self._decompressor.eof and fin:
            self._decompressor = None
        return rest

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        if fin and len(data) < DEFLATE_FROM:  # nothing here sends in fragments
            return rsv, data
        return super().frame_outbound(proto, opcode, rsv, data, fin)
