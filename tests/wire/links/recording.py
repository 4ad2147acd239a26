"""What linked nodes say to each other in a short evening: every message kind, most of them in more than one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from node.config.sections import Config, NodeSection
from tests.archives import archive
from tests.harness import Client
from tests.mesh import Mesh, Wire, moved

if TYPE_CHECKING:
    from pathlib import Path

LARGE = {f"note{n}": "moqueca " * 4_000 for n in range(3)}
"""Fields of an entity whose document takes more than one message."""


def _note(wires: list[Wire], said: list[dict[str, Any]], lost: set[str]) -> None:
    """Keep what passes over these wires. lost: ids of operations that are taken out on the way."""

    def passes(message: dict[str, Any]) -> bool:
        return message["type"] != "data_sync" or message["operation"]["id"] not in lost

    def note(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        messages = loaded if isinstance(loaded, list) else [loaded]
        said.extend(messages)
        return orjson.dumps([message for message in messages if passes(message)])

    for wire in wires:
        wire.damage = note


def _closed_conflict(mesh: Mesh) -> None:
    """Two tills of the hub write one phone at once, and a person decides."""
    hub = mesh.worlds[0]
    rui, lia = Client(hub, "caixa-2").connect(), Client(hub, "garcom-8").connect()
    rui.do("customers", "ana", "CREATE", {"phone": "1"})
    lia.receive()
    rui.write("customers", "ana", "UPDATE", {"phone": "2"})
    lia.write("customers", "ana", "UPDATE", {"phone": "3"})
    hub.settle()
    rui.receive()
    (conflict,) = [message["conflict"]["id"] for message in rui.of("sync_conflict")]
    rui.send({"type": "conflict_resolution", "conflict_id": conflict, "resolution": "accept_remote"})
    hub.settle()
    rui.disconnect()
    lia.disconnect()


def record(directory: Path) -> list[dict[str, Any]]:
    """A hub (n0) that has archived what is old fills a node (n1) and a peer of it (n2), and they work together."""
    realm = Config(node=NodeSection(site="loja-017"))
    mesh = Mesh(directory, 3, [(1, 0, True), (2, 0, False)], config=realm)
    hub, salon, _ = mesh.worlds
    said: list[dict[str, Any]] = []
    lost: set[str] = set()
    _note(mesh.wires, said, lost)
    _closed_conflict(mesh)
    archive(hub)
    till = Client(hub, "caixa-1").connect()
    for key, data in (("mesa-1", {"status": "pending", "items": []}), ("festa", LARGE)):
        till.write("orders", key, "CREATE", data)
        hub.settle()  # a commit each, so that the proofs of both make a run
    till.write("products", "suco", "CREATE", {"stock": 4})
    mesh.settle()
    tablet = Client(salon, "garcom-7", "waiter").connect(full=True)
    mesh.settle(tablet.receive)
    lost.add(till.write("products", "suco", "UPDATE", {"stock": 3}))
    lost.add(tablet.write("orders", "mesa-1", "UPDATE", {"status": "ready"}))
    for world in mesh.worlds:
        world.settle()
    for wire in mesh.wires:
        while wire.step(0) or wire.step(1):
            pass
    lost.clear()
    for world in mesh.worlds:
        world.advance(61_000)
    mesh.settle()
    for client in (till, tablet):
        client.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": client.name})
        client.world.settle()
    mesh.settle()
    till.send({"type": "release_lock", "lock_id": "caixa-1"})
    mesh.settle()
    tablet.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": "garcom-7"})
    mesh.settle()
    tablet.send({"type": "release_lock", "lock_id": "garcom-7"})
    mesh.settle()
    till.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "festa", "lock_id": "festa"})
    mesh.settle()
    mesh.wires[0].cut()
    tablet.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": "alone"})
    salon.settle()
    mesh.settle()
    moved(tablet, hub)
    mesh.settle()
    mesh.close()
    return said
