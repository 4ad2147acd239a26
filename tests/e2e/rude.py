"""What no client should send: handshakes and frames against RFC 6455 and RFC 7692, and what each is answered with."""

from __future__ import annotations

import itertools
import socket
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.processes import NodeProcess

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
DEFLATE = "permessage-deflate"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_numbers = itertools.count()


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length: int | None = None,
) -> bytes:
    """Masked with zeros. length: what the head says instead of the truth."""
    size = len(payload) if length is None else length
    first, bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0
    if size > 65_535:
        head = struct.pack("!BBQ", first, bit | 127, size)
    elif size > 125:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = bytes((first, bit | size))
    return head + (bytes(4) if mask else b"") + payload


def deflated(payload: bytes) -> bytes:
    squeezer = zlib.compressobj(9, wbits=-15)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(code.to_bytes(2, "big") + reason, CLOSE)


HALF = "ã".encode()[:1]
JSON_PING = b'{"type":"ping"}'
TOO_MUCH = 16 * 1_048_576 + 1
"""More than a node passes over of one message."""
BOMB = deflated(b" " * 2 * TOO_MUCH)

RUDE_FRAMES: dict[str, tuple[int, bytes]] = {
    "not masked": (1002, frame(JSON_PING, mask=False)),
    "a ping that is not masked": (1002, frame(b"", PING, mask=False)),
    "RSV1 on a ping": (1002, frame(b"", PING, rsv=4)),
    "RSV1 on a close": (1002, frame(b"\x03\xe8", CLOSE, rsv=4)),
    "RSV1 on a continuation": (1002, frame(b"a", fin=False) + frame(b"b", 0, rsv=4)),
    "RSV2": (1002, frame(JSON_PING, rsv=2)),
    "RSV3 on a compressed message": (1002, frame(deflated(JSON_PING), rsv=5)),
    **{f"opcode {opcode}": (1002, frame(b"", opcode)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping in fragments": (1002, frame(b"a", PING, fin=False) + frame(b"b", 0)),
    "a close in fragments": (1002, frame(b"\x03\xe8", CLOSE, fin=False) + frame(b"", 0)),
    "a ping of 126 bytes": (1002, frame(b"a" * 126, PING)),
    "a pong of 64 KiB": (1002, frame(b"a" * 65_536, PONG)),
    "a close of 126 bytes": (1002, frame(b"\x03\xe8" + b"a" * 124, CLOSE)),
    "a continuation of nothing": (1002, frame(JSON_PING, 0)),
    "a message inside a message": (1002, frame(b"{", fin=False) + frame(b'"type":"ping"}')),
    "a close of one byte": (1002, frame(b"\x03", CLOSE)),
    **{f"close code {code}": (1002, closing(code)) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2_999, 5_000)},
    "a close whose reason is no UTF-8": (1007, closing(1000, b"\xff")),
    "a close whose reason ends within a character": (1007, closing(1000, HALF)),
    "invalid UTF-8": (1007, frame(b'{"type":"\xff"}')),
    "UTF-8 broken between fragments": (1007, frame(b'"' + HALF, fin=False) + frame(b'"', 0)),
    "UTF-8 broken around a ping": (1007, frame(HALF, fin=False) + frame(b"", PING) + frame(HALF, 0)),
    "UTF-8 that ends early": (1007, frame(HALF, fin=False) + frame(b"", 0)),
    "a surrogate in UTF-8": (1007, frame(b"\xed\xa0\xbd\xed\xb8\x80")),
    "compressed invalid UTF-8": (1007, frame(deflated(b"\xff\xfe"), rsv=4)),
    "bytes that do not inflate": (1007, frame(b"\xff" * 20, rsv=4)),
    "bytes that stop inflating": (1007, frame(deflated(b"abc" * 50)[:5] + b"\xff" * 20, rsv=4)),
    "a window further back than there is": (1007, frame(b"\x03\x02\xff\xff\xff", rsv=4)),
    "a bomb": (1009, frame(deflated(b" " * 50_000_000), rsv=4)),
    "a bomb in fragments": (1009, frame(BOMB[:500], rsv=4, fin=False) + frame(BOMB[500:], 0)),
    "final blocks without end": (1009, frame(b"\x03\x00" * 3_000, rsv=4, fin=False)),
    "more than a node passes over": (1009, frame(b" " * TOO_MUCH)),
    "endless empty fragments": (1009, frame(b"", fin=False) + frame(b"", 0, fin=False) * 20_000),
    "a length of 2**62": (1009, frame(b" " * TOO_MUCH, length=1 << 62)),
    "a length of 2**63": (1002, frame(b"", length=1 << 63)),
}


def head(*extra: str, path: str = "/ws/rude?type=pos", without: str = "", line: str = "GET {} HTTP/1.1") -> bytes:
    """A good upgrade request. extra: header lines more; without: the name of one less."""
    lines = [
        "Host: node",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    kept = [said for said in lines if said.partition(":")[0] != without]
    return ("\r\n".join([line.format(path), *kept, *extra]) + "\r\n\r\n").encode("latin-1")


RUDE_HEADS: dict[str, tuple[int, bytes]] = {
    "no Host": (400, head(without="Host")),
    "two Hosts": (400, head("Host: other")),
    "no version": (426, head(without="Sec-WebSocket-Version")),
    "version 8": (426, head("Sec-WebSocket-Version: 8", without="Sec-WebSocket-Version")),
    "version 013": (426, head("Sec-WebSocket-Version: 013", without="Sec-WebSocket-Version")),
    "two versions": (426, head("Sec-WebSocket-Version: 8")),
    "no key": (400, head(without="Sec-WebSocket-Key")),
    "two keys": (400, head(f"Sec-WebSocket-Key: {KEY}")),
    "a key of 15 bytes": (400, head("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", without="Sec-WebSocket-Key")),
    "a key of 17 bytes": (400, head("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", without="Sec-WebSocket-Key")),
    "a key that is no base64": (400, head(f"Sec-WebSocket-Key: {'!' * 24}", without="Sec-WebSocket-Key")),
    "an empty key": (400, head("Sec-WebSocket-Key:", without="Sec-WebSocket-Key")),
    "no Upgrade": (400, head(without="Upgrade")),
    "no Connection": (400, head(without="Connection")),
    "Connection: close": (400, head("Connection: close", without="Connection")),
    "a body": (400, head("Content-Length: 4") + b"body"),
    "a body announced and not sent": (400, head("Content-Length: 4")),
    "a chunked body": (400, head("Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "a length and chunks": (400, head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    "POST": (400, head(line="POST {} HTTP/1.1")),
    "get": (400, head(line="get {} HTTP/1.1")),
    "HTTP/1.0": (400, head(line="GET {} HTTP/1.0")),
    "HTTP/2.0": (505, head(line="GET {} HTTP/2.0")),
    "no HTTP version": (400, head(line="GET {}")),
    "no path": (400, head(path="ws/rude?type=pos")),
    "a NUL in a header": (400, head("X: a\0b")),
    "a header name with a space": (400, head("X y: z")),
    "a head of 20 KB": (431, head("X: " + "y" * 20_000)),
    "ten thousand headers": (431, head(*["X: y"] * 10_000)),
    "another path": (404, head(path="/other")),
    "a foreign page": (403, head("Origin: http://elsewhere.example")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(50) + b"\r\n\r\n"),
}

ODD_HEADS: dict[str, bytes] = {
    "lower-case names": head().replace(b"Sec-WebSocket-", b"sec-websocket-").replace(b"Upgrade:", b"upgrade:"),
    "spaces around values": head(f"Sec-WebSocket-Key: \t {KEY} \t", without="Sec-WebSocket-Key"),
    "a folded header": head("X: a\r\n  b"),
    "bare line feeds": head().replace(b"\r\n", b"\n"),
    "several tokens": head("Connection: keep-alive, Upgrade", "Upgrade: h2c, websocket", without="Connection"),
    "a length of nothing": head("Content-Length: 0"),
    "an expectation": head("Expect: 100-continue"),
    "an absolute target": head(path="http://node/ws/rude?type=pos"),
    "two lists of extensions": head(f"Sec-WebSocket-Extensions: {DEFLATE}; x=y", "Sec-WebSocket-Extensions: a, b"),
    "a thousand offers": head("Sec-WebSocket-Extensions: " + ", ".join([f"{DEFLATE}; a"] * 700)),
    "a request before it": b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n" + head(),
}


@frozen
class Answer:
    opcode: int
    payload: bytes


class Rude:
    """A TCP connection to a node that does as it likes."""

    def __init__(self, node: NodeProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Rude:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @classmethod
    def connected(cls, node: NodeProcess, extensions: str = DEFLATE) -> Rude:
        """Each as another terminal, so that none is taken for the one before it."""
        client = cls(node)
        path = f"/ws/rude-{next(_numbers)}?type=pos"
        client.put(head(f"Sec-WebSocket-Extensions: {extensions}", path=path))
        assert client.status() == 101
        return client

    def put(self, sent: bytes) -> None:
        """As much as the node takes: it may have hung up."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(sent)

    def half_close(self) -> None:
        with suppress(OSError):  # it may have hung up
            self._socket.shutdown(socket.SHUT_WR)

    def _take(self) -> bool:
        try:
            more = self._socket.recv(65_536)
        except ConnectionResetError:
            return False
        self._buffer += more
        return bool(more)

    def head(self) -> bytes:
        """The next head of an answer."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._take(), self._buffer
        said, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        return said

    def status(self) -> int:
        return int(self.head().split(b" ", 2)[1])

    def next(self) -> Answer | None:
        """The next frame; None at the end."""
        while True:
            found = self._buffer
            if len(found) > 1:
                length, start = found[1], 2
                if length > 125:
                    start = 4 if length == 126 else 10
                    length = int.from_bytes(found[2:start], "big")
                if len(found) >= max(start + length, 2):
                    self._buffer = found[start + length :]
                    return Answer(found[0] & 15, found[start : start + length])
            if not self._take():
                return None

    def ends(self) -> int:
        """The code of the close frame, behind which nothing comes; 1006 for none, 1005 for one without a code."""
        code = 1006
        while (found := self.next()) is not None:
            assert code == 1006, "something behind a close"
            if found.opcode == CLOSE:
                code = int.from_bytes(found.payload[:2], "big") if found.payload else 1005
        return code
