"""A poisoned function, the nodes of an evening in which it is poisoned (evenings.py), and what must hold after it.

The nodes are real cores over real stores. Around them stands what the runtime does around a core: a callback of a
connection that raises closes that connection, a job of the clock that raises is skipped, a start that fails is tried
again. Anything else that is raised is the death of a node.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from crdt.records import name_of
from node.core.operations.quarantine import DROPPED, FAULT
from node.core.schedule import schedule
from node.screen import without_version
from node.simulation.invariants import operations
from tests.harness import Client, World
from tests.mesh import Mesh, Wire, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from node.config.sections import Config

ROOT = Path(__file__).parents[3]
FOLDERS = tuple(f"{ROOT / name}/" for name in ("node/core", "node/wire", "strategies", "crdt"))
PACKAGES = {"node", "strategies", "crdt", "storage"}
NOT_REACHED = ("core/history/", "core/start.py", "core/schedule.py", "core/guarded.py")
"""What reads the past, puts a node together, or is the guard itself."""

GUARD = {"Faults.guard", "Faults.report", "Faults.tear"}
COMPREHENSIONS = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>", "<module>")
Function = tuple[str, str, int]
"""File below the root, qualified name, first line."""


class PlantedError(Exception):
    """What nobody foresaw."""


def function_of(code: CodeType) -> Function | None:
    """The function that may be poisoned; None for what is none of the folders'."""
    if not code.co_filename.startswith(FOLDERS) or code.co_name in COMPREHENSIONS:
        return None
    place = code.co_filename[len(str(ROOT)) + 1 :]
    if any(part in place for part in NOT_REACHED) or code.co_qualname in GUARD:
        return None
    return place, code.co_qualname, code.co_firstlineno


def forget() -> None:
    """Empty what functions remember: whether one is called does not depend on the tests before."""
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES]:
        for function in vars(module).values():
            if isinstance(function, functools._lru_cache_wrapper):
                function.cache_clear()


def reached(play: Callable[[], None]) -> Counter[Function]:
    """How often each function is called while something is played."""
    calls: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        calls[frame.f_code] += 1

    forget()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        play()
    finally:
        sys.settrace(before)
    found: Counter[Function] = Counter()
    for code, count in calls.items():
        function = function_of(code)
        if function is not None:
            found[function] += count
    return found


class Poison:
    """A function that raises on its n-th call, at its first line. As a trace function it reaches nested ones too."""

    def __init__(self, function: Function, number: int, error: type[Exception]) -> None:
        self.function, self.left, self.error = function, number, error
        self.met = False

    def __enter__(self) -> Poison:
        forget()
        self._before = sys.gettrace()
        self._file, self._name = str(ROOT / self.function[0]), self.function[1]
        sys.settrace(self._trace)
        return self

    def __exit__(self, *raised: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if code.co_qualname == self._name and code.co_filename == self._file:
            if frame.f_back is not None and _looks_on(frame.f_back.f_code):
                return
            self.left -= 1
            if not self.left:
                self.met = True
                sys.settrace(None)
                raise self.error(self._name)


def _looks_on(caller: CodeType) -> bool:
    """Whether a test's own comprehension asks a core for something."""
    return caller.co_name == "<genexpr>" and not caller.co_filename.startswith(FOLDERS)


class Node(World):
    """A world with the schedule of a real node, and a process that is started again where its start fails."""

    def boot(self) -> None:
        try:
            self._boot()
        except Exception:
            with suppress(Exception):
                self.reader.close()
            self.store.abandon()
            self._boot()

    def _boot(self) -> None:
        super().boot()
        self.table = schedule(self.core, self, now_ms=self.mono_ms, status_ms=5_000, metrics_ms=10_000)

    def commit(self) -> None:
        try:
            super().commit()
        except Exception as error:
            self.core.lost(error)

    def recover(self) -> None:
        with suppress(Exception):
            super().recover()
            return
        super().recover()  # a second later

    def probe(self) -> None:
        with suppress(Exception):
            super().probe()

    def read_again(self) -> None:
        return None

    def heartbeat(self) -> None:
        return None

    def memory_mb(self) -> float:
        return 50.0

    def database_bytes(self) -> int:
        return 10_000

    def checkpoint(self) -> None:
        return None

    def tick(self) -> None:
        self.table.step(self.mono_ms)

    def settle(self) -> None:
        super().settle()
        if not self.core.health.ok:
            self.recover()
            super().settle()


class Terminal(Client):
    """A documented client whose connection is closed where its callback raises, and that comes back."""

    def connect(self, *, full: bool = False) -> Terminal:
        self.full = full
        with suppress(Exception):
            super().connect(full=full)
        return self

    def disconnect(self) -> None:
        """Where the node's end of a connection raises, its task ends with it."""
        with suppress(Exception):
            super().disconnect()
        self.session = None

    @property
    def here(self) -> bool:
        return self.session is not None and self.connection.closed is None

    def send(self, message: dict[str, Any]) -> None:
        self.say(orjson.dumps(message).decode())

    def say(self, text: str) -> None:
        if self.session is not None and self.here:
            try:
                self.session.receive(text)
            except Exception:
                self.connection.close(1011, "internal error")

    def receive(self, limit: int | None = None) -> int:
        try:
            taken = super().receive(limit)
        except Exception:  # its pong
            self.connection.close(1011, "internal error")
            taken = 1
        if self.session is not None and self.connection.closed is not None:
            self.disconnect()
        return taken

    def come_back(self) -> int:
        """Connect again where the node closed the connection."""
        if self.session is None:
            if self.full:
                self.screen.clear()
            self.connect(full=self.full)
            self.flush()
            return 1
        return 0


class Store(Mesh):
    """A hub, a leaf below it, and a node that comes later. Connections that raise are closed, and dialled again.

    leaf: the leaf's configuration, where it has one of its own.
    """

    def __init__(self, directory: Path, config: Config | None = None, leaf: Config | None = None) -> None:
        super().__init__(directory, 0, [])
        small = {"ring_rows": 8, "window": 4, "resident": 3}
        configs = (config, leaf or config, config)
        self.worlds = [
            Node(directory / f"n{n}", node_id=f"n{n}", upstream=n > 0, config=configs[n], **small) for n in range(3)
        ]
        self.terminals: list[Terminal] = []

    def link(self, dialler: int) -> None:
        self.wires.append(SafeWire(Wire(self.worlds[dialler], self.worlds[0], upstream=True)))

    def terminal(self, world: int, name: str, kind: str = "pos", **how: Any) -> Terminal:
        terminal = Terminal(self.worlds[world], name, kind, **how).connect()
        self.terminals.append(terminal)
        return terminal

    def quiet(self) -> None:
        """Until nobody has anything to say. Who lost its connection comes back."""
        self.settle(lambda: sum(t.come_back() + t.receive() for t in self.terminals))


class SafeWire:
    """A wire whose ends are closed where their callbacks raise."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wire, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "wire":
            object.__setattr__(self, name, value)
        else:
            setattr(self.wire, name, value)

    def connect(self) -> None:
        try:
            self.wire.connect()
        except Exception:
            self.cut()

    def cut(self) -> None:
        """Each node learns of the end by itself: where that raises, the task of the connection ends with it."""
        links, self.wire.links = self.wire.links, None
        for link in links or ():
            with suppress(Exception):
                link.host.unlink(link)

    def step(self, direction: int) -> bool:
        try:
            return bool(self.wire.step(direction))
        except Exception:
            self.cut()
            return True


def problem(store: Store) -> str | None:
    """What is wrong in the end, with all nodes started again and what is parked tried again."""
    for number, world in enumerate(store.worlds):
        store.crash(number)
        for terminal in store.terminals:
            if terminal.world is world:
                terminal.session = None
    for terminal in store.terminals:
        if any(message["code"] == 1011 for message in terminal.of("sync_error")):
            terminal.full = True  # its screen shows what it wrote, and was told that it was not stored
    store.quiet()
    for _ in range(2):
        for world in store.worlds:
            world.core.retry_quarantine()
            world.advance(61_000)
        store.quiet()
    return _unlike(store) or _lost(store) or _accused(store)


def _unlike(store: Store) -> str | None:
    first = shown(store.worlds[0])
    for world in store.worlds:
        if shown(world) != first:
            return f"{world.node_id} shows otherwise: {shown(world)} and not {first}"
        left = [row.reason for row in world.core.replica.quarantine if row.state not in (FAULT, DROPPED)]
        if left:
            return f"{world.node_id} keeps in its quarantine: {left}"
    return None


def _lost(store: Store) -> str | None:
    for terminal in store.terminals:
        world = terminal.world
        held = {str(found[0]) for found in operations(world.reader)}
        archived = world.core.replica.held
        if terminal.unanswered:
            return f"{terminal.name} waits for {list(terminal.unanswered)}"
        for message in terminal.of("sync_confirmation"):
            name = name_of(terminal.name, message["operation_id"])
            if name not in held and not archived.on_disk(name) and name not in archived.recent:
                return f"{name} was confirmed and is gone"
        for entity_type in ("orders", "products", "customers"):
            if terminal.kind == "monitor":
                continue
            if terminal.shown(entity_type) != without_version(world.view(entity_type)):
                return (
                    f"{terminal.name} shows {terminal.shown(entity_type)} and "
                    f"{world.node_id} {without_version(world.view(entity_type))}"
                )
    return None


def _accused(store: Store) -> str | None:
    """Who wrote well is not told otherwise: it would take what it sold out of its queue."""
    for terminal in store.terminals:
        for message in terminal.of("sync_error"):
            if message["code"] == 4006 and (message["operation_id"] or "").startswith(terminal.name):
                return f"{terminal.name} was told of {message['operation_id']}: {message['error']}"
    return None
