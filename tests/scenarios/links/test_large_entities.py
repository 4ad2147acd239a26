"""Whatever large things a hub holds, a new node's first synchronisation ends, and nobody waits for it.

What is large travels in parts. What cannot travel whole is named; its operations come as history, and what sorts
behind it comes as ever. The hub does no more in one turn than encode a page.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve

from node.config.sections import Config
from node.core.links import feed
from node.errors import InvalidMessage
from node.wire.links import states
from node.wire.links.states import PART_BYTES, Parts, remote_state, state_messages, state_operation
from storage.answers import PAGE_BYTES
from tests.archives import archive
from tests.harness import Client, World
from tests.mesh import End, Mesh, Wire, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.wire.frames import Batch, Outgoing

ROOMY = evolve(Config(), limits=evolve(Config().limits, entity_bytes=2**26, message_bytes=2**26))
PHOTO = 40 * 1024
LARGEST = 6 * PHOTO
"""Largest entity that goes whole, in these tests."""


@pytest.fixture(autouse=True)
def frames(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The bytes of every frame between nodes. A document of LARGEST is the largest that goes whole."""
    for module in (states, feed):
        monkeypatch.setattr(module, "LARGEST_STATE", LARGEST)
    sent: list[int] = []
    send = End.send

    def sending(end: End, what: Outgoing | Batch) -> None:
        before = end.bytes_out
        send(end, what)
        sent.append(end.bytes_out - before)

    monkeypatch.setattr(End, "send", sending)
    yield sent
    assert max(sent, default=0) < 3 * PHOTO


def hub_of(mesh: Mesh) -> World:
    """A menu with photos, a list that is larger than a frame, one that is larger than what goes whole, small ones."""
    hub = mesh.worlds[0]
    pos = Client(hub, "pos-1").connect()
    for number in range(20):
        pos.do("products", f"p-{number:03}", "CREATE", {"name": str(number), "photo": str(number % 10) * PHOTO})
    for name, many in (("grown-a", 3), ("grown-b", 9)):
        pos.do("products", name, "CREATE", {"name": name})
        for number in range(many):
            pos.do("products", name, "UPDATE", {f"photo-{number}": "x" * PHOTO})
    for number in range(10):
        pos.do("products", f"z-{number}", "CREATE", {"name": str(number)})
    pos.disconnect()
    return hub


def join(mesh: Mesh) -> list[int]:
    """A new node joins. Returns how many bytes the hub encoded for it in each turn."""
    hub, _ = mesh.worlds
    mesh.wires.append(Wire(mesh.worlds[1], hub, upstream=True))
    mesh.connect()
    links, turns = mesh.wires[0].links, [0]
    assert links is not None
    out = links[1].connection

    def turn(act: Any) -> Any:
        before = out.bytes_out
        done = act()
        turns.append(out.bytes_out - before)
        return done

    for _ in range(300):
        for world in mesh.worlds:
            while world.calls:
                turn(world.calls.popleft())
            turn(world.commit)
        moved = [turn(lambda side=side: mesh.wires[0].step(side)) for side in (0, 1)]
        if not any(moved) and not any(world.calls for world in mesh.worlds):
            for world in mesh.worlds:
                turn(lambda world=world: world.advance(1_001))
                turn(world.probe)
    assert mesh.wires[0].links is links, "the link broke"
    return turns


def test_a_join_ends_with_all_of_it_and_no_turn_is_long(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    mesh = Mesh(tmp_path, 2, [], config=ROOMY)
    hub = hub_of(mesh)
    with caplog.at_level(logging.ERROR):
        turns = join(mesh)
    assert max(turns) < 3 * PAGE_BYTES
    assert shown(mesh.worlds[1]) == shown(hub)
    assert list(hub.core.log.too_large) == ["products grown-b"]
    assert [r.getMessage().partition(" has ")[0] for r in caplog.records] == ["products grown-b"]
    mesh.close()


def test_what_cannot_travel_costs_nothing_else(tmp_path: Any) -> None:
    mesh = Mesh(tmp_path, 2, [], config=ROOMY)
    hub = hub_of(mesh)
    archive(hub, hub.core.replica.log.committed, force=True)
    join(mesh)
    here, there = hub.view("products"), mesh.worlds[1].view("products")
    assert there.keys() == here.keys() - {"grown-b"}
    assert all(there[name] == here[name] for name in there)
    pos, far = Client(hub, "pos-8").connect(), Client(mesh.worlds[1], "pos-9").connect()
    assert pos.do("orders", "mesa-1", "CREATE", {"status": "pending"})["status"] == "applied"
    mesh.settle(lambda: pos.receive() + far.receive())
    assert far.shown("orders")["mesa-1"] == {"status": "pending"}
    mesh.close()


def test_a_first_synchronisation_that_breaks_goes_on_behind_what_came(tmp_path: Any, frames: list[int]) -> None:
    mesh = Mesh(tmp_path, 2, [], config=ROOMY)
    hub = hub_of(mesh)
    mesh.wires.append(Wire(mesh.worlds[1], hub, upstream=True))
    before = 0
    for _ in range(40):
        mesh.connect()
        for _ in range(30):
            for world in mesh.worlds:
                world.settle()
            mesh.wires[0].step(0)
            mesh.wires[0].step(1)
        mesh.wires[0].cut()
        came = len(mesh.worlds[1].view("products"))
        assert came >= before
        before = came
    mesh.settle()
    assert shown(mesh.worlds[1]) == shown(hub)
    mesh.close()


def _parts(size: int, key: tuple[str, str] = ("products", "p-1")) -> list[dict[str, Any]]:
    return [orjson.loads(text) for text in state_messages(state_operation("state-1", key), bytes(size))]


@pytest.mark.parametrize("size", [PART_BYTES + 1, 2 * PART_BYTES, 3 * PART_BYTES - 1, 3 * PART_BYTES + 2])
def test_parts_are_put_together_in_order_and_nothing_else_is(size: int) -> None:
    parts, sent = Parts(), _parts(size)
    found = [parts.take(part) for part in sent]
    assert found[:-1] == [None] * (len(sent) - 1)
    assert found[-1] is not None
    assert remote_state(found[-1]).snapshot == bytes(size)
    for wrong in (
        sent[1:],
        [sent[0], *sent[2:]] if len(sent) > 2 else [sent[1], sent[0]],
        [*sent[:-1], _parts(size, ("products", "p-2"))[-1]],
        [*sent[:-1], {**sent[-1], "link": {**sent[-1]["link"], "state": "AAAA" * PART_BYTES}}],
    ):
        assert [parts.take(part) for part in wrong] == [None] * len(wrong)
        assert parts.size <= size
    assert [parts.take(part) for part in sent][-1] is not None


def test_a_document_that_is_too_large_is_not_kept_while_it_comes() -> None:
    parts = Parts()
    for part in _parts(LARGEST + 1):
        assert parts.take(part) is None
        assert parts.size == 0


@pytest.mark.parametrize(
    "link",
    [{"state": 1, "at": 0, "of": 9}, {"state": "", "at": -1, "of": 9}, {"state": "", "at": 9, "of": 9}, {"of": 9}],
)
def test_what_is_no_part_is_refused(link: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessage, match="part of an entity"):
        Parts().take({**_parts(PART_BYTES + 1)[0], "link": link})
