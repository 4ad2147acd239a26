"""What each documented strategy does when two terminals of one node write apart."""

from __future__ import annotations

from typing import Any

import pytest

from crdt.hlc import iso
from tests.harness import Client, World, settle_all


def pair(world: World, entity_type: str, data: dict[str, Any]) -> tuple[Client, Client]:
    """Two terminals that both have seen the entity `e` at version 1."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do(entity_type, "e", "CREATE", {**data, "version": 1}, version=1)
    settle_all(world, [ana, bia])
    return ana, bia


def both(
    world: World, entity_type: str, first: dict[str, Any], second: dict[str, Any], **extra: Any
) -> tuple[Client, Client, dict[str, Any], dict[str, Any]]:
    """Both change it from version 1, not knowing of each other."""
    ana, bia = pair(world, entity_type, {"name": "n", "phone": "1"})
    one = ana.do(entity_type, "e", "UPDATE", {**first, "version": 2})
    two = bia.do(entity_type, "e", "UPDATE", {**second, "version": 2}, **extra)
    settle_all(world, [ana, bia])
    return ana, bia, one, two


def shown(world: World, entity_type: str) -> dict[str, Any]:
    return world.view(entity_type)["e"]


def test_orders_the_later_timestamp_wins_and_the_loser_is_told(world: World) -> None:
    ana, bia, one, two = both(world, "orders", {"status": "A"}, {"status": "B"})
    assert shown(world, "orders")["status"] == "B"
    assert (one["status"], two["status"]) == ("applied", "merged")
    conflict = ana.of("sync_conflict")[0]["conflict"]
    assert conflict["type"] == "version_conflict"
    assert conflict["state"] == "settled"
    assert (conflict["local_data"]["status"], conflict["remote_data"]["status"]) == ("B", "A")
    assert not bia.of("sync_conflict"), "the winner need not be told"


def test_orders_an_earlier_timestamp_that_comes_second_loses_and_its_author_gets_the_outcome(world: World) -> None:
    ana, bia, _, two = both(world, "orders", {"status": "A"}, {"status": "B"}, timestamp=iso(world.wall_ms - 5_000))
    assert two["status"] == "lost"
    assert shown(world, "orders")["status"] == "A"
    assert bia.shown("orders")["e"]["status"] == "A", "its screen shows what the node shows"
    assert bia.of("sync_conflict")[0]["conflict"]["remote_data"]["status"] == "B"
    assert not ana.of("sync_conflict")


def test_products_different_fields_merge_without_a_conflict(world: World) -> None:
    ana, bia, _, two = both(world, "products", {"price": 2}, {"name": "m"})
    assert two["status"] == "merged"
    assert {k: shown(world, "products")[k] for k in ("price", "name")} == {"price": 2, "name": "m"}
    assert not ana.of("sync_conflict") + bia.of("sync_conflict")
    assert ana.shown("products") == bia.shown("products")


def test_customers_the_contested_field_keeps_its_first_value_and_the_free_one_merges(world: World) -> None:
    ana, bia, _, two = both(world, "customers", {"phone": "2"}, {"phone": "3", "email": "f"})
    assert two["status"] == "conflict"
    assert {k: shown(world, "customers")[k] for k in ("phone", "email")} == {"phone": "2", "email": "f"}
    for client in (ana, bia):
        conflict = client.of("sync_conflict")[0]["conflict"]
        assert (conflict["type"], conflict["state"]) == ("field_conflict", "open")
        assert set(conflict["local_data"]) == {"phone", "version"}, "only the colliding field"
    assert bia.shown("customers")["e"]["phone"] == "2"


def test_customers_an_ordinary_write_to_a_contested_field_does_not_remove_the_challenger(world: World) -> None:
    ana, bia, _, _ = both(world, "customers", {"phone": "2"}, {"phone": "3"})
    answer = ana.do("customers", "e", "UPDATE", {"phone": "4"})
    settle_all(world, [ana, bia])
    assert answer["status"] == "conflict"
    assert shown(world, "customers")["phone"] == "4"
    (conflict_id,) = world.core.replica.conflicts.open["customers", "e"]
    open_now = next(m["conflict"] for m in bia.of("sync_conflict") if m["conflict"]["id"] == conflict_id)
    assert (open_now["local_data"]["phone"], open_now["remote_data"]["phone"]) == ("4", "3")


def test_customers_the_same_value_twice_is_agreement(world: World) -> None:
    ana, bia, _, two = both(world, "customers", {"phone": "2"}, {"phone": "2"})
    assert two["status"] == "merged"
    assert not ana.of("sync_conflict") + bia.of("sync_conflict")


def test_cashier_the_first_state_stays_frozen_until_a_person_decides(world: World) -> None:
    ana, bia, _, two = both(world, "cashier_operations", {"amount": 150}, {"amount": 250})
    assert two["status"] == "conflict"
    assert shown(world, "cashier_operations")["amount"] == 150
    refused = ana.do("cashier_operations", "e", "UPDATE", {"amount": 999})
    assert (refused["type"], refused["code"], refused["kept"]) == ("sync_error", 4010, True)
    assert shown(world, "cashier_operations")["amount"] == 150
    assert ana.shown("cashier_operations")["e"]["amount"] == 150, "its screen is put right after the refusal"
    conflict = bia.of("sync_conflict")[0]["conflict"]
    ana.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": "accept_remote"})
    settle_all(world, [ana, bia])
    assert shown(world, "cashier_operations")["amount"] == 250
    assert bia.shown("cashier_operations")["e"]["amount"] == ana.shown("cashier_operations")["e"]["amount"] == 250
    assert not world.core.replica.conflicts.open
    assert bia.of("conflict_resolution")[0]["state"] == "closed"


@pytest.mark.parametrize(
    ("resolution", "resolved", "amount"),
    [
        ("accept_local", None, 150),
        ("accept_remote", None, 250),
        ("merge", {"amount": 400}, 400),
        ("accept_remote", {"amount": 333, "version": 9}, 333),
    ],
)
def test_a_resolution_takes_the_named_side_unless_resolved_data_says_otherwise(
    world: World, resolution: str, resolved: dict[str, Any] | None, amount: int
) -> None:
    ana, bia, _, _ = both(world, "cashier_operations", {"amount": 150}, {"amount": 250})
    conflict_id = bia.of("sync_conflict")[0]["conflict"]["id"]
    message = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": resolution}
    ana.send({**message, "resolved_data": resolved} if resolved else message)
    settle_all(world, [ana, bia])
    assert shown(world, "cashier_operations")["amount"] == amount
    assert shown(world, "cashier_operations")["phone"] == "1"


def test_a_resolution_resent_is_a_duplicate_and_another_one_finds_the_conflict_closed(world: World) -> None:
    ana, bia, _, _ = both(world, "cashier_operations", {"amount": 150}, {"amount": 250})
    conflict_id = bia.of("sync_conflict")[0]["conflict"]["id"]
    decide = {"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_remote"}
    for client, message in ((ana, decide), (ana, decide), (bia, {**decide, "resolution": "accept_local"})):
        client.send(message)
        settle_all(world, [ana, bia])
    assert [m["status"] for m in ana.of("sync_confirmation")[-2:]] == ["applied", "duplicate"]
    assert bia.of("sync_error")[-1]["code"] == 4010
    assert "accept_remote" in bia.of("sync_error")[-1]["error"]
    assert shown(world, "cashier_operations")["amount"] == 250


def test_an_unknown_conflict_is_4007(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.send({"type": "conflict_resolution", "conflict_id": "conflict-0", "resolution": "accept_local"})
    settle_all(world, [ana])
    assert ana.of("sync_error")[0]["code"] == 4007


def test_what_arrives_after_a_conflict_was_named_reopens_as_a_new_one(world: World) -> None:
    ana, bia, _, _ = both(world, "customers", {"phone": "2"}, {"phone": "3"})
    old = ana.of("sync_conflict")[0]["conflict"]["id"]
    cai = Client(world, "cai").connect()
    cai.do("customers", "e", "UPDATE", {"phone": "4", "version": 2})
    ana.send({"type": "conflict_resolution", "conflict_id": old, "resolution": "accept_local"})
    settle_all(world, [ana, bia, cai])
    (conflict_id,) = world.core.replica.conflicts.open["customers", "e"]
    assert conflict_id != old
    values = {c["data"]["phone"] for c in _open(ana, conflict_id)["candidates"]}
    assert values == {"2", "4"}, "the operation the first conflict did not name is not dropped unseen"


def _open(client: Client, conflict_id: str) -> dict[str, Any]:
    return next(m["conflict"] for m in client.of("sync_conflict") if m["conflict"]["id"] == conflict_id)


# ------------------------------------------------------------------ deletion


def deleted_against(world: World, entity_type: str, *, delete_first: bool) -> tuple[Client, Client]:
    ana, bia = pair(world, entity_type, {"name": "n"})
    delete = (ana, "DELETE", {"deleted_at": "2026-01-15T10:00:00.000Z", "version": 2})
    update = (bia, "UPDATE", {"name": "m", "version": 2})
    for client, kind, data in (delete, update) if delete_first else (update, delete):
        client.do(entity_type, "e", kind, data)
    settle_all(world, [ana, bia])
    return ana, bia


def test_orders_of_a_deletion_and_a_concurrent_update_the_later_prevails(world: World) -> None:
    ana, bia = deleted_against(world, "orders", delete_first=True)
    assert shown(world, "orders")["name"] == "m"
    assert ana.shown("orders") == bia.shown("orders")
    assert ana.of("sync_conflict")[0]["conflict"]["local_data"]["name"] == "m"


def test_orders_a_later_deletion_wins_and_the_update_is_told(world: World) -> None:
    ana, bia = deleted_against(world, "orders", delete_first=False)
    assert "e" not in world.view("orders")
    assert "e" not in ana.shown("orders")
    assert "e" not in bia.shown("orders")
    assert bia.of("sync_conflict")[0]["conflict"]["remote_data"]["name"] == "m"


@pytest.mark.parametrize("delete_first", [True, False])
def test_products_a_concurrent_update_revives(world: World, delete_first: bool) -> None:
    ana, bia = deleted_against(world, "products", delete_first=delete_first)
    assert shown(world, "products")["name"] == "m"
    assert ana.shown("products") == bia.shown("products")


@pytest.mark.parametrize("entity_type", ["customers", "cashier_operations"])
@pytest.mark.parametrize("resolution", ["accept_local", "accept_remote"])
def test_customers_and_cashier_a_contested_deletion_waits_for_a_decision(
    world: World, entity_type: str, resolution: str
) -> None:
    ana, bia = deleted_against(world, entity_type, delete_first=True)
    conflict = bia.of("sync_conflict")[0]["conflict"]
    assert conflict["type"] == "delete_conflict"
    assert shown(world, entity_type)["name"] == "m"
    ana.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": resolution})
    settle_all(world, [ana, bia])
    assert ("e" in world.view(entity_type)) == (resolution == "accept_local")
    assert ("e" in bia.shown(entity_type)) == (resolution == "accept_local")
    assert not world.core.replica.conflicts.open


def test_an_update_of_what_its_author_saw_deleted_is_4007_and_a_create_starts_afresh(world: World) -> None:
    ana, _ = pair(world, "products", {"name": "n", "price": 5})
    ana.do("products", "e", "DELETE", {"version": 2})
    assert ana.do("products", "e", "UPDATE", {"name": "x"})["code"] == 4007
    assert ana.do("products", "e", "CREATE", {"name": "new", "version": 1})["status"] == "applied"
    assert {k: v for k, v in shown(world, "products").items() if k != "version"} == {"name": "new"}


# ------------------------------------------------------------------ versions and stale writes


def test_an_offline_chain_supersedes_its_own_records_and_nobody_elses(world: World) -> None:
    ana, bia = pair(world, "customers", {"phone": "1"})
    ana.do("customers", "e", "UPDATE", {"phone": "ana", "version": 2})
    for version in (2, 3, 4):
        bia.write("customers", "e", "UPDATE", {"phone": f"bia-{version}", "version": version})
    settle_all(world, [ana, bia])
    (conflict_id,) = world.core.replica.conflicts.open["customers", "e"]
    values = {c["data"]["phone"] for c in _open(ana, conflict_id)["candidates"]}
    assert values == {"ana", "bia-4"}


def test_a_version_far_ahead_moves_the_version_by_a_thousand_at_most(world: World) -> None:
    ana, _ = pair(world, "products", {"name": "n"})
    assert ana.do("products", "e", "UPDATE", {"name": "m", "version": 2**53})["version"] == 1_001
    assert ana.do("products", "e", "UPDATE", {"name": "o", "version": 1_007})["version"] == 1_007


def test_a_client_that_sends_the_whole_entity_contests_only_what_it_changed(world: World) -> None:
    ana, bia = pair(world, "customers", {"phone": "1", "email": "e"})
    bia.write("customers", "e", "UPDATE", {"phone": "1", "email": "f", "version": 2})
    ana.write("customers", "e", "UPDATE", {"phone": "2", "version": 2})
    settle_all(world, [ana, bia])
    assert {k: shown(world, "customers")[k] for k in ("phone", "email")} == {"phone": "2", "email": "f"}
    assert not world.core.replica.conflicts.open


def test_a_top_level_version_of_one_on_an_update_means_no_version(world: World) -> None:
    ana, bia = pair(world, "customers", {"phone": "1"})
    ana.do("customers", "e", "UPDATE", {"phone": "2", "version": 2})
    settle_all(world, [ana, bia])
    assert bia.do("customers", "e", "UPDATE", {"phone": "3"}, version=1)["status"] == "applied"


def test_bulk_updates_are_one_row_all_or_none(world: World) -> None:
    ana = Client(world, "ana").connect()
    for name in ("p", "q"):
        ana.do("products", name, "CREATE", {"stock": 1, "version": 1})
    ana.do("products", "q", "DELETE", {})
    updates = [{"entity_id": name, "data": {"stock": 9}} for name in ("p", "q")]
    assert ana.do("products", None, "BULK_UPDATE", {"updates": updates})["code"] == 4007
    assert world.view("products")["p"]["stock"] == 1
    head = world.store.head
    bia = Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    answer = ana.do("products", None, "BULK_UPDATE", {"updates": updates[:1]})
    settle_all(world, [ana, bia])
    assert answer["versions"] == {"p": 2}
    assert world.store.head == head + 1
    assert bia.shown("products")["p"]["stock"] == 9
