"""A seeded network: connections with delay, cuts, half-open ends and ways that carry nothing in one direction.

A connection is TCP with WebSocket frames: what arrives arrives in order and once. So loss is the end of a connection
with whatever was under way, and only what goes over different connections can overtake.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial

import orjson
from attrs import define, field

from crdt.records import name_of
from node.core.sessions.session import Session
from node.simulation.event_queue import Clockwork
from node.wire.close_codes import ABNORMAL, GOING_AWAY
from node.wire.frames import Batch, Outgoing

CLOSE_TIMEOUT_MS = 2_000
SILENCE_MS = 5_000
"""How long a side hears nothing before it gives a connection up."""

OPERATION = b'"data_sync"'
LOST = (ABNORMAL, "connection lost")
Frame = tuple[str, bytes]
"""(text | ping | pong | close, content)."""


def _nothing(*_: object) -> None:
    return None


@define(eq=False)
class Route:
    """The way between two parties, for all their connections, one after the other. blocked: by direction, whether
    nothing gets through."""

    network: Network
    name: str
    least_ms: int
    most_ms: int
    blocked: list[bool] = field(factory=lambda: [False, False])
    lines: list[Line] = field(factory=list)
    doubled: int = 0
    """So many of the next frames with operations arrive twice, as from a side that is not sure and sends again."""
    damaged: int = 0
    """Between nodes: of so many of the next frames with operations one operation's update arrives cut short."""
    _blocks: list[int] = field(factory=lambda: [0, 0])

    @property
    def open(self) -> bool:
        return not any(self.blocked)

    def delay(self) -> int:
        """How long the next frame takes: `randint`, which is asked for each, without its many calls."""
        width, draw = self.most_ms - self.least_ms + 1, self.network.rng.getrandbits
        bits = width.bit_length()
        drawn = draw(bits)
        while drawn >= width:
            drawn = draw(bits)
        return self.least_ms + drawn

    def block(self, direction: int) -> None:
        """From here on nothing gets from that side to the other."""
        if self.blocked[direction]:
            return
        self.blocked[direction] = True
        self._blocks[direction] += 1
        number = self._blocks[direction]
        for line in list(self.lines):
            patience = SILENCE_MS + self.network.rng.randrange(1_000)
            self.network.clockwork.later(patience, partial(self._give_up, line, direction, number))

    def _give_up(self, line: Line, direction: int, number: int) -> None:
        if self.blocked[direction] and self._blocks[direction] == number and line in self.lines:
            line.ends[1 - direction].give_up(GOING_AWAY, "nothing heard from the other side")

    def unblock(self) -> None:
        """What waited on the way arrives, where the connection is still there."""
        for direction in (0, 1):
            if self.blocked[direction]:
                self.blocked[direction] = False
                for line in list(self.lines):
                    line.release(direction)

    def cut(self) -> None:
        """All connections are reset."""
        for line in list(self.lines):
            for end in line.ends:
                self.network.clockwork.later(self.delay(), partial(end.lose, *LOST))
            line.dead = True


@define(eq=False)
class Network:
    """Every connection of a store. carried: called with all that is sent. damaged: names of operations that arrived
    cut short."""

    clockwork: Clockwork
    rng: random.Random
    carried: Callable[[bytes], None] = _nothing
    damaged: set[str] = field(factory=set)

    def open(self, route: Route) -> Line:
        """A connection that is established at this moment."""
        line = Line(route)
        route.lines.append(line)
        return line


@define(eq=False)
class Line:
    """One connection. dead: nothing more arrives, whoever knows it already."""

    route: Route
    ends: tuple[End, End] = field(init=False)
    dead: bool = False
    session: Session | None = None
    """Of a terminal's connection, the node's side of it."""
    _held: list[list[Frame]] = field(factory=lambda: [[], []])
    _arrives_ms: list[int] = field(factory=lambda: [0, 0])

    def __attrs_post_init__(self) -> None:
        self.ends = (End(self, 0), End(self, 1))

    def put(self, side: int, frame: Frame) -> None:
        """A side sent something."""
        network, now = self.route.network, self.route.network.clockwork.now_ms
        network.carried(frame[1])
        at = self._arrives_ms[side] = max(self._arrives_ms[side], now + self.route.delay())
        network.clockwork.later(at - now, partial(self._arrive, side, frame))

    def _arrive(self, side: int, frame: Frame) -> None:
        if self.dead:
            return
        if self.route.blocked[side] or self._held[side]:
            self._held[side].append(frame)
        else:
            self._hand_over(side, frame)

    def release(self, side: int) -> None:
        """The way is free again."""
        held, self._held[side] = self._held[side], []
        for frame in held:
            if not self.dead:
                self._hand_over(side, frame)

    def _hand_over(self, side: int, frame: Frame) -> None:
        if frame[0] == "text":
            self.ends[side].outbox_bytes -= len(frame[1])
        if self.route.damaged and OPERATION in frame[1]:
            self.route.damaged -= 1
            frame = ("text", _cut_short(frame[1], self.route.network.damaged))
        if self.ends[1 - side].over:  # nobody is there any more, and the system says so
            self.route.network.clockwork.later(self.route.delay(), partial(self.ends[side].lose, *LOST))
        self.ends[1 - side].take(frame)
        if self.route.doubled and OPERATION in frame[1]:
            self.route.doubled -= 1
            self.ends[1 - side].take(frame)


@define(eq=False)
class End:
    """One side of a connection: the core's port `Connection`, or a terminal's socket. over: this side knows that it
    has ended."""

    line: Line
    side: int
    on_text: Callable[[bytes], None] = _nothing
    on_pong: Callable[[bytes], None] = _nothing
    on_end: Callable[[int, str], None] = _nothing
    answers_pings: bool = True
    over: bool = False
    outbox_bytes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    paused: bool = False
    unread: deque[Frame] = field(factory=deque)
    _closing: tuple[int, str] | None = None

    @property
    def answers(self) -> bool:
        """Whether a ping would be answered."""
        other = self.line.ends[1 - self.side]
        return not self.line.dead and self.line.route.open and not other.over and other.answers_pings

    # ------------------------------------------------------------------ outbound

    def send(self, what: Outgoing | Batch) -> None:
        for message in what.messages if isinstance(what, Batch) else (what,):
            self.send_text(message.payload)

    def send_text(self, payload: bytes) -> None:
        if not self.over and self._closing is None:
            self.outbox_bytes += len(payload)
            self.bytes_out += len(payload)
            self.line.put(self.side, ("text", payload))

    def ping(self, payload: bytes) -> None:
        if not self.over and self._closing is None:
            self.line.put(self.side, ("ping", payload))

    def close(self, code: int, reason: str) -> None:
        if not self.over and self._closing is None:
            self._closing = (code, reason)
            self.line.put(self.side, ("close", b"%d %s" % (code, reason.encode())))
            self.line.route.network.clockwork.later(CLOSE_TIMEOUT_MS, partial(self.lose, code, reason))

    # ------------------------------------------------------------------ inbound

    def take(self, frame: Frame) -> None:
        if self.over:
            return
        if self.paused or self.unread:
            self.unread.append(frame)
            return
        self._read(frame)

    def _read(self, frame: Frame) -> None:
        kind, content = frame
        self.bytes_in += len(content)
        if kind == "text":
            if self._closing is None:
                self.on_text(content)
        elif kind == "ping":
            if self.answers_pings and self._closing is None:
                self.line.put(self.side, ("pong", content))
        elif kind == "pong":
            self.on_pong(content)
        else:
            code, _, reason = content.decode().partition(" ")
            if self._closing is None:
                self.line.put(self.side, frame)  # the close is answered
            self.lose(int(code), reason)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.line.route.network.clockwork.later(0, self._catch_up)

    def _catch_up(self) -> None:
        while self.unread and not self.paused and not self.over:
            self._read(self.unread.popleft())

    # ------------------------------------------------------------------ the end

    def give_up(self, code: int, reason: str) -> None:
        """Close, and wait for nobody."""
        if not self.over and self._closing is None:
            self.line.put(self.side, ("close", b"%d %s" % (code, reason.encode())))
        self.lose(code, reason)

    def lose(self, code: int, reason: str) -> None:
        """This side learns that the connection has ended."""
        if self.over:
            return
        self.forget()
        self.on_end(code, reason)

    def forget(self) -> None:
        """Without telling anybody on this side, who has died."""
        self.over = True
        self.unread.clear()
        line = self.line
        if all(end.over for end in line.ends):
            line.dead = True
            if line in line.route.lines:
                line.route.lines.remove(line)

    def vanish(self, *, unnoticed: bool) -> None:
        """This side is gone from one moment to the next. unnoticed: the other side learns it only from silence."""
        self.forget()
        other, route = self.line.ends[1 - self.side], self.line.route
        self.line.dead = True
        patience = SILENCE_MS + route.network.rng.randrange(1_000) if unnoticed else route.delay()
        route.network.clockwork.later(patience, partial(other.lose, *LOST))


def _cut_short(payload: bytes, damaged: set[str]) -> bytes:
    """The same messages, the update of the first operation among them being half of what it was. damaged: learns its
    name."""
    loaded = orjson.loads(payload)
    for message in loaded if isinstance(loaded, list) else [loaded]:
        if message["type"] == "data_sync" and "updates" in message.get("link", ()):
            entry = message["link"]["updates"][0]
            entry[2] = entry[2][: len(entry[2]) // 8 * 4]
            damaged.add(name_of(message["link"]["terminal_id"], message["operation"]["id"]))
            break
    return orjson.dumps(loaded)
