"""A JSON client that offers the subprotocol `comanda.v1` confirms many rows with one message."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from node.screen import without_version
from tests.harness import Client, World, settle_all
from tests.scenarios.delivery.test_delivery import TYPES
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path


def reader(world: World, **how: Any) -> Client:
    return Client(world, "bia", by_position=True, pongs=False, **how).connect()


def positions(client: Client) -> tuple[int, ...]:
    assert client.session is not None
    return client.session.delivery.window.positions


def test_one_confirmation_stands_for_all_that_was_sent_before(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), reader(world)
    settle_all(world, [ana, bia])
    for number in range(20):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
    world.settle()
    sent: list[dict[str, Any]] = []
    send = bia.send
    bia.send = lambda message: (sent.append(message), send(message))[1]  # type: ignore[method-assign]
    bia.receive()
    assert sent == [{"type": "sync_confirmation", "seq": 20}]
    assert [m["seq"] for m in bia.of("data_sync")] == list(range(1, 21))
    assert positions(bia) == (20, 20, 20, 20)
    assert not bia.of("sync_error")
    bia.disconnect()
    again = reader(world)
    settle_all(world, [again])
    assert not again.of("data_sync")


def test_a_documented_client_sees_no_difference(world: World) -> None:
    ana, bia, eva = Client(world, "ana").connect(), reader(world), Client(world, "eva").connect()
    ana.do("orders", "o", "CREATE", {"n": 1})
    settle_all(world, [ana, bia, eva])
    (numbered,), (plain,) = bia.of("data_sync"), eva.of("data_sync")
    assert numbered == {"seq": 1, **plain}


def test_a_position_confirms_what_was_sent_before_it_not_what_is_numbered_before(tmp_path: Path) -> None:
    world = World(tmp_path / "node", ring_rows=4, window=4)
    ana, bia = Client(world, "ana").connect(), reader(world)
    settle_all(world, [ana, bia])
    bia.disconnect()
    for number in range(10):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
        ana.write("cashier_operations", f"k-{number}", "CREATE", {"amount": number})
    settle_all(world, [ana])
    bia = reader(world)
    world.settle()
    bia.receive(2)  # the greeting, and the first of the most urgent rows; row 1 has not been sent
    assert [m["seq"] for m in bia.of("data_sync")] == [2]
    bia.receive(3)
    seq = bia.of("data_sync")[-1]["seq"]
    assert positions(bia)[1] < 1 <= seq, "the orders are still to come"
    bia.disconnect()
    rest = reader(world)
    settle_all(world, [ana, rest])
    assert {m["operation"]["entity_id"] for m in rest.of("data_sync")} >= {f"o-{n}" for n in range(10)}
    world.close()


def test_a_row_of_several_messages_is_numbered_where_it_is_complete(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), reader(world)
    for name in ("a", "b"):
        ana.do("cashier_operations", name, "CREATE", {"x": 1, "y": 1})
    settle_all(world, [ana, bia])
    bia.inbox.clear()
    updates = [{"entity_id": name, "data": {"x": 2}} for name in ("a", "b")]
    ana.write("cashier_operations", None, "BULK_UPDATE", {"updates": updates})
    settle_all(world, [ana, bia])
    assert [("seq" in m) for m in bia.of("data_sync")][-1]
    assert sum("seq" in m for m in bia.of("data_sync")) == 1


def test_a_position_that_was_never_sent_confirms_nothing_and_counts_against_the_rate(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), reader(world, confirms=False)
    settle_all(world, [ana, bia])
    ana.do("orders", "o", "CREATE", {"n": 1})
    before = positions(bia)
    tokens = bia.session.bucket.tokens  # type: ignore[union-attr]
    bia.send({"type": "sync_confirmation", "seq": 7})
    assert positions(bia) == before
    assert bia.session.bucket.tokens < tokens  # type: ignore[union-attr]
    bia.send({"type": "sync_confirmation", "seq": 1})
    assert positions(bia)[1] == 1


def test_a_client_that_did_not_offer_the_subprotocol_confirms_nothing_by_position(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia", confirms=False, pongs=False).connect()
    settle_all(world, [ana, bia])
    ana.do("orders", "o", "CREATE", {"n": 1})
    bia.send({"type": "sync_confirmation", "seq": 1})
    assert positions(bia)[1] < 1


@pytest.mark.parametrize("seed", range(max(EXAMPLES // 5, 1)))
def test_it_shows_what_the_node_shows_however_it_comes_and_goes(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    world = World(tmp_path / "node", ring_rows=rng.choice([4, 64]), window=rng.choice([3, 32]))
    clients = [Client(world, name, by_position=name != "ana").connect() for name in ("ana", "bia", "eva")]
    for number in range(80):
        client, choice = rng.choice(clients), rng.random()
        if client.session is None:
            client.connect()
        elif choice < 0.5:
            kind = rng.choice(["CREATE", "UPDATE", "UPDATE", "DELETE"])
            client.write(rng.choice(TYPES), f"e-{rng.randrange(3)}", kind, {} if kind == "DELETE" else {"n": number})
        elif choice < 0.75:
            client.receive(rng.randrange(1, 6))
        elif choice < 0.9:
            world.settle()
        else:
            client.disconnect()
    for client in clients:
        if client.session is None:
            client.connect()
    settle_all(world, clients)
    world.advance(1_000)
    settle_all(world, clients)
    for client in clients:
        for entity_type in TYPES:
            assert client.shown(entity_type) == without_version(world.view(entity_type)), (client.name, entity_type)
    world.close()
