"""Bad operations, however many, cost who accepted them: not the link that brings them, nor what others sent."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from node.config.sections import Config
from node.core import core
from node.core.keyring import fingerprint
from node.core.operations import parked, quarantine
from node.core.operations.quarantine import BAD, NO_BODY, PEERS, WAITING, Quarantine
from storage.records import ParkedRow
from tests.harness import World
from tests.rogue import Rogue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

ROOM = 64 * 1024
LIMITS = evolve(Config().limits, quarantine_bytes=ROOM)
MANY = 400


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(quarantine, "MOST", 200)
    monkeypatch.setattr(quarantine, "MOST_OF_PEER", 100)
    node = World(tmp_path / "data", config=evolve(Config(), limits=LIMITS))
    yield node
    node.close()


def bad(relay: Rogue, origin: str, number: int, note: str = "") -> dict[str, Any]:
    """An operation that `origin` accepted and that does what it does not say, as an honest node passes it on."""
    key, till = ("orders", f"{origin}-{number}"), f"{origin}-till"
    message = relay.operation(key, {"note": note}, [(("total",), 1)], terminal=till)
    message["link"]["origin"] = origin
    return message


def spoken_for(relay: Rogue, *origins: str) -> None:
    relay.say({"type": "speaks_for", "nodes": list(origins)})
    relay.world.settle()


def kept_whole(world: World) -> set[str]:
    return {row.entity_id for row in world.core.replica.quarantine if row.body != NO_BODY}


@pytest.mark.parametrize("size", [0, 2_000])
def test_many_bad_operations_cost_neither_their_relay_nor_what_others_accepted(world: World, size: int) -> None:
    relay, other = Rogue(world, "relay").connect(), Rogue(world, "other").connect()
    spoken_for(relay, "leaf-x", "leaf-y")
    other.say(*[bad(other, "other", number) for number in range(3)])
    relay.say(*[bad(relay, "leaf-y", number) for number in range(3)])
    world.settle()
    before = kept_whole(world)
    assert len(before) == 6
    for first in range(0, MANY, 20):
        relay.say(*[bad(relay, "leaf-x", number, "x" * size) for number in range(first, first + 20)])
        world.settle()
    assert not relay.closed
    assert not relay.link.paused
    assert kept_whole(world) >= before
    relay.say(relay.operation(("orders", "good"), {"total": 7}, [(("total",), 7)]))
    world.settle()
    assert world.view("orders")["good"]["total"] == 7
    for name, level, limit in world.core.levels():
        assert level <= limit, name
    stored = {row.id: row for row in world.store.boot().parked}
    assert stored == {row.id: row for row in world.core.replica.quarantine}


def test_what_waits_is_never_dropped_for_what_is_bad_and_what_finds_no_room_is_left_to_a_comparison(
    world: World,
) -> None:
    relay = Rogue(world, "relay").connect()
    waiting = []
    for number in range(150):
        relay.operation(("orders", f"o-{number}"), {"total": 1}, [(("total",), 1)])  # kept back
        waiting.append(relay.operation(("orders", f"o-{number}"), {"total": 2}, [(("total",), 2)]))
    relay.say(*waiting)
    world.settle()
    assert not relay.closed
    rows = list(world.core.replica.quarantine)
    assert {row.state for row in rows} == {WAITING}
    assert len(rows) <= 100
    relay.say(*[bad(relay, "relay", number) for number in range(50)])
    world.settle()
    assert [row for row in world.core.replica.quarantine if row.state == WAITING] == rows
    assert not relay.link.compare_owed or relay.link.caught_up


@pytest.mark.parametrize("seed", range(20))
def test_what_is_counted_is_what_is_there(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, rows = Random(seed), Quarantine(4_000)
    monkeypatch.setattr(quarantine, "MOST_OF_PEER", 12)
    for number in range(200):
        peer, size = draw.choice(["a", "b", "c"]), draw.randrange(400)
        choice, here = draw.random(), list(rows)
        if choice < 0.6:
            while rows.full(peer) and (gone := rows.makes_place(peer)) is not None:
                rows.remove(gone)
            while not rows.fits(peer, size + 40) and (whole := rows.makes_room(peer)) is not None:
                rows.only_name(whole, evolve(whole, body=NO_BODY))
            if rows.full(peer) or not rows.fits(peer, size + 40):
                continue
            body = b'{"origin":"%s","x":"%s"}' % (draw.choice([b"x", b"y"]), b"x" * size)
            state = draw.choice([BAD, WAITING])
            rows.add(
                ParkedRow(rows.next_id(), f"{peer}:1", "t", f"op-{number}", number, "orders", "e", state, "", body, 0)
            )
        elif here and choice < 0.8:
            rows.remove(draw.choice(here))
        elif waiting := [row for row in here if row.state == WAITING]:
            row = draw.choice(waiting)
            rows.found_bad(row, evolve(row, state=BAD))
        again = Quarantine.of(list(rows), 4_000)
        assert rows.bytes == again.bytes == sum(len(row.body) for row in rows)
        assert all(rows.fits(peer, 0) and len(rows) <= 36 for peer in "abc")
        assert {p: rows._rows_of(p) for p in "abc"} == {p: again._rows_of(p) for p in "abc"}


def test_what_is_too_large_to_be_kept_costs_nothing_that_is_kept(world: World) -> None:
    relay, other = Rogue(world, "relay").connect(), Rogue(world, "other").connect()
    other.say(*[bad(other, "other", number) for number in range(3)])
    world.settle()
    before = kept_whole(world)
    relay.say(bad(relay, "relay", 1, "x" * (ROOM // PEERS)))
    world.settle()
    assert len(before) == 3
    assert kept_whole(world) == before
    assert len(world.core.replica.quarantine) == 4  # of that one the name is kept


def test_names_of_nodes_that_somebody_made_up_share_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "ORIGINS", 5)
    rows = Quarantine(1_000_000)
    for number in range(20):
        body = b'{"origin":"made-up-%d"}' % number
        rows.add(ParkedRow(rows.next_id(), "a:1", "t", f"op-{number}", number, "orders", "e", BAD, "", body, 0))
    assert len(rows._accounts["a"]) == 6
    assert rows._rows_of("a") == 20
    for row in rows:
        rows.remove(row)
    assert (rows.bytes, rows._accounts) == (0, {})


def test_the_node_that_accepted_an_operation_pays_also_where_the_operation_has_a_field_of_that_name() -> None:
    rows = Quarantine(1_000_000)
    body = b'{"operation":{"data":{"origin":"ifood"}},"link":{"key":1,"origin":"leaf-x","user_id":null}}'
    rows.add(ParkedRow(rows.next_id(), "a:1", "t", "op", 1, "orders", "e", BAD, "", body, 0))
    assert list(rows._accounts["a"]) == ["leaf-x"]
    assert [row.name for row in rows.bad_from("leaf-x")] == ["t/op"]
    assert rows.bad_from("ifood") == []


def test_a_row_whose_body_went_while_its_entities_were_read_is_counted_once() -> None:
    rows = Quarantine(1_000_000)
    whole = ParkedRow(rows.next_id(), "a:1", "t", "op", 1, "orders", "e", BAD, "", b'{"origin":"x","note":"long"}', 0)
    rows.add(whole)
    rows.only_name(whole, evolve(whole, body=NO_BODY))
    rows.remove(whole)
    assert (rows.bytes, rows._accounts) == (0, {})


@pytest.mark.parametrize("asked", ["all", "key"])
def test_many_that_somebody_asks_to_be_tried_are_tried_by_the_clock(
    world: World, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay, tried = Rogue(world, "relay").connect(), list[str]()
    relay.say(*[bad(relay, "relay", number) for number in range(10)])
    world.settle()
    monkeypatch.setattr(core, "RETRIES_A_SECOND", 3)
    monkeypatch.setattr(parked, "retry_when_here", lambda replica, row, *around: tried.append(row.entity_id))
    keyring = world.core.replica.keyring
    if asked == "all":
        world.core.retry_quarantine()
    else:
        keyring.offered["relay"] = {b"key": "another"}
        assert world.core.decide_key("trust", "relay", fingerprint(b"key"))
    assert len(tried) == 3
    for _ in range(3):
        world.core.tick()
    assert sorted(tried) == [f"relay-{number}" for number in range(10)]
