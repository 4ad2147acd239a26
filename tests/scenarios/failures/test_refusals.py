"""What a node refuses after it has read it: the answer names its operation, conflict, lock and entity, and where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Client, World, settle_all


def refused(client: Client, message: dict[str, Any]) -> dict[str, Any]:
    """The one refusal that a message gets."""
    client.receive()
    client.inbox.clear()
    client.send(message)
    client.world.settle()
    client.receive()
    (error,) = client.of("sync_error")
    return error


def about(error: dict[str, Any]) -> dict[str, Any]:
    names = ("operation_id", "conflict_id", "lock_id", "entity_type", "entity_id", "where")
    return {name: error[name] for name in names if error.get(name) is not None}


def an_open_conflict(world: World, *clients: Client) -> str:
    for client in clients:
        client.write("customers", "ana", "UPDATE", {"phone": client.name})
    settle_all(world, clients)
    return str(clients[0].of("sync_conflict")[0]["conflict"]["id"])


def operation(**more: Any) -> dict[str, Any]:
    said = {"id": "op-1", "entity_type": "orders", "entity_id": "mesa-1", "operation": "UPDATE", "data": {"a": 1}}
    return {"type": "data_sync", "operation": {**said, **more}}


NAMED = {"operation_id": "op-1", "entity_type": "orders", "entity_id": "mesa-1"}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"terminal_id": "bia"}, 4008, {"where": "$.operation.terminal_id"}),
        ({"entity_type": "ghosts"}, 4007, {"entity_type": "ghosts", "where": "$.operation.entity_type"}),
        ({"entity_type": "g\x1bh"}, 4007, {"where": "$.operation.entity_type"}),
        ({"entity_type": "products"}, 4008, {"entity_type": "products", "where": "$.operation.entity_type"}),
        ({"data": {"deleted_at": "x"}}, 4006, {"where": "$.operation.data.deleted_at"}),
        (
            {"operation": "DELETE", "data": {"deleted_at": "\x1b" * 500}},
            4006,
            {"where": "$.operation.data.deleted_at"},
        ),
    ],
)
def test_a_refused_operation_is_named(world: World, change: dict[str, Any], code: int, said: dict[str, str]) -> None:
    ana = Client(world, "ana", "waiter").connect()
    error = refused(ana, operation(**change))
    expected = {**NAMED, **said}
    if "\x1b" in change.get("entity_type", ""):
        del expected["entity_type"]
    assert (error["code"], about(error)) == (code, expected)
    assert error["error"].isprintable()


def test_a_refused_resolution_names_its_conflict_its_operation_and_the_entity(world: World) -> None:
    ana, bia, kds = (
        Client(world, "ana").connect(),
        Client(world, "bia").connect(),
        Client(world, "k", "kds").connect(),
    )
    conflict_id = an_open_conflict(world, ana, bia)
    message = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "merge", "id": "r-1"}
    entity = {"entity_type": "customers", "entity_id": "ana"}
    named = {"operation_id": "r-1", "conflict_id": conflict_id}
    error = refused(ana, message)
    assert (error["code"], about(error)) == (4010, {**named, **entity, "where": "$.resolved_data"})
    error = refused(kds, {**message, "resolution": "accept_local"})
    assert (error["code"], about(error)) == (4008, {**named, "entity_type": "customers", "where": "$.conflict_id"})
    error = refused(ana, {**message, "conflict_id": "conflict-0"})
    assert (error["code"], about(error)) == (
        4007,
        {"operation_id": "r-1", "conflict_id": "conflict-0", "where": "$.conflict_id"},
    )
    ana.send({**message, "resolution": "accept_local", "id": "r-2"})
    settle_all(world, [ana, bia])
    error = refused(bia, {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_remote"})
    assert error["code"] == 4010
    assert error["operation_id"].startswith("resolution")
    assert about(error).items() >= {"conflict_id": conflict_id, **entity, "where": "$.conflict_id"}.items()


def test_a_refused_lock_and_a_refused_release_are_named(world: World) -> None:
    ana = Client(world, "ana", "waiter").connect()
    lock = {"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": "l-1"}
    named = {"lock_id": "l-1", "entity_type": "orders", "entity_id": "mesa-1"}
    error = refused(ana, {**lock, "timeout": 0})
    assert (error["code"], about(error)) == (4006, {**named, "where": "$.timeout"})
    error = refused(ana, {**lock, "terminal_id": "bia"})
    assert (error["code"], about(error)) == (4008, {**named, "where": "$.terminal_id"})
    error = refused(ana, {**lock, "entity_type": "products"})
    assert (error["code"], about(error)) == (4008, {**named, "entity_type": "products", "where": "$.entity_type"})
    error = refused(ana, {"type": "release_lock", "lock_id": "l-2"})
    assert (error["code"], about(error)) == (4008, {"lock_id": "l-2", "where": "$.lock_id"})
    ana.send(lock)
    settle_all(world, [ana])
    world.advance(60_000)
    error = refused(ana, {"type": "release_lock", "lock_id": "l-1"})
    assert (error["code"], about(error)) == (4009, {**named, "where": "$.lock_id"})


def test_a_write_that_relies_on_a_lost_lock_is_kept_and_shown_again_as_it_is(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    for client in (ana, bia):
        lock = {"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": f"l-{client.name}"}
        client.send(lock)
        settle_all(world, [ana, bia])
        world.advance(60_000)
    error = refused(ana, operation(lock_id="l-ana"))
    assert (error["code"], error["kept"]) == (4009, True)
    assert about(error) == {**NAMED, "lock_id": "l-ana", "where": "$.operation.lock_id"}
    settle_all(world, [ana, bia])
    assert world.reader.audit(kinds=("refused",))[-1].operation_id == "op-1"
    assert ana.shown("orders") == world_shown(world)


def world_shown(world: World) -> dict[str, dict[str, Any]]:
    shown = world.view("orders")
    return {entity: {k: v for k, v in fields.items() if k != "version"} for entity, fields in shown.items()}


def bulk(**items: dict[str, Any]) -> dict[str, Any]:
    updates = [{"entity_id": entity_id, "data": data} for entity_id, data in items.items()]
    return {"id": "op-2", "operation": "BULK_UPDATE", "data": {"updates": updates}}


def test_a_bulk_update_that_one_of_its_entities_stops_names_that_one(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for entity_id in ("a", "b", "c"):
        ana.do("orders", entity_id, "CREATE", {"n": 1})
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "b"})
    ana.do("orders", "c", "DELETE", {})
    settle_all(world, [ana, bia])
    error = refused(ana, operation(**bulk(a={"n": 2}, b={"n": 2}), entity_id=None))
    assert (error["code"], about(error)) == (4009, {**NAMED, "operation_id": "op-2", "entity_id": "b"})
    error = refused(ana, operation(**{**bulk(a={"n": 2}, c={"n": 2}), "id": "op-3"}, entity_id=None))
    assert (error["code"], error["where"]) == (4007, "$.operation.data.updates[1].entity_id")
    assert error["entity_id"] == "c"
    for client in (ana, bia):
        client.write("cashier_operations", "drawer", "UPDATE", {"amount": client.name})
    settle_all(world, [ana, bia])
    frozen = {**operation(**{**bulk(till={"n": 1}, drawer={"n": 2}), "id": "op-4"}, entity_id=None)}
    frozen["operation"]["entity_type"] = "cashier_operations"
    error = refused(ana, frozen)
    assert (error["code"], error["entity_id"]) == (4010, "drawer")
    assert error["conflict_id"].startswith("conflict-")


STOPPING: dict[str, tuple[str, Any]] = {
    "no counter": ("b", {"stock": "9,5"}),
    "a movement that is none": ("b", {"stock": {"$inc": 10**15}}),
    "a name of the node's own": ("b", {"@x": 1}),
    "no fields": ("b", 7),
    "no version": ("b", {"n": 1, "version": -1}),
    "too large": ("b", {"n": "x" * 600_000}),
    "deleted": ("c", {"n": 1}),
    "twice": ("a", {"n": 1}),
    "no id": ("b b", {"n": 1}),
}
"""What is wrong with an item: the entity, and what is written to it."""


@pytest.mark.parametrize("own", [None, "a"], ids=["documented", "with an entity of its own"])
@pytest.mark.parametrize("wrong", STOPPING)
def test_whatever_is_wrong_with_an_item_its_entity_is_named(world: World, wrong: str, own: str | None) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for entity_id in ("a", "b", "c"):
        ana.do("products", entity_id, "CREATE", {"photo": "x" * 600_000 if entity_id == "b" else ""})
    ana.do("products", "c", "DELETE", {})
    settle_all(world, [ana, bia])
    stopped, data = STOPPING[wrong]
    updates = [{"entity_id": "a", "data": {"n": 1}}, {"entity_id": stopped, "data": data}]
    sent = {"id": "op-2", "operation": "BULK_UPDATE", "data": {"updates": updates}, "entity_id": own}
    error = refused(ana, operation(**{**sent, "entity_type": "products"}))
    assert (error["operation_id"], error["entity_id"]) == ("op-2", stopped)
    assert error["where"].startswith("$.operation.data.updates[1]")
    settle_all(world, [ana, bia])
    assert "n" not in world.view("products")["a"]


def test_what_could_not_be_stored_is_to_be_sent_again_whatever_it_was(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    conflict_id = an_open_conflict(world, ana, bia)
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-2", "lock_id": "l-2"})
    settle_all(world, [ana, bia])
    messages = [
        operation(),
        {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_local", "id": "r-1"},
        {"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": "l-1"},
        {"type": "release_lock", "lock_id": "l-2"},
    ]
    for message in messages:
        world.failing = True
        error = refused(ana, message)
        assert (error["code"], error["retry"]) == (1011, True), message
        assert len(about(error)) >= 2
        world.failing = False
        world.recover()


def test_nobody_is_sent_raw_or_endless_text_of_somebody_else(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    answer = ana.do("orders", "mesa-1", "DELETE", {"deleted_at": "2026-01-15T12:00:00.5+02:00"})
    assert answer["status"] == "applied"
    settle_all(world, [ana, bia])
    error = refused(bia, operation())
    assert (error["code"], error["error"]) == (4007, "orders mesa-1 was deleted at 2026-01-15T10:00:00.500Z")


@pytest.mark.parametrize(
    "text", ["x" * 500_000, "\x1b[2J", "\u202e", "ontem", "", 7, [], {}], ids=lambda text: repr(text)[:12]
)
def test_a_time_of_deletion_that_is_none_is_refused_and_repeated_to_nobody(world: World, text: object) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    error = refused(ana, operation(operation="DELETE", data={"deleted_at": text}))
    assert (error["code"], error["where"]) == (4006, "$.operation.data.deleted_at")
    ana.do("orders", "mesa-1", "DELETE", {})
    settle_all(world, [ana, bia])
    error = refused(bia, operation())
    assert error["code"] == 4007
    assert len(error["error"]) < 100
    assert error["error"].isprintable()


def test_half_an_emoji_is_stored_as_a_placeholder_told_and_shown_to_its_author(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    message = operation(data={"note": "NOTE"})
    assert ana.session is not None
    text = str(message).replace("'", '"').replace("NOTE", "ol\\ud83d")
    for _ in range(2):
        ana.session.receive(text)
        settle_all(world, [ana, bia])
    first, again = ana.of("sync_confirmation")
    assert (first["status"], first["replaced"]) == ("applied", ["$.operation.data.note"])
    assert again["status"] == "duplicate"
    assert ana.shown("orders") == bia.shown("orders") == {"mesa-1": {"note": "ol\ufffd"}}
