"""A TCP proxy between two nodes that fails on command, as a restaurant's network does.

    gates (one a direction)   open --stall--> shut --resume--> open
    door                      open --block--> refusing | swallowing --unblock--> open

A swallowed connection is one whose packets are lost: it waits, and goes on when the door opens. `up` is the
direction from whoever dialled to the target, `down` the way back.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Literal, TypeVar

import trio

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

T = TypeVar("T")
Way = Literal["up", "down"]
WAYS: tuple[Way, Way] = ("up", "down")

CHUNK_BYTES = 65_536
"""Read at once from a socket."""

QUEUED_CHUNKS = 64
"""Held for one direction of one connection, by a delay or a stall; then the sender feels back-pressure."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send RST instead of FIN."""


class FaultyProxy:
    """Listens on `port` of 127.0.0.1 and passes connections on to a target port there.

    Runs trio in one background thread; every method may be called from any other thread and has taken effect when
    it returns. rng: for the proxy alone. accepted: connections ever taken. passed: bytes passed on, each way.
    """

    def __init__(self, target: int, rng: random.Random) -> None:
        self.port = 0
        self.accepted = 0
        self.passed: dict[Way, int] = dict.fromkeys(WAYS, 0)
        self._target, self._rng = target, rng
        self._live: set[_Carried] = set()
        self._door: Literal["open", "refusing", "swallowing"] = "open"
        self._delay_s = 0.0
        self._piece_bytes = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,), name="faulty-proxy", daemon=True)
        self._thread.start()
        self._started.wait()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Taken and not ended yet, swallowed ones included."""
        return len(self._live)

    # ------------------------------------------------------------------ faults

    def cut(self, *, reset: bool | None = None) -> int:
        """Close every connection now; how many. reset: with RST, with FIN, or as chance has it for each."""
        return self._do(lambda: self._cut(reset))

    def block(self, *, swallow: bool = False) -> None:
        """Refuse new connections with RST, or take them and let nothing through."""
        self._do(lambda: self._set_door("swallowing" if swallow else "refusing"))

    def unblock(self) -> None:
        """Take new connections, and go on with those that were swallowed."""
        self._do(lambda: self._set_door("open"))

    def stall(self, *ways: Way) -> None:
        """Keep connections open and pass nothing, in the named directions (none named: both)."""
        self._do(lambda: self._shut(ways or WAYS))

    def resume(self) -> None:
        """Pass on what was held, and everything after."""
        self._do(self._resume)

    def delay(self, ms: float) -> None:
        """Pass each chunk on `ms` after it came; 0 stops it."""
        self._do(lambda: setattr(self, "_delay_s", ms / 1000))

    def split(self, piece_bytes: int) -> None:
        """Pass bytes on in pieces of 1 to `piece_bytes`; 0 stops it."""
        self._do(lambda: setattr(self, "_piece_bytes", piece_bytes))

    def flap(self, every_ms: float) -> None:
        """Cut every so often: `every_ms`, give or take a half; 0 stops it."""
        self._do(lambda: self._flap(every_ms))

    def heal(self) -> None:
        """No fault any more; connections that live go on."""
        self._do(self._heal)

    def retarget(self, port: int) -> None:
        """Where the next connections go."""
        self._do(lambda: setattr(self, "_target", port))

    def close(self) -> None:
        """Cut everything and stop. May be called twice."""
        if self._thread.is_alive():
            self._do(self._everything.cancel)
        self._thread.join()

    # ------------------------------------------------------------------ inside the thread

    def _do(self, change: Callable[[], T]) -> T:
        return trio.from_thread.run_sync(change, trio_token=self._token)

    async def _run(self) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = int(listener.socket.getsockname()[1])
        self._token = trio.lowlevel.current_trio_token()
        self._gates = {way: _opened() for way in WAYS}
        self._unblocked = _opened()
        self._flapping = trio.CancelScope()
        async with trio.open_nursery() as self._nursery:
            self._everything = self._nursery.cancel_scope
            self._started.set()
            await trio.serve_listeners(self._take, [listener])

    async def _take(self, near: trio.SocketStream) -> None:
        """One connection, to its end; whatever ends it concerns nobody else."""
        self.accepted += 1
        carried = _Carried(near.socket)
        if self._door == "refusing":
            carried.end(reset=True)
            return
        self._live.add(carried)
        try:
            with carried.scope:
                while self._door == "swallowing":
                    await self._unblocked.wait()
                far = await trio.open_tcp_stream("127.0.0.1", self._target)
                carried.sockets.append(far.socket)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._carry, carried, "up", near, far)
                    nursery.start_soon(self._carry, carried, "down", far, near)
        except OSError:  # nobody listens at the target
            carried.end(reset=True)
        finally:
            self._live.discard(carried)
            carried.end(reset=False)

    async def _carry(self, carried: _Carried, way: Way, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        """Pass on one direction. The end of it is passed on too; an error ends the connection."""
        come, go = trio.open_memory_channel[tuple[float, bytes]](QUEUED_CHUNKS)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read, source, come)
                async with go:
                    async for at, data in go:
                        await trio.sleep_until(at + self._delay_s)
                        await self._pass(way, data, sink)
                await self._gate(way)
                await sink.send_eof()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            carried.scope.cancel()

    async def _pass(self, way: Way, data: bytes, sink: trio.SocketStream) -> None:
        place = 0
        while place < len(data):
            await self._gate(way)
            length = self._rng.randint(1, self._piece_bytes) if self._piece_bytes else len(data) - place
            await sink.send_all(data[place : place + length])
            self.passed[way] += min(length, len(data) - place)
            place += length

    async def _gate(self, way: Way) -> None:
        while not self._gates[way].is_set():
            await self._gates[way].wait()

    def _cut(self, reset: bool | None) -> int:
        for carried in self._live:
            carried.end(reset=self._rng.random() < 0.5 if reset is None else reset)
        return len(self._live)

    def _set_door(self, door: Literal["open", "refusing", "swallowing"]) -> None:
        self._door = door
        self._unblocked.set()
        if door == "swallowing":
            self._unblocked = trio.Event()

    def _shut(self, ways: tuple[Way, ...]) -> None:
        for way in ways:
            if self._gates[way].is_set():
                self._gates[way] = trio.Event()

    def _resume(self) -> None:
        for gate in self._gates.values():
            gate.set()

    def _flap(self, every_ms: float) -> None:
        self._flapping.cancel()
        if every_ms:
            self._flapping = trio.CancelScope()
            self._nursery.start_soon(self._cut_again, every_ms / 1000, self._flapping)

    async def _cut_again(self, every_s: float, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await trio.sleep(self._rng.uniform(0.5, 1.5) * every_s)
                self._cut(None)

    def _heal(self) -> None:
        self._delay_s, self._piece_bytes = 0.0, 0
        self._flap(0)
        self._set_door("open")
        self._resume()


class _Carried:
    """One connection: its sockets, near side first, and the scope of its tasks."""

    def __init__(self, near: trio.socket.SocketType) -> None:
        self.sockets = [near]
        self.scope = trio.CancelScope()

    def end(self, *, reset: bool) -> None:
        for each in self.sockets:
            if each.fileno() >= 0:
                if reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.close()
        self.scope.cancel()


def _opened() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


async def _read(source: trio.SocketStream, come: trio.MemorySendChannel[tuple[float, bytes]]) -> None:
    async with come:
        while data := await source.receive_some(CHUNK_BYTES):
            await come.send((trio.current_time(), data))
