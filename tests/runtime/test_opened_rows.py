"""Conflicts that one BULK_UPDATE made: its row is read and taken apart once for an answer, however many they are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from node.core.history.steps import OpenedRow
from node.runtime.api import conflicts, opened_rows
from storage.sqlite.queries import Queries
from tests.harness import Client, World
from tests.runtime.api_rig import served
from tests.runtime.test_conflicts import answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def bulk(client: Client, names: list[str], data: dict[str, Any]) -> None:
    updates = [{"entity_id": name, "data": data} for name in names]
    client.submit(client.operation("customers", None, "BULK_UPDATE", {"updates": updates}))
    client.world.settle()


def disagreeing(path: Path, many: int) -> World:
    """Two who changed the telephone of so many customers at once, without seeing each other."""
    world = World(path)
    ana, rui = Client(world, "ana").connect(), Client(world, "rui").connect()
    names = [f"c-{number}" for number in range(many)]
    bulk(ana, names, {"name": "Cliente", "phone": "1"})
    rui.receive()
    bulk(ana, names, {"phone": "2", "version": 2})
    bulk(rui, names, {"phone": "3", "version": 2})
    world.close()
    return world


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many whole rows of the log were read, and taken apart."""
    counted = Counter[str]()

    def counting(found: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            rows = found(*arguments)
            counted["read"] += sum("operation" in row for row in rows)
            return rows

        return ask

    def opening(row: Any) -> OpenedRow:
        counted["opened"] += 1
        return of(row)

    of = OpenedRow.of
    for method in ("ask", "page"):
        monkeypatch.setattr(Queries, method, counting(getattr(Queries, method)))
    monkeypatch.setattr(OpenedRow, "of", opening)
    monkeypatch.setattr(conflicts, "AT_ONCE", 5)
    return counted


@pytest.mark.parametrize("many", [5, 60])
async def test_as_many_rows_are_read_for_few_conflicts_as_for_many(
    tmp_path: Path, read: Counter[str], many: int
) -> None:
    async with served(disagreeing(tmp_path / "node", many)) as node:
        read.clear()
        found = (await answer(node.api, "/api/v1/conflicts", state="open"))["conflicts"]
    assert read == {"read": 3, "opened": 3}
    assert len(found) == many
    for one in found:
        assert [side["data"]["phone"] for side in one["candidates"]] == ["2", "3"]
        assert (one["before"]["phone"]["value"], one["before"]["phone"]["by"]["terminal_id"]) == ("1", "ana")


async def test_what_is_kept_of_the_rows_is_bounded_and_the_answer_is_the_same(
    tmp_path: Path, read: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(disagreeing(tmp_path / "node", 12)) as node:
        whole = await answer(node.api, "/api/v1/conflicts", state="open")
        monkeypatch.setattr(opened_rows, "KEPT_BYTES", 0)
        read.clear()
        assert await answer(node.api, "/api/v1/conflicts", state="open") == whole
        assert read["opened"] > 3
