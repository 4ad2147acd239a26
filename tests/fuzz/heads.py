"""Target: bytes on a fresh TCP connection. The listener's own code runs, up to frames on an accepted WebSocket.

The first byte says how the bytes are cut into pieces. Whatever comes, what is answered is HTTP/1.1 that h11 can read
(then frames, after a 101), it does not depend on the cuts, and nothing is logged as an internal error.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import h11
import trio
import trio.testing

from node.config.sections import Config
from node.runtime.api.origins import Origins
from node.runtime.api.tokens import Tokens
from node.runtime.endpoint import Endpoint
from node.runtime.net.http import Request, Response, json_response
from node.runtime.net.listener import Listener, ListenerLimits
from tests.fuzz.cores import FreshNode
from tests.runtime.rig import arrivals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.rights import Visitor


LIMITS = ListenerLimits(head_bytes=2_048, body_bytes=1_024, message_bytes=4_096)
DEAF = os.open(os.devnull, os.O_WRONLY)


class _Socket:
    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 50_000)

    def fileno(self) -> int:
        """What the transport writes to at once is not looked at."""
        return DEAF

    async def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """The client waits for its answer."""
        await trio.sleep_forever()
        raise AssertionError("nothing comes")


class _Stream(trio.abc.HalfCloseableStream):
    """A TCP connection that has `pieces` to say and then hangs up."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.socket = _Socket()
        self.pieces = list(reversed(pieces))
        self.answer = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self.pieces:
            return b""
        piece = self.pieces.pop()
        if max_bytes is not None and len(piece) > max_bytes:
            self.pieces.append(piece[max_bytes:])
        return piece[:max_bytes]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.answer += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()


class _Api:
    async def answer(self, request: Request, visitor: Visitor) -> Response:
        return json_response({"path": request.path, "query": dict(request.query), "body": len(request.body)})


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


class Heads:
    """See above."""

    def __init__(self) -> None:
        self._node = FreshNode(upstream=False)
        self._errors = _Errors()
        self._logger = logging.getLogger("comanda")
        self._logger.propagate = False
        self._logger.addHandler(self._errors)

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        size, rest = data[0] % 32, data[1:]
        whole = self._answer([rest])
        assert readable(whole), f"a client cannot read {whole[:2_000]!r}"
        if size:
            pieces = [rest[place : place + size] for place in range(0, len(rest), size)]
            cut = self._answer(pieces)
            long = any(b" 431 " in status for status in (*statuses(cut), *statuses(whole)))
            assert long or statuses(cut) == statuses(whole), (cut, whole)

    def _answer(self, pieces: Sequence[bytes]) -> bytes:
        core = self._node.fresh().core
        self._logger.setLevel(logging.ERROR)
        endpoint = Endpoint(
            core=core,
            api=_Api(),  # type: ignore[arg-type]
            tokens=Tokens(()),
            config=Config(),
            origins=Origins(frozenset(), open_to_this_machine=True),
        )
        listener = Listener(handler=endpoint, limits=LIMITS, arrivals=arrivals())
        stream = _Stream(pieces)
        self._errors.found.clear()
        trio.run(listener._serve, False, stream, clock=trio.testing.MockClock(autojump_threshold=0))
        assert not self._errors.found, self._errors.found[0]
        return bytes(stream.answer)

    def close(self) -> None:
        self._node.close()
        self._logger.propagate = True
        self._logger.removeHandler(self._errors)

    @staticmethod
    def seeds() -> list[bytes]:
        return [bytes((number % 4,)) + head for number, head in enumerate(HEADS)]


def statuses(answer: bytes) -> list[bytes]:
    """What depends on no cuts: the words of h11 about a bad line quote what of it has come. (Whether a head is too
    long or wrong is seen of whichever comes first.)"""
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    return [line for line in lines if b" 100 " not in line]  # it is said where the body has not come yet


def readable(answer: bytes) -> bool:
    """Whether a client could read it, to the last byte, as answers to GETs and HEADs."""
    if not answer:
        return True
    for method in ("GET", "HEAD"):
        status, rest = _read(method, answer)
        if status and (status == 101 or readable(rest)):
            return True
    return False


def _read(method: str, answer: bytes) -> tuple[int, bytes]:
    """The status of a whole answer, 0 for none, and what comes behind it."""
    client = h11.Connection(h11.CLIENT)
    asks = [("Host", "x"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    client.send(h11.Request(method=method, target="/", headers=asks))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    status = 0
    try:
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response | h11.InformationalResponse):
                status = event.status_code
            if isinstance(event, h11.EndOfMessage) or (event is h11.PAUSED and status == 101):
                return status, client.trailing_data[0]
            if not isinstance(event, h11.Data | h11.Response | h11.InformationalResponse):
                return 0, answer
    except h11.RemoteProtocolError:
        return 0, answer


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame, masked with zeros."""
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
_UPGRADE = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + _KEY
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15\r\n"
_NODE = "?type=node&epoch=e1&head=7&as=peer&instance=i&attempt=3"

HEADS = [
    *(
        text.encode("latin-1")
        for text in (
            "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /api/v1/audit?limit=3&at=a%20b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /metrics HTTP/1.0\r\n\r\n",
            "GET http://x/readyz?a=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer abc\r\nConnection: close\r\n\r\n",
            "POST /api/v1/backup HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
            "POST /api/v1/archive?a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            "GET /ws/%ff HTTP/1.1\r\n" + _UPGRADE + "\r\n",
            "GET /ws/t?type=pos HTTP/1.1\r\n" + _UPGRADE + "Origin: http://x\r\n\r\n",
            "GET /ws/t?type=spaceship HTTP/1.1\r\n" + _UPGRADE + "\r\n",
        )
    ),
    f"GET /ws/t?type=pos&user_id=u&sync=full HTTP/1.1\r\n{_UPGRADE}{_DEFLATE}\r\n".encode()
    + frame(b'{"type":"ping"}')
    + frame(b"x", 0x89)
    + frame(b"\x03\xe8", 0x88),
    f"GET /ws/t?terminal_type=kds&token=a HTTP/1.1\r\n{_UPGRADE}\r\n".encode()
    + frame(b"a", 0x01)
    + frame(b"b", 0x80),
    f"GET /ws/n1{_NODE} HTTP/1.1\r\n{_UPGRADE}Sec-WebSocket-Protocol: comanda.v1, b\r\n\r\n".encode()
    + frame(b'{"type":"ping"}'),
]
