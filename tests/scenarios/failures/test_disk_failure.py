"""When a commit fails: nothing of it was confirmed or sent, and the node goes on when it can."""

from __future__ import annotations

from node.screen import without_version
from tests.harness import Client, World, settle_all


def test_nothing_leaves_before_the_commit(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    operation = ana.write("orders", "o", "CREATE", {"n": 1})
    ana.receive()
    bia.receive()
    assert not [m for m in ana.inbox if m.get("operation_id") == operation]
    assert not bia.of("data_sync")


def test_a_failed_commit_refuses_every_uncommitted_operation_and_shows_none(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o", "CREATE", {"n": 0})
    settle_all(world, [ana, bia])
    shown = len(bia.of("data_sync"))
    writer = world.core.replica.residents.writer
    world.failing = True
    lost = [ana.write("orders", "o", "UPDATE", {"n": 1}), ana.write("orders", "p", "CREATE", {"n": 2})]
    settle_all(world, [ana, bia])
    assert [ana.answer(operation)["code"] for operation in lost] == [1011, 1011]
    assert len(bia.of("data_sync")) == shown
    assert not world.core.health.ok
    refused = ana.write("orders", "o", "UPDATE", {"n": 3})
    settle_all(world, [ana, bia])
    assert ana.answer(refused)["code"] == 1011
    world.failing = False
    world.recover()
    assert world.core.replica.residents.writer != writer, "the clocks of the lost operations are never used again"
    assert ana.do("orders", "o", "UPDATE", {"n": 4})["version"] == 2
    settle_all(world, [ana, bia])
    assert world.view("orders") == {"o": {"n": 4, "version": 2}}
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_an_operation_refused_by_the_disk_is_taken_when_it_is_sent_again(world: World) -> None:
    ana = Client(world, "ana").connect()
    world.failing = True
    operation = ana.operation("orders", "o", "CREATE", {"n": 1})
    ana.send({"type": "data_sync", "operation": operation})
    settle_all(world, [ana])
    world.failing = False
    world.recover()
    ana.send({"type": "data_sync", "operation": operation})
    settle_all(world, [ana])
    assert ana.of("sync_confirmation")[0]["status"] == "applied"


def test_a_lock_extended_by_a_commit_that_fails_holds_as_it_was_whatever_the_wall_clock_says(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": 30_000})
    settle_all(world, [ana, bia])
    world.failing = True
    for timeout in (1_000, 60_000):
        ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": timeout})
    settle_all(world, [ana, bia])
    world.wall_ms += 10**9
    world.failing = False
    world.recover()
    assert bia.do("orders", "o", "CREATE", {"n": 1})["code"] == 4009
    world.advance(30_000)
    assert bia.do("orders", "o", "CREATE", {"n": 1})["status"] == "applied"


def test_a_lock_lost_with_its_commit_is_not_held(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    world.failing = True
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "lock_id": "l"})
    settle_all(world, [ana, bia])
    assert ana.of("sync_error")[0]["lock_id"] == "l"
    world.failing = False
    world.recover()
    assert bia.do("orders", "o", "CREATE", {"n": 1})["status"] == "applied"


def test_a_lock_outlives_a_failed_commit_whatever_the_wall_clock_says_by_then(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "timeout": 30_000})
    settle_all(world, [ana, bia])
    world.failing = True
    bia.write("products", "p", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    world.wall_ms += 10**9
    world.failing = False
    world.recover()
    assert bia.do("orders", "o", "CREATE", {"n": 1})["code"] == 4009
    world.advance(30_000)
    assert bia.do("orders", "o", "CREATE", {"n": 1})["status"] == "applied"


def test_a_refused_write_whose_row_cannot_be_stored_is_answered_all_the_same(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o"})
    settle_all(world, [ana, bia])
    world.failing = True
    operation = ana.write("orders", "o", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    assert (ana.answer(operation)["code"], ana.answer(operation)["retry"]) == (1011, True)


def test_a_release_that_cannot_be_stored_is_answered_and_the_lock_is_still_held(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "lock_id": "l"})
    settle_all(world, [ana, bia])
    world.failing = True
    ana.send({"type": "release_lock", "lock_id": "l"})
    settle_all(world, [ana, bia])
    assert (ana.of("sync_error")[0]["lock_id"], ana.of("lock_released")) == ("l", [])
    world.failing = False
    world.recover()
    assert bia.do("orders", "o", "CREATE", {"n": 1})["code"] == 4009


def test_an_operation_sent_again_is_confirmed_again_and_applied_once_also_after_a_restart(world: World) -> None:
    ana = Client(world, "ana").connect()
    operation = ana.operation("orders", "o", "CREATE", {"n": 1})
    for _ in range(2):
        ana.send({"type": "data_sync", "operation": operation})
        settle_all(world, [ana])
    world.crash()
    ana.connect()
    ana.send({"type": "data_sync", "operation": operation})
    ana.send({"type": "data_sync", "operation": {**operation, "data": {"n": 2}}})
    settle_all(world, [ana])
    assert [m["status"] for m in ana.of("sync_confirmation")] == ["applied", "duplicate", "duplicate"]
    assert ana.of("sync_error")[0]["code"] == 4006, "the same id with other content names another operation"
    assert world.view("orders")["o"] == {"n": 1, "version": 1}


def test_a_clock_set_to_2030_is_clamped_and_does_not_win_for_ever(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o", "CREATE", {"status": "pending", "version": 1})
    settle_all(world, [ana, bia])
    answer = ana.do("orders", "o", "UPDATE", {"status": "future", "version": 2}, timestamp="2030-01-01T00:00:00Z")
    assert answer["clock_skew_ms"] > 10**9
    world.advance(120_000)
    bia.write("orders", "o", "UPDATE", {"status": "now", "version": 2})
    settle_all(world, [ana, bia])
    assert world.view("orders")["o"]["status"] == "now"


def test_a_bulk_update_that_could_not_be_stored_is_stored_when_it_is_sent_again(world: World) -> None:
    till = Client(world, "till").connect()
    updates = [{"entity_id": name, "data": {"price": 9}} for name in ("p", "q")]
    operation = till.operation("products", None, "BULK_UPDATE", {"updates": updates})
    world.failing = True
    till.send({"type": "data_sync", "operation": operation})
    world.settle()
    till.receive()
    assert till.answer(operation["id"])["code"] == 1011
    world.failing = False
    world.recover()
    till.inbox.clear()
    till.send({"type": "data_sync", "operation": operation})
    world.settle()
    till.receive()
    assert till.answer(operation["id"])["status"] == "applied"
    till.disconnect()
    world.crash()
    assert {name: entity["price"] for name, entity in world.view("products").items()} == {"p": 9, "q": 9}
