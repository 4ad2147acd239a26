"""A node in your test's own process, with faults to order: the node's real core over a simulated disk and network.

    async with fake_node(tmp_path) as node, node.terminal("waiter-1", "waiter") as waiter:
        order = await waiter.create("orders", "mesa-7", {"status": "pending"})
        await node.kill()
        ...

It opens no socket, and its time is trio's: under `trio.testing.MockClock` an hour without a network takes no time.
Unlike the client, this module loads the node.
"""

from __future__ import annotations

import random
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import trio
from attrs import evolve

from node.client.socket import NO_CLOSE_FRAME, NotConnected
from node.client.terminal import Terminal, connect
from node.config.sections import Config
from node.core.sessions.identity import Identity
from node.simulation.event_queue import Clockwork
from node.simulation.machine import Machine
from node.simulation.network import End, Network, Route
from node.simulation.transcript import START_MS, Transcript

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from node.client.values import Fields

LINES_KEPT = 1_000
"""Of the transcript."""

TYPES = ("pos", "kds", "waiter", "monitor")
WRONG_TYPE = (4002, "Invalid terminal type")


class FakeNode:
    """Made by `fake_node`. Whatever a method breaks stays broken until another one mends it.

    transcript: what happened, the last lines of it.
    """

    def __init__(self, directory: Path, config: Config, seed: int) -> None:
        rng = random.Random(seed)
        self.transcript: deque[str] = deque(maxlen=LINES_KEPT)
        self._clockwork = Clockwork(Transcript(self.transcript))
        self._network = Network(self._clockwork, rng)
        self._machine = Machine(self._clockwork, self._clockwork.transcript, directory, config, rng)
        self._rng = rng
        self._routes: dict[str, Route] = {}
        self._sockets: dict[str, _Socket] = {}
        self._refused: dict[str, list[tuple[int, str]]] = {}
        self.lost: dict[tuple[str, str], int] = {}
        """(terminal id, type of message) -> how many of the next such messages from the node are lost."""
        self._began = trio.current_time()
        self._poked = trio.Event()
        self._copies = 0

    # ------------------------------------------------------------------ terminals

    def terminal(self, terminal_id: str, terminal_type: str, **options: Any) -> AbstractAsyncContextManager[Terminal]:
        """A terminal of this node; options as of `connect`."""
        return connect("ws://fake", terminal_id, terminal_type, dial=self._dial, wall=self._wall, **options)

    def entities(self, entity_type: str) -> dict[str, Fields]:
        """What the node shows of a type, by id, without versions."""
        self.turn()
        rows = self._machine.reader.entities(entity_type, None, 1_000_000)
        found = {row.entity_id: orjson.loads(row.view) for row in rows}
        return {i: {n: v for n, v in view.items() if n != "version"} for i, view in found.items()}

    # ------------------------------------------------------------------ faults

    def kill(self) -> None:
        """As by `kill -9`: what is not on disk is gone, and nobody answers until `start`."""
        self.turn()
        self._machine.crash()
        self._poke()

    def start(self) -> None:
        self._machine.start()
        self._poke()

    def pull_cable(self, terminal_id: str) -> None:
        """Nothing gets through, and nobody says so, until `plug_cable`. What was under way arrives then."""
        for direction in (0, 1):
            self._route(terminal_id).block(direction)

    def plug_cable(self, terminal_id: str) -> None:
        self._route(terminal_id).unblock()
        self._poke()

    def cut(self, terminal_id: str) -> None:
        """The connection breaks, with all that is under way; the next one works."""
        self.turn()
        self._route(terminal_id).cut()
        self._poke()

    def freeze(self, terminal_id: str) -> None:
        """The connection is half open from here on: nothing passes, and neither side is told."""
        if (socket := self._sockets.get(terminal_id)) is not None:
            socket.frozen = True

    def refuse(self, terminal_id: str, code: int, *, times: int = 1, reason: str = "") -> None:
        """The next connections are closed with this code at once."""
        self._refused[terminal_id] = [(code, reason)] * times

    def lose(self, terminal_id: str, message_type: str, *, times: int = 1) -> None:
        """The next messages of this type to this terminal are lost; the connection stands."""
        self.lost[terminal_id, message_type] = times

    def fill_disk(self, *, full: bool = True) -> None:
        """The node's disk takes nothing more, or takes it again."""
        self._machine.disk.fill(full=full)

    def backup(self) -> Path:
        """A copy of the node's database, for `set_back`."""
        self.turn()
        self._copies += 1
        copy = self._machine.directory / f"copy-{self._copies}.db"
        self._machine.backup(copy)
        return copy

    def set_back(self, copy: Path) -> None:
        """The node is killed, and comes back with an older database."""
        self.kill()
        self._machine.restore(copy)
        self.start()

    # ------------------------------------------------------------------ running

    def turn(self) -> None:
        """Everything that is due by now."""
        self._clockwork.run(round((trio.current_time() - self._began) * 1000))

    async def run(self) -> None:
        """Keep the node's time."""
        while True:
            self.turn()
            at_ms = self._clockwork.next_ms
            self._poked = trio.Event()
            with trio.move_on_at(float("inf") if at_ms is None else self._began + at_ms / 1000):
                await self._poked.wait()

    def end(self) -> None:
        if self._machine.alive:
            self._machine.stop()

    def _wall(self) -> float:
        """Terminals have the node's time."""
        return START_MS / 1000 + trio.current_time() - self._began

    def _poke(self) -> None:
        self._poked.set()

    # ------------------------------------------------------------------ connections

    def _route(self, terminal_id: str) -> Route:
        return self._routes.setdefault(terminal_id, Route(self._network, terminal_id, 1, 5))

    async def _dial(self, url: str, headers: Mapping[str, str], heard: Callable[[], None]) -> _Socket:
        """As node.client.socket.dialled."""
        parts = urlsplit(url)
        terminal_id, query = unquote(parts.path.rpartition("/")[2]), parse_qs(parts.query)
        route, kind = self._route(terminal_id), query["type"][0]
        await trio.sleep(2 * route.delay() / 1000)
        self.turn()
        if not route.open:
            await trio.sleep_forever()
        if not self._machine.alive:
            raise NotConnected("nobody listens")
        socket = _Socket(partial(self._passes, terminal_id), heard, self._poke)
        if kind not in TYPES or self._refused.get(terminal_id):
            socket.end(*(WRONG_TYPE if kind not in TYPES else self._refused[terminal_id].pop(0)))
            return socket
        here, there = self._network.open(route).ends
        here.on_text, here.on_end = socket.take, socket.end
        socket.way = here
        self._sockets[terminal_id] = socket
        user = query.get("user_id", [None])[0]
        identity = Identity(terminal_id, kind, user, f"session-{self._rng.getrandbits(64):x}")
        self._machine.door.accept_terminal(identity, there, full=query.get("sync") == ["full"])
        self._poke()
        return socket

    def _passes(self, terminal_id: str, message_type: str) -> bool:
        """Whether a message of this type gets to the terminal."""
        left = self.lost.get((terminal_id, message_type), 0)
        self.lost[terminal_id, message_type] = max(left - 1, 0)
        return not left


class _Socket:
    """The client's side of a simulated connection: the same calls as node.client.socket.Socket."""

    def __init__(self, passes: Callable[[str], bool], heard: Callable[[], None], poke: Callable[[], None]) -> None:
        self.way: End | None = None
        self.frozen = False
        self.code, self.reason = NO_CLOSE_FRAME, ""
        self._passes, self._heard, self._poke = passes, heard, poke
        self._texts: list[str] = []
        self._over = False
        self._changed = trio.Event()

    def take(self, payload: bytes) -> None:
        if not self.frozen and self._passes(orjson.loads(payload)["type"]):
            self._heard()
            self._texts.append(payload.decode())
            self._changed.set()

    def end(self, code: int, reason: str) -> None:
        if not self.frozen:
            self.code, self.reason, self._over = code, reason, True
            self._changed.set()

    async def receive(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        while not self._texts and not self._over:
            self._changed = trio.Event()
            await self._changed.wait()
        found, self._texts = self._texts, []
        return found

    async def send(self, texts: list[str]) -> None:
        await trio.lowlevel.checkpoint()
        if self.way is not None and not self.frozen:
            for text in texts:
                self.way.send_text(text.encode())
            self._poke()

    async def goodbye(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.way is not None:
            self.way.close(1000, "")
            self._poke()

    async def drop(self) -> None:
        if self.way is not None and not self.way.over:
            self.way.on_end = lambda code, reason: None
            self.way.vanish(unnoticed=False)
            self._poke()


@asynccontextmanager
async def fake_node(directory: str | Path, *, config: Config | None = None, seed: int = 0) -> AsyncIterator[FakeNode]:
    """A node of this process, started. directory: an empty one, for its database. seed: of delays and chance."""
    config = config or Config()
    config = evolve(config, node=evolve(config.node, id=config.node.id or "fake"))
    node = FakeNode(Path(directory), config, seed)
    node.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        try:
            yield node
        finally:
            nursery.cancel_scope.cancel()
            node.end()
