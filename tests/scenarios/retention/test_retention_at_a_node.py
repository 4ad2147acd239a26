"""What a node's own terminals notice of it when old history is archived: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.core.core import Core
from node.screen import without_version
from tests.archives import archive
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = World(tmp_path / "node", ring_rows=4)
    yield opened
    opened.close()


def evening(world: World, count: int = 10) -> Client:
    """`count` orders, each written three times."""
    ana = Client(world, "ana").connect()
    for number in range(count):
        for status in ("pending", "ready", "paid"):
            ana.do("orders", f"o-{number}", "UPDATE", {"status": status})
    return ana


def test_a_terminal_far_behind_gets_what_has_changed_since_and_nothing_else(world: World) -> None:
    ana = evening(world)
    bia = Client(world, "bia").connect()
    settle_all(world, [bia])
    bia.disconnect()
    bia.inbox.clear()
    ana.do("orders", "o-3", "UPDATE", {"table": 7})
    ana.do("orders", "o-3", "UPDATE", {"table": 8})
    ana.do("orders", "o-4", "DELETE", {})
    ana.do("products", "p-1", "CREATE", {"stock": 3})
    archive(world)
    ana.do("orders", "o-3", "UPDATE", {"table": 9})
    bia.connect()
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))
    assert bia.shown("products") == without_version(world.view("products"))
    came = [(m["operation"]["entity_id"], m["operation"]["operation"]) for m in bia.of("data_sync")]
    assert came == [("o-3", "CREATE"), ("o-4", "DELETE"), ("o-3", "UPDATE"), ("p-1", "CREATE")]


@pytest.mark.parametrize("case", ["at once", "in two visits", "before the node hears that rows are gone"])
@pytest.mark.parametrize("ring_rows", range(1, 20, 2))
def test_what_is_still_in_memory_hides_nothing_that_is_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring_rows: int, case: str
) -> None:
    """Each order has an early and a late archived row. It comes in the place of the late one, on one of some pages.

    ring_rows: of the log in memory, also of archived rows.
    """
    world = World(tmp_path / "node", ring_rows=ring_rows, window=2)
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for number in range(6):
        ana.do("orders", f"o-{number}", "CREATE", {"status": "pending"})
    settle_all(world, [ana, bia])
    bia.disconnect()
    for field in ("table", "guests"):
        for number in range(6):
            ana.do("orders", f"o-{number}", "UPDATE", {field: number})
    if case == "before the node hears that rows are gone":
        monkeypatch.setattr(Core, "pruned", lambda *_: None)
    archive(world)
    bia.connect()
    if case == "in two visits":
        world.settle()
        bia.receive(3)
        world.settle()
        bia.disconnect()
        bia.connect()
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))
    world.close()


def test_what_comes_instead_of_archived_rows_is_confirmed_like_any_row(world: World) -> None:
    bia = Client(world, "bia", pongs=False).connect()
    settle_all(world, [bia])
    bia.disconnect()
    ana = evening(world)
    archive(world)
    for number in range(10):
        ana.do("orders", f"o-{number}", "UPDATE", {"status": "late"})
    bia.connect()
    settle_all(world, [ana, bia])
    assert bia.session is not None
    assert min(bia.session.delivery.window.positions) == world.store.head
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_a_terminal_that_reads_slowly_while_its_place_is_archived_shows_what_is(world: World) -> None:
    bia = Client(world, "bia").connect()
    ana = evening(world, 60)
    bia.receive(20)
    archive(world)
    for number in range(0, 60, 7):
        ana.do("orders", f"o-{number}", "UPDATE", {"status": "late"})
        bia.receive(3)
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_a_terminal_far_behind_goes_on_where_it_was_after_each_break(world: World) -> None:
    bia = Client(world, "bia").connect()
    settle_all(world, [bia])
    bia.disconnect()
    evening(world, 80).disconnect()
    archive(world)
    for _ in range(20):
        bia.connect()
        world.settle()
        bia.receive(10)
        bia.disconnect()
        world.settle()
        world.crash()
    came = [m["operation"]["entity_id"] for m in bia.of("data_sync")]
    assert bia.shown("orders") == without_version(world.view("orders"))
    assert len(came) < 80 + 20, "it begins anew each time"


def test_who_lost_a_write_is_told_however_late_it_comes_back(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    bia.do("orders", "o-1", "UPDATE", {"table": 1}, timestamp="2026-01-15T09:00:00.000Z")
    bia.disconnect()
    bia.inbox.clear()
    ana.do("orders", "o-1", "UPDATE", {"table": 2, "version": 1})
    assert bia.name in [t for row in world.reader.audit(kinds=("notice",)) for t in row.targets]
    archive(world)
    world.crash()  # what it has in memory reaches further back
    ana.connect()
    bia.connect()
    settle_all(world, [ana, bia])
    assert [m["conflict"]["state"] for m in bia.of("sync_conflict")] == ["settled"]
    world.advance(1_000)  # a terminal that confirms rows is asked once a second whether notices arrived
    settle_all(world, [bia])
    bia.disconnect()
    bia.inbox.clear()
    bia.connect()
    settle_all(world, [bia])
    assert not bia.of("sync_conflict"), "it is told again and again"


def test_an_open_conflict_is_shown_and_resolved_after_its_rows_are_archived(world: World) -> None:
    ana, bia, manager = (Client(world, name).connect() for name in ("ana", "bia", "gerente"))
    settle_all(world, [ana, bia, manager])
    manager.disconnect()
    ana.do("customers", "c-1", "UPDATE", {"phone": "1"})
    bia.do("customers", "c-1", "UPDATE", {"phone": "2", "version": 1})
    settle_all(world, [ana, bia])
    archive(world)
    manager.inbox.clear()
    manager.connect()
    settle_all(world, [manager])
    (conflict,) = (m["conflict"] for m in manager.of("sync_conflict"))
    resolution = {"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": "accept_remote"}
    manager.send(resolution)
    settle_all(world, [ana, bia, manager])
    assert world.view("customers")["c-1"]["phone"] == "2"
    archive(world)
    manager.inbox.clear()
    manager.send(resolution)
    settle_all(world, [manager])
    assert [m["status"] for m in manager.of("sync_confirmation")] == ["duplicate"]


def test_an_archived_operation_is_a_duplicate_also_after_a_restart(world: World) -> None:
    ana = Client(world, "ana").connect()
    first = ana.operation("orders", "o-1", "CREATE", {"table": 1, "items": [{"id": "a", "price": 1.5}]})
    ana.submit(first)
    settle_all(world, [ana])
    version = ana.answer(first["id"])["version"]
    ana.do("orders", "o-1", "UPDATE", {"table": 2})
    bulk = ana.operation("orders", None, "BULK_UPDATE", {"updates": [{"entity_id": "o-1", "data": {"x": 1}}]})
    ana.submit(bulk)
    settle_all(world, [ana])
    archive(world)
    for _ in range(2):
        for operation in (first, bulk):
            ana.inbox.clear()
            ana.send({"type": "data_sync", "operation": operation})
            settle_all(world, [ana])
            assert ana.answer(operation["id"])["status"] == "duplicate"
        assert world.view("orders")["o-1"]["table"] == 2
        world.crash()
        ana.connect()
    ana.inbox.clear()
    ana.send({"type": "data_sync", "operation": first})
    settle_all(world, [ana])
    assert ana.answer(first["id"])["version"] == version


@pytest.mark.parametrize("changed", [{"data": {"table": 9}}, {"entity_id": "o-77"}, {"entity_type": "customers"}])
def test_another_operation_under_the_id_of_an_archived_one_is_refused(
    world: World, changed: dict[str, object]
) -> None:
    ana = Client(world, "ana").connect()
    first = ana.operation("orders", "o-1", "CREATE", {"table": 1})
    ana.submit(first)
    settle_all(world, [ana])
    archive(world)
    ana.inbox.clear()
    ana.send({"type": "data_sync", "operation": {**first, **changed}})
    settle_all(world, [ana])
    assert ana.answer(first["id"])["code"] == 4006


def test_a_refused_write_stays_visible_until_it_is_archived(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    lock = {"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 30_000}
    ana.send({**lock, "terminal_id": "ana"})
    settle_all(world, [ana, bia])
    bia.connection.frames.clear()
    bia.disconnect()
    bia.connect()
    operation = bia.operation("orders", "o-1", "UPDATE", {"table": 1})
    bia.send({"type": "data_sync", "operation": operation})
    world.settle()
    bia.connection.frames.clear()  # it never hears of the refusal
    bia.disconnect()
    world.settle()
    (refused,) = world.reader.audit(kinds=("refused",))
    archive(world, refused.seq - 1)
    assert [row.seq for row in world.reader.audit(kinds=("refused",))] == [refused.seq]
    archive(world)
    assert not world.reader.audit(kinds=("refused",))
    world.crash()  # what it has in memory reaches further back
    bia.connect()
    settle_all(world, [bia])
    assert bia.answer(operation["id"])["kept"] is True


def test_a_terminals_own_archived_writes_do_not_undo_its_later_ones(tmp_path: Path) -> None:
    world = World(tmp_path / "node", ring_rows=4, window=2)
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    for number in range(6):  # more than ana may have under way
        bia.do("orders", f"o-{number}", "CREATE", {"table": number})
    ana.write("orders", "k", "CREATE", {"table": 1})
    world.settle()
    archive(world)
    ana.write("orders", "k", "UPDATE", {"table": 2})
    for number in range(6):
        bia.do("orders", f"o-{number}", "UPDATE", {"status": "paid"})
    settle_all(world, [ana, bia])
    assert ana.shown("orders") == without_version(world.view("orders"))
    world.close()


def test_who_has_confirmed_nothing_yet_is_told_of_its_archived_refusal(tmp_path: Path) -> None:
    world = World(tmp_path / "node", ring_rows=4, window=2)
    bia = Client(world, "bia").connect()
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "k", "terminal_id": "bia"})
    for number in range(6):
        bia.do("cashier_operations", f"k-{number}", "CREATE", {"amount": number})
        bia.do("orders", f"o-{number}", "CREATE", {"table": number})
    ana = Client(world, "ana").connect()
    refused = ana.write("orders", "k", "CREATE", {"table": 1})
    world.settle()
    bia.do("orders", "o-1", "UPDATE", {"status": "paid"})
    archive(world)
    for number in range(6):
        bia.do("orders", f"o-{number}", "UPDATE", {"status": "paid"})
    settle_all(world, [ana, bia])
    assert ana.answer(refused)["kept"] is True
    assert ana.shown("orders") == without_version(world.view("orders"))
    world.close()


def test_a_log_that_is_archived_to_its_last_row_goes_on(world: World) -> None:
    ana = evening(world, 3)
    archive(world)
    head, chain = world.store.head, world.store.chain
    assert not world.reader.rows(None, 0, 2**62, 10)
    ana.session = None
    world.crash()
    assert (world.store.head, world.store.chain) == (head, chain)
    assert "log_cuts" not in world.store.boot().meta
    ana.connect()
    assert ana.do("orders", "o-1", "UPDATE", {"status": "again"})["version"] == 4
    assert world.store.head == head + 1
