"""A load client that costs little, so that the node is what is measured.

It parses unmasked server frames by hand and sends frames masked with the zero key (RFC 6455 allows any key, and
this one leaves the payload as it is).
"""

from __future__ import annotations

import base64
import os
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, BINARY, PING, PONG = 0x1, 0x2, 0x9, 0xA


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client frame with a zero mask."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + b"\0\0\0\0" + payload
    if length < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length) + b"\0\0\0\0" + payload
    return struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length) + b"\0\0\0\0" + payload


class LoadClient:
    """One terminal. on_text gets each message's bytes, binary ones too. closes: it closes its socket when it goes."""

    def __init__(self, on_text: Callable[[bytes], None], *, closes: bool = True) -> None:
        self._closes = closes
        self.on_text = on_text
        self._out: list[bytes] = []
        self._wake = trio.Event()

    async def connect(self, url: str) -> None:
        parts = urlsplit(url)
        self._stream = await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)
        self._stream.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await self._stream.send_all(head.encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self._stream.receive_some(4096)
        answer, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(answer.decode("latin-1"))

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Queue a message; everything queued in one pass leaves as one write."""
        self._out.append(frame(payload, opcode))
        self._wake.set()

    async def run(self) -> None:
        """Read and write until the other side ends, or cancelled. The socket is closed then, as a program
        closes it: of one that stays a node asks first whether it is alive when its terminal comes back."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            if self._closes:
                await self._stream.aclose()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            out, self._out = b"".join(self._out), []
            await self._stream.send_all(out)

    async def _read(self) -> None:
        buffer = self._buffer
        while True:
            buffer = self._parse(buffer)
            data = await self._stream.receive_some(262_144)
            if not data:
                return
            buffer += data

    def _parse(self, buffer: bytes) -> bytes:
        place, end = 0, len(buffer)
        while end - place >= 2:
            opcode, length = buffer[place] & 0x0F, buffer[place + 1] & 0x7F
            start = place + 2
            if length == 126:
                if end - place < 4:
                    break
                length = int.from_bytes(buffer[place + 2 : place + 4], "big")
                start = place + 4
            elif length == 127:
                if end - place < 10:
                    break
                length = int.from_bytes(buffer[place + 2 : place + 10], "big")
                start = place + 10
            if end < start + length:
                break
            payload = buffer[start : start + length]
            place = start + length
            if opcode in (TEXT, BINARY):
                self.on_text(payload)
            elif opcode == PING:
                self._out.append(frame(payload, PONG))
                self._wake.set()
        return buffer[place:]
