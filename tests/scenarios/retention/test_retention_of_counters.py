"""Stock after its movements are archived: who has been away for long still reckons from what it last knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, shown
from tests.scenarios.merging.test_counters import stock
from tests.scenarios.outages import Shop
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("again", [False, True])
def test_what_a_terminal_knew_long_ago_is_known_after_it_is_archived(tmp_path: Path, again: bool) -> None:
    world = World(tmp_path / "node")
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 1_000})
    settle_all(world, [ana, bia])
    bia.disconnect()
    late = bia.operation("products", "p", "UPDATE", {"stock": 990})
    for number in range(200):
        ana.do("products", "p", "UPDATE", {"stock": 999 - number})
        if again and number % 50 == 0:
            archive(world)
    archive(world)
    world.crash()
    ana = Client(world, "ana").connect()
    bia.connect().submit(late)
    settle_all(world, [ana, bia])
    assert stock(world) == 790
    assert ana.shown("products")["p"]["stock"] == bia.shown("products")["p"]["stock"] == 790
    world.close()


def test_a_sale_whose_other_copy_is_archived_counts_once(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)], ring_rows=4)
    ana = Client(mesh.worlds[1], "ana").connect()
    ana.do("products", "p", "CREATE", {"stock": 10})
    mesh.settle(ana.receive)
    for wire in mesh.wires:
        wire.cut()
    sale = ana.operation("products", "p", "UPDATE", {"stock": 7})
    moved = Client(mesh.worlds[2], "ana").connect()
    moved.receive()
    for client in (ana, moved):
        client.send({"type": "data_sync", "operation": sale})
        client.world.settle()
    archive(mesh.worlds[1])
    mesh.crash(1)
    mesh.settle(moved.receive)
    assert [stock(world) for world in mesh.worlds] == [7, 7, 7]
    mesh.close()


class LongShop(Shop):
    """As `Shop`, with nodes that archive meanwhile."""

    def step(self) -> None:
        if self.rng.random() < 0.06:
            world = self.rng.choice(self.mesh.worlds)
            world.settle()
            archive(world, self.rng.randrange(world.store.head + 1), batch=self.rng.randrange(1, 9))
        super().step()


@pytest.mark.parametrize("seed", SEEDS)
def test_stock_is_what_it_would_be_without_archives(tmp_path: Path, seed: int) -> None:
    shop = LongShop(tmp_path, seed)
    shop.run(20, 150)
    for world in shop.mesh.worlds:
        shown_here = {name: world.view("products")[name]["stock"] for name in shop.expected}
        assert shown_here == {name: pytest.approx(float(value)) for name, value in shop.expected.items()}, seed
        assert shown(world) == shown(shop.mesh.worlds[0])
    shop.mesh.close()
