"""A large operation is decided in several turns, and becomes what it would be, decided in one."""

from __future__ import annotations

import sqlite3
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.document import Document
from node.core.operations import in_turns, parked
from node.core.operations.quarantine import WAITING
from node.errors import Faulty
from node.wire.links.operations import operation_message
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ENTITIES = [f"p-{number}" for number in range(12)]
NOT_THE_SAME = {"proof", "hash", "seal", "signed"}
"""Columns that tell with what else a row was stored."""


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_turns, "LARGE", 8)
    monkeypatch.setattr(in_turns, "TURN", 1)


def bulk(value: object, ids: Sequence[str] = ENTITIES) -> dict[str, Any]:
    return {"updates": [{"entity_id": one, "data": {"a": value, "b": value}} for one in ids]}


class Store:
    """A node with three terminals that write, and a screen."""

    def __init__(self, directory: Path, entity_type: str = "products") -> None:
        self.entity_type = entity_type
        self.world = World(directory)
        self.ana, self.bia, self.carla = (Client(self.world, name).connect() for name in ("ana", "bia", "carla"))
        self.screen = Client(self.world, "screen", "monitor").connect()
        self.all = [self.ana, self.bia, self.carla, self.screen]
        for number, entity_id in enumerate(ENTITIES[:9]):
            self.ana.write(entity_type, entity_id, "CREATE", {"a": number, "name": entity_id})
        settle_all(self.world, self.all)

    def large(self, value: object = 1, ids: Sequence[str] = ENTITIES) -> str:
        """Ana sends it."""
        return self.ana.write(self.entity_type, None, "BULK_UPDATE", bulk(value, ids))

    def until(self, reached: Callable[[], bool]) -> None:
        """Turn by turn. Nothing is committed."""
        for _ in range(10_000):
            if reached():
                return
            self.world.calls.popleft()()
        raise AssertionError("never reached")

    @property
    def taken(self) -> bool:
        return bool(self.world.core.replica.residents.taken)

    @property
    def numbered(self) -> bool:
        return bool(self.world.core.replica.log.open_row)

    def rows(self, kind: str = "operation") -> list[str]:
        """Of the group and the log, in order."""
        self.world.settle()
        with sqlite3.connect(self.world.store.path) as db:
            found = db.execute("SELECT terminal_id, operation_id FROM log WHERE kind = ? ORDER BY seq", (kind,))
            return ["/".join(row) for row in found]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data")
    yield store
    store.world.close()


# ------------------------------------------------------------------ as in one turn


class Played:
    """One run of the same messages, in turns, or as another one decided and stored them, but each in one turn."""

    def __init__(self, directory: Path, seed: int, monkeypatch: pytest.MonkeyPatch, like: Played | None) -> None:
        rng, self.store = Random(seed), Store(directory, Random(seed).choice(["products", "orders", "customers"]))
        self.queue = list(self._messages(rng, calm=seed % 2 == 0))
        start = self.store.world.core.replica.log.head
        self.commits: set[int] = set()
        """After so many operations the group was stored."""
        self._decided = 0
        if like is None:
            self._in_turns(rng)
        else:
            monkeypatch.setattr(in_turns, "LARGE", 10**9)
            by_name = {f"{client.name}/{operation['id']}": (client, operation) for client, operation in self.queue}
            for number, name in enumerate(like.order, 1):
                client, operation = by_name[name]
                client.send({"type": "data_sync", "operation": operation})
                if number in like.commits:
                    self.store.world.commit()
        settle_all(self.store.world, self.store.all)
        self.answers = {
            f"{client.name} {message['operation_id']}": message
            for client in self.store.all
            for message in client.inbox
            if message["type"] in ("sync_confirmation", "sync_error")
        }
        self.tables, self.views = self._tables(start), self.store.world.view(self.store.entity_type)
        self.notices = sorted(row["message"] for row in self.tables["log"] if row["kind"] == "notice")
        decided = [row for row in self.tables["log"] if row["kind"] in ("operation", "refused")]
        self.order = [f"{row['terminal_id']}/{row['operation_id']}" for row in decided]
        self.store.world.close()

    def _messages(self, rng: Random, *, calm: bool) -> Iterator[tuple[Client, dict[str, Any]]]:
        """What three terminals write, none of them having read anything since the entities were made.

        calm: each writes fields of its own, so that there is no conflict.
        """
        kinds = ["BULK_UPDATE", "BULK_UPDATE", "UPDATE", "UPDATE", "UPDATE" if calm else "DELETE"]
        for number in range(14):
            client, kind = rng.choice([self.store.ana, self.store.bia, self.store.carla]), rng.choice(kinds)
            entity_id, fields = rng.choice(ENTITIES), rng.sample(["a", "b", "name", "stock"], 2)
            own = f"of {client.name}, " if calm else ""
            data: dict[str, Any] = {own + name: rng.randrange(9) for name in fields}
            if kind == "BULK_UPDATE":
                ids = rng.sample(ENTITIES, rng.randrange(2, 9))
                data = {"updates": [{"entity_id": one, "data": {**data, f"{own}c": number}} for one in ids]}
            extra = {} if kind == "BULK_UPDATE" or rng.random() < 0.5 else {"version": rng.randrange(1, 4)}
            one = None if kind == "BULK_UPDATE" else entity_id
            yield client, client.operation(self.store.entity_type, one, kind, data, **extra)

    def _in_turns(self, rng: Random) -> None:
        for client, operation in self.queue:
            client.send({"type": "data_sync", "operation": operation})
            for _ in range(rng.choice([0, 3, 30, 100])):
                self._turn(rng)
        while self.store.world.calls or self.store.world.core.replica.log.group.pending():
            self._turn(rng)

    def _turn(self, rng: Random) -> None:
        """Others are told of a commit before an operation is planned or after it: it is decided with what its author
        had been sent when it was planned."""
        world, log = self.store.world, self.store.world.core.replica.log
        if world.calls and (self.store.taken or rng.random() < 0.9):
            world.calls.popleft()()
        elif not self.store.taken and log.group.rows:
            self.commits.add(self._decided + sum(row.kind != "notice" for row in log.group.rows))
            self._decided = max(self.commits)
            world.commit()

    def _tables(self, start: int) -> dict[str, list[dict[str, Any]]]:
        with sqlite3.connect(self.store.world.store.path) as db:
            db.row_factory = sqlite3.Row
            found = {}
            for name, wanted in (("log", f"WHERE seq > {start}"), ("entities", ""), ("conflicts", "")):
                rows = [dict(row) for row in db.execute(f"SELECT * FROM {name} {wanted} ORDER BY 1, 2")]
                found[name] = [{n: v for n, v in row.items() if n not in NOT_THE_SAME} for row in rows]
            return found


def test_others_between_its_turns_change_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0
    for seed in range(24):
        turns = Played(tmp_path / f"turns-{seed}", seed, monkeypatch, None)
        with monkeypatch.context() as patch:
            once = Played(tmp_path / f"once-{seed}", seed, patch, turns)
        assert once.order == turns.order, seed
        assert once.views == turns.views, seed
        assert once.notices == turns.notices, seed
        if turns.notices:  # others may have a row between the operation's and its notices
            told += 1
            continue
        assert once.answers == turns.answers, seed
        for name, rows in turns.tables.items():
            assert once.tables[name] == rows, (seed, name)
    assert 0 < told <= 12


def test_over_a_link_it_becomes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for large in (8, 10**9):
        monkeypatch.setattr(in_turns, "LARGE", large)
        mesh = Mesh(tmp_path / str(large), 2, [(1, 0, True)])
        mesh.connect()
        ana, bia = Client(mesh.worlds[0], "ana").connect(), Client(mesh.worlds[1], "bia").connect()
        for value in range(3):
            ana.write("products", None, "BULK_UPDATE", bulk(value))
            bia.write("products", "p-3", "UPDATE", {"b": f"bia {value}"})
            ana.write("products", "p-1", "UPDATE", {"a": f"ana {value}"})
            mesh.settle(lambda ana=ana, bia=bia: ana.receive() + bia.receive())
        views = [world.view("products") for world in mesh.worlds]
        assert views[0] == views[1]
        assert ana.shown("products") == bia.shown("products")
        seen.append({name: {n: v for n, v in of.items() if n != "version"} for name, of in views[0].items()})
        mesh.close()
    assert seen[0] == seen[1]


def test_what_a_link_brings_is_its_own_while_it_is_read(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.connect()
    here, there = mesh.worlds
    ana, bia = Client(there, "ana").connect(), Client(here, "bia").connect()
    for value in range(2):
        ana.write("products", None, "BULK_UPDATE", bulk(value))
        if not value:
            mesh.settle(lambda: ana.receive() + bia.receive())
    there.settle()
    while mesh.wires[0].step(0):
        pass
    while not here.core.replica.in_turns.busy:
        here.calls.popleft()()
    bia.write("products", "p-3", "UPDATE", {"b": "bia"})
    here.calls.popleft()()
    assert not here.core.replica.log.open_row, "it is being read"
    assert not here.core.replica.log.group.rows
    mesh.settle(lambda: ana.receive() + bia.receive())
    assert here.view("products") == there.view("products")
    mesh.close()


def test_what_waited_in_the_quarantine_is_tried_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], has_key=False)
    mesh.connect()
    here, there = mesh.worlds
    ana = Client(here, "ana").connect()
    for value in range(2):
        ana.write("products", None, "BULK_UPDATE", bulk(value))
        if value:
            settle_all(here, [ana])
        else:
            mesh.settle(ana.receive)
            mesh.wires[0].cut()
    row = next(found.row for found in reversed(here.core.log.ring.rows) if found.row.kind == "operation")
    message = orjson.loads(operation_message(row))
    assert parked.park(there.core.replica, message, "n0:epoch", WAITING, "something is missing", there.now())
    there.settle()
    begun: list[in_turns.Work] = []
    begin = in_turns.InTurns.begin
    monkeypatch.setattr(in_turns.InTurns, "begin", lambda turns, work: (begun.append(work), begin(turns, work)))
    assert there.core.retry_quarantine() == 1
    there.settle()
    assert len(begun) == 1
    assert there.view("products") == here.view("products")
    assert not len(there.core.replica.quarantine)
    mesh.close()


# ------------------------------------------------------------------ who waits, and who does not


def test_others_are_decided_meanwhile_and_who_needs_one_of_its_entities_waits(store: Store) -> None:
    name = store.large()
    store.until(lambda: store.numbered)
    elsewhere = store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    same = store.carla.write("products", "p-3", "UPDATE", {"b": "carla"})
    again = store.ana.write("orders", "o-2", "CREATE", {"status": "pending"})
    found = [row.operation_id for row in store.world.core.replica.log.group.rows]
    assert found == [name, elsewhere], "its row stands first, and whoever needs nothing of it is decided"
    settle_all(store.world, store.all)
    assert store.rows()[-4:-2] == [f"ana/{name}", f"bia/{elsewhere}"]
    assert set(store.rows()[-2:]) == {f"carla/{same}", f"ana/{again}"}
    assert store.world.view("products")["p-3"]["b"] == "carla"


def test_nothing_of_it_is_stored_before_all_of_it_is_decided(store: Store) -> None:
    store.large()
    turns = 0
    while store.world.calls:
        store.world.calls.popleft()()
        turns += 1
        if store.numbered:
            assert store.world.core.take_group() is None
    assert turns > 2 * len(ENTITIES)
    group = store.world.core.take_group()
    assert group is not None
    assert len(group.commit.entities) == len(ENTITIES)
    assert len(group.rows) == 1


def test_the_second_waits_until_the_disk_has_the_first(store: Store) -> None:
    first = store.large(1, ENTITIES[:6])
    second = store.bia.write("products", None, "BULK_UPDATE", bulk(2, ENTITIES[6:]))
    while store.world.calls:
        store.world.calls.popleft()()
    assert [row.operation_id for row in store.world.core.replica.log.group.rows] == [first]
    settle_all(store.world, store.all)
    assert store.rows()[-2:] == [f"ana/{first}", f"bia/{second}"]


def test_an_entity_that_is_written_while_it_is_not_stored_yet_is_encoded_again(store: Store) -> None:
    store.large()
    store.until(lambda: store.taken)
    store.until(lambda: not store.taken)
    store.bia.write("products", "p-3", "UPDATE", {"b": "bia"})
    settle_all(store.world, store.all)
    assert store.world.view("products")["p-3"]["b"] == "bia"


def test_a_lock_that_somebody_gets_while_it_is_planned_refuses_it(store: Store) -> None:
    ids = [f"o-{number}" for number in range(6)]
    for one in ids:
        store.ana.do("cashier_operations", one, "CREATE", {"amount": 1})
    name = store.ana.write("cashier_operations", None, "BULK_UPDATE", bulk(2, ids))
    store.until(lambda: store.taken)
    lock = {"type": "acquire_lock", "entity_type": "cashier_operations", "entity_id": "o-3", "timeout": 1_000}
    store.bia.send(lock)
    settle_all(store.world, store.all)
    refused = [m for m in store.ana.of("sync_error") if m["operation_id"] == name]
    assert [message["details"]["locked_by"] if "details" in message else message["locked_by"] for message in refused]
    assert all("b" not in of for of in store.world.view("cashier_operations").values())


def test_what_its_author_is_sent_while_it_is_planned_was_not_seen(store: Store) -> None:
    """It names the version that another write gave the entity, of which its author is sent the row meanwhile.

    Of an author that never confirms, what it was sent may have been read.
    """
    dora = Client(store.world, "dora", confirms=False).connect()
    store.bia.do("products", "p-3", "UPDATE", {"name": "bia"})
    settle_all(store.world, [*store.all, dora])
    data = {"updates": [{"entity_id": one, "data": {"a": "dora", "version": 4}} for one in ENTITIES]}
    name = store.bia.write("products", "p-3", "UPDATE", {"a": "bia"})
    dora.write("products", None, "BULK_UPDATE", data)
    store.until(lambda: store.taken)
    store.world.commit()
    settle_all(store.world, [*store.all, dora])
    held = store.world.core.replica.residents.entities["products", "p-3"].document.siblings(("a",))
    assert f"bia/{name}" in {record.name for record in held}


# ------------------------------------------------------------------ what ends in the middle


@pytest.mark.parametrize("when", ["taken", "numbered"])
def test_a_commit_that_fails_meanwhile_has_it_sent_again(store: Store, when: str) -> None:
    store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    name = store.large()
    operation = store.ana.unanswered[name]
    store.until(lambda: getattr(store, when))
    store.world.core.failed("the disk is full")
    assert not store.numbered
    store.world.recover()
    settle_all(store.world, store.all)
    assert not store.taken
    if when == "numbered":  # its author was told to send it again
        (told,) = [message for message in store.ana.of("sync_error") if message["operation_id"] == name]
        assert told["retry"]
        store.ana.submit(operation)
        settle_all(store.world, store.all)
    assert store.rows().count(f"ana/{name}") == 1
    assert {of["b"] for of in store.world.view("products").values()} == {1}
    assert store.ana.shown("products") == {
        key: {n: v for n, v in of.items() if n != "version"} for key, of in store.world.view("products").items()
    }


@pytest.mark.parametrize("when", ["taken", "numbered"])
def test_a_node_that_ends_meanwhile_has_nothing_of_it(store: Store, when: str) -> None:
    name = store.large()
    store.until(lambda: getattr(store, when))
    store.ana.disconnect()
    store.world.crash()
    assert all("b" not in of for of in store.world.view("products").values())
    store.ana.connect()
    store.ana.flush()
    settle_all(store.world, [store.ana])
    assert store.rows().count(f"ana/{name}") == 1
    assert {of["b"] for of in store.world.view("products").values()} == {1}


@pytest.mark.parametrize("when", ["taken", "numbered"])
def test_a_connection_that_ends_meanwhile_leaves_it_decided(store: Store, when: str) -> None:
    name = store.large()
    store.until(lambda: getattr(store, when))
    store.ana.disconnect()
    store.ana.connect()
    store.ana.flush()
    settle_all(store.world, store.all)
    assert store.rows().count(f"ana/{name}") == 1
    assert store.ana.answer(name)["status"] == "duplicate"


def test_a_clean_stop_decides_it_to_its_end(store: Store) -> None:
    name = store.large()
    store.until(lambda: store.numbered)
    store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    store.world.core.replica.in_turns.finish()
    store.world.commit()
    store.world.calls.clear()
    assert store.rows()[-2:] == [f"ana/{name}", "bia/bia.op-0"]


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_fault_in_its_middle_costs_its_author_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    edited: list[Document] = []
    edit = Document.edit

    def failing(document: Document, **named: Any) -> Any:
        edited.append(document)
        if len(edited) == number + 1:
            raise RuntimeError("planted")
        return edit(document, **named)

    name = store.large()
    store.until(lambda: store.numbered)
    other = store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    edited.clear()
    monkeypatch.setattr(Document, "edit", failing)
    settle_all(store.world, store.all)
    monkeypatch.setattr(Document, "edit", edit)
    answers = [message for message in store.ana.inbox if message.get("operation_id") == name]
    assert [message["code"] for message in answers] == [Faulty.code]
    assert store.rows()[-1] == f"bia/{other}"
    assert all("b" not in of for of in store.world.view("products").values())
    later = store.ana.do("products", None, "BULK_UPDATE", bulk(3))
    assert later["status"] == "applied"


def test_one_entity_that_was_deleted_refuses_all_of_it(store: Store) -> None:
    store.bia.do("products", "p-7", "DELETE", {})
    settle_all(store.world, store.all)
    name = store.large()
    settle_all(store.world, store.all)
    assert orjson.dumps(store.ana.answer(name)).count(b"p-7")
    assert store.rows("refused") == [f"ana/{name}"]
    with sqlite3.connect(store.world.store.path) as db:
        ((seq, message),) = db.execute("SELECT seq, message FROM log WHERE kind = 'refused'")
    assert bytes(message).count(f'"id":"current-node-a-{seq}-p-'.encode()) == len(ENTITIES)
    assert all("b" not in of for of in store.world.view("products").values())
