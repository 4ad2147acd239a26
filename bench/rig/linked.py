"""Nodes that are linked to one, as far as it can tell: each answers pings and confirms what comes, and keeps nothing.

They are worked by one thread, so that thousands cost little beside the node. Each stands as far away as is said: what
it answers goes out so much later.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import os
import random
import select
import threading
import time
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from bench.rig.client import PING, PONG, TEXT, frame, frames, opened
from crdt.hlc import iso
from node.wire.links.handshake import SUBPROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NEAR_PING_S, FAR_PING_S, FAR_MS = 1.0, 15.0, 30
"""As [links] has it: a node pings a far one seldom."""

PATIENCE_S = 60.0
BACKOFF_S, LONGEST_S, TRIES = 0.05, 0.8, 30
"""As [links] has it: a node that was turned away dials again, each time later."""

DEFLATED, FLUSHED = 0x40, b"\0\0\xff\xff"
"""permessage-deflate (RFC 7692): the flag of a message that is packed, and what its sender leaves away at the end."""
NOTHING: dict[str, Any] = {"epoch": None, "positions": [-1] * 4, "mark": 0, "hash": "", "empty": False, "after": {}}


class Socket:
    """A WebSocket to a realm of the node."""

    def __init__(self, port: int, path: str, token: str, *, node: bool) -> None:
        headers = [f"Authorization: Bearer {token}", "Sec-WebSocket-Extensions: permessage-deflate"]
        headers += [f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"] if node else []
        self.wire, self._held = opened(port, path, *headers, patience_s=PATIENCE_S)

    def read(self) -> tuple[list[Any], list[bytes]]:
        """One read: messages, and payloads of pings. Raises RuntimeError where it was closed."""
        more = self.wire.recv(262_144)
        found, self._held = frames(self._held + more)
        messages, pings = list[Any](), list[bytes]()
        for first, payload in found:
            opcode = first & 15
            if opcode == TEXT:
                if first & DEFLATED:
                    payload = zlib.decompressobj(-15).decompress(payload + FLUSHED)
                said = orjson.loads(payload)
                messages += said if isinstance(said, list) else [said]
            elif opcode == PING:
                pings.append(payload)
            elif opcode != PONG:
                raise RuntimeError(f"it was closed: {payload!r}")
        if not more:
            raise RuntimeError("it was closed")
        return messages, pings


class Linked:
    """A node at the other end of a link, which is up. rows: operations that it was sent. tries: how often it dialled.

    Raises RuntimeError where it was turned away each time.
    """

    def __init__(self, port: int, realm: str, name: str, token: str) -> None:
        self.rows, self.tries = 0, 0
        while True:
            self.tries += 1
            try:
                self._dial(port, realm, name, token)
                return
            except (RuntimeError, TimeoutError):
                if self.tries == TRIES:
                    raise
            time.sleep(random.uniform(0.5, 1.0) * min(BACKOFF_S * 2**self.tries, LONGEST_S))

    def _dial(self, port: int, realm: str, name: str, token: str) -> None:
        """Until the other side asks for the time, as it does once it knows who is there. `owed` are the answers to
        what came, which is as far away as the rest."""
        self.owed: list[bytes] = []
        query = {"type": "node", "as": "peer", "epoch": f"{name}-0", "head": 0, "attempt": self.tries}
        query |= {"instance": base64.b16encode(os.urandom(8)).decode(), **({"realm": realm} if realm else {})}
        self.socket = Socket(port, f"/ws/{name}?{urlencode(query)}", token, node=True)
        try:
            up = False
            while not up:
                messages, pings = self.socket.read()
                self.owed += [frame(payload, PONG) for payload in pings]
                for message in messages:
                    if message["type"] == "connection_established":
                        self._epoch = message["node"]["epoch"]
                        said = orjson.dumps({"type": "sync_confirmation", "seq": 0, **NOTHING})
                        self.socket.wire.sendall(frame(said))
                    elif (answer := self.answer(message)) is not None:
                        up = up or message["type"] == "ping"
                        self.owed.append(frame(answer))
        except BaseException:
            self.socket.wire.close()
            raise

    def answer(self, message: Any) -> bytes | None:
        """What is said to a message."""
        match message["type"]:
            case "data_sync":
                self.rows += 1
            case "ping":
                now = time.time_ns() // 1_000_000
                return orjson.dumps({"type": "pong", "server_time": iso(now), "clock": now})
            case "log_position":
                held = {name: message[name] for name in ("positions", "mark", "hash")}
                seq = max(0, *message["positions"])
                said = {"type": "sync_confirmation", "seq": seq, **NOTHING, "epoch": self._epoch, **held}
                return orjson.dumps(said)
        return None


class Writer:
    """A terminal. answers: operations of its own that are confirmed."""

    def __init__(self, port: int, realm: str, name: str, token: str) -> None:
        self.answers = 0
        query = {"type": "pos", **({"realm": realm} if realm else {})}
        self.socket = Socket(port, f"/ws/{name}?{urlencode(query)}", token, node=False)

    def answer(self, message: Any) -> bytes | None:
        if message["type"] == "sync_error":
            raise RuntimeError(message)
        self.answers += message["type"] == "sync_confirmation"
        return None


class Distance:
    """The thread that works them. away_ms: how much later they answer. failed: why it ended, if it did."""

    def __init__(self, away_ms: int) -> None:
        self.nodes: list[Linked] = []
        self.writers: list[Writer] = []
        self.failed: Exception | None = None
        self.sent = 0
        self._away_s = away_ms / 1000
        self._ping_s = FAR_PING_S if away_ms >= FAR_MS else NEAR_PING_S
        self._came: deque[Linked | Writer] = deque()
        self._numbers = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._rate = 0
        self._messages: Sequence[Sequence[bytes]] = ()
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def take(self, came: Linked | Writer) -> None:
        """Work this one too, from now on. Called by any thread."""
        self._came.append(came)

    def write(self, messages: Sequence[Sequence[bytes]], rate: int) -> None:
        """From now on the writers write theirs in turn, `rate` a second together; all of them have as many."""
        self._messages, self._rate, self._next = messages, rate, time.monotonic()

    @property
    def written(self) -> bool:
        """Whether all that was to be written is confirmed, and every node of the realm has it."""
        told = all(writer.answers == self.sent // len(self.writers) for writer in self.writers)
        rows = {node.rows for node in self.nodes}
        return self.sent == sum(map(len, self._messages)) and told and rows == {self.sent // len(self.writers)}

    @property
    def delivered(self) -> float:
        """Operations that are with every node of their realm, as far as can be told: the mean of what each has."""
        return len(self.writers) * sum(node.rows for node in self.nodes) / len(self.nodes)

    def end(self) -> None:
        self._over = True
        self._thread.join()
        for each in (*self.nodes, *self.writers):
            each.socket.wire.close()

    def _later(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at, next(self._numbers), act))

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:
            self.failed = error

    def _work(self) -> None:
        sockets: dict[int, Linked | Writer] = {}
        watched = select.epoll()
        while not self._over:
            while self._came:
                came = self._came.popleft()
                sockets[came.socket.wire.fileno()] = came
                watched.register(came.socket.wire.fileno(), select.EPOLLIN)
                if isinstance(came, Writer):
                    self.writers.append(came)
                else:
                    self.nodes.append(came)
                    self._answer(came, came.owed)
                    self._ping(came)
            for descriptor, _ in watched.poll(0.005):
                self._read(sockets[descriptor])
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()
            while self._rate and self._next <= now and self.sent < sum(map(len, self._messages)):
                turn, place = divmod(self.sent, len(self.writers))
                self.writers[place].socket.wire.sendall(frame(self._messages[place][turn]))
                self.sent, self._next = self.sent + 1, self._next + 1 / self._rate

    def _read(self, each: Linked | Writer) -> None:
        messages, pings = each.socket.read()
        out = [frame(payload, PONG) for payload in pings]
        out += [frame(said) for said in map(each.answer, messages) if said is not None]
        self._answer(each, out)

    def _answer(self, each: Linked | Writer, out: list[bytes]) -> None:
        if out:
            wire = each.socket.wire
            self._later(time.monotonic() + self._away_s, lambda: wire.sendall(b"".join(out)))

    def _ping(self, node: Linked) -> None:
        node.socket.wire.sendall(frame(b'{"type":"ping"}') + frame(b"bench", PING))
        self._later(time.monotonic() + self._ping_s, lambda: self._ping(node))
