"""Order items: what several terminals add, change and take out of one list merges; the order of lines is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client, World
from tests.mesh import Mesh, moved
from tests.scenarios.outages import Outages
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, **more}


class Table:
    """Two nodes with a waiter each, and one order."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)])
        self.ana, self.bia = (
            Client(world, name).connect() for world, name in zip(self.mesh.worlds, ("ana", "bia"), strict=True)
        )

    def meet(self) -> None:
        self.mesh.settle(lambda: self.ana.receive() + self.bia.receive())

    def part(self) -> None:
        self.mesh.wires[0].cut()

    def begin(self, *items: object) -> None:
        self.ana.do("orders", "mesa", "CREATE", {"items": list(items)})
        self.meet()
        self.part()

    def write(self, client: Client, *items: object) -> dict[str, Any]:
        return client.do("orders", "mesa", "UPDATE", {"items": list(items)})

    def items(self) -> list[Any]:
        found = [world.view("orders")["mesa"]["items"] for world in self.mesh.worlds]
        assert found[0] == found[1]
        for client in (self.ana, self.bia):
            assert client.shown("orders")["mesa"]["items"] == found[0]
        result: list[Any] = found[0]
        return result


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path)
    yield table
    table.mesh.close()


def test_what_two_waiters_add_is_all_there_in_order(table: Table) -> None:
    table.begin(item("a"), item("b"))
    table.write(table.ana, item("a"), item("b"), item("c"))
    table.write(table.bia, item("x"), item("a"), item("b"), item("d"))
    table.meet()
    ids = [entry["id"] for entry in table.items()]
    assert sorted(ids) == ["a", "b", "c", "d", "x"]
    assert ids[:3] == ["x", "a", "b"]


def test_a_removed_item_stays_removed_unless_it_was_changed_unseen(table: Table) -> None:
    table.begin(item("a", qty=1), item("b", qty=1), item("c", qty=1))
    table.write(table.ana, item("c", qty=1))
    table.write(table.bia, item("a", qty=2), item("b", qty=1), item("c", qty=1))
    table.meet()
    assert table.items() == [item("a", qty=2), item("c", qty=1)]


def test_what_a_waiter_ordered_on_another_node_is_not_taken_off_before_it_is_on_the_screen(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.settle()
    before = Client(mesh.worlds[0], "ana").connect()
    mesh.wires[0].cut()
    before.do("orders", "mesa", "UPDATE", {"items": [item("a")]})
    after = moved(before, mesh.worlds[1])
    mesh.settle(after.receive, reconnect=False)
    mesh.settle()  # what it ordered before comes, and it has not looked yet
    after.do("orders", "mesa", "UPDATE", {"items": [item("b")]})
    mesh.settle(after.receive)
    for world in mesh.worlds:
        assert sorted(entry["id"] for entry in world.view("orders")["mesa"]["items"]) == ["a", "b"]
    assert sorted(entry["id"] for entry in after.shown("orders")["mesa"]["items"]) == ["a", "b"]
    mesh.close()


def test_one_item_changed_by_two_is_settled_and_the_other_author_told(table: Table) -> None:
    table.begin(item("a", qty=1), item("b", qty=1))
    table.write(table.ana, item("a", qty=2), item("b", qty=1))
    table.mesh.worlds[1].advance(5)
    table.write(table.bia, item("a", qty=3), item("b", qty=4))
    table.meet()
    assert table.items() == [item("a", qty=3), item("b", qty=4)]
    (told,) = [message["conflict"] for message in table.ana.of("sync_conflict")]
    assert (told["path"], told["state"]) == (["items", "a", "qty"], "settled")
    assert told["local_data"]["items"] == [item("a", qty=3)]
    assert told["remote_data"]["items"] == [item("a", qty=2)]
    table.ana.send({"type": "conflict_resolution", "conflict_id": told["id"], "resolution": "accept_remote"})
    table.meet()
    assert table.items() == [item("a", qty=2), item("b", qty=4)]


def test_a_new_order_of_lines_is_kept_and_moves_nobody_elses(table: Table) -> None:
    table.begin(*(item(name) for name in "abcd"))
    table.write(table.ana, item("d"), item("a"), item("b"), item("c"))
    table.write(table.bia, item("a"), item("b"), item("e"), item("c"), item("d"))
    table.meet()
    assert "".join(entry["id"] for entry in table.items()) == "dabec"


def test_a_waiter_who_had_not_seen_an_item_does_not_remove_it(table: Table) -> None:
    table.begin(item("a"))
    table.write(table.ana, item("a"), item("b"))
    table.meet()
    table.part()
    # A documented client that was away writes the list it knew: version 2 is what it made of version 1.
    table.bia.do("orders", "mesa", "UPDATE", {"items": [item("a"), item("z")], "version": 2})
    table.meet()
    assert sorted(entry["id"] for entry in table.items()) == ["a", "b", "z"]


@pytest.mark.parametrize("plain", [[1, 2], [{"name": "no id"}], "none", None, [item("a"), item("a")]])
def test_a_list_without_ids_is_one_value(table: Table, plain: object) -> None:
    table.begin(item("a"))
    table.ana.do("orders", "mesa", "UPDATE", {"items": plain})
    table.meet()
    assert table.items() == plain
    table.write(table.bia, item("b"))
    table.meet()
    assert table.items() == [item("b")]


def test_an_emptied_list_is_empty(table: Table) -> None:
    table.begin(item("a"), item("b"))
    table.write(table.ana)
    table.meet()
    assert table.items() == []


def test_items_written_before_lists_merged_go_on_as_items(tmp_path: Path) -> None:
    """A database of the first release holds the list as one value."""
    from node.config.reading import parse

    plain = parse('[entities.orders]\nfields = { items = "register" }\n')
    world = World(tmp_path / "n", config=plain)
    ana = Client(world, "ana").connect()
    ana.do("orders", "mesa", "CREATE", {"items": [item("a", qty=1), item("b", qty=1)]})
    world.settle()
    world.config = type(plain)()
    world.crash()
    ana = Client(world, "bia").connect()
    ana.world.settle()
    ana.receive()
    world.settle()
    assert ana.shown("orders")["mesa"]["items"] == [item("a", qty=1), item("b", qty=1)]
    ana.do("orders", "mesa", "UPDATE", {"items": [item("b", qty=2), item("c", qty=1)]})
    assert world.view("orders")["mesa"]["items"] == [item("b", qty=2), item("c", qty=1)]
    world.close()


class Waiters(Outages):
    """Waiters who add, change and remove lines of their own screens."""

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory, seed)
        self.added: set[str] = set()
        self.removed: set[str] = set()
        self.edited: set[str] = set()
        self.removed_by: dict[str, set[str]] = {client.name: set() for client in self.clients}
        self.clients[0].do("orders", "mesa", "CREATE", {"items": []})
        self.settle()

    def act(self, client: Client) -> None:
        rng = self.rng
        on_screen = client.screen.get(("orders", "mesa"), {}).get("items")
        if on_screen is None or not self.at_rest(client, 1):
            return
        items = []
        for line in on_screen:
            chance = rng.random()
            if line["id"] in self.removed_by[client.name]:
                self.edited.add(line["id"])  # it is shown the past again, and takes it back
            if chance < 0.1:
                self.removed.add(line["id"])
                self.removed_by[client.name].add(line["id"])
            elif chance < 0.25:
                self.edited.add(line["id"])
                items.append({**line, "qty": rng.randrange(100)})
            else:
                items.append(line)
        if rng.random() < 0.7:
            name = f"i-{len(self.added)}"
            self.added.add(name)
            items.insert(rng.randrange(len(items) + 1), item(name, qty=1))
        client.submit(client.operation("orders", "mesa", "UPDATE", {"items": items}))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_union_of_added_items_each_once_and_what_was_removed_unchanged_is_gone(tmp_path: Path, seed: int) -> None:
    evening = Waiters(tmp_path, seed)
    evening.run(20, 160)
    evening.agree()
    worlds = evening.mesh.worlds
    ids = [line["id"] for line in worlds[0].view("orders")["mesa"]["items"]]
    assert len(set(ids)) == len(ids), seed
    assert evening.added - evening.removed <= set(ids) <= evening.added, seed
    assert not set(ids) & (evening.removed - evening.edited), (seed, "removed, never changed, and there again")
    for client in evening.clients:
        assert client.shown("orders")["mesa"]["items"] == worlds[0].view("orders")["mesa"]["items"], (
            seed,
            client.name,
        )
    evening.mesh.close()
