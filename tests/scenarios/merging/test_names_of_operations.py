"""An operation is named by its terminal and its id: two tills that both begin with op-1, two who decide."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from node.core.history.verify import Verification
from node.core.links.travellers import ANSWER_MS
from node.simulation.operation_rules import named
from storage.sqlite.history_reader import HistoryReader
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, audit, shown
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Store:
    """A hub and two nodes, a till on each, which number their operations op-1, op-2 and so on."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 3, [(1, 0, True), (2, 0, True)])
        names = ("gerente", "ana", "bia")
        self.tills = [Client(world, name).connect() for world, name in zip(self.mesh.worlds, names, strict=True)]
        self.numbers = dict.fromkeys(self.tills, 0)
        self.meet()

    def meet(self) -> None:
        self.mesh.settle(lambda: sum(till.receive() for till in self.tills))
        worlds = self.mesh.worlds
        assert all(shown(w) == shown(worlds[0]) and audit(w) == audit(worlds[0]) for w in worlds[1:])

    def part(self) -> None:
        for wire in self.mesh.wires:
            wire.cut()

    def do(self, till: int, entity_type: str, entity_id: str | None, kind: str, data: dict[str, Any]) -> str:
        """One operation of a till, under its next number; returns the status that it is told."""
        client = self.tills[till]
        self.numbers[client] += 1
        client.inbox.clear()
        return str(client.do(entity_type, entity_id, kind, data, id=f"op-{self.numbers[client]}")["status"])

    def resolve(self, till: int, conflict_id: str, side: str, **more: Any) -> dict[str, Any]:
        client = self.tills[till]
        client.inbox.clear()
        client.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": side, **more})
        client.world.settle()
        client.receive()
        return next(m for m in client.inbox if m["type"] in ("sync_confirmation", "sync_error"))

    def view(self, entity_type: str) -> dict[str, Any]:
        """Of entity x, as every node and every screen shows it."""
        self.meet()
        views = [world.view(entity_type).get("x", {}) for world in self.mesh.worlds]
        assert views[1:] == views[:-1]
        for till in self.tills:
            mine = till.shown(entity_type).get("x", {})
            assert mine == {name: value for name, value in views[0].items() if name != "version"}
        return views[0]

    def open(self) -> list[str]:
        """The open conflicts, the same on every node."""
        each = [sorted(row.conflict_id for row in w.reader.conflicts("open")) for w in self.mesh.worlds]
        assert each[1:] == each[:-1]
        return each[0]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.mesh.close()


# ---------------------------------------------------------------------- one id, two tills


def test_on_one_node_the_same_id_of_another_terminal_is_another_operation(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    told = [till.do("orders", name, "CREATE", {"table": name}, id="op-1") for till, name in ((ana, "a"), (bia, "b"))]
    settle_all(world, [ana, bia])
    assert [answer["status"] for answer in told] == ["applied", "applied"]
    assert set(world.view("orders")) == {"a", "b"}
    assert ana.shown("orders") == bia.shown("orders")
    again = ana.do("orders", "a", "CREATE", {"table": "a"}, id="op-1")
    assert again["status"] == "applied"  # the first answer of that id; nothing was written twice
    assert world.view("orders")["a"]["version"] == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_a_repeat_is_known_by_its_terminal_also_after_a_restart(world: World, restarted: bool) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for till, name in ((ana, "a"), (bia, "b")):
        till.do("orders", name, "CREATE", {"table": name}, id="op-1")
    if restarted:
        for till in (ana, bia):
            till.disconnect()
        world.crash()
        for till in (ana, bia):
            till.connect()
    for till, mine, other in ((ana, "a", "b"), (bia, "b", "a")):
        till.inbox.clear()
        assert till.do("orders", mine, "CREATE", {"table": mine}, id="op-1")["status"] == "duplicate"
        till.inbox.clear()
        assert till.do("orders", other, "CREATE", {"table": other}, id="op-1")["code"] == 4006


def test_two_tills_that_sell_under_one_number_both_sell(store: Store) -> None:
    for name in ("p", "q"):
        store.do(0, "products", name, "CREATE", {"stock": 10})
    store.meet()
    store.part()
    store.do(1, "products", "p", "UPDATE", {"stock": {"$inc": -1}})
    store.do(2, "products", "q", "UPDATE", {"stock": {"$inc": -2}})
    store.do(1, "products", "q", "UPDATE", {"stock": 9})
    store.do(2, "products", "q", "UPDATE", {"stock": 7})
    store.meet()
    stocks = {name: entity["stock"] for name, entity in store.mesh.worlds[0].view("products").items()}
    assert stocks == {"p": 9, "q": 6}


def test_two_tills_that_write_one_order_under_one_number_both_have_written(store: Store) -> None:
    store.do(0, "orders", "x", "CREATE", {"table": 4})
    store.meet()
    store.part()
    store.do(1, "orders", "x", "UPDATE", {"note": "sem sal"})
    store.do(2, "orders", "x", "UPDATE", {"status": "preparing"})
    assert store.view("orders") == {"table": 4, "note": "sem sal", "status": "preparing", "version": 3}


def test_two_tills_that_dispute_a_field_under_one_number_are_two_candidates(store: Store) -> None:
    store.do(0, "customers", "x", "CREATE", {"phone": "0"})
    store.meet()
    store.part()
    store.do(1, "customers", "x", "UPDATE", {"phone": "1"})
    store.do(2, "customers", "x", "UPDATE", {"phone": "2"})
    assert store.view("customers")["phone"] == "1"
    (conflict_id,) = store.open()
    told = [m["conflict"] for m in store.tills[1].of("sync_conflict") if m["conflict"]["id"] == conflict_id]
    assert {c["terminal_id"] for c in told[0]["candidates"]} == {"ana", "bia"}


def test_a_deletion_has_not_seen_what_another_till_wrote_under_a_number_that_it_knows(store: Store) -> None:
    store.do(1, "products", "x", "CREATE", {"name": "Vatapá"})  # ana's op-1, which the hub's till has seen
    store.meet()
    store.part()
    store.do(0, "products", "x", "DELETE", {})
    store.do(2, "products", "x", "UPDATE", {"price": 30})  # bia's op-1, which it has not
    assert store.view("products")["price"] == 30


def test_who_writes_under_the_cashiers_next_id_takes_nothing_from_the_cashier(store: Store) -> None:
    store.do(0, "cashier_operations", "x", "CREATE", {"amount": 100})
    store.meet()
    store.part()
    waiter, cashier = store.tills[1], store.tills[2]
    assert waiter.do("orders", "o", "CREATE", {"note": "hi"}, id="op-7")["status"] == "applied"
    assert cashier.do("cashier_operations", "x", "UPDATE", {"amount": 90}, id="op-7")["status"] == "applied"
    assert store.view("cashier_operations")["amount"] == 90
    assert store.mesh.worlds[2].view("orders")["o"]["note"] == "hi"
    cashier.inbox.clear()
    again = cashier.do("cashier_operations", "x", "UPDATE", {"amount": 90}, id="op-7")
    assert again["status"] == "duplicate"


# ---------------------------------------------------------------------- one operation, several nodes


@pytest.mark.parametrize("replaced_at", [None, 1, 2])
def test_one_operation_sent_to_two_nodes_is_one(store: Store, replaced_at: int | None) -> None:
    """Whoever has replaced one copy had seen the operation, so the other copy is replaced too."""
    store.do(0, "orders", "x", "CREATE", {"note": "old", "items": [{"id": "a"}]})
    store.meet()
    store.part()
    wandering = {}
    for number in (1, 2):
        wandering[number] = Client(store.mesh.worlds[number], "tablet").connect(full=True)
        settle_all(store.mesh.worlds[number], [wandering[number], store.tills[number]])
        wandering[number].do("orders", "x", "UPDATE", {"note": "new", "items": []}, id="op-9", timestamp=None)
        settle_all(store.mesh.worlds[number], [wandering[number], store.tills[number]])
        wandering[number].disconnect()
    if replaced_at is not None:
        store.do(replaced_at, "orders", "x", "UPDATE", {"note": "newer"})
    assert store.view("orders")["note"] == ("new" if replaced_at is None else "newer")
    assert store.view("orders")["items"] == []
    assert store.open() == []


def test_repairs_of_two_entities_have_two_names(store: Store) -> None:
    """The clock of a writer counts in each document by itself, so it names no operation of the node."""
    keys = [("orders", "x"), ("orders", "y")]
    for key in keys:
        store.do(0, *key, "CREATE", {"note": "old"})
    store.meet()
    store.part()
    for number in (1, 2):
        tablet = Client(store.mesh.worlds[number], "tablet").connect(full=True)
        settle_all(store.mesh.worlds[number], [tablet, store.tills[number]])
        for key in keys:
            tablet.do(*key, "UPDATE", {"note": "new"}, id=f"op-{key[1]}", timestamp=None)
        settle_all(store.mesh.worlds[number], [tablet, store.tills[number]])
        tablet.disconnect()
    for key in keys:
        store.do(1, *key, "UPDATE", {"note": "newer"})
    store.meet()
    rows = store.mesh.worlds[0].reader.audit(kinds=("operation",))
    assert len([row for row in rows if row.operation_id.startswith("repair,")]) >= len(keys)
    assert list(named(rows)) == []


def test_one_id_that_its_terminal_gave_to_two_contents_on_two_nodes_loses_neither(store: Store) -> None:
    """A till that was installed anew begins with op-1 again."""
    store.part()
    for number, amount in ((1, 100), (2, 900)):
        till = Client(store.mesh.worlds[number], "till").connect()
        operation = ("cashier_operations", f"c-{number}", "CREATE", {"amount": amount})
        assert till.do(*operation, id="op-1")["status"] == "applied"
        assert till.do("customers", "x", "UPDATE", {"phone": str(number)}, id="op-2")["status"] == "applied"
        till.disconnect()
    store.meet()
    drawers = store.mesh.worlds[0].view("cashier_operations")
    assert {name: entity["amount"] for name, entity in drawers.items()} == {"c-1": 100, "c-2": 900}
    assert len(store.open()) == 1  # a person decides between the two phones


# ---------------------------------------------------------------------- two who decide


def dispute(store: Store, entity_type: str, field: str) -> str:
    """Two cut-off tills write different values; returns the conflict, open on every node, which are apart again."""
    store.do(0, entity_type, "x", "CREATE", {field: 0})
    store.meet()
    store.part()
    store.do(1, entity_type, "x", "UPDATE", {field: 1})
    store.do(2, entity_type, "x", "UPDATE", {field: 2})
    store.meet()
    (conflict_id,) = store.open()
    store.part()
    return conflict_id


@pytest.mark.parametrize(("entity_type", "field"), [("cashier_operations", "amount"), ("customers", "phone")])
@pytest.mark.parametrize(
    ("side", "more", "value"),
    [("accept_local", {}, 1), ("accept_remote", {}, 2), ("merge", {"resolved_data": {"amount": 7, "phone": 7}}, 7)],
)
def test_two_who_decide_alike_decide_once(
    store: Store, entity_type: str, field: str, side: str, more: dict[str, Any], value: int
) -> None:
    conflict_id = dispute(store, entity_type, field)
    answers = [store.resolve(till, conflict_id, side, **more) for till in (1, 2)]
    assert [answer["status"] for answer in answers] == ["applied", "applied"]
    assert answers[0]["operation_id"] != answers[1]["operation_id"]
    assert store.view(entity_type)[field] == value
    assert store.open() == []
    again = store.resolve(1, conflict_id, side, **more)
    assert again["status"] == "duplicate"


def test_one_who_decides_on_two_nodes_decides_once(store: Store) -> None:
    conflict_id = dispute(store, "customers", "phone")
    for number in (1, 2):
        manager = Client(store.mesh.worlds[number], "manager").connect()
        manager.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_remote"})
        manager.world.settle()
        manager.receive()
        assert manager.of("sync_confirmation")[0]["status"] == "applied"
        manager.disconnect()
    assert store.view("customers")["phone"] == 2
    assert store.open() == []


@pytest.mark.parametrize(("entity_type", "field"), [("cashier_operations", "amount"), ("customers", "phone")])
def test_two_who_decide_differently_are_asked_again(store: Store, entity_type: str, field: str) -> None:
    conflict_id = dispute(store, entity_type, field)
    for till, side in ((1, "accept_local"), (2, "accept_remote")):
        assert store.resolve(till, conflict_id, side)["status"] == "applied"
    assert store.view(entity_type)[field] == 1
    assert len(store.open()) == 1
    assert store.open() != [conflict_id]


def erase(store: Store) -> str:
    """A customer is erased here and written to there; returns the conflict, open on every node, which are apart."""
    store.do(0, "customers", "x", "CREATE", {"phone": 0})
    store.meet()
    store.part()
    store.do(1, "customers", "x", "DELETE", {})
    store.do(2, "customers", "x", "UPDATE", {"phone": 1})
    store.meet()
    (conflict_id,) = store.open()
    store.part()
    return conflict_id


def test_two_who_both_erase_a_customer_erase_it(store: Store) -> None:
    conflict_id = erase(store)
    for till in (1, 2):
        assert store.resolve(till, conflict_id, "accept_remote")["status"] == "applied"
    assert store.view("customers") == {}
    assert store.open() == []


def test_one_who_erases_a_customer_and_one_who_keeps_it_are_asked_again(store: Store) -> None:
    conflict_id = erase(store)
    for till, side in ((1, "accept_remote"), (2, "accept_local")):
        assert store.resolve(till, conflict_id, side)["status"] == "applied"
    assert store.view("customers")["phone"] == 1
    assert len(store.open()) == 1


def test_no_terminal_writes_under_the_id_of_a_decision(store: Store) -> None:
    conflict_id = dispute(store, "customers", "phone")
    decided = store.resolve(1, conflict_id, "accept_remote")["operation_id"]
    for till in (1, 2):
        client = store.tills[till]
        client.inbox.clear()
        assert client.do("customers", "y", "CREATE", {"phone": 9}, id=decided)["code"] == 4006


def test_an_id_that_decided_one_thing_does_not_decide_another(store: Store) -> None:
    conflict_id = dispute(store, "customers", "phone")
    assert store.resolve(1, conflict_id, "accept_remote", id="d-1")["status"] == "applied"
    assert store.resolve(1, conflict_id, "accept_remote", id="d-1")["status"] == "duplicate"
    assert store.resolve(1, conflict_id, "accept_local", id="d-1")["code"] == 4006


# ---------------------------------------------------------------------- what a repeat is


@pytest.mark.parametrize("where", ["live", "restarted", "archived", "elsewhere"])
def test_a_repeat_is_told_by_what_was_understood_wherever_it_is_held(tmp_path: Path, where: str) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    world, till = mesh.worlds[1], Client(mesh.worlds[1], "till").connect()
    items = [{"entity_id": "p", "data": {"price": 1}}]
    said: dict[str, Any] = {"id": "op-1", "entity_type": "products", "terminal_id": "till"}
    bulk = {**said, "operation": "BULK_UPDATE", "data": {"updates": items}}
    delete = {**said, "id": "op-2", "operation": "DELETE", "entity_id": "q"}
    for operation in (bulk, delete):
        till.send({"type": "data_sync", "operation": operation})
    mesh.settle(till.receive)
    till.disconnect()
    if where == "restarted":
        mesh.crash(1)
    elif where == "archived":
        archive(world)
    elif where == "elsewhere":
        world = mesh.worlds[0]
    till = Client(world, "till").connect()

    def answer(operation: dict[str, Any]) -> str | int:
        till.inbox.clear()
        till.send({"type": "data_sync", "operation": operation})
        world.settle()
        world.advance(ANSWER_MS)  # linked nodes are asked first what is known of a terminal that is new here
        world.settle()
        till.receive()
        told = till.answer(operation["id"])
        return told["code"] if told["type"] == "sync_error" else told["status"]

    whole = {"updates": [{"data": {"price": 1.0}, "entity_id": "p"}]}
    assert answer({**bulk, "entity_id": "p", "data": whole}) == "duplicate"
    assert answer({**delete, "data": {}}) == "duplicate"
    assert answer({**delete, "data": None}) == "duplicate"
    for price in (True, "1", None, [1]):
        assert answer({**bulk, "data": {"updates": [{"entity_id": "p", "data": {"price": price}}]}}) == 4006
    mesh.close()


# ---------------------------------------------------------------------- whatever happens


FIELDS = [("customers", "phone"), ("customers", "name"), ("cashier_operations", "amount")]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_history_leaves_a_register_without_what_somebody_wrote(tmp_path: Path, seed: int) -> None:
    """Tills that number alike, tablets that send once more elsewhere, people who decide: what was written is there.

    Nobody deletes here, so a field that was ever written is shown for ever.
    """
    rng = random.Random(seed)
    store = Store(tmp_path)
    written: set[tuple[str, str]] = set()
    sent: list[tuple[str, dict[str, Any]]] = []
    for _ in range(rng.randrange(10, 40)):
        till = rng.choice(store.tills)
        act = rng.random()
        if act < 0.15:
            store.part()
        elif act < 0.3:
            store.mesh.settle(lambda: sum(till.receive() for till in store.tills))
        elif act < 0.45 and (conflicts := till.world.reader.conflicts("open")):
            side = rng.choice(["accept_local", "accept_remote", "accept_remote"])
            decision = {"conflict_id": conflicts[0].conflict_id, "resolution": side}
            for other in rng.sample(store.tills, rng.choice([1, 2, 3])):
                other.send({"type": "conflict_resolution", **decision})
                other.world.settle()
        elif act < 0.6 and sent:
            name, operation = rng.choice(sent)
            tablet = Client(rng.choice(store.mesh.worlds), f"{name}-tablet").connect()
            tablet.send({"type": "data_sync", "operation": {**operation, "terminal_id": f"{name}-tablet"}})
            settle_all(tablet.world, [tablet])
            tablet.disconnect()
        else:
            kind, field = rng.choice(FIELDS)
            store.numbers[till] += 1
            values = {field: rng.randrange(3)}
            operation = till.operation(kind, "x", "UPDATE", values, id=f"op-{store.numbers[till]}")
            till.send({"type": "data_sync", "operation": operation})
            till.world.settle()
            sent.append((till.name, operation))
            till.receive()
            if any(told["operation_id"] == operation["id"] for told in till.of("sync_confirmation")):
                written.add((kind, field))
    store.meet()
    for kind, field in written:
        assert field in store.mesh.worlds[0].view(kind).get("x", {}), (seed, kind, field)
    for world in store.mesh.worlds:
        with closing(HistoryReader(world.store.path)) as reader:
            assert list(Verification(reader, world.core.replica.registry).run()) == [], seed
    store.mesh.close()
