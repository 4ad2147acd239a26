"""Every HTTP answer that can be long is read and sent a page at a time, and says what it would say at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from node.core.operations.parked import park
from node.core.operations.quarantine import BAD
from node.runtime.api import conflicts, links, past, routes
from storage import answers
from storage.answers import PAGE_BYTES
from storage.sqlite import queries, reader
from tests.harness import Client, World, settle_all
from tests.runtime.api_rig import ADMIN, request, served

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from node.runtime.api.routes import Api

LARGE = 60 * 1024
MANY = 14


def written(world: World) -> None:
    """Large orders and customers that were changed, refused and in conflict."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    world.settle()
    for number in range(MANY):
        ana.do("orders", f"o-{number:02}", "CREATE", {"note": str(number % 10) * LARGE})
        ana.do("orders", f"o-{number:02}", "UPDATE", {"note": "y" * LARGE})
        ana.write("customers", f"c-{number:02}", "CREATE", {"phone": "1" * LARGE})
        bia.write("customers", f"c-{number:02}", "CREATE", {"phone": "2" * LARGE})
        world.settle()
    settle_all(world, [ana, bia])
    updates = [{"entity_id": f"o-{number:02}", "data": {"seen": number}} for number in range(MANY)]
    ana.do("orders", None, "BULK_UPDATE", {"updates": updates})
    for number in range(MANY):
        message = {"operation": {"id": f"op-{number}", "note": "x" * LARGE}, "link": {"key": number + 1}}
        park(world.core.replica, message, "leaf:1", BAD, "damaged", world.now())
    world.commit()


async def answer(api: Api, path: str, **query: Any) -> tuple[Any, int]:
    """What is answered, and the size of its largest piece."""
    words = {name: [str(value)] for name, value in query.items()}
    found = await api.answer(request(path, words), ADMIN)
    assert found.status == 200
    pieces = [found.body] if isinstance(found.body, bytes) else [piece async for piece in found.body]
    return orjson.loads(b"".join(pieces)), max(map(len, pieces))


PATHS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/v1/entities/orders", {}),
    ("/api/v1/entities/orders", {"seq": 10_000}),
    ("/api/v1/entities/orders", {"limit": 1_000}),
    ("/api/v1/audit", {}),
    ("/api/v1/audit", {"entity_id": "o-03"}),
    ("/api/v1/audit", {"entity_type": "orders", "entity_id": "o-03", "limit": 2}),
    ("/api/v1/audit", {"limit": 7, "after": 5}),
    ("/api/v1/conflicts", {}),
    ("/api/v1/conflicts", {"state": "open", "limit": 5}),
    ("/api/v1/quarantine", {}),
)


async def test_long_answers_come_in_pieces_and_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "node")
    written(world)
    head = world.core.replica.log.committed
    world.close()
    assert queries.PAGE_BYTES == PAGE_BYTES
    said: list[list[Any]] = []
    for most in (PAGE_BYTES, 2**40):
        for module in (answers, conflicts, links, past, routes, queries, reader):
            monkeypatch.setattr(module, "PAGE_BYTES", most)
        async with served(world) as node:
            said.append([])
            for path, query in PATHS:
                asked = {"seq": head} if "seq" in query else query
                found, piece = await answer(node.api, path, **asked)
                if most == PAGE_BYTES:
                    assert piece < PAGE_BYTES + 8 * LARGE, (path, query)
                said[-1].append(found)
    for (path, query), pieces, at_once in zip(PATHS, *said, strict=True):
        if path == "/api/v1/entities/orders" and query.get("limit"):
            assert pieces["entities"] == at_once["entities"][: len(pieces["entities"])]  # a page is cut, and says so
            assert pieces["next"] == pieces["entities"][-1]["entity_id"]
        else:
            assert pieces == at_once, (path, query)
    audit = said[0][3]["entries"]
    assert [entry["seq"] for entry in audit] == sorted({entry["seq"] for entry in audit})
    assert len(said[0][7]["conflicts"]) == MANY
    assert len(said[0][9]["quarantine"]) == MANY
