"""A copy is not a change: a client that sends the whole entity to change one field writes that field only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.config.reading import parse
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.knowledge.test_moves import to

if TYPE_CHECKING:
    from pathlib import Path

ORDER = {"table": 5, "note": "", "items": [{"id": "a", "quantity": 1}, {"id": "b", "quantity": 1}]}
CUSTOMER = {"name": "Ana", "phone": "1"}
WITHDRAWAL = {"amount": 50, "reason": "change"}


def behind(world: World, entity_type: str, data: dict[str, Any], changes: list[dict[str, Any]]) -> tuple[Client, ...]:
    """A colleague, and a tablet that knows an entity as it was created and has no connection while it is changed."""
    colleague, tablet = Client(world, "colleague").connect(), Client(world, "tablet").connect()
    colleague.do(entity_type, "e", "CREATE", data)
    settle_all(world, [colleague, tablet])
    tablet.disconnect()
    for change in changes:
        colleague.do(entity_type, "e", "UPDATE", change)
    return colleague, tablet


def sent_late(world: World, entity_type: str, data: dict[str, Any], colleague: Client, tablet: Client) -> None:
    queued = tablet.operation(entity_type, "e", "UPDATE", data)
    tablet.connect().submit(queued)
    settle_all(world, [colleague, tablet])
    assert tablet.shown(entity_type) == colleague.shown(entity_type)


@pytest.mark.parametrize("crash", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("times", [1, 12])
def test_the_order_that_adds_a_dish_does_not_bring_the_table_back(world: World, times: int, crash: bool) -> None:
    changes = [{"table": 7 + n, "note": f"{n}"} for n in range(times)]
    colleague, tablet = behind(world, "orders", ORDER, changes)
    if crash:
        world.crash()
        colleague = Client(world, "colleague").connect()
    sent_late(world, "orders", {**ORDER, "items": [*ORDER["items"], {"id": "c"}]}, colleague, tablet)  # type: ignore[misc]
    view = world.view("orders")["e"]
    assert (view["table"], view["note"]) == (6 + times, f"{times - 1}")
    assert [item["id"] for item in view["items"]] == ["a", "b", "c"]


def test_a_line_that_comes_back_as_it_was_known_is_no_change(world: World) -> None:
    changed = {"items": [{"id": "a", "quantity": 3}, {"id": "b", "quantity": 1}]}
    colleague, tablet = behind(world, "orders", ORDER, [changed])
    sent_late(world, "orders", {"items": [*ORDER["items"], {"id": "c"}]}, colleague, tablet)  # type: ignore[misc]
    items = world.view("orders")["e"]["items"]
    assert items == [*changed["items"], {"id": "c"}]


def test_a_phone_that_is_copied_opens_no_conflict(world: World) -> None:
    colleague, tablet = behind(world, "customers", CUSTOMER, [{"phone": "2"}])
    sent_late(world, "customers", {**CUSTOMER, "note": "allergic"}, colleague, tablet)
    assert not world.reader.conflicts("open", limit=10)
    view = world.view("customers")["e"]
    assert (view["phone"], view["note"]) == ("2", "allergic")


def test_a_field_that_its_author_changed_is_a_change(world: World) -> None:
    colleague, tablet = behind(world, "customers", CUSTOMER, [{"phone": "2"}])
    sent_late(world, "customers", {**CUSTOMER, "phone": "3"}, colleague, tablet)
    assert len(world.reader.conflicts("open", limit=10)) == 1


def test_a_whole_entity_in_one_register_is_compared_by_field(world: World) -> None:
    colleague, tablet = behind(world, "cashier_operations", WITHDRAWAL, [{"reason": "float"}])
    sent_late(world, "cashier_operations", WITHDRAWAL, colleague, tablet)
    assert not world.reader.conflicts("open", limit=10)
    assert world.view("cashier_operations")["e"]["reason"] == "float"


def test_a_whole_entity_that_was_changed_unseen_contests_what_its_author_changed(world: World) -> None:
    colleague, tablet = behind(world, "cashier_operations", WITHDRAWAL, [{"reason": "float"}])
    sent_late(world, "cashier_operations", {**WITHDRAWAL, "amount": 60}, colleague, tablet)
    [conflict] = world.reader.conflicts("open", limit=10)
    body = orjson.loads(conflict.body)
    sides = [{n: body[side][n] for n in WITHDRAWAL} for side in ("local_data", "remote_data")]
    assert sides == [{"amount": 50, "reason": "float"}, {"amount": 60, "reason": "float"}]


def test_what_an_author_knew_is_what_it_wrote_itself_last(world: World) -> None:
    """It put 5 to 6. That somebody made 7 of it is not on its screen, and its next write repeats 6, not 5."""
    colleague, tablet = behind(world, "orders", ORDER, [])
    tablet.connect().do("orders", "e", "UPDATE", {"table": 6})
    settle_all(world, [colleague, tablet])
    tablet.disconnect()
    colleague.do("orders", "e", "UPDATE", {"table": 7})
    sent_late(world, "orders", {"table": 6, "note": "x"}, colleague, tablet)
    assert world.view("orders")["e"]["table"] == 7


def test_back_to_what_it_was_before_is_a_change(world: World) -> None:
    """5, then its own 6, then 5 again: the last is what its author wants, also if somebody wrote 7 unseen."""
    colleague, tablet = behind(world, "orders", ORDER, [])
    tablet.connect().do("orders", "e", "UPDATE", {"table": 6})
    settle_all(world, [colleague, tablet])
    tablet.disconnect()
    colleague.do("orders", "e", "UPDATE", {"table": 7})
    sent_late(world, "orders", {"table": 5}, colleague, tablet)
    assert world.view("orders")["e"]["table"] == 5


BEGUN_ANEW: list[tuple[str, dict[str, Any]]] = [("DELETE", {}), ("CREATE", {"name": "x"})]
UNDONE: dict[str, tuple[str, list[tuple[str, dict[str, Any]]], dict[str, Any]]] = {
    "a line": ("orders", [("UPDATE", {"items": ORDER["items"][:1]})], {"items": ORDER["items"]}),
    "a list": ("orders", BEGUN_ANEW, {"items": ORDER["items"]}),
    "a field": ("customers", BEGUN_ANEW, {"phone": "1"}),
    "a field of two": ("products", BEGUN_ANEW, {"total": 3}),
    "a whole entity's": ("cashier_operations", BEGUN_ANEW, {"amount": 50}),
}
"""The type, what somebody takes away, and what puts it back as it was."""


@pytest.mark.parametrize(
    ("when", "versions"), [("live", False), ("offline", True), ("restarted", False), ("elsewhere", True)]
)
@pytest.mark.parametrize("what", UNDONE)
def test_what_its_author_took_away_itself_comes_back_as_it_was(
    tmp_path: Path, what: str, when: str, versions: bool
) -> None:
    """A waiter takes a dish off, and puts it on again before anything comes back."""
    entity_type, takes, back = UNDONE[what]
    config = parse('[entities.products]\ngroups = [["total", "discount"]]\n')
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], config=config)
    here, there = mesh.worlds
    tablet, colleague = Client(here, "tablet").connect(), Client(there, "colleague").connect()
    colleague.do(entity_type, "e", "CREATE", {**ORDER, **CUSTOMER, **WITHDRAWAL, "total": 3, "discount": 1})
    mesh.settle(lambda: tablet.receive() + colleague.receive())
    operations = [
        tablet.operation(entity_type, "e", kind, {**data, **({"version": 2 + number} if versions else {})})
        for number, (kind, data) in enumerate([*takes, ("UPDATE", back)])
    ]
    if when == "offline":
        tablet.disconnect()
        tablet.connect()
    for operation in operations[:-1]:
        tablet.submit(operation)
        if when == "live":
            here.settle()
    if when == "restarted":
        here.advance(2_000)
        here.settle()
        mesh.crash(0)
        tablet.session = None
        tablet.connect()
    if when == "elsewhere":
        tablet.receive()
        mesh.settle(colleague.receive)
        tablet = to(there, tablet).connect()
    tablet.submit(operations[-1])
    mesh.settle(lambda: tablet.receive() + colleague.receive())
    for world in mesh.worlds:
        shown = world.view(entity_type)["e"]
        assert {name: shown.get(name) for name in back} == back
    assert tablet.shown(entity_type) == colleague.shown(entity_type)
    mesh.close()


@pytest.mark.parametrize("removed", [3, 70, 200])
def test_a_stale_list_brings_no_line_back_however_many_were_removed_since(world: World, removed: int) -> None:
    lines = [{"id": f"l{n}"} for n in range(removed + 1)]
    colleague, tablet = behind(world, "orders", {"items": lines}, [])
    for n in range(removed):
        colleague.do("orders", "e", "UPDATE", {"items": lines[n + 1 :]})
    sent_late(world, "orders", {"items": [*lines, {"id": "new"}]}, colleague, tablet)
    assert [item["id"] for item in world.view("orders")["e"]["items"]] == [f"l{removed}", "new"]


def test_what_everybody_has_seen_is_let_go(world: World) -> None:
    colleague, tablet = behind(world, "orders", ORDER, [])
    tablet.connect()
    settle_all(world, [tablet])
    for n in range(40):
        colleague.do("orders", "e", "UPDATE", {"table": n})
        settle_all(world, [tablet])
        world.advance(1_000)
    entity = world.core.replica.residents.entities["orders", "e"]
    assert entity.past.size < 25
    tablet.disconnect()
    for n in range(40):
        colleague.do("orders", "e", "UPDATE", {"table": -n})
    assert entity.past.size >= 40
