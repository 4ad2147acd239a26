"""Offences are forgiven: by good messages, and by time. What is queued behind a refused message is not lost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from node.core.sessions.session import FORMAT_STRIKES
from tests.harness import Client, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PING = {"type": "ping"}
NUMERIC: list[Any] = [1_768_471_200_000, 1.5, True, None, [], {}, "half past nine", -1]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = World(tmp_path / "node")
    yield Client(world, "ana").connect()
    world.close()


def _good(client: Client, number: int) -> dict[str, Any]:
    return client.operation("orders", f"mesa-{number}", "CREATE", {"status": "pending"})


def _bad(client: Client, number: int) -> dict[str, Any]:
    """An operation of an earlier version of the program."""
    wrong: list[dict[str, Any]] = [
        {"data": "pending"},
        {"operation": "UPSERT"},
        {"entity_id": None},
        {"version": "1"},
    ]
    return {**client.operation("orders", "mesa", "UPDATE", {"a": 1}), **wrong[number % len(wrong)]}


@pytest.mark.parametrize("order", ["mixed", "bad first", "good first"])
def test_a_queue_of_good_and_bad_loses_none_of_the_good(client: Client, order: str) -> None:
    queue = [(True, _good(client, n)) for n in range(880)] + [(False, _bad(client, n)) for n in range(120)]
    if order == "mixed":
        random.Random(11).shuffle(queue)
    elif order == "bad first":
        queue.reverse()
    for _, operation in queue:
        client.send({"type": "data_sync", "operation": operation})
    client.world.settle()
    while client.receive():
        client.world.settle()
    assert client.connection.closed is None
    answered = {
        kind: {m.get("operation_id") for m in client.of(kind)} for kind in ("sync_confirmation", "sync_error")
    }
    assert answered["sync_confirmation"] == {operation["id"] for good, operation in queue if good}
    assert answered["sync_error"] == {operation["id"] for good, operation in queue if not good}
    assert len(client.world.view("orders")) == 880


@pytest.mark.parametrize("timestamp", NUMERIC)
def test_a_ping_is_answered_whatever_its_timestamp_is(client: Client, timestamp: object) -> None:
    for _ in range(2 * FORMAT_STRIKES):
        client.send({**PING, "timestamp": timestamp})
    client.receive()
    assert client.connection.closed is None
    assert (len(client.of("pong")), client.of("sync_error")) == (2 * FORMAT_STRIKES, [])


def test_nothing_but_nonsense_closes_the_connection(client: Client) -> None:
    for _ in range(FORMAT_STRIKES - 1):
        client.send({"type": "launch"})
    assert client.connection.closed is None
    client.send({"type": "launch"})
    assert client.connection.closed == (4006, f"{FORMAT_STRIKES} unreadable messages")


def test_a_good_message_forgives_a_strike(client: Client) -> None:
    for _ in range(3 * FORMAT_STRIKES):
        client.send({"type": "launch"})
        client.send(PING)
    assert client.connection.closed is None


def test_a_second_forgives_a_strike(client: Client) -> None:
    for _ in range(3 * FORMAT_STRIKES):
        client.send({"type": "launch"})
        client.world.advance(1_000)
    assert client.connection.closed is None
