"""A read that was given up raises, whichever way it is asked."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from storage.sqlite.database import Interrupted
from storage.sqlite.queries import Queries
from tests.harness import Client, World

if TYPE_CHECKING:
    from collections.abc import Callable

SQL = "SELECT * FROM entities WHERE entity_type = ? AND entity_id > ? ORDER BY entity_id LIMIT ?"

READS: dict[str, Callable[[Queries], Any]] = {
    "anchor": lambda queries: queries.anchor(),
    "ask": lambda queries: queries.ask("SELECT 1"),
    "by_keys": lambda queries: list(
        queries.by_keys("SELECT entities.* FROM wanted JOIN entities USING (entity_type, entity_id)", [("a", "b")])
    ),
    "check": lambda queries: queries.check(),
    "check_structure": lambda queries: queries.check_structure(),
    "distinct": lambda queries: list(queries.distinct("log", "entity_type")),
    "fact": lambda queries: queries.fact("epoch"),
    "in_key_order": lambda queries: queries.in_key_order(SQL, ["orders"], None, 5),
    "page": lambda queries: queries.page(SQL, ("orders", "", 5), 5),
}


def test_every_way_of_asking_is_tried() -> None:
    public = {name for name, _ in inspect.getmembers(Queries, inspect.isfunction) if not name.startswith("_")}
    assert public - {"close", "interrupt"} == set(READS)


@pytest.mark.parametrize("name", READS)
def test_what_was_given_up_is_not_read(world: World, name: str) -> None:
    Client(world, "pos-1").connect().do("orders", "mesa-1", "CREATE", {"status": "pending"})
    queries = Queries(world.store.path)
    READS[name](queries)
    queries.interrupt()
    with pytest.raises(Interrupted):
        READS[name](queries)
    queries.close()
