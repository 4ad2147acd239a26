"""What one message makes a node read, keep and repeat is bounded, whatever becomes of the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.config.sections import Config
from node.core.monitors import terminal_status
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from pathlib import Path

PHOTO = "x" * 5_000
ENTITIES = 10


def bulk(value: object) -> dict[str, Any]:
    return {"updates": [{"entity_id": f"o-{n}", "data": {"photo": value}} for n in range(ENTITIES)]}


@pytest.fixture
def small(tmp_path: Path) -> World:
    """Ten photos may be written one by one, and are more than one operation touches."""
    limits = evolve(Config().limits, bulk_bytes=20_000, bulk_fields=12)
    return World(tmp_path / "data", config=evolve(Config(), limits=limits), resident=4)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_bulk_update_of_more_than_one_operation_may_touch_reads_and_keeps_nothing(
    small: World, on_disk: bool
) -> None:
    pos = Client(small, "pos-1").connect()
    for number in range(ENTITIES):
        assert pos.do("orders", f"o-{number}", "CREATE", {"photo": PHOTO})["type"] == "sync_confirmation"
    if on_disk:
        pos.disconnect()
        small.crash()
        pos.connect()
    rows, misses = small.core.log.head, small.core.replica.counts.cache_misses
    answer = pos.do("orders", None, "BULK_UPDATE", bulk(1))
    assert (answer["code"], answer["where"]) == (4006, "$.operation.data.updates"), answer
    assert "at most 20000" in answer["error"]
    assert small.core.log.head == rows
    assert not on_disk or small.core.replica.counts.cache_misses == misses
    assert pos.do("orders", "o-0", "UPDATE", {"photo": 1})["type"] == "sync_confirmation"
    small.close()


def test_the_fields_of_a_bulk_update_are_bounded_together(small: World) -> None:
    pos = Client(small, "pos-1").connect()
    two_each = [{"entity_id": f"o-{n}", "data": {"a": n, "b": n}} for n in range(7)]
    assert pos.do("orders", None, "BULK_UPDATE", {"updates": two_each[:6]})["type"] == "sync_confirmation"
    answer = pos.do("orders", None, "BULK_UPDATE", {"updates": two_each})
    assert (answer["code"], answer["where"]) == (4006, "$.operation.data.updates")
    small.close()


def test_what_is_read_for_what_is_not_stored_is_let_go_too(tmp_path: Path) -> None:
    world = World(tmp_path / "data", resident=20)
    pos = Client(world, "pos-1").connect()
    resident = world.core.replica.residents.entities
    operations = []
    for batch in range(4):
        updates = [{"entity_id": f"o-{batch}-{n}", "data": {"a": 1}} for n in range(40)]
        operations.append(pos.operation("orders", None, "BULK_UPDATE", {"updates": updates}))
        pos.submit(operations[-1])
        settle_all(world, [pos])
    for operation in operations:  # repeats, and other operations under the same id: neither is stored
        for sent in (operation, {**operation, "data": operations[0]["data"]}):
            pos.send({"type": "data_sync", "operation": sent})
            settle_all(world, [pos])
            assert len(resident) <= 20 + 40
    world.close()


def test_what_a_terminal_says_of_itself_is_short_and_so_are_statuses(world: World) -> None:
    pos = Client(world, "pos-1").connect()
    pos.send({"type": "ping", "performance": {"memory_usage": 61.5}})
    pos.send({"type": "ping", "performance": {"memory_usage": "x" * 2_000}})
    settle_all(world, [pos])
    (refused,) = pos.of("sync_error")
    assert (refused["code"], refused["where"]) == (4006, "$.performance")
    assert b"61.5" in terminal_status(world.core)
    assert len(terminal_status(world.core)) < 1_000
