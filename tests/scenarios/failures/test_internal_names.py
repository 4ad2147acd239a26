"""Names of internal registers, written by a terminal or sent over a link: whoever says them pays, nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.records import INTERNAL_STEPS, name_of
from node.core.operations.quarantine import BAD
from storage.records import link_key
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, each_operation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", sorted(INTERNAL_STEPS))
@pytest.mark.parametrize("restarted", [False, True])
def test_a_terminal_that_writes_an_internal_name_is_refused_and_the_node_serves_on(
    world: World, name: str, *, restarted: bool
) -> None:
    waiter, kitchen = Client(world, "waiter-1", "waiter").connect(), Client(world, "kds-1", "kds").connect()
    waiter.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    if restarted:  # the order is on disk, and not in memory
        world.crash()
        waiter.connect()
        kitchen.connect()
    told = waiter.do("orders", "mesa-1", "UPDATE", {name: 1})
    assert (told["type"], told["code"], told["where"]) == ("sync_error", 4006, f"$.operation.data.{name}")
    assert kitchen.do("orders", "mesa-1", "UPDATE", {"status": "ready"})["status"] in ("applied", "merged")
    settle_all(world, [waiter, kitchen])
    assert world.view("orders")["mesa-1"]["status"] == "ready"


@pytest.mark.parametrize(
    "path", [["@group"], ["@settled"], ["@counted", "x"], ["@group", "a", "b"], ["items", "i", "x", "y", "z"]]
)
def test_a_record_of_another_shape_that_comes_over_a_link_is_quarantined_for_good(
    tmp_path: Path, path: list[str]
) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    try:
        mesh.settle()
        rogue = Client(mesh.worlds[1], "pos-1").connect()
        rogue.do("orders", "mesa-1", "CREATE", {"status": "pending"})
        mesh.settle()
        mesh.wires[0].damage = each_operation(lambda message: _renamed(message, path))
        hub = mesh.worlds[0]
        hub.core.replica.keyring.pinned.pop("n1")  # as if that node had signed what it renames
        rogue.do("orders", "mesa-1", "UPDATE", {"note": "sem cebola"})
        mesh.settle()
        (parked,) = hub.core.replica.quarantine
        assert parked.state == BAD
        assert "neither a header nor a field record" in parked.reason
        mesh.crash(0)
        mesh.wires[0].damage = each_operation(lambda message: _renamed(message, path))
        mesh.settle()
        honest = Client(hub, "pos-2").connect()
        assert honest.do("orders", "mesa-2", "CREATE", {"status": "pending"})["status"] == "applied"
        assert "note" not in hub.view("orders")["mesa-1"]
    finally:
        mesh.close()


def _renamed(message: dict[str, Any], path: list[str]) -> None:
    """Write the note's record under another path, as a node would that means it: under the key of what is sent.

    The lengths in a Yjs update are of its texts, so they are kept.
    """
    from base64 import b64decode, b64encode

    for entry in message["link"]["updates"]:
        update = b64decode(entry[2])
        old = orjson.dumps(["note"])
        if old in update:
            at = update.index(b'["f",')
            length = update[at - 1]
            text = update[at : at + length]
            new = text.replace(old, orjson.dumps(path))
            entry[2] = b64encode(update[: at - 1] + bytes([len(new)]) + new + update[at + length :]).decode()
    message["link"]["key"] = link_key(
        name_of(message["link"]["terminal_id"], message["operation"]["id"]), message["link"]["updates"]
    )
