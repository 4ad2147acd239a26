"""Two nodes that hold the same operations find out when they do not hold the same of an entity, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crdt.document import Document
from node.core.entities.entity import Entity
from node.core.links import anti_entropy
from node.wire.links.contents import ENTITIES
from storage.records import Commit
from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import World

PRODUCTS = 2 * ENTITIES + 3
DAMAGED = [*(("products", f"p-{number:03}") for number in (0, ENTITIES, PRODUCTS - 1)), ("orders", "o")]


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], resident=10)
    mesh.connect()
    ana, bia = (Client(world, f"{name}-1").connect() for world, name in zip(mesh.worlds, ("ana", "bia"), strict=True))
    for number in range(PRODUCTS):
        ana.write("products", f"p-{number:03}", "CREATE", {"stock": 10, "name": "guarana"})
    bia.do("orders", "o", "CREATE", {"status": "pending", "items": [{"id": "a"}]})
    mesh.settle(lambda: ana.receive() + bia.receive())
    ana.do("products", "p-000", "UPDATE", {"stock": 9})
    bia.do("products", "p-001", "DELETE", {})
    mesh.settle(lambda: ana.receive() + bia.receive())
    return mesh


def compare(mesh: Mesh) -> None:
    for world in mesh.worlds:
        world.advance(anti_entropy.COMPARE_INTERVAL_MS)
    mesh.settle()


def alarms(world: World) -> list[str]:
    return world.core.replica.contradictions


def stored_otherwise(world: World, key: tuple[str, str], how: str) -> None:
    """In the database, and soundly so; nothing in the log says it."""
    database = world.store._connection
    if how == "missing":
        with database:
            database.execute("DELETE FROM entities WHERE entity_type = ? AND entity_id = ?", key)
        return
    residents = world.core.replica.residents
    policy, row = residents.registry.get(key[0]), world.reader.entity(*key)
    assert policy is not None
    entity = Entity.load(key, policy, row, writer=residents.writer, engine=residents.engine)
    record = next(iter(entity.document.records()))
    if how == "a record gone":
        entity.document.edit(supersede=[record], fields=[], n=0)
    else:
        name = record.operation.encode()
        snapshot = entity.document.encode().replace(name, name[:-1] + b"!")
        entity.document = Document.load(snapshot, writer=entity.document.writer, engine=entity.document.engine_name)
    world.store.commit(Commit(entities=[entity.row()]))


@pytest.mark.walk(3)
@pytest.mark.parametrize("how", ["a record gone", "another record", "missing"])
@pytest.mark.parametrize("key", DAMAGED)
def test_what_is_held_otherwise_is_told_on_both_sides(mesh: Mesh, key: tuple[str, str], how: str) -> None:
    compare(mesh)
    assert [alarms(world) for world in mesh.worlds] == [[], []]
    stored_otherwise(mesh.worlds[DAMAGED.index(key) % 2], key, how)
    for _ in range(3):  # the walk may be anywhere and comes round, and looks twice
        compare(mesh)
    for world in mesh.worlds:
        (said,) = alarms(world)
        assert " ".join(key) in said
        assert world.core.replica.counts.contradictions == 1
    mesh.close()


def test_a_difference_that_is_gone_the_next_time_is_no_alarm(mesh: Mesh) -> None:
    """An entity that came whole may be ahead of its operations for a moment."""
    row = mesh.worlds[0].reader.entity("orders", "o")
    assert row is not None
    stored_otherwise(mesh.worlds[0], ("orders", "o"), "a record gone")
    compare(mesh)
    assert mesh.worlds[0].core.links.by_node["n1"].contents.doubts
    mesh.worlds[0].store.commit(Commit(entities=[row]))
    for _ in range(3):
        compare(mesh)
    assert [alarms(world) for world in mesh.worlds] == [[], []]
    mesh.close()
