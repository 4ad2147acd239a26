"""A linked node's operation that cannot be applied: kept whole with what builds on it; the rest flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.core.links.link import BAD_ASKED
from node.core.operations import parked
from node.core.operations.parked import MOST_AT_ONCE
from node.core.operations.quarantine import BAD, WAITING, Quarantine
from storage.records import ParkedRow
from tests.harness import Client
from tests.mesh import Mesh, audit, each_operation, shown
from tests.simulation.slips import defect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Pair:
    """A node that sends, and one that gets what `spoil` makes of each operation."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)])
        self.hub, self.node = self.mesh.worlds
        self.ana = Client(self.hub, "ana").connect()
        self.mesh.settle()
        self.spoil: Callable[[dict[str, Any]], None] = lambda message: None
        self.mesh.wires[0].damage = each_operation(lambda message: self.spoil(message))

    def parked(self) -> dict[str, str]:
        return {row.operation_id: row.state for row in self.node.core.replica.quarantine}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.mesh.close()


def of(entity_id: str, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Spoil the operations of one entity."""

    def spoil(message: dict[str, Any]) -> None:
        if message["operation"].get("entity_id") == entity_id:
            change(message)

    return spoil


def flip_update(message: dict[str, Any]) -> None:
    message["link"]["updates"][0][2] = "AAAA" + message["link"]["updates"][0][2][4:]


@pytest.mark.parametrize(
    "change",
    [
        flip_update,
        lambda m: m["link"]["updates"][0].__setitem__(2, "no base64!"),
        lambda m: m["link"].update(hlc=[-1, 2**63]),
        lambda m: m["link"].update(lock_status="borrowed"),
        lambda m: m["link"].update(updates=[]),
        lambda m: m["link"].update(updates="x"),
        lambda m: m["link"]["updates"][0].__setitem__(4, [0, 0, 0]),
        lambda m: m["link"]["updates"][0].__setitem__(3, {"x": 1}),
        lambda m: m["operation"].update(id={"no": "id"}),
        lambda m: m["operation"].update(entity_type="spaceships"),
        lambda m: m["operation"].update(data=7),
        lambda m: m.update(operation=None),
        lambda m: m["link"].update(terminal_id="a b"),
    ],
)
def test_one_bad_operation_is_kept_and_stops_nothing_else(
    pair: Pair, change: Callable[[dict[str, Any]], None]
) -> None:
    pair.spoil = of("o-1", change)
    pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    pair.ana.do("orders", "o-2", "CREATE", {"a": 2})
    pair.mesh.settle()
    assert list(pair.parked().values()) == [BAD]
    assert set(pair.node.view("orders")) == {"o-2"}
    assert pair.mesh.wires[0].links is not None
    (row,) = pair.node.core.replica.quarantine
    assert row.reason
    pair.mesh.crash(1)
    assert list(pair.parked().values()) == [BAD]
    pair.mesh.settle()
    assert list(pair.parked().values()) == [BAD]


def test_whoever_sent_what_cannot_be_applied_hears_of_it_for_as_long_as_it_stays(pair: Pair) -> None:
    pair.spoil = of("o-1", lambda message: message["operation"].update(entity_type="spaceships"))
    pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    pair.mesh.settle()
    assert heard(pair) == (1, 0)
    (row,) = pair.node.core.replica.quarantine
    pair.mesh.crash(0)
    pair.mesh.crash(1)
    pair.mesh.settle()
    assert heard(pair) == (1, 0)
    link = pair.hub.core.links.by_node[pair.node.core.node_id]
    assert link.kept_out is not None
    assert link.kept_out.why == row.reason
    assert pair.node.core.drop_parked(row.id)
    pair.mesh.settle()
    assert heard(pair) == (0, 0)


def heard(pair: Pair) -> tuple[int, ...]:
    """How many operations that came from here the other side keeps out, as hub and node know."""
    pair.mesh.worlds[0].advance(2_000)
    pair.mesh.worlds[1].advance(2_000)
    pair.mesh.settle()
    said = [link.kept_out for world in pair.mesh.worlds for link in world.core.links.by_node.values()]
    return tuple(one.count if one is not None else 0 for one in said)


@pytest.mark.parametrize("retried", [False, True])
def test_what_builds_on_a_bad_operation_waits_with_it_and_comes_back_with_it(pair: Pair, retried: bool) -> None:
    spoiled: list[str] = []

    def once(message: dict[str, Any]) -> None:
        if message["operation"]["id"] not in spoiled and len(spoiled) < 1:
            spoiled.append(message["operation"]["id"])
            flip_update(message)

    pair.spoil = of("o-1", once)
    first = pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    second = pair.ana.do("orders", "o-1", "UPDATE", {"a": 2})
    pair.ana.do("orders", "o-2", "CREATE", {"a": 2})
    pair.mesh.settle()
    assert pair.parked() == {first["operation_id"]: BAD, second["operation_id"]: WAITING}
    assert set(pair.node.view("orders")) == {"o-2"}
    if retried:
        assert pair.node.core.retry_quarantine() == 2
    else:
        pair.node.advance(61_000)  # once a minute a node asks by itself
    pair.mesh.settle()
    assert pair.parked() == {}
    assert shown(pair.node) == shown(pair.hub)
    assert audit(pair.node) == audit(pair.hub)


def bulk_waits_for_its_second_entity(pair: Pair, named: str | None = None) -> dict[str, str]:
    """Both orders are there; the next operation of the second comes damaged, and a BULK_UPDATE builds on it.

    named: what it says as its `entity_id`, as the document's own client does with every operation.
    """
    spoiled: list[str] = []

    def once(message: dict[str, Any]) -> None:
        if not spoiled:
            spoiled.append(message["operation"]["id"])
            flip_update(message)

    for name in ("o-1", "o-2"):
        pair.ana.do("orders", name, "CREATE", {"a": 1})
    pair.mesh.settle()
    pair.spoil = of("o-2", once)
    pair.ana.do("orders", "o-2", "UPDATE", {"a": 2})
    items = [{"entity_id": name, "data": {"b": 3}} for name in ("o-1", "o-2")]
    pair.ana.do("orders", named, "BULK_UPDATE", {"updates": items})
    pair.mesh.settle()
    return pair.parked()


@pytest.mark.parametrize("named", [None, "o-1", "o-2", "o-3"])
def test_a_bulk_update_that_waits_goes_on_when_one_of_its_entities_gets_something(
    pair: Pair, named: str | None
) -> None:
    assert sorted(bulk_waits_for_its_second_entity(pair, named).values()) == [BAD, WAITING]
    assert pair.node.core.replica.quarantine.due(10) == [], "the clock does not try it"
    pair.node.advance(61_000)  # once a minute a node asks for what came damaged
    pair.mesh.settle()
    assert pair.parked() == {}
    assert pair.node.view("orders")["o-1"]["b"] == 3
    assert shown(pair.node) == shown(pair.hub)


def test_that_defect_is_caught(pair: Pair) -> None:
    here = "node.core.operations.quarantine:_touched"
    with defect("bulk-not-looked-at", "", (here, "return tuple(keys)", "return tuple(keys)[:1]")).present():
        bulk_waits_for_its_second_entity(pair)
        pair.node.advance(61_000)
        pair.mesh.settle()
        assert list(pair.parked().values()) == [WAITING]


def test_an_operation_that_came_damaged_while_the_disk_could_not_be_read_is_asked_for_once_it_can(pair: Pair) -> None:
    pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    pair.mesh.settle()
    pair.mesh.crash(1)
    pair.mesh.settle()
    pair.spoil = of("o-1", flip_update)
    pair.node.unreadable = lambda read, keys, *_: read == "fetch" and ("orders", "o-1") in keys
    told = Client(pair.hub, "bia").connect().do("orders", "o-1", "UPDATE", {"a": 2})
    pair.mesh.settle()
    assert pair.parked() == {told["operation_id"]: BAD}, "its key tells, whatever its entity is"
    pair.node.unreadable = None
    pair.node.advance(1_000)
    pair.mesh.settle()
    assert pair.parked() == {told["operation_id"]: BAD}
    pair.mesh.crash(1)
    assert pair.parked() == {told["operation_id"]: BAD}
    pair.spoil = lambda message: None
    pair.mesh.settle()
    pair.node.advance(61_000)
    pair.mesh.settle()
    assert pair.parked() == {}
    assert shown(pair.node) == shown(pair.hub)


def test_what_waits_goes_on_when_what_it_waits_for_was_put_off_itself(pair: Pair) -> None:
    """The latest comes first, while the entity cannot be read: of what the clock tries only the last can go on."""
    pair.ana.do("orders", "o-1", "CREATE", {"n": 0})
    pair.mesh.settle()
    pair.mesh.wires[0].cut()
    for n in range(20):
        pair.ana.do("orders", "o-1", "UPDATE", {"n": n})
    pair.mesh.crash(1)
    pair.node.unreadable = lambda read, keys, *_: read == "fetch" and ("orders", "o-1") in keys
    pair.mesh.wires[0].damage = lambda frame: orjson.dumps(
        sorted(messages, key=lambda m: -m["link"]["hlc"][1])
        if isinstance(messages := orjson.loads(frame), list) and all(m["type"] == "data_sync" for m in messages)
        else messages
    )
    pair.mesh.settle()
    assert len(pair.parked()) == 20
    pair.node.unreadable = None
    pair.mesh.settle()
    assert not pair.parked()
    assert shown(pair.node) == shown(pair.hub)


def test_of_much_that_waits_for_one_entity_a_few_are_tried_with_each_operation(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.spoil = lambda message: flip_update(message) if message["operation"]["operation"] == "CREATE" else None
    pair.ana.do("orders", "o-1", "CREATE", {"n": 0})
    for n in range(2 * MOST_AT_ONCE):
        pair.ana.do("orders", "o-1", "UPDATE", {"n": n})
    pair.mesh.settle()
    assert list(pair.parked().values()) == [BAD] + [WAITING] * (2 * MOST_AT_ONCE)
    tried: list[int] = []
    monkeypatch.setattr(parked, "retry", lambda replica, row, now: tried.append(row.id))
    parked.retry_waiting(pair.node.core.replica, [("orders", "o-1")], pair.node.now())
    assert len(tried) == MOST_AT_ONCE
    pair.node.tick()
    pair.node.settle()
    assert len(set(tried)) == 2 * MOST_AT_ONCE, "the others are tried by the clock"


def test_what_turned_out_bad_late_is_asked_for_in_its_turn_as_well() -> None:
    def row(number: int, state: str) -> ParkedRow:
        return ParkedRow(number, "hub:1", "till", f"op-{number}", number, "orders", "o", state, "", b"{}", 0)

    quarantine = Quarantine.of([row(1, WAITING), *(row(number, BAD) for number in range(2, 300))])
    quarantine.found_bad(row(1, WAITING), row(1, BAD))
    assert not quarantine.due(10)
    asked: set[int] = set()
    after = 0
    for _ in range(3):
        found = quarantine.bad(after, BAD_ASKED)
        asked |= {parked.id for parked in found}
        after = found[-1].id
    assert asked == set(range(1, 300))


@pytest.mark.parametrize("behind_state", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.__setitem__(3, {**entry[3], str(entry[4][0]): entry[3][str(entry[4][0])] + 64}),
        lambda entry: entry.__setitem__(4, [entry[4][0] ^ 2, *entry[4][1:]]),
        lambda entry: entry.__setitem__(4, [entry[4][0], entry[4][1] + 1, entry[4][2]]),
        lambda entry: entry.__setitem__(4, [entry[4][0], entry[4][1], entry[4][2] + 8]),
    ],
)
def test_what_is_said_beside_an_update_follows_from_it(
    tmp_path: Path, change: Callable[[list[Any]], None], behind_state: bool
) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 1, True)])
    damaged: list[str] = []

    def damage(message: dict[str, Any]) -> None:
        if message["operation"]["id"].endswith("1") and not damaged:
            damaged.append(message["operation"]["id"])
            change(message["link"]["updates"][0])

    mesh.wires[0].damage = each_operation(damage)
    if not behind_state:
        mesh.settle()
    ana = Client(mesh.worlds[0], "ana").connect()
    for n in range(3):
        ana.do("products", "p", "CREATE" if n == 0 else "UPDATE", {"n": n})
    for _ in range(4):
        mesh.settle()
        for world in mesh.worlds:
            world.advance(61_000)
    assert damaged
    for world in mesh.worlds[1:]:
        assert audit(world) == audit(mesh.worlds[0])
        assert shown(world) == shown(mesh.worlds[0])
        assert not len(world.core.replica.quarantine)
    mesh.close()


def test_a_damaged_copy_of_an_operation_that_is_held_is_dropped(pair: Pair) -> None:
    sent: list[dict[str, Any]] = []
    pair.spoil = sent.append
    pair.ana.do("orders", "o", "CREATE", {"a": 1})
    pair.mesh.settle()
    links = pair.mesh.wires[0].links
    assert links is not None
    links[0].receive(orjson.dumps([{**sent[0], "link": {**sent[0]["link"], "hlc": [-1, 0]}}]).decode())
    pair.mesh.settle()
    assert pair.parked() == {}


def test_of_many_bad_operations_a_few_are_asked_for_at_a_time_each_in_its_turn(pair: Pair) -> None:
    pair.spoil = flip_update
    names = [f"o-{number}" for number in range(BAD_ASKED + 5)]
    for name in names:
        pair.ana.do("orders", name, "CREATE", {"a": 1})
    pair.mesh.settle()
    assert len(pair.parked()) == len(names)
    sent: list[str] = []

    def count(message: dict[str, Any]) -> None:
        sent.append(message["operation"]["entity_id"])
        flip_update(message)

    pair.spoil = count
    for expected in (names[:BAD_ASKED], names[BAD_ASKED:], names[:BAD_ASKED]):
        pair.node.advance(61_000)
        pair.mesh.settle()
        assert sorted(sent) == sorted(expected)
        sent.clear()


def test_an_operation_that_lacks_what_came_before_is_asked_for_and_applied(pair: Pair) -> None:
    dropped: list[bytes] = []
    pair.spoil = lambda message: None
    wire = pair.mesh.wires[0]

    def drop(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        if isinstance(loaded, list) and not dropped:
            kept = [m for m in loaded if m["type"] != "data_sync"]
            if len(kept) < len(loaded):
                dropped.append(frame)
                return orjson.dumps(kept)
        return frame

    wire.damage = drop
    pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    pair.mesh.settle()
    assert dropped
    pair.ana.do("orders", "o-1", "UPDATE", {"a": 2})
    pair.mesh.settle()
    pair.node.advance(61_000)
    pair.mesh.settle()
    assert pair.parked() == {}
    assert shown(pair.node) == shown(pair.hub)
    assert audit(pair.node) == audit(pair.hub)


@pytest.mark.parametrize(
    "frame",
    [
        b"not json",
        b"[1]",
        b'"x"',
        b"null",
        b'{"type":"data_sync"}',
        b'{"type":"data_sync","operation":{},"link":{"state":7}}',
        b'{"type":"data_sync","operation":{"entity_type":"orders","entity_id":"e"},"link":{"state":"AAAA"}}',
        b'{"type":"log_position","positions":[1,2,3]}',
        b'{"type":"log_position","positions":[1,2,3,9e9],"mark":0,"hash":""}',
        b'{"type":"log_position","positions":[1,2,3,4],"mark":1,"hash":"zz"}',
        b'{"type":"log_position","positions":[1,2,3,4],"mark":0,"hash":"","state":{"after":{"9":["a","b"]}}}',
        b'{"type":"sync_confirmation"}',
        b'{"type":"digest","types":7}',
        b'{"type":"digest_buckets","buckets":{"orders":[1]},"counts":{}}',
        b'{"type":"digest_keys","entity_type":"orders","buckets":{"99999":""}}',
        b'{"type":"digest_keys","entity_type":"orders","buckets":{"1":"AAA"}}',
        b'{"type":"digest_want","keys":"!"}',
        b'{"type":"lock_acquired"}',
        b'{"type":"acquire_lock","request":true,"entity_type":"orders","entity_id":"e"}',
        b'{"type":"release_lock","lock_id":7}',
        b'{"type":"locks","leases":[7]}',
        b'{"type":"terminal_status_update","nodes":{"x":[1]}}',
        b'{"type":"connection_established"}',
        b'{"type":"launch"}',
        b"{}",
    ],
)
def test_a_frame_that_no_node_sends_costs_at_most_the_link(pair: Pair, frame: bytes) -> None:
    pair.ana.do("orders", "o-1", "CREATE", {"a": 1})
    pair.mesh.settle()
    for world in (pair.hub, pair.node):
        (link,) = world.core.links.by_node.values()
        link.receive(frame)
    pair.ana.do("orders", "o-1", "UPDATE", {"a": 2})
    pair.mesh.settle()
    assert shown(pair.node) == shown(pair.hub)
    assert pair.node.view("orders")["o-1"]["a"] == 2
