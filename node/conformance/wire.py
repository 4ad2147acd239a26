"""Frames and the opening handshake of a WebSocket client that may also send what RFC 6455 forbids.

The suite brings its own, so that a node is not judged by the code it is made of, and so that it can send a frame
without a mask or a text that is not UTF-8. `frame` and `Frames` serve both directions.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
COMPRESSED = 4
"""RSV1, which marks a compressed message (RFC 7692)."""

NO_CLOSE_FRAME, NO_CODE = 1006, 1005
READ_BYTES = 65_536
HEAD_BYTES = 65_536
LARGEST_MESSAGE = 64 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    """No WebSocket came about. status: the HTTP status of the answer, where there was one."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def accept_key(key: str) -> str:
    """What `Sec-WebSocket-Accept` must say to a `Sec-WebSocket-Key` (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """One frame. masked: as everything a client sends must be."""
    first, bit, size = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0, len(payload)
    if size > 65_535:
        head = struct.pack("!BBQ", first, bit | 127, size)
    elif size > 125:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = bytes((first, bit | size))
    if not masked:
        return head + payload
    key = secrets.token_bytes(4)
    return head + key + _mask(payload, key)


def deflated(payload: bytes) -> bytes:
    """One message's bytes, compressed without a context (RFC 7692, 7.2.1)."""
    squeezer = zlib.compressobj(wbits=-15)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _mask(payload: bytes, key: bytes) -> bytes:
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(payload), "big")


@frozen
class Frame:
    """payload: without its mask."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int


class Frames:
    """Bytes in, frames out."""

    def __init__(self, received: bytes = b"") -> None:
        self._buffer = bytearray(received)

    def feed(self, received: bytes) -> None:
        self._buffer += received

    def next(self) -> Frame | None:
        """The next whole frame, or None until more bytes come."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start, masked = buffer[1] & 127, 2, bool(buffer[1] & 0x80)
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:start], "big")
        body = start + (4 if masked else 0)
        if size > LARGEST_MESSAGE:
            raise Refused(f"a frame of {size} bytes")
        if len(buffer) < body + size:
            return None
        payload = bytes(buffer[body : body + size])
        if masked:
            payload = _mask(payload, bytes(buffer[start:body]))
        found = Frame(buffer[0] & 15, payload, bool(buffer[0] & 0x80), buffer[0] >> 4 & 7)
        del buffer[: body + size]
        return found


class Socket:
    """A WebSocket after its handshake, the client's side.

    code: how it ended; NO_CLOSE_FRAME where the other side just hung up. compressed: messages that came compressed.
    """

    def __init__(self, stream: trio.abc.Stream, frames: Frames, subprotocol: str | None, deflate: bool) -> None:
        self.subprotocol, self.deflate = subprotocol, deflate
        self.code: int | None = None
        self.reason = ""
        self.pongs: list[bytes] = []
        self.compressed = 0
        self._stream, self._frames = stream, frames
        self._sending = trio.Lock()
        self._parts: list[bytes] = []
        self._first: Frame | None = None
        self._inflate = zlib.decompressobj(wbits=-15)

    async def send(self, text: str) -> None:
        await self.send_bytes(frame(text.encode()))

    async def send_bytes(self, raw: bytes) -> None:
        """Bytes as they are. What the other side no longer takes is dropped: how it ended is read, not written."""
        async with self._sending:
            try:
                await self._stream.send_all(raw)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.lowlevel.checkpoint()

    async def receive(self) -> str | bytes | None:
        """The next message, pings answered meanwhile; None at the end, and `code` then says how."""
        while self.code is None:
            while (found := self._frames.next()) is not None:
                message = await self._take(found)
                if message is not None or self.code is not None:
                    return message
            try:
                received = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                received = b""
            if not received:
                self.code = NO_CLOSE_FRAME
            self._frames.feed(bytes(received))
        return None

    async def _take(self, found: Frame) -> str | bytes | None:
        if found.opcode == PING:
            await self.send_bytes(frame(found.payload, PONG))
        elif found.opcode == PONG:
            self.pongs.append(found.payload)
        elif found.opcode == CLOSE:
            self.code = int.from_bytes(found.payload[:2], "big") if len(found.payload) > 1 else NO_CODE
            self.reason = found.payload[2:].decode(errors="replace")
            await self.send_bytes(frame(found.payload[:2], CLOSE))
        else:
            return self._data(found)
        return None

    def _data(self, found: Frame) -> str | bytes | None:
        first = self._first = found if found.opcode != CONTINUATION else self._first
        self._parts.append(found.payload)
        if not found.fin or first is None:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        if first.rsv & COMPRESSED:
            self.compressed += 1
            whole = self._inflate.decompress(whole + b"\x00\x00\xff\xff", LARGEST_MESSAGE)
        return whole.decode(errors="replace") if first.opcode == TEXT else whole

    async def say_goodbye(self, code: int = 1000) -> None:
        """The closing handshake's first half; `receive` ends with the other side's."""
        await self.send_bytes(frame(code.to_bytes(2, "big"), CLOSE))

    async def hung_up(self) -> None:
        """Until the other side ends the TCP connection, as a server does after the closing handshake."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self._stream.receive_some(READ_BYTES):
                pass

    async def drop(self) -> None:
        """Hang up without a word."""
        await trio.aclose_forcefully(self._stream)


async def open_socket(
    stream: trio.abc.Stream,
    host: str,
    path: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    subprotocol: str | None = None,
    deflate: bool = False,
) -> Socket:
    """The opening handshake. host: for the Host header. Raises Refused."""
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
    lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if deflate:
        lines.append("Sec-WebSocket-Extensions: permessage-deflate")
    lines += [f"{name}: {value}" for name, value in headers]
    try:
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, rest = await read_head(stream)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise Refused(f"hung up during the handshake: {error}") from error
    status, answer = parse_head(head)
    if status != 101:
        raise Refused(f"HTTP {status}", status)
    if answer.get("sec-websocket-accept") != accept_key(key):
        raise Refused("101 with a wrong Sec-WebSocket-Accept", status)
    extensions = answer.get("sec-websocket-extensions", "")
    return Socket(stream, Frames(rest), answer.get("sec-websocket-protocol"), "permessage-deflate" in extensions)


async def read_head(stream: trio.abc.ReceiveStream) -> tuple[bytes, bytes]:
    """An HTTP head, and what came behind it. Raises Refused."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = await stream.receive_some(READ_BYTES)
        if not more or len(received) > HEAD_BYTES:
            raise Refused("no HTTP answer")
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head, rest


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, their names in lower case. Raises Refused."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Refused(f"no HTTP answer: {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}
