"""What comes under the name of a large operation while that is under way is decided as if it came afterwards."""

from __future__ import annotations

import sqlite3
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.document import Document
from node.core.links.travellers import ANSWER_MS
from node.core.operations import in_turns, parked, refusals
from node.core.operations.quarantine import WAITING
from node.wire.links.operations import operation_message
from tests.harness import Client, settle_all
from tests.mesh import Mesh
from tests.scenarios.failures.test_in_turns import NOT_THE_SAME, Store, bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ENTITIES = [f"p-{number}" for number in range(4)]
ELSEWHERE = [f"q-{number}" for number in range(4)]
KEPT = ["log", "entities", "conflicts", "parked"]


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_turns, "LARGE", 8)
    monkeypatch.setattr(in_turns, "TURN", 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data")
    yield store
    store.world.close()


class Two:
    """Two linked nodes. One terminal id writes on both, and gives its operations the same ids."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)], has_key=False)
        self.mesh.connect()
        self.here, self.there = self.mesh.worlds
        self.ana, self.other = (Client(world, "ana").connect() for world in self.mesh.worlds)
        self.bia = Client(self.here, "bia").connect()
        for number, entity_id in enumerate([*ENTITIES, *ELSEWHERE]):
            self.bia.write("products", entity_id, "CREATE", {"a": number})
        self.bia.write("customers", "c", "CREATE", {"phone": "0"})
        self.settle()
        self.conflict = ""

    def settle(self) -> None:
        self.mesh.settle(lambda: sum(client.receive() for client in (self.ana, self.other, self.bia)))

    def conflicting(self) -> None:
        """An open conflict, for a decision of it."""
        for client in (self.bia, self.other):
            client.write("customers", "c", "UPDATE", {"phone": f"{client.name} {len(client.inbox)}"})
        self.settle()
        self.conflict = self.here.reader.conflicts("open", limit=10)[-1].conflict_id

    def of(self, name: str, ids: list[str], *, large: bool = True) -> dict[str, Any]:
        """A message of this id. Nothing is sent, and no time passes between it and others."""
        made = self.ana.operation("products", None, "BULK_UPDATE", bulk(name, ids))
        if not large:
            made = self.ana.operation("products", ids[0], "UPDATE", {"a": name, "b": name})
        return {"type": "data_sync", "operation": {**made, "id": name}}

    def after_the_node_closed(self, message: dict[str, Any]) -> None:
        """The terminal's connection is closed by the node, and on its next one comes this."""
        assert self.ana.session is not None
        self.ana.session.lose("planted")
        self.ana.disconnect()
        self.ana.connect()
        self.ana.send(message)

    def from_there(self) -> None:
        """What the other node has sent comes."""
        while self.mesh.wires[0].step(0):
            pass

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        with sqlite3.connect(self.here.store.path) as db:
            db.row_factory = sqlite3.Row
            found = {}
            for name in KEPT:
                rows = [dict(row) for row in db.execute(f"SELECT * FROM {name} ORDER BY 1, 2")]
                found[name] = [{n: v for n, v in row.items() if n not in NOT_THE_SAME} for row in rows]
            return found


# ------------------------------------------------------------------ the ways in
# Each prepares what comes under a name, about these entities, and returns what lets it come.


def on_its_connection(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    message = two.of(name, ids)
    return lambda: two.ana.send(message)


def small_on_its_connection(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    message = two.of(name, ids, large=False)
    return lambda: two.ana.send(message)


def on_its_next_connection(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    message = two.of(name, ids, large=False)

    def comes() -> None:
        two.ana.disconnect()
        two.ana.connect()
        two.ana.send(message)

    return comes


def after_the_node_closed_the_last(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    message = two.of(name, ids, large=False)
    return partial(two.after_the_node_closed, message)


def as_a_decision(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    two.conflicting()
    message = {"type": "conflict_resolution", "id": name, "conflict_id": two.conflict, "resolution": "accept_remote"}
    return partial(two.after_the_node_closed, message)


def over_the_link(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    two.other.send(two.of(name, ids, large=False))
    two.there.settle()
    return two.from_there


def large_over_the_link(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    two.other.send(two.of(name, ids))
    two.there.settle()
    return two.from_there


def _parked(two: Two, name: str, ids: list[str], *, large: bool) -> None:
    """What the other node wrote is in this one's quarantine, and the link is gone."""
    two.mesh.wires[0].cut()
    two.other.send(two.of(name, ids, large=large))
    two.there.settle()
    row = next(row.row for row in reversed(two.there.core.log.ring.rows) if row.row.operation_id == name)
    message = orjson.loads(operation_message(row))
    assert parked.park(two.here.core.replica, message, "n1:epoch", WAITING, "something is missing", two.here.now())
    two.here.settle()


def from_the_quarantine(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    _parked(two, name, ids, large=False)
    return lambda: two.here.core.retry_quarantine() and None


def from_the_quarantine_by_its_entity(two: Two, name: str, ids: list[str]) -> Callable[[], None]:
    """Something else comes to the entity for which it waits."""
    _parked(two, name, ids, large=False)

    def comes() -> None:
        replica = two.here.core.replica
        parked.retry_waiting(replica, [("products", ids[0])], two.here.now())
        while two.here.calls:
            two.here.calls.popleft()()
        two.here.tick()  # what could not be tried at once

    return comes


WAYS = {
    way.__name__: way
    for way in (
        on_its_connection,
        small_on_its_connection,
        on_its_next_connection,
        after_the_node_closed_the_last,
        as_a_decision,
        over_the_link,
        large_over_the_link,
        from_the_quarantine,
        from_the_quarantine_by_its_entity,
    )
}


# ------------------------------------------------------------------ as afterwards


def of_its_terminal(two: Two, name: str) -> Callable[[], None]:
    message = two.of(name, ENTITIES)
    return lambda: two.ana.send(message)


def of_a_link(two: Two, name: str) -> Callable[[], None]:
    two.other.send(two.of(name, ENTITIES))
    two.there.settle()
    return two.from_there


def walk(two: Two, begun: str, way: str, ids: list[str], steps: int | None) -> int:
    """Begin a large operation, and let something come under its name: after one step of it, after two, and so on.

    Each time it is another name. steps: that many times, and always when it has ended. Returns how many times.
    """
    under_way, calls = two.here.core.replica.in_turns, two.here.calls
    for number in count():
        name = f"x-{number}"
        comes = WAYS[way](two, name, ids)
        BEGUN[begun](two, name)()
        while not under_way.names:
            calls.popleft()()
        for _ in range(number if steps is None else 10_000):
            if not calls:
                break
            calls.popleft()()
        over = not under_way.names
        comes()
        while calls:
            calls.popleft()()
        two.settle()
        if over if steps is None else number + 1 == steps:
            return number + 1
    raise AssertionError("it never ends")


BEGUN = {"of its terminal": of_its_terminal, "of a link": of_a_link}
PAIRS = [
    *(("of its terminal", way) for way in WAYS),
    *(("of a link", way.__name__) for way in (on_its_connection, small_on_its_connection, as_a_decision)),
]


@pytest.mark.walk(3)
@pytest.mark.parametrize("ids", [ENTITIES, ELSEWHERE], ids=["the same entities", "other entities"])
@pytest.mark.parametrize(("begun", "way"), PAIRS)
def test_what_comes_under_its_name_is_decided_as_if_it_came_afterwards(
    tmp_path: Path, begun: str, way: str, ids: list[str]
) -> None:
    meanwhile, afterwards = Two(tmp_path / "meanwhile"), Two(tmp_path / "afterwards")
    steps = walk(meanwhile, begun, way, ids, None)
    assert steps > 10
    assert walk(afterwards, begun, way, ids, steps) == steps
    told = [[m for m in two.ana.inbox if "operation_id" in m] for two in (meanwhile, afterwards)]
    assert told[0] == told[1]
    assert meanwhile.tables() == afterwards.tables()
    for two in (meanwhile, afterwards):
        two.mesh.close()


def joined(directory: Path, steps: int) -> tuple[object, ...]:
    """A node joins, and its history brings a name that is under way here. steps: of that, before it comes.

    Returns what is told and stored of this name, in order, and all that is stored.
    """
    mesh = Mesh(directory, 2, [(0, 1, True)], has_key=False)
    here, there = mesh.worlds
    other, bia = Client(there, "ana").connect(), Client(there, "bia").connect()
    for entity_id in [*ENTITIES, *ELSEWHERE]:
        bia.do("products", entity_id, "CREATE", {"a": 0})
    made = other.operation("products", ELSEWHERE[0], "UPDATE", {"a": "x"}, id="x")
    other.send({"type": "data_sync", "operation": made})
    there.settle()
    mesh.connect()
    (wire,) = mesh.wires
    assert wire.links is not None
    sent = wire.links[1].connection.frames  # type: ignore[attr-defined]
    while here.core.links.first_sync is None or here.core.links.first_sync.phase != "history":
        here.settle()
        there.settle()
        assert wire.step(0) or wire.step(1)
    while not any(b'"id":"x"' in frame for frame in sent):
        here.settle()
        there.settle()
        wire.step(0)
    ana = Client(here, "ana").connect()
    here.advance(ANSWER_MS)
    here.settle()
    made = ana.operation("products", None, "BULK_UPDATE", bulk("here", ENTITIES), id="x")
    ana.send({"type": "data_sync", "operation": made})
    while not here.core.replica.in_turns.names:
        here.calls.popleft()()
    for _ in range(steps):
        if here.calls:
            here.calls.popleft()()
    while wire.step(1):
        pass
    while here.calls:
        here.calls.popleft()()
    mesh.settle(lambda: ana.receive() + other.receive() + bia.receive())
    with sqlite3.connect(here.store.path) as db:
        rows = db.execute("SELECT terminal_id, operation_id, operation, via FROM log ORDER BY seq").fetchall()
    told = [message for message in ana.inbox if message.get("operation_id") == "x"]
    mesh.close()
    return told, [row for row in rows if row[1] == "x"], sorted(rows)


@pytest.mark.parametrize("steps", [1, 6, 12])  # it takes some 20
def test_history_brings_its_name_as_if_it_came_afterwards(tmp_path: Path, steps: int) -> None:
    assert joined(tmp_path / "meanwhile", steps) == joined(tmp_path / "afterwards", 10_000)


def test_what_was_reading_from_the_disk_when_a_large_operation_of_its_name_began_waits_for_it(tmp_path: Path) -> None:
    two = Two(tmp_path)
    comes = over_the_link(two, "x", ELSEWHERE)
    message = two.of("x", ENTITIES)
    del two.here.core.replica.residents.entities["products", ELSEWHERE[0]]
    comes()
    read = two.here.calls.popleft()
    assert not two.here.calls
    two.ana.send(message)
    while not two.here.core.replica.in_turns.names:
        two.here.calls.popleft()()
    read()
    while two.here.calls:
        two.here.calls.popleft()()
    assert [row.via for row in two.here.core.replica.log.group.rows if row.operation_id == "x"] == [
        "",
        "n1:n1-00000000",
    ]
    two.mesh.close()


# ------------------------------------------------------------------ however it ends


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("ends", ["done", "commit failed", "lost", "closed", "fault"])
def test_a_name_that_was_held_is_let_go_however_it_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch, ends: str, *, refused: bool
) -> None:
    if refused:
        store.bia.do("products", "p-7", "DELETE", {})
        settle_all(store.world, store.all)
    name = store.large()
    replica = store.world.core.replica
    store.until(lambda: store.numbered)
    assert replica.in_turns.names
    match ends:
        case "commit failed":
            store.world.core.failed("the disk is full")
            store.world.recover()
        case "lost":
            store.ana.disconnect()
        case "closed":
            assert store.ana.session is not None
            store.ana.session.lose("planted")
        case "fault":
            monkeypatch.setattr(Document, "edit", None)
            monkeypatch.setattr(refusals, "current_message", None)
    store.world.settle()
    monkeypatch.undo()
    assert not replica.in_turns.names
    store.ana.disconnect()
    store.ana.connect()
    again = {**store.ana.operation("orders", "o-9", "CREATE", {"status": "pending"}), "id": name}
    store.ana.send({"type": "data_sync", "operation": again})
    settle_all(store.world, store.all)
    answered = [message for message in store.ana.inbox if message.get("operation_id") == name]
    goes = ends == "commit failed" or (refused and ends != "fault")  # what is refused may come as another one
    assert answered[-1]["type"] == ("sync_confirmation" if goes else "sync_error")
    assert store.bia.do("products", "p-3", "UPDATE", {"a": 5})["status"] == "applied"


# ------------------------------------------------------------------ a connection that the node closed meanwhile


def _closed(store: Store) -> str:
    name = store.large()
    store.until(lambda: store.numbered)
    assert store.ana.session is not None
    store.ana.session.lose("planted")
    store.ana.disconnect()
    return name


def test_the_end_of_a_large_operation_wakes_the_writer_though_its_connection_is_closed(store: Store) -> None:
    _closed(store)
    store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    woken: list[bool] = []
    store.world.core.replica.faults.wake = lambda: woken.append(store.numbered)
    while store.world.calls:
        store.world.calls.popleft()()
    assert woken == [False]


def test_a_fault_in_its_middle_is_one_though_its_connection_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _closed(store)
    other = store.bia.write("orders", "o-1", "CREATE", {"status": "pending"})
    edit = Document.edit

    def fails_once(document: Document, **named: Any) -> Any:
        monkeypatch.setattr(Document, "edit", edit)
        raise RuntimeError("planted")

    monkeypatch.setattr(Document, "edit", fails_once)
    settle_all(store.world, store.all)
    assert store.rows()[-1] == f"bia/{other}"
    assert f"ana/{name}" not in store.rows()
    assert store.bia.do("products", "p-3", "UPDATE", {"a": 5})["status"] == "applied"


def test_the_next_connection_of_a_terminal_is_served_though_the_node_closed_the_last(store: Store) -> None:
    store.large()
    store.until(lambda: store.numbered)
    last = store.ana.session
    store.ana.disconnect()
    store.ana.connect()
    assert last is not None
    last.lose("planted")
    assert store.ana.do("orders", "o-1", "CREATE", {"status": "pending"})["status"] == "applied"
