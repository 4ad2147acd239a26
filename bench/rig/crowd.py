"""Terminals that are worked step by step by one thread: so what a node does for them is the same in every run."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

import orjson

from bench.rig.client import PING, PONG, TEXT, frame, frames, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S = 120.0
"""How long a step may take before the measurement is given up."""

ITEMS = [{"id": f"i-{n}", "sku": f"prato-{n}", "qty": 1 + n % 3, "price": 12.9 + n} for n in range(2)]
STATUSES = ("pending", "preparing", "ready", "delivered")

SILENT, EACH, BY_POSITION = "silent", "each", "by position"
"""How a terminal confirms: it answers pings only; each row, as the documented client; the last row of each read."""


class Terminal:
    """One terminal on a blocking socket. confirms: one of the three above."""

    def __init__(self, port: int, name: str, confirms: str = SILENT, kind: str = "pos") -> None:
        self.name, self.confirms = name, confirms
        self.rows = self.answers = self.pings = 0
        more = ["Sec-WebSocket-Protocol: comanda.v1"] if confirms == BY_POSITION else []
        self.wire, self._held = opened(port, f"/ws/{name}?type={kind}", *more, patience_s=10)
        self._out: list[bytes] = []
        self._last_seq = b""

    def send(self, *payloads: bytes) -> None:
        self.wire.sendall(b"".join(map(frame, payloads)))

    def read(self) -> None:
        """One read of what is there. What is to be answered is sent as one write."""
        found, self._held = frames(self._held + self.wire.recv(262_144))
        for first, payload in found:
            opcode = first & 15
            if opcode == TEXT:
                self._text(payload)
            elif opcode == PING:
                self.pings += 1
                self._out.append(frame(payload, PONG))
            else:
                raise RuntimeError(f"{self.name} was closed: {payload!r}")
        if self._last_seq:
            self._out.append(frame(b'{"type":"sync_confirmation","seq":%b}' % self._last_seq))
            self._last_seq = b""
        if self._out:
            self.wire.sendall(b"".join(self._out))
            self._out.clear()

    def _text(self, payload: bytes) -> None:
        if payload.startswith((b'{"type":"data_sync"', b'{"seq":')):
            self.rows += 1
            if self.confirms == EACH:
                place = payload.index(b'"id":"') + 6
                named = payload[place : payload.index(b'"', place)], self.name.encode()
                text = b'{"type":"sync_confirmation","operation_id":"%b","terminal_id":"%b"}' % named
                self._out.append(frame(text))
            elif self.confirms == BY_POSITION and payload.startswith(b'{"seq":'):
                self._last_seq = payload[7 : payload.index(b",")]
        elif payload.startswith(b'{"type":"sync_confirmation"'):
            self.answers += 1
        elif payload.startswith(b'{"type":"sync_error"'):
            raise RuntimeError(payload.decode())

    def catch_up(self, rows: int) -> None:
        """Read until it has been sent so many rows."""
        while self.rows < rows:
            self.read()

    def settle(self, seconds: float) -> None:
        """Read until nothing has come for so long."""
        self.wire.settimeout(seconds)
        try:
            while True:
                self.read()
        except TimeoutError:
            self.wire.settimeout(PATIENCE_S)

    def close(self) -> None:
        self.wire.close()


class Crowd:
    """Terminals of one node that write in turn, and all listen."""

    def __init__(self, port: int, count: int, confirms: str) -> None:
        self.members = [Terminal(port, f"pos-{number}", confirms) for number in range(count)]
        self._by_descriptor = {member.wire.fileno(): member for member in self.members}
        self._poll = select.epoll()
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)
        self._number = 0
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            self._turn(0.02)

    @property
    def pings(self) -> int:
        return sum(member.pings for member in self.members)

    def _turn(self, wait_s: float = 5.0) -> None:
        for descriptor, _ in self._poll.poll(wait_s):
            self._by_descriptor[descriptor].read()

    def step(self, under_way: int) -> None:
        """So many operations at once, until each has its confirmation and all others have its row."""
        count = len(self.members)
        authors = [self.members[(self._number + place % count) % count] for place in range(under_way)]
        wanted = [member.rows + under_way for member in self.members]
        answers = [member.answers for member in self.members]
        for author in authors:
            place = int(author.name[4:])
            wanted[place] -= 1
            answers[place] += 1
            author.send(operation(author.name, self._number, f"o-{self._number % 40}"))
            self._number += 1
        until = time.monotonic() + PATIENCE_S
        while any(m.rows < w or m.answers < a for m, w, a in zip(self.members, wanted, answers, strict=True)):
            self._turn()
            if time.monotonic() > until:
                raise RuntimeError("a step did not end")

    def close(self) -> None:
        for member in self.members:
            member.close()
        self._poll.close()


def operation(terminal: str, number: int, entity: str) -> bytes:
    """430 bytes: an order, or its next step through the kitchen, as a terminal without versions writes it."""
    written = {
        "id": f"w-{terminal}-{number}",
        "entity_type": "orders",
        "entity_id": entity,
        "operation": "UPDATE",
        "data": {"id": entity, "status": STATUSES[number % 4], "total": total(number), "items": ITEMS},
        "timestamp": "2026-01-15T10:30:00.000Z",
        "terminal_id": terminal,
        "user_id": "ana",
        "requires_lock": False,
        "priority": "high",
    }
    return orjson.dumps({"type": "data_sync", "operation": written})


def total(number: int) -> float:
    """What the operation of this number writes as the order's total."""
    return 61.7 + number % 100


def write_all(port: int, numbers: Sequence[int], entities: int, name: str = "writer") -> None:
    """Operations of these numbers by one terminal, over so many orders; returns when all are confirmed."""
    writer, sent = Terminal(port, name), 0
    while writer.answers < len(numbers):
        ahead = numbers[sent : writer.answers + 256]
        if ahead:
            writer.send(*(operation(name, number, f"o-{number % entities}") for number in ahead))
            sent += len(ahead)
        writer.read()
    writer.close()
