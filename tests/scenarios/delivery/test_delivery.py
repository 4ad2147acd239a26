"""A session is a cursor: live delivery, catch-up, first synchronisation, acknowledgement."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt.engine import DEFAULT
from crdt.hlc import iso
from node.screen import without_version
from tests.harness import Client, World, settle_all
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

"""Random evenings a run; the same command with a bigger number is the long run."""

TYPES = ("orders", "products", "customers", "cashier_operations")


def test_a_terminal_that_was_away_gets_what_it_missed_in_order(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    bia.disconnect()
    for number in range(200):
        ana.write("orders", f"o-{number % 7}", "UPDATE", {"n": number})
    settle_all(world, [ana])
    bia.connect()
    settle_all(world, [ana, bia])
    got = [m["operation"]["data"]["n"] for m in bia.of("data_sync")]
    assert got == list(range(200)), "more rows than the ring holds: these came from SQLite"
    assert bia.shown("orders") == without_version(world.view("orders"))


@pytest.mark.parametrize("settled", [False, True])
def test_a_page_that_was_loaded_again_gets_everything_also_when_the_node_dies_before_it_did(
    world: World, settled: bool
) -> None:
    """Once it was greeted it goes on when it connects again."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o-1", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    bia.disconnect()
    world.settle()
    bia.screen.clear()
    bia.connect(full=True)
    bia.inbox.clear()
    if settled:
        world.settle()
    bia.receive(1)
    world.crash()
    ana.connect()
    bia.connect(full=not bia.of("connection_established"))
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_a_long_backlog_comes_critical_first_then_high_then_medium(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    bia.disconnect()
    for number in range(40):
        for entity_type in ("products", "orders", "cashier_operations"):
            ana.write(entity_type, f"e-{number}", "CREATE", {"n": number})
    settle_all(world, [ana])
    bia.connect()
    settle_all(world, [ana, bia])
    order = [m["operation"]["entity_type"] for m in bia.of("data_sync")]
    # The last rows are still in memory and come in log order; what had to be read comes class by class.
    assert order[:32] == ["cashier_operations"] * 32
    assert len(order) == 120


def test_a_new_terminal_gets_the_state_and_then_the_tail(world: World) -> None:
    ana = Client(world, "ana").connect()
    for number in range(50):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
    ana.write("orders", "o-1", "DELETE", {})
    ana.write("orders", "o-2", "UPDATE", {"n": "two"})
    settle_all(world, [ana])
    bia = Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))
    assert len(bia.of("data_sync")) == 50, "the state, not the history"
    ana.write("orders", "o-3", "UPDATE", {"n": "three"})
    settle_all(world, [ana, bia])
    assert bia.shown("orders")["o-3"]["n"] == "three"
    assert len(bia.of("data_sync")) == 51


def test_what_is_committed_while_a_new_terminals_state_is_read_reaches_it_as_an_operation(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"n": 1})
    bia = Client(world, "bia").connect()  # its state is asked for, and not read yet
    operation = ana.write("orders", "o-2", "CREATE", {"n": 2})
    world.commit()
    settle_all(world, [ana, bia])
    assert operation in [m["operation"]["id"] for m in bia.of("data_sync")]
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_sync_full_sends_everything_again_to_a_client_that_keeps_nothing(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 1})
    ana.disconnect()
    reloaded = Client(world, "ana").connect()
    settle_all(world, [reloaded])
    assert not reloaded.screen, "its cursor says it has its own operation"
    reloaded.disconnect()
    full = Client(world, "ana").connect(full=True)
    settle_all(world, [full])
    assert full.shown("orders") == {"o": {"n": 1}}


@pytest.mark.parametrize("noticed", [False, True])
def test_a_node_that_could_not_store_who_keeps_nothing_is_asked_for_everything_once_more(
    world: World, *, noticed: bool
) -> None:
    """noticed: the disk failed before the page was loaded again, or as the node wants to store that."""
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 1})
    settle_all(world, [ana])
    world.failing = True
    if noticed:
        ana.do("orders", "o", "UPDATE", {"n": 2})
    ana.disconnect()
    assert world.core.health.ok != noticed
    reloaded = Client(world, "ana", confirms=False, pongs=False).connect(full=True)
    settle_all(world, [reloaded])
    assert reloaded.of("connection_established")[0]["sync"] == "full"
    world.failing = False
    world.crash()
    again = Client(world, "ana").connect(full=True)
    settle_all(world, [again])
    assert "sync" not in again.of("connection_established")[0]
    assert again.shown("orders") == {"o": {"n": 1}}


def test_open_conflicts_reach_a_terminal_that_is_new(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("cashier_operations", "c", "CREATE", {"amount": 1, "version": 1})
    settle_all(world, [ana, bia])
    ana.write("cashier_operations", "c", "UPDATE", {"amount": 2, "version": 2})
    bia.write("cashier_operations", "c", "UPDATE", {"amount": 3, "version": 2})
    settle_all(world, [ana, bia])
    manager = Client(world, "manager").connect()
    kitchen = Client(world, "kds", "kds").connect()
    settle_all(world, [ana, bia, manager, kitchen])
    assert len(manager.of("sync_conflict")) == 1
    assert not kitchen.of("sync_conflict"), "a kitchen display cannot decide a cashier conflict"


@pytest.mark.parametrize("confirms", [True, False])
def test_acknowledged_rows_are_not_sent_again_and_others_are(world: World, confirms: bool) -> None:
    ana = Client(world, "ana").connect()
    bia = Client(world, "bia", confirms=confirms).connect()
    settle_all(world, [ana, bia])
    ana.do("orders", "o-1", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    ana.do("orders", "o-2", "CREATE", {"n": 2})
    world.settle()
    bia.disconnect()  # the second row was written to its socket, and never taken
    again = Client(world, "bia", confirms=confirms).connect()
    settle_all(world, [ana, again])
    assert [m["operation"]["entity_id"] for m in again.of("data_sync")] == ["o-2"]


def test_a_written_row_is_not_an_acknowledged_one(world: World) -> None:
    ana = Client(world, "ana").connect()
    bia = Client(world, "bia", confirms=False, pongs=False).connect()
    settle_all(world, [ana, bia])
    ana.do("orders", "o", "CREATE", {"n": 1})
    settle_all(world, [ana, bia])
    assert bia.session is not None
    assert bia.session.delivery.window.acknowledged(1) < world.store.head


def test_a_terminal_that_reads_nothing_holds_a_window_and_nobody_up(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    deaf = Client(world, "deaf", confirms=False, pongs=False).connect()
    settle_all(world, [ana, bia])
    for number in range(500):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
        world.settle()
        bia.receive()
    settle_all(world, [ana, bia])
    assert len(bia.of("data_sync")) == 500
    assert len(deaf.connection.frames) <= world.config.limits.window_rows + 5
    deaf.confirms = deaf.pongs = True
    settle_all(world, [ana, bia, deaf])
    assert deaf.shown("orders") == without_version(world.view("orders"))


def test_a_client_that_skips_a_confirmation_is_asked_by_ping_and_goes_on(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    for number in range(100):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
        world.settle()
        bia.confirms = number % 10 != 3
        bia.receive()
    world.advance(1_000)
    settle_all(world, [ana, bia])
    assert len(bia.of("data_sync")) == 100
    assert bia.session is not None
    assert bia.session.delivery.window.under_way == 0


def test_the_author_gets_its_row_back_when_another_was_on_its_way(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o", "CREATE", {"n": 0})
    settle_all(world, [ana, bia])
    bia.write("orders", "o", "UPDATE", {"n": "bia"})
    world.settle()  # bia's row is on ana's socket; ana has not taken it yet
    ana.write("orders", "o", "UPDATE", {"n": "ana"})
    settle_all(world, [ana, bia])
    assert ana.shown("orders") == bia.shown("orders") == without_version(world.view("orders"))


def test_cursors_survive_a_restart(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for number in range(10):
        ana.write("orders", f"o-{number}", "CREATE", {"n": number})
    settle_all(world, [ana, bia])
    ana.disconnect()
    bia.disconnect()
    world.settle()
    world.crash()
    ana.connect()
    bia.inbox.clear()
    bia.connect()
    ana.write("orders", "o-new", "CREATE", {"n": "new"})
    settle_all(world, [ana, bia])
    assert [m["operation"]["entity_id"] for m in bia.of("data_sync")] == ["o-new"]


# ------------------------------------------------------------------ properties


def _some_data(rng: random.Random) -> dict[str, Any]:
    data: dict[str, Any] = {name: rng.randrange(5) for name in rng.sample(["a", "b", "c"], rng.randrange(1, 3))}
    if rng.random() < 0.5:
        data["version"] = rng.randrange(1, 6)
    return data


class Service:
    """A random evening: terminals write, take some frames, drop, come back; conflicts are decided now and then."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.clients = [
            Client(world, f"t-{n}", confirms=rng.random() < 0.6, pongs=True) for n in range(rng.randrange(2, 5))
        ]
        self.confirmed: set[str] = set()

    def step(self) -> None:
        rng, client = self.rng, self.rng.choice(self.clients)
        choice = rng.random()
        if client.session is None:
            client.connect()
        elif choice < 0.5:
            entity_type, kind = rng.choice(TYPES), rng.choice(["CREATE", "UPDATE", "UPDATE", "UPDATE", "DELETE"])
            stamp = iso(self.world.wall_ms + rng.randrange(-5_000, 5_000))
            data = {} if kind == "DELETE" else _some_data(rng)
            client.write(entity_type, f"e-{rng.randrange(2)}", kind, data, timestamp=stamp)
        elif choice < 0.7:
            client.receive(rng.randrange(1, 6))
        elif choice < 0.85:
            self.world.settle()
        elif choice < 0.9:
            conflicts = [c for c in client.of("sync_conflict") if c["conflict"]["state"] == "open"]
            if conflicts:
                conflict_id = rng.choice(conflicts)["conflict"]["id"]
                side = rng.choice(["accept_local", "accept_remote"])
                client.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": side})
        elif choice < 0.95:
            client.disconnect()
        else:
            self.world.advance(rng.randrange(1, 2_000))

    def end(self) -> None:
        for client in self.clients:
            if client.session is None:
                client.connect()
        settle_all(self.world, self.clients)
        self.world.advance(1_000)
        settle_all(self.world, self.clients)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_client_that_only_applies_data_in_order_shows_what_the_node_shows(tmp_path_factory: Any, seed: int) -> None:
    rng = random.Random(seed)
    world = World(
        tmp_path_factory.mktemp("node") / "data",
        ring_rows=rng.choice([4, 64]),
        window=rng.choice([3, 32]),
        resident=rng.choice([1, 10, 1_000]),
    )
    service = Service(world, rng)
    for _ in range(rng.randrange(5, 80)):
        service.step()
    service.end()
    for client in service.clients:
        for entity_type in TYPES:
            assert client.shown(entity_type) == without_version(world.view(entity_type)), (client.name, entity_type)
        assert client.session is not None
        assert client.session.delivery.window.under_way == 0
    _check_rebuilt(world)
    world.close()


def _check_rebuilt(world: World) -> None:
    """What is stored is what the documents say, and the incremental view is the view from nothing."""
    import orjson

    from node.core.entities.entity import Entity
    from strategies.view import view_of

    open_ids = set()
    for entity_type in TYPES:
        policy = world.core.replica.registry.get(entity_type)
        assert policy is not None
        for row in world.reader.entities(entity_type, None, 1_000, deleted=True):
            key = (row.entity_type, row.entity_id)
            again = Entity.load(key, policy, row, writer=1, engine=DEFAULT)
            assert orjson.loads(row.view) == again.shown()
            assert set(again.seqs) == {record.id for record in again.document.records()}
            resident = world.core.replica.residents.entities.get(key)
            if resident is not None:
                fresh = view_of(*key, policy, resident.document)
                assert (fresh.alive, fresh.fields) == (resident.view.alive, resident.view.fields)
                assert fresh.conflicts == resident.view.conflicts
            open_ids |= {c.id for c in again.view.conflicts.values() if c.state == "open"}
    assert {row.conflict_id for row in world.reader.conflicts("open")} == open_ids
    assert {i for ids in world.core.replica.conflicts.open.values() for i in ids} == open_ids


def test_the_first_synchronisation_pages_through_more_than_one_read(tmp_path: Path) -> None:
    world = World(tmp_path / "data", ring_rows=16, window=64)
    ana = Client(world, "ana").connect()
    for number in range(700):
        ana.write("products", f"p-{number:04d}", "CREATE", {"n": number})
        if number % 50 == 0:
            world.settle()
    settle_all(world, [ana])
    bia = Client(world, "bia").connect()
    world.settle()
    bia.receive(100)
    ana.write("products", "p-0000", "UPDATE", {"n": "during"})
    settle_all(world, [ana, bia])
    assert bia.shown("products") == without_version(world.view("products"))
    world.close()


def test_own_rows_are_sent_again_after_those_that_they_came_over(world: World) -> None:
    """What its author had confirmed comes again, as the node died before it stored that."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    bia.do("orders", "e", "CREATE", {"note": "first"})
    settle_all(world, [ana, bia])
    world.advance(2_000)
    world.settle()
    bia.do("orders", "e", "UPDATE", {"note": "of bia"})
    settle_all(world, [ana, bia])
    ana.do("orders", "e", "UPDATE", {"note": "of ana"})
    world.crash()
    ana.connect()
    settle_all(world, [ana])
    assert [m["operation"]["data"]["note"] for m in ana.of("data_sync")][-2:] == ["of bia", "of ana"]
    assert ana.shown("orders")["e"]["note"] == "of ana"
