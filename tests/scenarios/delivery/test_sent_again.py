"""An operation that was refused and is sent again: whose it is, what its author knew, and what it is shown."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from crdt import hlc
from tests.archives import archive
from tests.harness import Client, World, settle_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOCKED_MS = 1_000

BETWEEN = [(), ("restart",), ("archive",), ("archive", "restart"), ("restart", "archive", "restart")]


def item(name: str) -> dict[str, str]:
    return {"id": name}


class Tablets:
    """Two on one node, and what gets in the way of ana's operations."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ana, self.bia = Client(world, "ana").connect(), Client(world, "bia").connect()

    def meet(self) -> None:
        settle_all(self.world, [self.ana, self.bia])

    def begin(self, entity_type: str, data: dict[str, Any]) -> None:
        self.ana.do(entity_type, "x", "CREATE", data)
        self.meet()

    def lock(self) -> None:
        """bia has the order for a while."""
        self.bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "x", "timeout": LOCKED_MS})
        self.world.settle()

    def lock_ends(self) -> None:
        self.world.advance(2 * LOCKED_MS)

    @contextmanager
    def disk_fails(self) -> Iterator[None]:
        self.world.failing = True
        yield
        self.world.failing = False
        self.world.recover()

    def passes(self, what: Sequence[str]) -> None:
        """In this order, between an order that was refused and its coming again."""
        for word in what:
            if word == "archive":
                archive(self.world)
            else:
                self.restart()

    def restart(self) -> None:
        for client in (self.ana, self.bia):
            client.disconnect()
        self.world.settle()
        self.world.crash()
        for client in (self.ana, self.bia):
            client.connect()

    def send(self, operation: dict[str, Any]) -> None:
        """ana sends an operation, without showing it on its screen."""
        self.ana.send({"type": "data_sync", "operation": operation})
        self.meet()

    def items(self) -> list[str]:
        return sorted(entry["id"] for entry in self.world.view("orders")["x"]["items"])


@pytest.fixture
def tablets(world: World) -> Tablets:
    return Tablets(world)


# ---------------------------------------------------------------------- whose it is


def test_two_terminals_that_use_one_operation_id_are_each_judged_by_their_own_screen(world: World) -> None:
    ana, bia, cai = (Client(world, name).connect() for name in ("ana", "bia", "cai"))
    for name in ("locked", "mesa"):
        ana.do("orders", name, "CREATE", {"items": []})
    settle_all(world, [ana, bia, cai])
    cai.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "locked", "timeout": 30_000})
    bia.confirms = bia.pongs = False  # it takes nothing more
    cai.do("orders", "mesa", "UPDATE", {"items": [item("a")]})
    settle_all(world, [ana, cai])
    for client, entity_id in ((ana, "locked"), (bia, "mesa")):
        operation = client.operation("orders", entity_id, "UPDATE", {"items": []}, id="op-1")
        client.send({"type": "data_sync", "operation": operation})
        settle_all(world, [ana, cai])
    assert world.view("orders")["mesa"]["items"] == [item("a")]


# ---------------------------------------------------------------------- what its author knew


@pytest.mark.parametrize("between", BETWEEN, ids=lambda between: " ".join(between) or "at once")
def test_an_order_takes_off_nothing_that_came_after_it(tablets: Tablets, between: Sequence[str]) -> None:
    """The table was locked; by the time the tablet sends its first order again, more has been ordered."""
    ana, bia = tablets.ana, tablets.bia
    tablets.lock()
    refused = ana.operation("orders", "x", "UPDATE", {"items": [item("a")]})
    tablets.send(refused)
    tablets.lock_ends()
    bia.do("orders", "x", "UPDATE", {"items": [item("b")]})
    ana.do("orders", "x", "UPDATE", {"items": [item("a"), item("c")]})
    tablets.meet()
    tablets.passes(between)
    tablets.send(refused)
    assert tablets.items() == ["a", "b", "c"]


@pytest.mark.parametrize("between", BETWEEN, ids=lambda between: " ".join(between) or "at once")
def test_an_order_takes_off_nothing_that_its_author_was_only_shown_since(
    tablets: Tablets, between: Sequence[str]
) -> None:
    """The item was in the log when the order first came, and on no screen of its author."""
    ana, bia = tablets.ana, tablets.bia
    tablets.begin("orders", {"items": [item("a")]})
    bia.do("orders", "x", "UPDATE", {"items": [item("a"), item("b")]})
    tablets.lock()
    refused = ana.operation("orders", "x", "UPDATE", {"items": []})
    ana.send({"type": "data_sync", "operation": refused})
    tablets.world.settle()
    tablets.meet()
    tablets.passes(between)
    tablets.lock_ends()
    tablets.send(refused)
    assert tablets.items() == ["b"]
    assert ana.shown("orders")["x"]["items"] == [item("b")]


def test_an_order_takes_off_what_was_on_its_author_s_own_list(tablets: Tablets) -> None:
    """Of that list nothing is left but that it was written, as its author has written another one since."""
    ana, bia = tablets.ana, tablets.bia
    bia.do("orders", "x", "UPDATE", {"items": [item("b")]})
    tablets.meet()
    ana.do("orders", "x", "UPDATE", {"items": [item("a"), item("b")]})
    tablets.lock()
    refused = ana.operation("orders", "x", "UPDATE", {"items": [item("a")]})
    tablets.send(refused)
    tablets.lock_ends()
    ana.do("orders", "x", "UPDATE", {"items": [item("a"), item("b"), item("c")]})
    tablets.send(refused)
    assert tablets.items() == ["a", "c"]


def test_an_order_brings_back_nothing_taken_off_since(tablets: Tablets) -> None:
    ana = tablets.ana
    ana.do("orders", "x", "UPDATE", {"items": [item("a")]})
    tablets.meet()
    ana.do("orders", "x", "UPDATE", {"items": [item("a"), item("b")]})
    tablets.lock()
    refused = ana.operation("orders", "x", "UPDATE", {"items": [item("a"), item("b"), item("c")]})
    tablets.send(refused)
    tablets.lock_ends()
    ana.do("orders", "x", "UPDATE", {"items": [item("b"), item("d")]})
    tablets.meet()
    tablets.send(refused)
    assert tablets.items() == ["b", "c", "d"]


def test_what_follows_an_order_brings_back_nothing_either(tablets: Tablets) -> None:
    """Its author's screen shows it as it was written first, until the outcome comes."""
    ana, bia = tablets.ana, tablets.bia
    tablets.begin("orders", {"items": [item("a"), item("b")]})
    tablets.lock()
    refused = ana.operation("orders", "x", "UPDATE", {"items": [item("a"), item("b"), item("c")]})
    tablets.send(refused)
    bia.do("orders", "x", "UPDATE", {"items": [item("b")]})
    tablets.meet()
    tablets.lock_ends()
    ana.send({"type": "data_sync", "operation": refused})
    ana.write("orders", "x", "UPDATE", {"items": [item("a"), item("b"), item("c"), item("d")]})
    tablets.meet()
    expected = [item("b"), item("c"), item("d")]
    assert tablets.world.view("orders")["x"]["items"] == expected
    for client in (ana, bia):
        assert client.shown("orders")["x"]["items"] == expected


def test_of_two_orders_the_second_takes_off_nothing_of_the_first(tablets: Tablets) -> None:
    """Whether its author still had that on the screen, or had been shown that it was refused, nobody knows."""
    tablets.begin("orders", {"items": [item("a")]})
    tablets.lock()
    tablets.meet()
    refused = [tablets.ana.operation("orders", "x", "UPDATE", {"items": [item("a"), item(name)]}) for name in "bc"]
    for operation in refused:
        tablets.send(operation)
    tablets.lock_ends()
    for operation in refused:
        tablets.send(operation)
    assert tablets.items() == ["a", "b", "c"]


@pytest.mark.parametrize("failing", [False, True])
def test_it_knows_of_no_row_that_took_the_place_of_one_that_was_undone(tablets: Tablets, failing: bool) -> None:
    """What was refused in a group whose commit failed came after rows that never were."""
    ana, bia, world = tablets.ana, tablets.bia, tablets.world
    tablets.begin("orders", {"items": [item("a")]})
    tablets.lock()
    tablets.meet()
    world.failing = failing
    bia.write("customers", "c", "CREATE", {"n": 1})
    refused = ana.operation("orders", "x", "UPDATE", {"items": []})
    tablets.send(refused)
    if failing:
        world.failing = False
        world.recover()
    tablets.lock_ends()
    ana.do("orders", "x", "UPDATE", {"items": [item("a"), item("c")]})
    tablets.meet()
    tablets.send(refused)
    assert tablets.items() == ["c"]


def test_a_number_is_reckoned_from_what_its_author_knew(tablets: Tablets) -> None:
    tablets.begin("products", {"stock": 10})
    with tablets.disk_fails():
        sale = tablets.ana.operation("products", "x", "UPDATE", {"stock": 9})
        tablets.send(sale)
    tablets.bia.do("products", "x", "UPDATE", {"stock": 7})
    tablets.meet()
    tablets.send(sale)
    assert tablets.world.view("products")["x"]["stock"] == 6


def test_a_damaged_row_of_a_refused_write_does_not_keep_the_node_from_starting(tablets: Tablets) -> None:
    ana, world = tablets.ana, tablets.world
    tablets.lock()
    tablets.meet()
    for name in ("one", "two", "three"):
        ana.send({"type": "data_sync", "operation": ana.operation("orders", "x", "UPDATE", {"a": 1}, id=name)})
    tablets.meet()
    with world.store.connection as connection:
        connection.execute("UPDATE log SET changes = x'' WHERE operation_id = 'one'")
        connection.execute("""UPDATE log SET changes = '{"tried":{"head":1}}' WHERE operation_id = 'two'""")
    world.crash()
    assert {operation_id for _, operation_id in world.core.replica.knowledge.first_attempts} == {"three"}


# ---------------------------------------------------------------------- what its author is shown


def test_it_is_shown_over_what_came_since_it_was_refused(tablets: Tablets) -> None:
    ana, bia = tablets.ana, tablets.bia
    tablets.begin("products", {"price": 1})
    with tablets.disk_fails():
        before = hlc.iso(tablets.world.wall_ms - 30_000)
        refused = ana.operation("products", "x", "UPDATE", {"price": 3})
        ana.submit(refused)
        tablets.meet()
    bia.do("products", "x", "UPDATE", {"name": "suco", "price": 2}, timestamp=before)  # so what is refused wins
    tablets.meet()
    assert ana.shown("products")["x"] == {"price": 2, "name": "suco"}
    tablets.send(refused)
    for client in (ana, bia):
        assert client.shown("products")["x"] == {"price": 3, "name": "suco"}


def test_of_a_page_that_was_loaded_again_it_is_shown_over_the_state(tablets: Tablets) -> None:
    ana = tablets.ana
    tablets.begin("products", {"price": 1})
    with tablets.disk_fails():
        refused = ana.operation("products", "x", "UPDATE", {"price": 3})
        ana.submit(refused)
        tablets.meet()
    ana.disconnect()
    ana.connect(full=True)
    tablets.world.settle()  # the state is on its way
    tablets.send(refused)
    assert ana.shown("products")["x"] == {"price": 3}


def test_a_value_that_the_author_only_read_over_http_does_not_undo_its_operation_on_its_screen(
    tablets: Tablets,
) -> None:
    ana, bia, world = tablets.ana, tablets.bia, tablets.world
    tablets.begin("products", {"price": 1})
    bia.do("products", "x", "UPDATE", {"price": 2})
    settle_all(world, [bia])
    world.core.replica.knowledge.has_read("ana", ("products", "x"), world.core.replica.log.committed)
    with tablets.disk_fails():
        refused = ana.operation("products", "x", "UPDATE", {"price": 3})
        ana.submit(refused)
        settle_all(world, [bia])
    tablets.send(refused)
    assert world.view("products")["x"]["price"] == ana.shown("products")["x"]["price"] == 3


@pytest.mark.parametrize("lost", ["the disk", "a lock"])
def test_its_author_is_shown_the_outcome_over_what_it_wrote_since(tablets: Tablets, lost: str) -> None:
    ana, world = tablets.ana, tablets.world
    tablets.begin("orders", {"price": 1})
    world.failing = lost == "the disk"
    if not world.failing:
        tablets.lock()
        tablets.meet()
    refused = ana.operation("orders", "x", "UPDATE", {"price": 3})
    ana.submit(refused)
    tablets.meet()
    if world.failing:
        world.failing = False
        world.recover()
    tablets.lock_ends()
    ana.do("orders", "x", "UPDATE", {"price": 2})
    tablets.meet()
    tablets.send(refused)
    assert ana.shown("orders")["x"]["price"] == world.view("orders")["x"]["price"] == 2


@pytest.mark.parametrize("restarted", [False, True])
def test_an_operation_sent_again_after_a_failed_commit_shows_on_every_screen_what_the_node_shows(
    tablets: Tablets, restarted: bool
) -> None:
    """Of what it could not store the node knows nothing after a restart."""
    ana = tablets.ana
    tablets.begin("orders", {"price": 1})
    with tablets.disk_fails():
        refused = ana.operation("orders", "x", "UPDATE", {"price": 3})
        ana.submit(refused)
        tablets.meet()
    ana.do("orders", "x", "UPDATE", {"price": 2})
    tablets.meet()
    if restarted:
        tablets.restart()
    tablets.send(refused)
    for client in (ana, tablets.bia):
        assert client.shown("orders")["x"]["price"] == tablets.world.view("orders")["x"]["price"]
