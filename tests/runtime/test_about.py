"""What a node says of itself to its page: `GET /api/v1/node`, `/chain`, `/backups`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from node.config.reading import structured
from node.runtime.api import about
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, request, served
from tests.storage.rows import tamper

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.api_rig import Served

AT = {"wss://b:1": {"token": "tok-4n"}}
SECRETS = {"links": {"upstream": "wss://ana:pass-w0rd@hub:8001", "token": "tok-3n", "at": AT}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Closed, with a log of some rows."""
    world = World(tmp_path / "node")
    ana = Client(world, "ana").connect()
    for number in range(12):
        ana.do("orders", f"o-{number}", "CREATE", {"table": number})
    world.close()
    return world


async def told(node: Served, path: str) -> dict[str, Any]:
    answer = await node.api.answer(request(path), ADMIN)
    assert answer.status == 200
    assert isinstance(answer.body, bytes)
    found: dict[str, Any] = json.loads(answer.body)
    return found


async def test_a_node_tells_its_settings_and_no_secret(world: World) -> None:
    async with served(world) as node:
        node.api._about.config = structured(SECRETS, "test")
        said = await told(node, "/api/v1/node")
        assert said["node_id"] == node.core.node_id
        assert said["directory"] == str(world.directory)
        assert said["database_bytes"] > 0
        by_key = {row["key"]: row["value"] for row in said["settings"]}
        assert by_key["node.port"] == 8001
        assert "hub:8001" in by_key["links.upstream"]
        for secret in ("pass-w0rd", "tok-3n", "tok-4n"):
            assert secret not in json.dumps(said)


async def test_copies_are_listed_the_newest_first_whoever_made_them(world: World) -> None:
    async with served(world) as node:
        assert await told(node, "/api/v1/backups") == {"backups": []}
        made = [(await told(node, "/api/v1/backup"))["backup"]]
        folder = world.directory / "backups"
        (folder / "auto-1-1.db").write_bytes(b"x" * 7)
        (folder / ".auto-2-2.db.partial").write_bytes(b"x")
        (folder / "notes.txt").write_bytes(b"x")
        os.utime(folder / "auto-1-1.db", (1, 1))
        found = (await told(node, "/api/v1/backups"))["backups"]
        assert [one["file"] for one in found] == [*made, "backups/auto-1-1.db"]
        assert found[1]["bytes"] == 7


async def test_the_chain_is_walked_on_with_each_question(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(about, "ROWS", 5)
    async with served(world) as node:
        found = [await told(node, "/api/v1/chain")]
        while not found[-1]["whole"]:
            found.append(await told(node, "/api/v1/chain"))
        assert [one["checked"] for one in found] == [5, 10, 12]
        assert found[-1]["head"] == 12
        assert found[-1]["whole_at"] is not None
        assert [one["whole_at"] for one in found[:-1]] == [None, None]


async def test_the_first_row_that_does_not_fit_is_named(world: World) -> None:
    tamper(world.store.path, "UPDATE log SET status = 'lost' WHERE seq = 7")
    async with served(world) as node:
        for _ in range(2):
            said = await told(node, "/api/v1/chain")
            assert not said["whole"]
            assert said["wrong"]["seq"] == 7
