"""`GET /api/v1/locks`: who edits what, of the entity types that may be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.rights import EVERYTHING
from tests.harness import Client, World
from tests.runtime.api_rig import served
from tests.runtime.test_rights import asked, without

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_lock_is_told_to_who_may_read_what_it_is_on(tmp_path: Path) -> None:
    world = World(tmp_path / "node")
    ana = Client(world, "ana").connect()
    for name in ("orders", "products"):
        ana.send({"type": "acquire_lock", "entity_type": name, "entity_id": "1", "timeout": 30_000, "lock_id": name})
    world.settle()
    world.close()
    async with served(world) as node:
        told = (await asked(node, EVERYTHING).ask("GET", "/api/v1/locks")).json["locks"]
        assert {lock["entity_type"]: (lock["lock_id"], lock["locked_by"]) for lock in told} == {
            "orders": ("orders", "ana"),
            "products": ("products", "ana"),
        }
        # She has not connected since the restart.
        entity = {name: told[0][name] for name in ("entity_id", "scope", "user_id")}
        assert entity == {"entity_id": "1", "scope": "local", "user_id": None}
        fewer = await asked(node, without(EVERYTHING, "read", "products")).ask("GET", "/api/v1/locks")
        assert [lock["entity_type"] for lock in fewer.json["locks"]] == ["orders"]
