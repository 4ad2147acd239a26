"""Counters, lists, ranked statuses and groups explained: what counts, why, and what brings it back."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from node.config.example import example_toml
from node.config.reading import parse
from tests.harness import Client, World
from tests.scenarios.evening import Evening
from tests.scenarios.history.test_explanation import report, rows
from tests.scenarios.seeds import FEW_SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = parse(example_toml() + '[entities.orders]\ngroups = [["total", "discount"]]\n')


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "node", config=CONFIG)
    yield world
    world.close()


def writings(found: dict[str, Any]) -> list[tuple[object, str, str]]:
    return [(w["value"], w["state"], w["terminal_id"]) for w in (*found["candidates"], *found["superseded"])]


def test_a_counter_is_its_opening_and_every_movement_with_its_author(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 12})
    bia.receive()
    ana.do("products", "p", "UPDATE", {"stock": 10})
    bia.do("products", "p", "UPDATE", {"stock": {"$inc": -3}})
    found = report(world, ("products", "p"), "stock")
    assert (found["value"], found["rule"]["why"]) == (7, ["counter"])
    assert sorted(writings(found), key=str) == [
        (12, "shown", "ana"),
        ({"moved": -2}, "moved", "ana"),
        ({"moved": -3}, "moved", "bia"),
    ]
    taken = next(w for w in found["superseded"] if w["terminal_id"] == "bia")
    ana.do("products", "p", "UPDATE", taken["data"])
    assert world.view("products")["p"]["stock"] == 10


def test_an_item_that_was_taken_out_can_be_put_back(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"items": [{"id": "a", "qty": 1}, {"id": "b", "qty": 1}]})
    ana.do("orders", "o", "UPDATE", {"items": [{"id": "b", "qty": 2}]})
    found = report(world, ("orders", "o"), "items")
    assert found["rule"]["why"] == ["keyed_list"]
    gone = next(w for w in found["superseded"] if w["path"] == ["items", "a"])
    assert (gone["value"], gone["state"]) == ({"id": "a", "qty": 1}, "superseded")
    ana.do("orders", "o", "UPDATE", gone["data"])
    assert world.view("orders")["o"]["items"] == [{"id": "b", "qty": 2}, {"id": "a", "qty": 1}]


def test_the_most_advanced_status_is_shown_as_such(world: World) -> None:
    ana, kitchen = Client(world, "ana").connect(), Client(world, "cozinha", "kds").connect()
    ana.do("orders", "o", "CREATE", {"status": "paid"})
    kitchen.receive()
    kitchen.do("orders", "o", "UPDATE", {"status": "ready"})
    found = report(world, ("orders", "o"), "status")
    assert (found["value"], found["rule"]["why"]) == ("paid", ["most_advanced"])
    assert writings(found) == [("paid", "shown", "ana"), ("ready", "candidate", "cozinha")]


def test_a_field_of_a_group_brings_the_others_back_with_it(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"total": 100, "discount": 10})
    ana.do("orders", "o", "UPDATE", {"total": 90, "discount": 0})
    found = report(world, ("orders", "o"), "total")
    assert found["rule"]["why"] == ["group", "only"]
    assert writings(found) == [(90, "shown", "ana"), (100, "superseded", "ana")]
    assert found["superseded"][0]["data"] == {"total": 100, "discount": 10}


def test_a_value_from_before_its_field_joined_a_group_is_not_marked_as_shown(tmp_path: Path) -> None:
    plain, grouped = parse(example_toml()), CONFIG
    world = World(tmp_path / "node", config=plain)
    Client(world, "ana").connect().do("orders", "o", "CREATE", {"total": 100, "discount": 10})
    world.config = grouped
    world.crash()
    found = report(world, ("orders", "o"), "total")
    assert (writings(found), found["rule"]["why"]) == ([(100, "shown", "ana")], ["only"]), "it is still shown"
    Client(world, "bia").connect().do("orders", "o", "UPDATE", {"total": 90, "discount": 0})
    found = report(world, ("orders", "o"), "total")
    assert (found["value"], found["rule"]["why"]) == (90, ["group", "only"])
    assert writings(found) == [(90, "shown", "bia"), (100, "unused", "ana")]
    world.config = plain
    world.crash()
    found = report(world, ("orders", "o"), "total")
    assert (found["value"], found["rule"]["why"]) == (100, ["only"])
    assert writings(found) == [(100, "shown", "ana"), (90, "unused", "bia")]
    world.close()


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_the_opening_of_a_counter_and_its_movements_add_up_to_what_is_shown(tmp_path: Path, seed: int) -> None:
    """Also where a terminal sent one operation to two nodes, which counted it each and then settled that."""
    evening = Evening(tmp_path / "mesh", seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    for world in evening.mesh.worlds:
        for row in rows(world, "products"):
            found = report(world, ("products", row.entity_id), "stock")
            if not isinstance(found["value"], int | float):
                continue
            every = [*found["candidates"], *found["superseded"]]
            moved = [w["value"]["moved"] for w in every if w["state"] == "moved"]
            opening = [w["value"] for w in every if w["state"] == "shown"][:1] or [0]
            amounts = [Decimal(repr(amount)) for amount in (*opening, *moved)]
            assert sum(amounts) == Decimal(repr(found["value"])), (seed, world.node_id, found)
    evening.mesh.close()
