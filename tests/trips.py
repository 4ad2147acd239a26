"""How many files one message passes on its way through the code: `python -m tests.trips`.

A trip is measured with a profiler over the real core, log and documents. *files*: distinct files of the project that
are entered. *moves*: how often control goes from one file to another, returns included. A trip of few files and few
moves can be read in one sitting. `tests/test_trips.py` holds the two that everything passes to their bounds.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from attrs import define, field

from node.core.operations import parked
from node.core.sessions.session import Session
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = tuple(str(ROOT / folder) + "/" for folder in ("crdt", "strategies", "storage", "node"))

ORDER = {"table": 7, "status": "pending", "items": [{"id": "i-1", "name": "Feijoada", "quantity": 1}], "total": 42.5}


@define(eq=False)
class Trip:
    """What the profiler saw. entered: calls of each file's functions."""

    entered: Counter[str] = field(factory=Counter)
    functions: set[tuple[str, str]] = field(factory=set)
    moves: int = 0
    _stack: list[str] = field(factory=list)

    @property
    def files(self) -> int:
        return len(self.entered)

    @contextmanager
    def measured(self) -> Iterator[Trip]:
        """Count what runs inside."""
        sys.setprofile(self._event)
        try:
            yield self
        finally:
            sys.setprofile(None)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if not name.startswith(PRODUCT):
            return
        if event == "call":
            self.entered[name] += 1
            self.functions.add((name, frame.f_code.co_qualname))
            self.moves += bool(self._stack) and self._stack[-1] != name
            self._stack.append(name)
        elif event == "return" and self._stack:
            self._stack.pop()
            self.moves += bool(self._stack) and self._stack[-1] != name

    def __str__(self) -> str:
        most = ", ".join(f"{Path(name).stem} {count}" for name, count in self.entered.most_common(8))
        return f"{self.files:3} files {len(self.functions):4} functions {self.moves:4} moves   {most}"


@contextmanager
def while_in(owner: Any, name: str, trip: Trip) -> Iterator[None]:
    """Measure every call of one method, as if it were called from outside the project."""
    inner = getattr(owner, name)

    def outer(*arguments: Any, **named: Any) -> Any:
        with trip.measured():
            return inner(*arguments, **named)

    setattr(owner, name, outer)
    try:
        yield
    finally:
        setattr(owner, name, inner)


def decided_here(world: World) -> Trip:
    """From the codec's message to the row in the group: a waiter updates an order."""
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    waiter.do("orders", "mesa-7", "CREATE", ORDER)
    settle_all(world, [waiter, kitchen])
    kitchen.do("orders", "mesa-7", "UPDATE", {"status": "preparing"})
    settle_all(world, [waiter, kitchen])
    trip = Trip()
    with while_in(Session, "_handle", trip):
        waiter.write("orders", "mesa-7", "UPDATE", {"status": "ready", "note": "sem cebola"})
    settle_all(world, [waiter, kitchen])
    return trip


def decided_there(mesh: Mesh) -> Trip:
    """From the decoded operation to the row in the group: another node updates an order that is in memory here."""
    mesh.settle()
    waiter = Client(mesh.worlds[1], "waiter-1", "waiter").connect()
    waiter.do("orders", "mesa-7", "CREATE", ORDER)
    mesh.settle()
    waiter.do("orders", "mesa-7", "UPDATE", {"status": "preparing"})
    mesh.settle()
    waiter.do("orders", "mesa-7", "UPDATE", {"status": "ready", "note": "sem cebola"})
    trip = Trip()
    inner = parked.accept_in_steps

    def outer(*arguments: Any, **named: Any) -> Generator[int, None, Any]:
        with trip.measured():
            yield from inner(*arguments, **named)  # it has no pauses

    with patch.object(parked, "accept_in_steps", outer):
        mesh.settle()
    return trip


def trips(directory: Path) -> dict[str, Trip]:
    """Every trip, by its name."""
    world = World(directory / "here")
    mesh = Mesh(directory, 2, [(1, 0, True)])
    try:
        return {
            "an operation is decided": decided_here(world),
            "an operation of another node is decided": decided_there(mesh),
        }
    finally:
        world.close()
        mesh.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for name, trip in trips(Path(directory)).items():
            print(f"{name:40} {trip}")
