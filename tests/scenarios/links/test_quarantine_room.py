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
from node.core.operations.quarantine import BAD, NO_BODY, PEERS, STALE_MS, WAITING, Quarantine
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


def chain(relay: Rogue, origin: str, count: int, size: int = 0) -> list[dict[str, Any]]:
    """Operations that `origin` accepted, each of an entity of which the one before is kept back."""
    found = []
    for number in range(count):
        for total in range(2):
            data, till = {"total": total, "note": "x" * size}, f"{relay.name}-till"
            writes: list[tuple[tuple[str, ...], object]] = [((name,), value) for name, value in data.items()]
            message = relay.operation(("orders", f"{origin}-{number}"), data, writes, terminal=till)
        message["link"]["origin"] = origin
        found.append(message)
    return found


def waits_of(world: World, origin: str) -> list[str]:
    rows = world.core.replica.quarantine
    return [row.entity_id for row in rows if row.state == WAITING and row.entity_id.startswith(origin)]


@pytest.mark.parametrize("size", [0, 300])
@pytest.mark.parametrize("relays", [1, 3])
def test_of_what_waits_who_left_most_pays_for_the_others(world: World, relays: int, size: int) -> None:
    """Who makes up operations that build on nothing keeps nobody else's out, over the same relay or another one."""
    liars = [Rogue(world, f"relay-{n}").connect() for n in range(relays)]
    for relay in liars:
        spoken_for(relay, "leaf-x", "leaf-y")
        relay.say(*chain(relay, "leaf-x", 150, size))
        world.settle()
    honest = Rogue(world, "honest").connect()
    honest.say(*chain(honest, "honest", 5, size))
    liars[0].say(*chain(liars[0], "leaf-y", 5, size))
    world.settle()
    assert (len(waits_of(world, "honest")), len(waits_of(world, "leaf-y"))) == (5, 5)
    assert 0 < len(waits_of(world, "leaf-x")) <= 200
    assert world.core.replica.quarantine.let_go > 0
    for name, level, limit in world.core.levels():
        assert level <= limit, name
    stored = {row.id: row for row in world.store.boot().parked}
    assert stored == {row.id: row for row in world.core.replica.quarantine}


@pytest.mark.parametrize("size", [0, 300])
def test_what_waited_for_long_goes_and_what_waits_since_a_moment_ago_does_not(world: World, size: int) -> None:
    relay = Rogue(world, "relay").connect()
    messages = chain(relay, "relay", 110, size)
    relay.say(*messages[:100])
    world.settle()
    before = waits_of(world, "relay")
    relay.say(*messages[100:105])
    world.settle()
    assert waits_of(world, "relay") == before, "it is left to a comparison"
    world.wall_ms += STALE_MS + 1
    relay.say(*messages[105:])
    world.settle()
    gone = world.core.replica.quarantine.let_go
    assert 5 <= gone < len(before)
    assert waits_of(world, "relay") == before[gone:] + [f"relay-{number}" for number in range(105, 110)]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_counted_is_what_is_there(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, rows = Random(seed), Quarantine(4_000)
    monkeypatch.setattr(quarantine, "MOST_OF_PEER", 12)
    for number in range(200):
        peer, size = draw.choice(["a", "b", "c"]), draw.randrange(400)
        choice, here, now_ms = draw.random(), list(rows), number * STALE_MS // 100
        if choice < 0.6:
            name, state = draw.choice(["x", "y"]), draw.choice([BAD, WAITING])
            body = b'{"origin":"%s","x":"%s"}' % (name.encode(), b"x" * size)
            origin = name if state == WAITING else None
            while rows.full(peer) and (gone := rows.makes_place(peer, origin, now_ms)) is not None:
                rows.remove(gone)
            while not rows.fits(peer, size + 40) and (whole := rows.makes_room(peer, origin, now_ms)) is not None:
                if whole.state == WAITING:
                    rows.remove(whole)
                else:
                    rows.only_name(whole, evolve(whole, body=NO_BODY))
            if rows.full(peer) or not rows.fits(peer, size + 40):
                continue
            said = (f"{peer}:1", "t", f"op-{number}", number, "orders", "e", state, "", body, now_ms)
            rows.add(ParkedRow(rows.next_id(), *said))
        elif here and choice < 0.8:
            rows.remove(draw.choice(here))
        elif waiting := [row for row in here if row.state == WAITING]:
            row = draw.choice(waiting)
            rows.found_bad(row, evolve(row, state=BAD))
        again = Quarantine.of(list(rows), 4_000)
        assert rows.bytes == again.bytes == sum(len(row.body) for row in rows)
        assert all(rows.fits(peer, 0) and len(rows) <= 36 for peer in "abc")
        assert {p: rows._of(p).rows for p in "abc"} == {p: again._of(p).rows for p in "abc"}
        assert {p: rows._of(p).bytes for p in "abc"} == {p: again._of(p).bytes for p in "abc"}


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
    assert len(rows._left["a"].accounts) == 6
    assert rows._left["a"].rows == 20
    for row in rows:
        rows.remove(row)
    assert (rows.bytes, rows._left) == (0, {})


def test_the_node_that_accepted_an_operation_pays_also_where_the_operation_has_a_field_of_that_name() -> None:
    rows = Quarantine(1_000_000)
    body = b'{"operation":{"data":{"origin":"ifood"}},"link":{"key":1,"origin":"leaf-x","user_id":null}}'
    rows.add(ParkedRow(rows.next_id(), "a:1", "t", "op", 1, "orders", "e", BAD, "", body, 0))
    assert list(rows._left["a"].accounts) == ["leaf-x"]
    assert [row.name for row in rows.bad_from("leaf-x")] == ["t/op"]
    assert rows.bad_from("ifood") == []


def test_a_row_whose_body_went_while_its_entities_were_read_is_counted_once() -> None:
    rows = Quarantine(1_000_000)
    whole = ParkedRow(rows.next_id(), "a:1", "t", "op", 1, "orders", "e", BAD, "", b'{"origin":"x","note":"long"}', 0)
    rows.add(whole)
    rows.only_name(whole, evolve(whole, body=NO_BODY))
    rows.remove(whole)
    assert (rows.bytes, rows._left) == (0, {})


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
