"""What a connection sends: written to the socket at once, or left in the outbox for the writer's task.

Only these two write to the socket, and never both at one time. A send that is cancelled leaves half a frame, so after
a cancel the stream is dropped and nothing more is written to it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from node.runtime.net.tls import TlsStream
from storage.system import write_at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.wire.frames import Batch, Outgoing

WRITE_BYTES = 64 * 1024
"""How much of the outbox the writer's task joins into one write; a larger batch goes out whole."""

_COMPRESSING = trio.CapacityLimiter(1)


class Outbox:
    """The outgoing side of one connection. `run` is its writer's task; all else never blocks.

    limit: bytes. framed: gives the frames of a message or a batch; called on another thread where there is much to
    compress. full: called whenever something is queued and there is more than the limit. broke: called when the
    socket takes nothing more. window_bits: of the compression that was agreed on, else 0. queued_bytes: what waits or
    is half written. bytes_out: what was framed so far.
    """

    def __init__(
        self,
        stream: trio.SocketStream | TlsStream,
        limit: int,
        *,
        framed: Callable[[Outgoing | Batch], bytes],
        full: Callable[[], None],
        broke: Callable[[], None],
    ) -> None:
        self._limit = limit
        self._framed = framed
        self._full = full
        self._broke = broke
        self.window_bits = 0
        self.queued_bytes = 0
        self.bytes_out = 0
        self._waiting: deque[bytes | Outgoing | Batch] = deque()
        """Frames, and what is still to be compressed."""
        # The piece of which a part may be on the wire already: it is never dropped, only finished or cut off. Under
        # TLS it is sealed, and nothing that waits behind it is yet: what is sealed has its place on the wire.
        self._under_way: bytes | memoryview | None = None
        self._tls, self._send_ready = None, stream.send_all
        if isinstance(stream, TlsStream):
            self._tls, self._send_ready = stream.session, stream.send_sealed
        # Asked for at every write: a number kept from before would, once closed, be somebody else's socket.
        self._descriptor = stream.socket.fileno
        self._wake = trio.Event()
        self._emptied = trio.lowlevel.ParkingLot()
        self._broken = False

    def send(self, what: Outgoing | Batch) -> None:
        """One message, or a batch as one write. What is heavy is compressed by the writer's task."""
        if what.heavy(self.window_bits):
            self._put(what, what.size)
        else:
            self.write(self._framed(what))

    def write(self, frames: bytes) -> None:
        """Frames as they are."""
        self.bytes_out += len(frames)
        if self._under_way is None and not self._waiting:
            try:
                if self._tls is not None:
                    frames = self._tls.sealed(frames)
                sent = write_at_once(self._descriptor(), frames)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._break()
                return
            if sent == len(frames):
                return
            self._under_way = memoryview(frames)[sent:]
            self._put(None, len(self._under_way))
        else:
            self._put(frames, len(frames))

    def _put(self, piece: bytes | Outgoing | Batch | None, length: int) -> None:
        """Leave something to the writer's task, behind all that it has. piece: None for what is under way already."""
        if piece is not None:
            self._waiting.append(piece)
        self.queued_bytes += length
        self._wake.set()
        if self.queued_bytes > self._limit:
            self._full()

    def put_instead(self, frames: bytes) -> None:
        """Drop all that waits, and leave these frames behind the piece under way."""
        self._waiting.clear()
        if frames:
            self._waiting.append(frames)
        self.queued_bytes = len(self._under_way or b"") + len(frames)

    def _break(self) -> None:
        self._broken = True
        self._under_way = None
        self._waiting.clear()
        self.queued_bytes = 0
        self._emptied.unpark_all()
        self._broke()

    async def run(self) -> None:
        """Write what waits, until the socket breaks."""
        while not self._broken:
            if self._under_way is None and not self._waiting:
                self._emptied.unpark_all()
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            try:
                if self._under_way is None:
                    self._under_way = await self._next_piece()
                piece = self._under_way
                if piece is None:
                    continue  # what was compressed is dropped by now
                await self._send_ready(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                self._break()
                return
            if self._under_way is piece:  # else it broke meanwhile
                self._under_way = None
                self.queued_bytes -= len(piece)

    async def _next_piece(self) -> bytes | None:
        """What is written next. While it is compressed it keeps its place in the outbox, so nothing overtakes it."""
        waiting, first = self._waiting, self._waiting[0]
        if not isinstance(first, bytes):
            framed = await self._compressed(first)
            if not waiting or waiting[0] is not first:
                return None
            self.queued_bytes += len(framed) - first.size
            self.bytes_out += len(framed)
            waiting[0] = first = framed
        waiting.popleft()
        pieces, length = [first], len(first)
        while waiting and isinstance(following := waiting[0], bytes) and length + len(following) <= WRITE_BYTES:
            length += len(following)
            pieces.append(following)
            waiting.popleft()
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._tls is None:
            return piece
        sealed = self._tls.sealed(piece)
        self.queued_bytes += len(sealed) - len(piece)
        return sealed

    async def _compressed(self, what: Outgoing | Batch) -> bytes:
        """One at a time in the process: what many connections are sent is compressed for the first of them."""
        async with _COMPRESSING:
            if what.heavy(self.window_bits):
                return await trio.to_thread.run_sync(self._framed, what)
            return self._framed(what)

    async def emptied(self) -> None:
        """Wait until all is written, or the socket broke."""
        while self._under_way is not None or self._waiting:
            await self._emptied.park()
