"""Whoever has only a node's token takes nobody's place: a link counts once the other side has shown who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.core.links.link import FIRST_FRAME_BYTES
from node.core.links.links import NEWCOMERS_OF_NODE, PROOF_MS
from node.runtime.keys import signatures
from tests.harness import Client
from tests.mesh import Mesh, shown
from tests.rogue import Rogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from node.core.links.link import Link


class Store:
    """A hub and a leaf that are linked, and a thief who has the leaf's token and not its key."""

    def __init__(self, directory: Path, *, hub_dials: bool) -> None:
        self.mesh = Mesh(directory, 2, [(0, 1, False)] if hub_dials else [(1, 0, True)])
        self.hub, self.leaf = self.mesh.worlds
        self.mesh.connect()
        self.waiter = Client(self.leaf, "pos-1").connect()
        self.settle()
        self.waiter.do("orders", "mesa-1", "CREATE", {"status": "pending"})
        self.settle()
        (directory / "thief").mkdir()
        self.key = signatures(directory / "thief")

    def settle(self) -> None:
        self.mesh.settle(self.waiter.receive, reconnect=False)

    @property
    def link(self) -> Link:
        return self.hub.core.links.by_node["n1"]

    def thief(self, role: str) -> Rogue:
        return Rogue(self.hub, "n1", role, self.key)


@pytest.fixture(params=[False, True], ids=["the leaf dialled", "the hub dialled"])
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    store = Store(tmp_path, hub_dials=request.param)
    yield store
    store.mesh.close()


def says_nothing(thief: Rogue) -> None:
    thief.open()


def shows_another_key(thief: Rogue) -> None:
    thief.connect()
    assert thief.end.closed is not None
    assert thief.end.closed[0] == 4003


def shows_no_key(thief: Rogue) -> None:
    thief.open()
    thief.claim(key=None)
    assert thief.closed


def claims_rows_that_never_were(thief: Rogue) -> None:
    thief.open()
    thief.claim(epoch=thief.world.core.links.epoch, positions=(10**9,) * 4, mark=10**9)
    assert thief.closed


def comes_again_and_again(thief: Rogue) -> None:
    for _ in range(20):
        thief.open()


def says_much_at_first(thief: Rogue) -> None:
    for _ in range(3):
        thief.open()
        thief.link.receive(b"[" + b" " * FIRST_FRAME_BYTES + b"]")
        assert thief.closed


def says_something_else_first(thief: Rogue) -> None:
    thief.open()
    thief.say({"type": "speaks_for", "nodes": ["n9"]}, {"type": "sync_error", "code": 4004, "error": "twin"})
    assert thief.closed


ATTACKS = [
    says_nothing,
    shows_another_key,
    shows_no_key,
    claims_rows_that_never_were,
    comes_again_and_again,
    says_much_at_first,
    says_something_else_first,
]


@pytest.mark.parametrize("role", ["downstream", "peer"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_who_has_not_shown_who_it_is_changes_nothing(
    store: Store, attack: Callable[[Rogue], None], role: str
) -> None:
    link, epoch, spent = store.link, store.hub.core.links.epoch, dict(store.hub.core.links.budget("n1").spent)
    attack(store.thief(role))
    store.hub.settle()
    assert store.link is link
    assert (link.state, store.hub.core.links.epoch) == ("up", epoch)
    assert store.hub.core.links.budget("n1").spent == spent
    assert not store.hub.core.links.twins
    store.waiter.do("orders", "mesa-2", "CREATE", {"status": "pending"})
    store.settle()
    assert shown(store.hub) == shown(store.leaf)
    assert "mesa-2" in store.hub.view("orders")


def test_newcomers_are_few_and_are_not_waited_for(store: Store) -> None:
    thief = store.thief("downstream")
    comes_again_and_again(thief)
    newcomers = store.hub.core.links.newcomers
    assert len(newcomers) == NEWCOMERS_OF_NODE
    store.hub.advance(PROOF_MS + 1_000)
    store.hub.settle()
    assert all(link.state == "closed" for link in newcomers)
    assert store.link.state == "up"


def test_the_node_itself_comes_in_among_them(store: Store) -> None:
    """Its machine was moved; the thief keeps every place for newcomers, and comes once more while it dials."""
    store.mesh.wires[0].cut()
    thief = store.thief("downstream")
    comes_again_and_again(thief)
    store.mesh.connect()
    thief.open()
    store.settle()
    assert store.link.state == "up"
    assert store.link is not thief.link


def test_an_empty_node_is_not_held_up_by_who_shows_nothing(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(0, 1, False)])
    full, empty = mesh.worlds
    Client(full, "pos-1").connect().do("orders", "mesa-1", "CREATE", {"status": "pending"})
    full.settle()
    thief = Rogue(empty, "n9")
    thief.open()
    assert empty.core.links.first_sync is None
    mesh.connect()
    mesh.settle(reconnect=False)
    assert shown(full) == shown(empty)
    mesh.close()


def test_who_waits_while_another_fills_this_node_takes_no_place_either(tmp_path: Path) -> None:
    """It is held in its handshake, and the filling link ends: of those that wait the one with a key goes on."""
    mesh = Mesh(tmp_path, 3, [(0, 2, False), (1, 2, False)])
    full, other, empty = mesh.worlds
    Client(full, "pos-1").connect().do("orders", "mesa-1", "CREATE", {"status": "pending"})
    Client(other, "pos-2").connect().do("orders", "mesa-2", "CREATE", {"status": "pending"})
    for world in mesh.worlds:
        world.settle()
    mesh.wires[0].connect()
    while empty.core.links.by_node.get("n0") is None:
        assert mesh.wires[0].step(0) or mesh.wires[0].step(1)
    thief = Rogue(empty, "n9", head=5)
    thief.open()
    mesh.wires[1].connect()
    assert [link.held for link in empty.core.links.newcomers] == [True, True]
    mesh.wires[0].cut()
    del mesh.wires[0]
    mesh.settle()
    assert shown(other) == shown(empty)
    assert empty.core.links.first_sync is not None
    assert empty.core.links.first_sync.peer == "n1"
    mesh.close()
