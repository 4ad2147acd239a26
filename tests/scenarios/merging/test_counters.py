"""Counters: stock equals opening plus all movements, for documented clients that only write absolutes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from node.core.entities.last_known import MOST_MOVEMENTS
from strategies.policy import policy
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, moved
from tests.scenarios.outages import Shop
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from pathlib import Path


def stock(world: World) -> Any:
    return world.view("products")["p"]["stock"]


def test_two_terminals_that_both_saw_twelve_and_write_ten_and_eleven_leave_nine(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 12})
    settle_all(world, [ana, bia])
    ana.write("products", "p", "UPDATE", {"stock": 10})
    bia.write("products", "p", "UPDATE", {"stock": 11})
    settle_all(world, [ana, bia])
    assert stock(world) == 9
    assert ana.shown("products")["p"]["stock"] == bia.shown("products")["p"]["stock"] == 9
    assert not [m for m in (*ana.inbox, *bia.inbox) if m["type"] == "sync_conflict"]


def test_an_offline_chain_of_absolutes_is_so_many_sales(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 12})
    settle_all(world, [ana, bia])
    bia.disconnect()
    chain = [
        bia.operation("products", "p", "UPDATE", {"stock": n, "version": v}) for n, v in ((11, 2), (10, 3), (9, 4))
    ]
    ana.do("products", "p", "UPDATE", {"stock": 7})
    bia.connect()
    for operation in chain:
        bia.submit(operation)
    settle_all(world, [ana, bia])
    assert stock(world) == 4


def test_a_row_that_came_after_a_terminals_own_write_is_what_it_knows(world: World) -> None:
    """In the log the other's sale comes first; on this terminal's screen it came last."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 10})
    settle_all(world, [ana, bia])
    ana.write("products", "p", "UPDATE", {"stock": 9})
    bia.write("products", "p", "UPDATE", {"stock": 9})  # one sale
    world.settle()
    bia.receive(1)  # the confirmation
    bia.receive(1)  # ana's sale shows 9
    assert bia.shown("products")["p"]["stock"] == 9
    bia.write("products", "p", "UPDATE", {"stock": 8})  # one more sale, from what is on the screen
    settle_all(world, [ana, bia])
    assert stock(world) == 7


def test_what_a_terminal_knew_long_ago_is_read_from_the_log(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"stock": 1_000})
    settle_all(world, [ana, bia])
    bia.disconnect()
    late = bia.operation("products", "p", "UPDATE", {"stock": 990})
    for number in range(200):
        ana.do("products", "p", "UPDATE", {"stock": 999 - number})
    world.crash()
    ana = Client(world, "ana").connect()
    bia.connect().submit(late)
    settle_all(world, [ana, bia])
    assert stock(world) == 790


def test_a_terminal_that_came_from_another_node_knows_what_this_one_showed_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = (Client(world, name).connect() for world, name in zip(mesh.worlds[::-1], ("ana", "bia"), strict=True))
    bia.do("products", "p", "CREATE", {"stock": 12})
    mesh.settle(lambda: ana.receive() + bia.receive())
    mesh.wires[0].cut()
    ana.do("products", "p", "UPDATE", {"stock": 11})
    bia.do("products", "p", "UPDATE", {"stock": 10})
    mesh.settle(lambda: ana.receive() + bia.receive())
    ana.disconnect()
    hub = mesh.worlds[0]
    moved = Client(hub, "ana").connect()
    moved.numbers = ana.numbers
    mesh.settle(lambda: moved.receive() + bia.receive())
    assert moved.shown("products")["p"]["stock"] == 9
    moved.disconnect()
    mesh.settle()
    mesh.crash(0)
    moved.connect().write("products", "p", "UPDATE", {"stock": 8})
    mesh.settle(moved.receive)
    assert [stock(world) for world in mesh.worlds] == [8, 8]
    mesh.close()


def waiter_who_moved(directory: Path) -> tuple[Mesh, Client]:
    """ana at the second node, which has not heard of the five that she added to a stock of 100 at the first."""
    mesh = Mesh(directory, 2, [(1, 0, True)])
    ana = Client(mesh.worlds[0], "ana").connect()
    ana.do("products", "p", "CREATE", {"stock": 100})
    mesh.settle(ana.receive)
    mesh.wires[0].cut()
    ana.do("products", "p", "UPDATE", {"stock": 105})
    return mesh, moved(ana, mesh.worlds[1])


def test_what_a_terminal_wrote_on_another_node_is_told_from_what_it_wrote_here_also_when_archived(
    tmp_path: Path,
) -> None:
    mesh, after = waiter_who_moved(tmp_path)
    bia = Client(mesh.worlds[1], "bia").connect()
    mesh.settle(lambda: after.receive() + bia.receive(), reconnect=False)
    after.do("products", "p", "UPDATE", {"stock": 97})
    mesh.settle(bia.receive)
    for _ in range(MOST_MOVEMENTS + 3):  # more than is kept with the entity
        bia.do("products", "p", "UPDATE", {"stock": {"$inc": 1}})
    mesh.settle(bia.receive)
    archive(mesh.worlds[1])
    after.do("products", "p", "UPDATE", {"stock": 94})
    mesh.settle(lambda: after.receive() + bia.receive())
    assert [world.view("products")["p"]["stock"] for world in mesh.worlds] == [99 + MOST_MOVEMENTS + 3] * 2
    mesh.close()


def test_a_sale_made_before_the_terminal_moved_and_arriving_late_is_counted_once(tmp_path: Path) -> None:
    """It arrives here later than what was written after it, and is on nobody's screen before it is confirmed."""
    mesh, after = waiter_who_moved(tmp_path)
    mesh.settle(after.receive, reconnect=False)
    assert after.shown("products")["p"]["stock"] == 100
    after.do("products", "p", "UPDATE", {"stock": 97})
    mesh.settle()  # what it wrote before comes, and it has not looked yet
    after.do("products", "p", "UPDATE", {"stock": 94})
    mesh.settle(after.receive)
    assert [world.view("products")["p"]["stock"] for world in mesh.worlds] == [99, 99]
    assert after.shown("products")["p"]["stock"] == 99
    mesh.close()


def test_increments_and_exact_decimals(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("products", "p", "CREATE", {"stock": 0})
    for _ in range(10):
        ana.do("products", "p", "UPDATE", {"stock": {"$inc": 0.1}})
    settle_all(world, [ana])
    assert stock(world) == 1
    ana.do("products", "p", "UPDATE", {"stock": {"$inc": -0.125}})
    settle_all(world, [ana])
    assert stock(world) == 0.875
    assert ana.shown("products")["p"]["stock"] == 0.875


@pytest.mark.parametrize("value", [{"$inc": "x"}, {"$inc": None}, {"$inc": 10**15}, {"$inc": 1e-10}])
def test_a_step_that_is_no_number_is_refused_by_name(world: World, value: object) -> None:
    ana = Client(world, "ana").connect()
    ana.do("products", "p", "CREATE", {"stock": 1})
    refused = ana.do("products", "p", "UPDATE", {"stock": value})
    assert (refused["code"], refused["where"]) == (4006, "$.operation.data.stock.$inc")
    assert stock(world) == 1


MOVED = [{"stock": {"$inc": -2.5}}, {"stock": {"$inc": -3}}]


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize(
    ("unseen", "seen", "shown"),
    [
        (MOVED, [], 18.5),
        (MOVED[1:], MOVED[:1], 21),  # it counted 24 after the first movement
        ([], MOVED, 24),
        ([{"stock": 30}], [], 24),  # the later of two first counts
        ([{"stock": 30}, *MOVED], [], 18.5),
    ],
)
def test_a_first_count_is_of_what_its_author_had_seen(
    world: World, away: bool, unseen: list[dict[str, Any]], seen: list[dict[str, Any]], shown: float
) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("products", "p", "CREATE", {"name": "beer"})
    for data in seen:
        ana.do("products", "p", "UPDATE", data)
    settle_all(world, [ana, bia])
    if away:
        bia.disconnect()
    for data in unseen:
        ana.do("products", "p", "UPDATE", data)
    count = bia.operation("products", "p", "UPDATE", {"stock": 24})
    if away:
        bia.connect()
    bia.submit(count)
    settle_all(world, [ana, bia])
    assert stock(world) == shown


NO_NUMBERS = ["9,5", "9", True, {}, [], 1e300, {"inc": -1}, {"$set": "x"}]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_refused_wherever_it_is_written(world: World, value: object) -> None:
    ana = Client(world, "ana").connect()
    tail = ".$set" if value == {"$set": "x"} else ""
    for kind, data, where in (
        ("CREATE", {"stock": value}, ".stock"),
        ("UPDATE", {"price": 2, "stock": value}, ".stock"),
        ("DELETE", {"stock": value}, ".stock"),
        ("BULK_UPDATE", [{"price": 1}, {"stock": value}], ".updates[1].data.stock"),
    ):
        ana.do("products", kind, "CREATE", {"stock": 5, "price": 1})
        if isinstance(data, list):
            data = {"updates": [{"entity_id": f"{kind}-{n}", "data": item} for n, item in enumerate(data)]}
        refused = ana.do("products", None if "updates" in data else kind, kind, data)
        assert (refused["code"], refused["where"]) == (4006, f"$.operation.data{where}{tail}")
    names = ("CREATE", "UPDATE", "DELETE", "BULK_UPDATE")
    assert {name: world.view("products")[name]["stock"] for name in names} == dict.fromkeys(names, 5)


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("path", ["stock", "name"])
def test_what_is_no_number_is_refused_in_a_decision(world: World, value: object, path: str) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for client, data in ((ana, {"stock": 5, "name": "a"}), (bia, {"stock": 6, "name": "b"})):
        client.write("products", "p", "CREATE", data)
    settle_all(world, [ana, bia])
    (conflict,) = [m["conflict"] for m in ana.of("sync_conflict") if m["conflict"]["path"] == [path]]
    ana.send(
        {
            "type": "conflict_resolution",
            "conflict_id": conflict["id"],
            "resolution": "merge",
            "resolved_data": {"name": "c", "stock": value},
        }
    )
    settle_all(world, [ana, bia])
    tail = ".$set" if value == {"$set": "x"} else ""
    (refused,) = ana.of("sync_error")
    assert (refused["code"], refused["where"]) == (4006, f"$.resolved_data.stock{tail}")
    assert world.view("products")["p"]["stock"] == 6


def test_what_another_node_counts_as_no_number_waits_in_the_quarantine(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    loose = policy("products", priority="medium", requires_lock=False, conflict_resolution="merge_changes")
    mesh.worlds[1].core.replica.registry.by_type["products"] = loose  # its configuration says nothing of counters
    bia = Client(mesh.worlds[1], "bia").connect()
    bia.do("products", "p", "CREATE", {"stock": "9,5"})
    bia.do("products", "q", "CREATE", {"stock": 9.5})
    mesh.settle(bia.receive)
    hub = mesh.worlds[0]
    assert {name: entity["stock"] for name, entity in hub.view("products").items()} == {"q": 9.5}
    (waiting,) = hub.core.replica.quarantine
    assert "a counter begins with a number" in str(waiting.reason)
    mesh.close()


def test_a_product_created_afresh_starts_with_the_stock_it_is_given(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("products", "p", "CREATE", {"stock": 5})
    ana.do("products", "p", "UPDATE", {"stock": 2})
    ana.do("products", "p", "DELETE", {})
    settle_all(world, [ana])
    ana.do("products", "p", "CREATE", {"stock": 20})
    assert stock(world) == 20


def test_a_sale_that_a_deletion_had_not_seen_revives_the_product(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = (Client(world, name).connect() for world, name in zip(mesh.worlds, ("ana", "bia"), strict=True))
    ana.do("products", "p", "CREATE", {"stock": 5})
    mesh.settle(lambda: ana.receive() + bia.receive())
    mesh.wires[0].cut()
    ana.do("products", "p", "DELETE", {})
    bia.do("products", "p", "UPDATE", {"stock": 4})
    mesh.settle(lambda: ana.receive() + bia.receive())
    assert [stock(world) for world in mesh.worlds] == [4, 4]
    mesh.close()


def test_one_product_created_on_two_nodes_does_not_double_its_stock(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana, bia = (Client(world, name).connect() for world, name in zip(mesh.worlds, ("ana", "bia"), strict=True))
    ana.do("products", "p", "CREATE", {"stock": 10})
    bia.do("products", "p", "CREATE", {"stock": 10})
    ana.do("products", "p", "UPDATE", {"stock": 8})
    bia.do("products", "p", "UPDATE", {"stock": 9})
    mesh.settle(lambda: ana.receive() + bia.receive())
    assert [stock(world) for world in mesh.worlds] == [7, 7]
    mesh.close()


@pytest.mark.parametrize("recent", [64, 2])
def test_a_sale_that_a_terminal_sent_to_two_nodes_counts_once(tmp_path: Path, recent: int) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)], ring_rows=recent)
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
    for number in range(6):  # the first copy's row is not in memory any more
        for client in (ana, moved):
            client.do("customers", f"{client.world.node_id}-{number}", "CREATE", {"name": "x"})
    mesh.settle(lambda: ana.receive() + moved.receive())
    assert [stock(world) for world in mesh.worlds] == [7, 7, 7]
    again = Client(mesh.worlds[0], "bia").connect()
    mesh.settle(again.receive)
    again.do("products", "p", "UPDATE", {"stock": 6})
    mesh.settle(lambda: ana.receive() + moved.receive() + again.receive())
    assert [stock(world) for world in mesh.worlds] == [6, 6, 6]
    mesh.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_stock_is_opening_plus_all_movements_whatever_the_outage(tmp_path: Path, seed: int) -> None:
    shop = Shop(tmp_path, seed)
    shop.run(20, 200)
    shop.agree()
    for world in shop.mesh.worlds:
        found = {name: Decimal(str(entity["stock"])) for name, entity in world.view("products").items()}
        assert found == shop.expected, (seed, world.node_id)
    for client in shop.clients:
        for name, amount in shop.expected.items():
            assert Decimal(str(client.shown("products")[name]["stock"])) == amount, (seed, client.name)
    shop.mesh.close()
