"""Stores under one roof: a link belongs to one realm, and nothing of another one is said or taken on it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from node.config.sections import Config, NodeSection
from node.core.start import note_realm
from node.errors import ConfigError
from node.runtime.keys import signatures
from node.wire.links.handshake import Identification, challenged
from storage.sqlite.store import Store
from tests.harness import Client, World
from tests.mesh import End, Mesh, Wire, audit, shown
from tests.rogue import Rogue
from tests.wire.links.recording import record

if TYPE_CHECKING:
    from pathlib import Path

    from node.core.links.link import Link


def site(name: str) -> Config:
    return Config(node=NodeSection(site=name or None))


def ends(wire: Wire) -> tuple[Link, Link, End, End]:
    assert wire.links is not None
    dialled, accepted = wire.links
    assert isinstance(dialled.connection, End)
    assert isinstance(accepted.connection, End)
    return dialled, accepted, dialled.connection, accepted.connection


def test_two_nodes_of_one_store_are_linked_as_two_without_a_name_are(tmp_path: Path) -> None:
    said = []
    for name in ("", "loja-a"):
        mesh = Mesh(tmp_path / f"store {name}", 2, [(1, 0, True)], config=site(name))
        mesh.connect()
        ana = Client(mesh.worlds[1], "ana").connect()
        ana.do("orders", "mesa-12", "CREATE", {"total": 10})
        mesh.settle()
        assert shown(mesh.worlds[0]) == shown(mesh.worlds[1])
        said.append(ana.inbox)
        mesh.close()
    assert said[0] == said[1], "a terminal is told nothing else where the store has a name"


@pytest.mark.parametrize(("here", "there"), [("loja-a", "loja-b"), ("", "loja-b"), ("loja-a", "")])
def test_a_node_that_dialled_another_store_ends_the_link_and_says_nothing(
    tmp_path: Path, here: str, there: str
) -> None:
    """The other side lets it in, as one does that knows of no realms."""
    worlds = [World(tmp_path / "here", node_id="n1", config=site(here))]
    worlds.append(World(tmp_path / "there", node_id="n0", config=site(there)))
    wire = Wire(worlds[0], worlds[1], upstream=False)
    wire.connect()
    dialled, _, said, heard = ends(wire)
    wire.step(1)
    assert said.closed is not None
    assert said.closed[0] == 4008
    assert not said.frames
    assert dialled.state == "closed"
    assert worlds[0].core.statistics.realms_refused == 1
    assert not heard.frames, "nothing after the greeting"
    for world in worlds:
        world.close()


def test_what_a_node_signs_for_one_store_shows_nothing_to_another(tmp_path: Path) -> None:
    world = World(tmp_path / "a", config=site("loja-a"))
    key = signatures(tmp_path)
    for realm, enters in (("loja-b", False), ("", False), ("loja-a", True)):
        rogue = Rogue(world, key=key)
        rogue.open()
        signed = key.sign(challenged("rogue", world.node_id, "session", realm))
        rogue.claim(**Identification(key.public, signed).fields())
        assert rogue.closed is not enters
    world.close()


def test_a_message_that_names_another_store_is_refused_whatever_it_says(tmp_path: Path) -> None:
    """Each kind that a link has, as the first word of a link that stands and in the middle of a frame."""
    kinds = {message["type"]: message for message in record(tmp_path / "recorded")}
    world = World(tmp_path / "a", config=site("loja-a"))
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa-12", "CREATE", {"total": 10})
    before, rows = shown(world), audit(world)
    for number, forged in enumerate(({"realm": "loja-b"}, {"realm": ""}, {"realm": None}, {"realm": ["loja-a"]})):
        for count, message in enumerate(kinds.values()):
            rogue = Rogue(world).connect()
            rogue.say({"type": "ping", "realm": "loja-a"}, {**message, **forged}, {"type": "unheard"})
            world.settle()
            assert rogue.end.closed is not None
            assert rogue.end.closed[0] == 4008, "and not for what follows"
            assert world.core.statistics.realms_refused == number * len(kinds) + count + 1
    assert (shown(world), audit(world)) == (before, rows)
    assert len(kinds) > 20
    world.close()


def test_what_a_link_is_told_names_no_realm_but_its_own(tmp_path: Path) -> None:
    """A terminal may put any word into its data, and nothing of it is taken for a link's word."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], config=site("loja-a"))
    mesh.connect()
    ana = Client(mesh.worlds[0], "ana").connect()
    ana.do("orders", "mesa-12", "CREATE", {"realm": "loja-b", "total": 1})
    ana.send(
        {
            "type": "data_sync",
            "realm": "loja-b",
            "operation": {
                "id": "ana.x",
                "entity_type": "orders",
                "entity_id": "mesa-13",
                "operation": "CREATE",
                "data": {},
                "timestamp": "2026-01-15T10:00:00.000Z",
                "terminal_id": "ana",
                "realm": "loja-b",
            },
        }
    )
    mesh.settle()
    assert set(mesh.worlds[1].view("orders")) == {"mesa-12", "mesa-13"}
    assert not [world for world in mesh.worlds if world.core.statistics.realms_refused]
    mesh.close()


# ---------------------------------------------------------------------- the log's own name


def test_a_log_takes_a_name_once_and_keeps_it_for_ever(tmp_path: Path) -> None:
    def start(name: str) -> None:
        with closing(Store.open(tmp_path, "n1", lambda: "e-1")) as store:
            note_realm(store, store.boot(), site(name))

    start("")
    start("loja-a")
    start("loja-a")
    for other in ("loja-b", ""):
        with pytest.raises(ConfigError, match="loja-a"):
            start(other)
    start("loja-a")
