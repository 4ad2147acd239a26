"""A load client that costs little, so that the node is what is measured; and what blocking ones share with it.

Unmasked server frames are parsed by hand, and frames are sent masked with the zero key (RFC 6455 allows any key, and
this one leaves the payload as it is).
"""

from __future__ import annotations

import base64
import os
import socket
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


def frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames of a server, each as its first byte (flags and opcode) and its payload; and what is left."""
    found = list[tuple[int, bytes]]()
    at, end = 0, len(data)
    while end - at >= 2:
        size, start = data[at + 1], at + 2
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[at + 2 : start], "big")
        if end < start + size:
            break
        found.append((data[at], data[start : start + size]))
        at = start + size
    return found, data[at:]


def upgrade(host: str, path: str, *headers: str) -> bytes:
    """The request that begins a WebSocket. headers: more of them."""
    key = base64.b64encode(os.urandom(16)).decode()
    more = "".join(f"{header}\r\n" for header in headers)
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ).encode()


def opened(port: int, path: str, *headers: str, patience_s: float) -> tuple[socket.socket, bytes]:
    """A blocking socket to a node here, as a WebSocket, and what came behind its head. Raises RuntimeError."""
    wire = socket.create_connection(("127.0.0.1", port), patience_s)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.sendall(upgrade("127.0.0.1", path, *headers))
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = wire.recv(65_536)
        if not part:
            break
        answer += part
    head, _, held = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"{path} was refused: {answer!r}")
    return wire, held


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
        await self._stream.send_all(upgrade(parts.netloc, f"{parts.path}?{parts.query}"))
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
        found, rest = frames(buffer)
        for first, payload in found:
            opcode = first & 15
            if opcode in (TEXT, BINARY):
                self.on_text(payload)
            elif opcode == PING:
                self._out.append(frame(payload, PONG))
                self._wake.set()
        return rest
