"""Locks between nodes: the authority, a partition, and leases when links return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDER = {"entity_type": "orders", "entity_id": "mesa-1"}


class Store:
    """A hub and two nodes below it, a terminal on each."""

    def __init__(self, directory: Path, edges: list[tuple[int, int, bool]]) -> None:
        self.mesh = Mesh(directory, len(edges) + 1, edges)
        self.worlds = self.mesh.worlds
        self.terminals = [Client(world, f"pos-{n}").connect() for n, world in enumerate(self.worlds)]
        self.mesh.connect()
        self.settle()

    def settle(self, *, reconnect: bool = True) -> None:
        self.mesh.settle(lambda: sum(t.receive() for t in self.terminals), reconnect=reconnect)

    def cut(self) -> None:
        for wire in self.mesh.wires:
            wire.cut()

    def lock(self, number: int, lock_id: str | None = None, timeout: int = 600_000) -> dict[str, Any]:
        """Ask, let it be answered, and return the answer."""
        terminal = self.terminals[number]
        had = len(terminal.inbox)
        message = {"type": "acquire_lock", **ORDER, "terminal_id": terminal.name, "timeout": timeout}
        terminal.send(message | ({"lock_id": lock_id} if lock_id else {}))
        self.settle(reconnect=False)
        kinds = ("lock_acquired", "lock_failed")
        return next(m for m in terminal.inbox[had:] if m["type"] in kinds)

    def release(self, number: int, lock_id: str) -> None:
        terminal = self.terminals[number]
        terminal.send({"type": "release_lock", "lock_id": lock_id, "terminal_id": terminal.name})
        self.settle(reconnect=False)

    def write(self, number: int, data: dict[str, Any]) -> dict[str, Any]:
        """Write the order; the answer to it."""
        terminal = self.terminals[number]
        operation_id = terminal.write("orders", "mesa-1", "UPDATE", data)
        self.settle(reconnect=False)
        return terminal.answer(operation_id)

    def holders(self) -> list[str | None]:
        """Who holds the order, as each node knows it."""
        found = [w.core.replica.locks.holder(("orders", "mesa-1"), w.now()) for w in self.worlds]
        return [lease.terminal if lease else None for lease in found]

    def lock_statuses(self, number: int) -> dict[str, str]:
        rows = self.worlds[number].reader.audit("orders", "mesa-1", kinds=("operation",))
        return {row.operation_id: row.lock_status for row in rows}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, [(1, 0, True), (2, 0, True)])
    yield store
    store.mesh.close()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, [(1, 0, True), (2, 1, True), (3, 2, True)])
    yield store
    store.mesh.close()


def test_the_authority_at_the_root_grants_and_every_node_knows(chain: Store) -> None:
    answer = chain.lock(3)
    assert (answer["type"], answer["scope"], answer["token"]["authority"]) == ("lock_acquired", "store", "n0")
    assert chain.holders() == ["pos-3"] * 4
    assert chain.lock(0)["locked_by"] == "pos-3"
    refused = chain.write(0, {"a": 1})
    assert (refused["type"], refused["locked_by"]) == ("sync_error", "pos-3")
    assert chain.write(3, {"a": 2})["status"] == "applied"
    assert set(chain.lock_statuses(0).values()) == {"held"}


def test_a_released_lock_is_free_on_every_node(chain: Store) -> None:
    chain.release(3, chain.lock(3)["lock_id"])
    assert chain.holders() == [None] * 4
    assert chain.lock(1)["type"] == "lock_acquired"
    assert chain.holders() == ["pos-1"] * 4


def test_tokens_of_one_authority_only_grow(store: Store) -> None:
    counters = []
    for number in (1, 2, 0, 2, 1):
        answer = store.lock(number)
        counters.append(answer["token"]["counter"])
        store.release(number, answer["lock_id"])
    assert counters == sorted(set(counters))


def test_without_the_hub_a_lock_is_local_and_excludes_the_terminals_of_its_node_alone(store: Store) -> None:
    store.cut()
    other = Client(store.worlds[1], "pos-9").connect()
    store.terminals.append(other)
    answer = store.lock(1)
    assert (answer["type"], answer["scope"]) == ("lock_acquired", "local")
    assert store.lock(3)["locked_by"] == "pos-1"
    assert store.lock(2)["scope"] == "local"
    written = store.write(1, {"a": 1}), store.write(2, {"b": 2})
    assert [answer["status"] for answer in written] == ["applied", "applied"]
    assert set(store.lock_statuses(1).values()) == {"held_local"}
    store.settle()
    assert sorted(store.lock_statuses(0).values()) == ["held_local", "held_local"]


def test_a_local_lease_that_is_free_upstream_is_confirmed_on_reconnect(store: Store) -> None:
    store.cut()
    lock_id = store.lock(1)["lock_id"]
    store.settle()
    assert store.holders() == ["pos-1"] * 3
    assert store.lock(2)["locked_by"] == "pos-1"
    store.release(1, lock_id)
    assert store.holders() == [None] * 3


def test_two_local_leases_overlap_until_one_ends_and_no_write_is_dropped(store: Store) -> None:
    store.cut()
    first, second = store.lock(1), store.lock(2)
    assert (first["scope"], second["scope"]) == ("local", "local")
    store.settle()
    # The hub granted it to whoever asked first; the other's own node still lets it write, and says so in the audit.
    winner = store.holders()[0]
    assert winner in ("pos-1", "pos-2")
    loser = 2 if winner == "pos-1" else 1
    assert store.write(loser, {"late": True})["status"] == "applied"
    assert list(store.lock_statuses(0).values()) == ["overlapping"]
    store.release(loser, (first, second)[loser - 1]["lock_id"])
    assert store.holders() == [winner] * 3


def test_a_lease_outlives_the_link_and_ends_on_time(store: Store) -> None:
    store.lock(1, timeout=30_000)
    store.cut()
    assert store.holders() == ["pos-1"] * 3
    assert store.lock(2)["locked_by"] == "pos-1"
    for world in store.worlds:
        world.advance(31_000)
    assert store.holders() == [None] * 3
    assert store.lock(2)["scope"] == "local"


def test_what_was_released_while_the_hub_was_away_is_free_there_once_it_is_back(store: Store) -> None:
    lock_id = store.lock(1)["lock_id"]
    store.cut()
    store.release(1, lock_id)
    assert store.holders() == ["pos-1", None, "pos-1"]
    store.settle()
    assert store.holders() == [None] * 3


def test_an_authority_that_restarts_still_knows_its_leases(store: Store) -> None:
    token = store.lock(1)["token"]
    store.terminals[0].disconnect()
    store.mesh.crash(0)
    store.terminals[0].connect()
    store.settle()
    assert store.holders() == ["pos-1"] * 3
    again = store.lock(1)
    assert (again["token"], again["scope"]) == (token, "store")


def test_a_request_that_the_authority_does_not_answer_is_granted_locally_in_time(store: Store) -> None:
    terminal, world = store.terminals[1], store.worlds[1]
    terminal.send({"type": "acquire_lock", **ORDER, "terminal_id": terminal.name, "timeout": 60_000})
    world.settle()  # the frame to the hub is on its way, and stays there
    assert not terminal.receive()
    world.advance(500)
    world.settle()
    terminal.receive()
    granted = terminal.of("lock_acquired")[-1]
    assert granted["scope"] == "local"
    store.settle()  # the hub's late answer confirms the same lock
    assert store.holders() == ["pos-1"] * 3
    store.release(1, granted["lock_id"])
    assert store.holders() == [None] * 3


def test_the_same_terminal_extends_its_lock_through_the_authority(store: Store) -> None:
    first, second = store.lock(1, timeout=10_000), store.lock(1, timeout=60_000)
    assert (second["lock_id"], second["token"]) == (first["lock_id"], first["token"])
    for world in store.worlds:
        world.advance(30_000)
    assert store.holders() == ["pos-1"] * 3


def test_a_lock_released_before_its_extension_was_answered_stays_released(store: Store) -> None:
    lock_id = store.lock(1)["lock_id"]
    terminal = store.terminals[1]
    had = len(terminal.inbox)
    terminal.send({"type": "acquire_lock", **ORDER, "terminal_id": terminal.name, "timeout": 60_000})
    terminal.send({"type": "release_lock", "lock_id": lock_id, "terminal_id": terminal.name})
    store.settle(reconnect=False)
    assert [m["type"] for m in terminal.inbox[had:] if m["type"].startswith("lock_")] == ["lock_released"]
    assert store.holders() == [None] * 3
