"""permessage-deflate (RFC 7692) for wsproto, which has it with gaps; and what a client may offer of it."""

from __future__ import annotations

import re
import zlib

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


class Deflate(PerMessageDeflate):
    """permessage-deflate (RFC 7692) with what wsproto's lacks, and small messages left alone.

    A message is refused (1009) as soon as it has grown past `max_message_bytes`, so that a compression bomb never
    takes more than that, or has taken twice as many compressed; a ping between two frames of a compressed message
    does not end its decompression; what follows a final block is read on (zlib would keep it all, as unused); and a
    server's answer to our offer is taken as RFC 7692 has it or not at all.
    """

    def __init__(self, client: bool, max_message_bytes: int) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=client)
        self._max = max_message_bytes
        self._control = False
        self._new_message()

    def _new_message(self) -> None:
        self._left = self._max
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
        try:
            grown = self._inflate(data, proto.client)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._left -= len(grown)
        return CloseReason.MESSAGE_TOO_BIG if self._left < 0 or self._left_compressed < 0 else grown

    def _inflate(self, data: bytes, client: bool) -> bytes:
        """At most one byte more than is left to the message."""
        grown = b""
        while data and len(grown) <= self._left and self._left_compressed >= 0:
            if self._decompressor is None or self._decompressor.eof:  # a final block ended its stream (7.2.1)
                self._decompressor = zlib.decompressobj(-(15 if client else self.client_max_window_bits))
                self._left_compressed -= _FINAL_BLOCK
            grown += self._decompressor.decompress(data, self._left + 1 - len(grown))
            data = self._decompressor.unused_data
        return grown

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        if self._control:
            return None
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
