"""An empty node that is linked to two full ones: one fills it, the other waits, and takes over where that breaks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import orjson
import pytest

from node.core.links import feed, first_sync
from tests.harness import Client
from tests.mesh import Mesh, Wire, audit, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNT = 40
DIALS = [[(2, 0, True), (2, 1, False)], [(0, 2, False), (1, 2, False)], [(2, 0, False), (1, 2, False)]]
"""The empty node is the third; who dials whom."""


def full(directory: Path, edges: list[tuple[int, int, bool]], *, last: int = COUNT) -> Mesh:
    """Two level nodes; the second has `last` orders more than the first where they are not linked with each other."""
    mesh = Mesh(directory, 3, [(1, 0, True), *edges])
    ana = Client(mesh.worlds[0], "ana").connect()
    for number in range(COUNT):
        ana.do("orders", f"o-{number}", "CREATE", {"n": number})
        ana.do("orders", f"o-{number}", "UPDATE", {"n": -number})
    between = mesh.wires.pop(0)
    between.connect()
    for _ in range(20):
        for world in mesh.worlds[:2]:
            world.settle()
        while between.step(0) or between.step(1):
            pass
        for world in mesh.worlds[:2]:
            world.advance(1_001)
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
    return mesh


class Came:
    """What the empty node was sent: entities, and operations of history."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh, self.states, self.history = mesh, 0, 0
        self._inwards = False
        for wire in mesh.wires:
            wire.step = partial(self._step, wire, wire.step)  # type: ignore[method-assign]
            wire.damage = self._note

    def _step(self, wire: Wire, step: Callable[[int], bool], direction: int) -> bool:
        core = self.mesh.worlds[2].core
        self._inwards = wire.links is not None and wire.links[1 - direction].host is core.links
        return step(direction)

    def _note(self, frame: bytes) -> bytes:
        if not self._inwards:
            return frame
        messages = orjson.loads(frame)
        for message in messages if isinstance(messages, list) else [messages]:
            if message["type"] == "data_sync":
                self.states += "state" in message["link"]
                self.history += "updates" in message["link"]
        return frame

    def until(self, states: int, history: int = 0) -> None:
        """One frame at a time, until so much has come."""
        for wire in self.mesh.wires:
            wire.connect()
        for turn in range(5_000):
            if self.states >= states and self.history >= history:
                return
            for world in self.mesh.worlds:
                world.settle()
            moved = [wire.step(direction) for wire in self.mesh.wires for direction in (0, 1)]
            if not any(moved) and turn % 5 == 0:
                self.mesh.worlds[2].advance(1_001)
        raise AssertionError(f"{self.states} entities and {self.history} operations came")


@pytest.fixture(params=DIALS, ids=["dials both", "is dialled by both", "one each"])
def mesh(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    monkeypatch.setattr(feed, "FRAME_BYTES", 1_000)
    mesh = full(tmp_path, request.param)
    yield mesh
    mesh.close()


def first(mesh: Mesh) -> tuple[Wire, Wire]:
    """The wire on which the empty node is filled, and the other one."""
    sync = mesh.worlds[2].core.links.first_sync
    assert sync is not None
    one, other = mesh.wires
    return (one, other) if sync.peer in (one.dialler.node_id, one.other.node_id) else (other, one)


def test_everything_comes_once(mesh: Mesh) -> None:
    came = Came(mesh)
    mesh.settle()
    assert shown(mesh.worlds[2]) == shown(mesh.worlds[0])
    assert audit(mesh.worlds[2]) == audit(mesh.worlds[0])
    assert (came.states, came.history) == (COUNT, 2 * COUNT)
    assert all(link.state == "up" for link in mesh.worlds[2].core.links.by_node.values())


@pytest.mark.parametrize("history", [0, 10])
def test_where_the_first_link_ends_the_other_takes_over(mesh: Mesh, history: int) -> None:
    came = Came(mesh)
    came.until(COUNT if history else 5, history)
    gone, left = first(mesh)
    gone.cut()
    mesh.wires.remove(gone)
    mesh.settle()
    assert left.links is not None
    assert shown(mesh.worlds[2]) == shown(mesh.worlds[0])
    assert audit(mesh.worlds[2]) == audit(mesh.worlds[0])
    for _ in range(3):
        mesh.worlds[2].advance(1_001)
        mesh.settle()
    sync = mesh.worlds[2].core.links.first_sync
    assert sync is not None
    assert sync.phase == "over"


def test_where_nothing_comes_on_the_first_link_the_other_takes_over(mesh: Mesh) -> None:
    came = Came(mesh)
    came.until(5)
    stuck, _ = first(mesh)
    mesh.wires.remove(stuck)
    node = mesh.worlds[2]
    for _ in range(first_sync.PATIENCE_MS // 1_000 + 1):
        node.advance(1_001)
    mesh.settle()
    assert shown(node) == shown(mesh.worlds[0])


def test_what_is_written_here_and_there_meanwhile_reaches_everybody(mesh: Mesh) -> None:
    here, there = Client(mesh.worlds[2], "caixa").connect(), Client(mesh.worlds[1], "carla").connect()
    came = Came(mesh)
    came.until(5)
    here.write("orders", "here", "CREATE", {"n": 1})
    there.write("orders", "there", "CREATE", {"n": 1})
    came.until(10)
    mesh.settle(lambda: here.receive() + there.receive())
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1]) == shown(mesh.worlds[2])
    assert {"here", "there"} <= mesh.worlds[0].view("orders").keys()


def test_a_node_that_holds_much_more_still_sends_its_entities_whole(tmp_path: Path) -> None:
    """Entities first, then history: not history alone because a nearly empty node was there first."""
    mesh = Mesh(tmp_path, 3, [(2, 0, False), (2, 1, False)])
    Client(mesh.worlds[0], "ana").connect().do("orders", "o", "CREATE", {"n": 1})
    bia = Client(mesh.worlds[1], "bia").connect()
    for number in range(COUNT):
        bia.do("products", f"p-{number}", "CREATE", {"n": number})
    came = Came(mesh)
    mesh.wires[0].connect()
    came.until(1)
    came.until(1 + COUNT)
    assert came.states >= 1 + COUNT
    mesh.settle()
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1]) == shown(mesh.worlds[2])
    mesh.close()
