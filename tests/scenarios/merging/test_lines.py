"""Lines: each element of a list has fields, and two who change one line lose nothing of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crdt.records import counter_path
from node.config.reading import parse
from node.core.entities.last_known import MOST_LINES_COUNTED, MOST_OF_A_LINE
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = parse("""
[entities.orders.fields.items]
kind = "keyed_list"

[entities.orders.fields.items.fields]
quantity = "counter"

[entities.orders.fields.items.fields.status]
kind = "progress"
ranks = ["sent", "ready", "served"]
lower = ["pos"]

[entities.orders.fields.payments]
kind = "keyed_list"
key = "payment_id"
""")

BEER = {"id": "1", "name": "Chope", "quantity": 1, "status": "sent"}
FISH = {"id": "2", "name": "Moqueca", "quantity": 1, "status": "sent", "note": "sem coentro"}


class Table:
    """Two terminals at one order: on one node or on two, seeing nothing of each other until `meet`."""

    def __init__(self, directory: Path, *, nodes: int, kinds: tuple[str, str] = ("pos", "pos")) -> None:
        self.mesh = Mesh(directory, nodes, [(1, 0, True)] if nodes == 2 else [], config=CONFIG)
        names = zip(("ana", "bia"), (0, nodes - 1), kinds, strict=True)
        self.clients = [Client(self.mesh.worlds[n], name, kind).connect() for name, n, kind in names]
        self.ana, self.bia = self.clients
        self.ana.do("orders", "o", "CREATE", {"items": [BEER, FISH]})
        self.meet()
        for wire in self.mesh.wires:
            wire.cut()

    def meet(self) -> None:
        self.mesh.settle(lambda: sum(client.receive() for client in self.clients))
        one = [client.shown("orders")["o"] for client in self.clients]
        assert one[0] == one[1]
        assert all(shown(world) == shown(self.mesh.worlds[0]) for world in self.mesh.worlds)

    def writes(self, client: Client, *changes: dict[str, Any] | None) -> None:
        """The whole list, as a documented client writes it: each element with what changed, None to take it off."""
        for world in self.mesh.worlds:
            world.wall_ms = max(w.wall_ms for w in self.mesh.worlds)
        items = self.listed(client)
        new = [{**old, **change} for old, change in zip(items, changes, strict=False) if change is not None]
        client.write("orders", "o", "UPDATE", {"items": [*new, *items[len(changes) :]]})

    def listed(self, client: Client) -> list[dict[str, Any]]:
        return client.screen["orders", "o"]["items"]

    @property
    def items(self) -> list[dict[str, Any]]:
        return self.mesh.worlds[0].view("orders")["o"]["items"]


@pytest.fixture(params=[1, 2])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Table]:
    table = Table(tmp_path, nodes=request.param)
    yield table
    table.mesh.close()


def test_different_fields_of_one_line_both_stay(table: Table) -> None:
    table.writes(table.ana, {"note": "sem gelo"})
    table.writes(table.bia, {"seat": 4})
    table.meet()
    assert table.items[0] == {**BEER, "note": "sem gelo", "seat": 4}
    assert not [m for client in table.clients for m in client.of("sync_conflict")]


def test_of_one_field_the_later_stays_and_the_loser_is_told_which(table: Table) -> None:
    table.writes(table.ana, {"note": "sem gelo"})
    table.writes(table.bia, {"note": "com gelo"})
    table.meet()
    assert table.items[0]["note"] == "com gelo"
    (notice,) = table.ana.of("sync_conflict")
    assert notice["conflict"]["path"] == ["items", "1", "note"]
    assert notice["conflict"]["local_data"]["items"] == [{"id": "1", "note": "com gelo"}]
    assert notice["conflict"]["remote_data"]["items"] == [{"id": "1", "note": "sem gelo"}]
    assert not table.bia.of("sync_conflict")


def test_two_who_add_one_beer_each_add_two(table: Table) -> None:
    table.writes(table.ana, {"quantity": 2})
    table.writes(table.bia, {"quantity": 2})
    table.meet()
    assert table.items[0]["quantity"] == 3
    table.writes(table.ana, {"quantity": {"$inc": -1}})
    table.meet()
    assert table.items[0] == {**BEER, "quantity": 2}


@pytest.mark.parametrize("seen", [0, 3])
@pytest.mark.parametrize("times", [3, 6, 40])
def test_a_quantity_counts_from_what_its_author_knew_however_often_others_wrote_it(
    table: Table, times: int, seen: int
) -> None:
    for n in range(seen):
        table.writes(table.ana, {"quantity": 2 + n})
        table.meet()
    for wire in table.mesh.wires:
        wire.cut()
    for n in range(times):
        table.writes(table.ana, {"quantity": 2 + seen + n})
        table.writes(table.ana, {"note": f"{n}"}, {"quantity": 2 + n})  # and rows that do not move it
        table.mesh.settle(table.ana.receive, reconnect=False)
    table.writes(table.bia, {"quantity": 1 + seen + 2})
    table.meet()
    assert table.items[0]["quantity"] == 1 + seen + times + 2


def test_a_quantity_counts_from_what_its_author_knew_however_many_lines_were_changed_since(tmp_path: Path) -> None:
    table = Table(tmp_path, nodes=1)
    lines = [{"id": f"{n}", "quantity": 1} for n in range(MOST_LINES_COUNTED + 2)]
    table.ana.do("orders", "o", "UPDATE", {"items": lines})
    table.meet()
    for changed in (lines[:1], lines[1:]):
        table.writes(table.ana, *({"quantity": 3} if line in changed else {} for line in lines))
        table.meet()
    table.writes(table.ana, {"quantity": 4})
    table.mesh.settle(table.ana.receive, reconnect=False)
    table.writes(table.bia, {"quantity": 5})
    table.meet()
    assert table.items[0]["quantity"] == 6
    table.mesh.close()


def test_movements_of_a_line_that_everybody_has_seen_are_let_go(tmp_path: Path) -> None:
    table = Table(tmp_path, nodes=1)
    for n in range(2 * MOST_OF_A_LINE):
        table.writes(table.ana, {"quantity": 2 + n})
        table.meet()
        table.mesh.worlds[0].advance(1_000)
    movements = table.mesh.worlds[0].core.replica.residents.entities["orders", "o"].movements
    (moves,) = (moves for name, moves in movements.of.items() if counter_path(name))
    assert len(moves) < MOST_OF_A_LINE // 2
    table.mesh.close()


def test_a_count_of_a_line_and_a_movement_add_up(table: Table) -> None:
    table.writes(table.ana, {"quantity": {"$set": 5}})
    table.writes(table.bia, {"quantity": {"$inc": 1}})
    table.meet()
    assert table.items[0]["quantity"] == 6


@pytest.mark.parametrize("came", [False, True], ids=["elsewhere", "at her node"])
@pytest.mark.parametrize("more", [0, 1])
def test_a_quantity_that_is_sent_back_undoes_no_count(table: Table, came: bool, more: int) -> None:
    """came: the count has come to the node of who had not seen it. more: ordered by her."""
    table.writes(table.ana, {"quantity": {"$set": 8}})
    if came:
        table.mesh.settle(table.ana.receive)
    table.writes(table.bia, {"quantity": 1 + more}, {"note": "com coentro"})
    table.meet()
    assert [line["quantity"] for line in table.items] == [8 + more, 1]
    assert table.items[1]["note"] == "com coentro"


@pytest.mark.parametrize("came", [False, True], ids=["elsewhere", "at her node"])
@pytest.mark.parametrize("first", [{"quantity": {"$inc": 1}}, {"seat": 4}, {"status": "ready"}])
def test_a_field_that_is_sent_back_undoes_no_change_whatever_of_the_line_was_changed_before(
    table: Table, first: dict[str, Any], came: bool
) -> None:
    table.writes(table.ana, first, first)
    table.writes(table.ana, {"note": "sem gelo"}, {"note": "sem sal"})
    if came:
        table.mesh.settle(table.ana.receive)
    table.writes(table.bia, {}, {"name": "Moqueca baiana"})
    table.meet()
    assert [line.get("note") for line in table.items] == ["sem gelo", "sem sal"]
    assert table.items[1]["name"] == "Moqueca baiana"
    assert not [m for client in table.clients for m in client.of("sync_conflict")]


@pytest.mark.parametrize("first", [0, 1])
def test_ready_by_the_kitchen_and_a_note_are_both_there(tmp_path: Path, first: int) -> None:
    table = Table(tmp_path, nodes=2, kinds=("kds", "waiter"))
    acts: list[Callable[[], None]] = [
        lambda: table.writes(table.ana, {"status": "ready"}),
        lambda: table.writes(table.bia, {"note": "com limão"}),
    ]
    acts[first]()
    acts[1 - first]()
    table.meet()
    assert table.items[0] == {**BEER, "status": "ready", "note": "com limão"}
    table.mesh.close()


def test_a_status_of_a_line_does_not_go_back_by_itself(tmp_path: Path) -> None:
    table = Table(tmp_path, nodes=1, kinds=("kds", "waiter"))
    table.writes(table.ana, {"status": "served"})
    table.writes(table.bia, {"status": "ready"})
    table.meet()
    assert table.items[0]["status"] == "served"
    assert [m["conflict"]["path"] for m in table.bia.of("sync_conflict")] == [["items", "1", "status"]]
    table.writes(table.bia, {"status": "sent"})
    table.meet()
    assert table.items[0]["status"] == "served"
    table.mesh.close()


WAYS_UP = [("sent",), ("ready",), ("sent", "ready"), ("sent", "served"), ("ready", "served")]


@pytest.mark.parametrize("here", WAYS_UP, ids="-".join)
@pytest.mark.parametrize("there", WAYS_UP, ids="-".join)
def test_of_a_line_that_two_add_at_once_the_most_advanced_status_is_shown_and_the_other_told(
    table: Table, here: tuple[str, ...], there: tuple[str, ...]
) -> None:
    """Each adds it, and may then change it, without having seen what the other did."""
    for client, statuses in ((table.ana, here), (table.bia, there)):
        for status in statuses:
            wine = {"id": "3", "name": f"Vinho ({client.name})", "quantity": 1, "status": status}
            client.write("orders", "o", "UPDATE", {"items": [BEER, FISH, wine]})
    table.meet()
    ranks = ["sent", "ready", "served"]
    lower, most = sorted((here[-1], there[-1]), key=ranks.index)
    assert table.items[2]["status"] == most
    loser = table.ana if here[-1] == lower else table.bia
    told = {client: [m["conflict"] for m in client.of("sync_conflict")] for client in table.clients}
    assert any(one["path"][-1] == "status" for one in told[loser]) == (lower != most)
    names = [one for client in table.clients for one in told[client] if one["path"][-1] == "3"]
    assert names, "of the two names one is shown"
    assert not any("status" in side["data"]["items"][0] for one in names for side in one["candidates"])


def test_a_stale_copy_of_a_line_takes_nothing_back(table: Table) -> None:
    for status in ("ready", "served"):
        table.writes(table.ana, {"status": status, "note": f"mesa {status}"}, {"note": "com coentro"})
        table.mesh.settle(table.ana.receive, reconnect=False)
    table.writes(table.bia, {}, {}, {})  # everything as it was on this screen
    items = table.listed(table.bia)
    table.bia.write("orders", "o", "UPDATE", {"items": [*items, {"id": "3", "name": "Pudim", "quantity": 1}]})
    table.meet()
    assert table.items == [
        {**BEER, "status": "served", "note": "mesa served"},
        {**FISH, "note": "com coentro"},
        {"id": "3", "name": "Pudim", "quantity": 1},
    ]


def test_a_line_that_somebody_changed_unseen_outlives_its_removal_whole(table: Table) -> None:
    table.writes(table.ana, {"note": "sem gelo"})
    table.meet()
    for wire in table.mesh.wires:
        wire.cut()
    table.writes(table.ana, None)
    table.writes(table.bia, {"quantity": 3})
    table.meet()
    assert table.items[0] == {**BEER, "note": "sem gelo", "quantity": 3}


@pytest.mark.parametrize("change", [{"quantity": 3}, {"note": "sem gelo"}])
def test_a_stale_list_does_not_bring_back_a_line_that_two_had_changed(table: Table, change: dict[str, Any]) -> None:
    table.writes(table.ana, {"status": "ready"})
    table.writes(table.bia, change)
    table.meet()
    table.writes(table.bia, {}, {"note": "com coentro"})  # it has written the list that it sends again
    table.meet()
    for wire in table.mesh.wires:
        wire.cut()
    table.writes(table.ana, None)
    table.writes(table.bia, {}, {"seat": 2})
    table.meet()
    assert [item["id"] for item in table.items] == ["2"]


def test_a_removed_line_is_gone_with_its_fields_and_begins_anew(table: Table) -> None:
    table.writes(table.ana, {"note": "sem gelo", "quantity": 4})
    table.meet()
    table.writes(table.ana, None)
    table.meet()
    assert [item["id"] for item in table.items] == ["2"]
    table.bia.write("orders", "o", "UPDATE", {"items": [BEER, *table.listed(table.bia)]})
    table.meet()
    assert table.items[0] == BEER
    table.writes(table.ana, {"quantity": 3})
    table.meet()
    assert table.items[0] == {**BEER, "quantity": 3}


def test_a_field_that_is_left_out_is_taken_off(table: Table) -> None:
    fish = {name: value for name, value in FISH.items() if name != "note"}
    table.ana.write("orders", "o", "UPDATE", {"items": [BEER, fish]})
    table.writes(table.bia, {}, {"seat": 2})
    table.meet()
    assert table.items[1] == {**fish, "seat": 2}


def test_a_line_that_moves_keeps_what_others_change(table: Table) -> None:
    table.ana.write("orders", "o", "UPDATE", {"items": table.listed(table.ana)[::-1]})
    table.writes(table.bia, {"note": "sem gelo"})
    table.meet()
    assert sorted(table.items, key=lambda item: item["id"]) == [{**BEER, "note": "sem gelo"}, FISH]


def test_the_key_is_the_one_that_is_configured(table: Table) -> None:
    cash, card = {"payment_id": 7, "amount": 20}, {"payment_id": "7", "amount": 30}
    table.ana.write("orders", "o", "UPDATE", {"payments": [cash]})
    table.bia.write("orders", "o", "UPDATE", {"payments": [card]})
    table.meet()
    assert sorted(p["amount"] for p in table.mesh.worlds[0].view("orders")["o"]["payments"]) == [20, 30]


@pytest.mark.parametrize("value", ["9,5", True, [], {"inc": 1}, 1e300])
def test_a_quantity_that_is_no_number_is_refused_with_its_place(tmp_path: Path, value: object) -> None:
    world = World(tmp_path / "node", config=CONFIG)
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"items": [BEER]})
    for items in ([BEER, {**FISH, "quantity": value}], [BEER, {"id": "2", "quantity": value}]):
        refused = ana.do("orders", "o", "UPDATE", {"items": items})
        assert (refused["code"], refused["where"]) == (4006, "$.operation.data.items[1].quantity")
    refused = ana.do("orders", "o", "UPDATE", {"items": [{**BEER, "quantity": value}]})
    assert (refused["code"], refused["where"]) == (4006, "$.operation.data.items[0].quantity")
    world.close()


def test_a_document_does_not_grow_with_what_happened_to_its_lines(tmp_path: Path) -> None:
    world = World(tmp_path / "node", config=CONFIG)
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"items": [BEER]})
    sizes = []
    for number in range(150):
        line = {"id": f"l-{number}", "name": "Chope", "quantity": 1, "status": "sent"}
        ana.write("orders", "o", "UPDATE", {"items": [BEER, line]})
        ana.write("orders", "o", "UPDATE", {"items": [BEER, {**line, "quantity": 2, "status": "ready"}]})
        settle_all(world, [ana])
        entity = world.core.replica.residents.entities["orders", "o"]
        sizes.append(len(entity.document.encode()))
    assert max(sizes) < 4_000
    world.close()


@pytest.mark.walk(3)
@pytest.mark.parametrize("changed", [BEER, FISH], ids=["beer", "fish"])
@pytest.mark.parametrize("moves_last", [True, False], ids=["moved later", "changed later"])
@pytest.mark.parametrize("change", [{"seat": 4}, {"quantity": 5}, {"status": "ready"}, {"name": "Outro"}])
def test_a_line_that_is_put_elsewhere_stays_there_whoever_changes_it_unseen(
    table: Table, change: dict[str, Any], moves_last: bool, changed: dict[str, Any]
) -> None:
    def put(client: Client, *lines: dict[str, Any]) -> None:
        for world in table.mesh.worlds:
            world.wall_ms = max(w.wall_ms for w in table.mesh.worlds)
        client.write("orders", "o", "UPDATE", {"items": list(lines)})

    beer, fish = ({**line, **change} if line is changed else line for line in (BEER, FISH))
    acts = [(table.bia, (beer, fish)), (table.ana, (FISH, BEER))]
    for client, lines in acts if moves_last else reversed(acts):
        put(client, *lines)
    table.meet()
    assert table.items == [fish, beer]
    put(table.bia, beer, fish)  # and back, having seen it
    table.meet()
    assert table.items == [beer, fish]
    assert not [m for client in table.clients for m in client.of("sync_conflict")]
