"""A node knows only so many terminals. Ids that never come back fill up nothing, and who comes back loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from node.config.sections import Config
from node.screen import without_version
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST = 20
CONFIG = evolve(Config(), limits=evolve(Config().limits, terminals=MOST))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    node = World(tmp_path / "data", config=CONFIG)
    yield node
    node.close()


def pages(world: World, many: int, first: int = 0, *, writes: bool = True) -> None:
    """Pages of a browser: each has an id of its own, stays for a moment and never comes back."""
    for number in range(first, first + many):
        page = Client(world, f"page-{number}").connect()
        if writes and number % 3:
            page.do("products", f"p-{number % 7}", "UPDATE", {"seen": number})
        settle_all(world, [page] if number % 2 else [])
        world.advance(1_000)
        page.disconnect()
        world.settle()


def known(world: World) -> set[str]:
    return set(world.core.cursors.terminals)


def stored(world: World) -> set[str]:
    return {row.terminal_id for row in world.store.boot().cursors}


def test_ids_that_never_come_back_fill_up_nothing(world: World) -> None:
    kitchen = Client(world, "kds-1", "kds").connect()
    holder = Client(world, "pos-9").connect()
    settle_all(world, [kitchen, holder])
    lock = {
        "type": "acquire_lock",
        "entity_type": "orders",
        "entity_id": "mesa-1",
        "timeout": 600_000,
        "lock_id": "l",
    }
    holder.send({**lock, "terminal_id": "pos-9"})
    settle_all(world, [holder])
    holder.disconnect()
    pages(world, 100)
    settle_all(world, [kitchen])
    assert len(known(world)) <= MOST
    assert known(world) >= {"kds-1", "pos-9", "page-99"}
    assert stored(world) == known(world)
    assert {name: level for name, level, _ in world.core.levels()}["terminals"] == len(known(world))
    replica = world.core.replica
    for table in (
        world.core.cursors.sendings,
        replica.terminal_clocks.clocks,
        {t for t, _ in replica.knowledge.refusals},
    ):
        assert set(table) <= known(world)
    world.crash()
    assert len(known(world)) <= MOST
    settle_all(world, [Client(world, "kds-1", "kds").connect()])


def test_who_has_confirmed_nothing_goes_before_who_was_away_longer(world: World) -> None:
    old = Client(world, "pos-1").connect()
    old.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    settle_all(world, [old])
    old.disconnect()
    for number in range(3 * MOST):
        Client(world, f"mute-{number}", confirms=False, pongs=False).connect().disconnect()
        world.settle()
        world.advance(1_000)
    assert "pos-1" in known(world)


def test_who_comes_back_begins_anew_and_loses_nothing(world: World) -> None:
    tablet = Client(world, "tablet-1").connect()
    other = Client(world, "pos-1").connect()
    tablet.do("products", "p-1", "CREATE", {"stock": 10, "name": "Suco"})
    sold = tablet.operation("products", "p-1", "UPDATE", {"stock": {"$inc": -1}})
    tablet.submit(sold)
    settle_all(world, [tablet, other])
    tablet.disconnect()
    pages(world, 2 * MOST, writes=False)
    assert "tablet-1" not in known(world)
    other.do("products", "p-1", "UPDATE", {"name": "Suco de uva"})
    tablet.connect()
    tablet.submit(sold)  # nothing had told it that the sale arrived
    settle_all(world, [tablet, other])
    assert tablet.of("sync_confirmation")[-1]["status"] == "duplicate"
    assert world.view("products")["p-1"]["stock"] == 9
    tablet.do("products", "p-1", "UPDATE", {"stock": {"$inc": -1}})
    settle_all(world, [tablet, other])
    assert world.view("products")["p-1"]["stock"] == 8
    assert tablet.shown("products") == other.shown("products") == without_version(world.view("products"))


def test_who_comes_back_before_that_is_stored_is_known_again(world: World) -> None:
    pages(world, MOST, writes=False)
    world.failing = True
    for number in range(MOST, MOST + 5):
        Client(world, f"page-{number}").connect().disconnect()
        world.settle()
    back = Client(world, "page-0").connect()
    world.settle()
    world.failing = False
    world.recover()
    pages(world, 3, first=200)
    settle_all(world, [back])
    world.advance(2_000)
    settle_all(world, [back])
    assert "page-0" in known(world)
    assert stored(world) == known(world)
    assert len(known(world)) <= MOST


def test_where_all_are_connected_a_newcomer_is_refused_by_name(world: World) -> None:
    clients = [Client(world, f"pos-{number}").connect() for number in range(MOST)]
    settle_all(world, clients)
    pages(world, 3, writes=False)  # beside the admission, which would refuse them
    assert known(world) >= {client.name for client in clients}
