"""What the strategy table says of two writes on two sides of a partition: the same on every node, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crdt.hlc import millis
from tests.harness import Client
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Evening:
    """A hub and two nodes, a terminal on each; `left` and `right` are the two sides of the partition."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 3, [(1, 0, True), (2, 0, True)])
        self.centre, self.left, self.right = (
            Client(world, name).connect()
            for world, name in zip(self.mesh.worlds, ("gerente", "ana", "bia"), strict=True)
        )
        self.terminals = (self.centre, self.left, self.right)
        self.meet()

    def meet(self) -> None:
        self.mesh.settle(lambda: sum(t.receive() for t in self.terminals))
        worlds = self.mesh.worlds
        assert all(shown(w) == shown(worlds[0]) and audit(w) == audit(worlds[0]) for w in worlds[1:])

    def part(self) -> None:
        for wire in self.mesh.wires:
            wire.cut()

    def begin(self, entity_type: str, data: dict[str, Any]) -> None:
        """Everybody has seen an entity; then the network goes."""
        self.left.do(entity_type, "x", "CREATE", data)
        self.meet()
        self.part()

    def view(self, entity_type: str) -> dict[str, Any]:
        """As every node shows it."""
        views = [world.view(entity_type).get("x", {}) for world in self.mesh.worlds]
        assert views[1:] == views[:-1]
        for terminal in self.terminals:
            mine = terminal.shown(entity_type).get("x", {})
            assert mine == {n: v for n, v in views[0].items() if n != "version"}
        return views[0]

    def conflicts(self, terminal: Client) -> list[dict[str, Any]]:
        return [message["conflict"] for message in terminal.of("sync_conflict")]

    def open(self) -> list[list[str]]:
        """Ids of open conflicts, node by node."""
        return [sorted(row.conflict_id for row in w.reader.conflicts("open")) for w in self.mesh.worlds]


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path)
    yield evening
    evening.mesh.close()


def test_of_one_order_field_the_later_write_is_shown_and_the_losing_author_is_told(evening: Evening) -> None:
    evening.begin("orders", {"status": "pending", "table": 4})
    evening.left.do("orders", "x", "UPDATE", {"status": "preparing", "note": "sem sal"})
    evening.right.world.advance(5)
    evening.right.do("orders", "x", "UPDATE", {"status": "cancelled"})
    evening.meet()
    shown = evening.view("orders")
    assert (shown["status"], shown["note"], shown["table"], shown["version"]) == ("cancelled", "sem sal", 4, 3)
    (told,) = evening.conflicts(evening.left)
    assert (told["type"], told["state"], told["path"]) == ("version_conflict", "settled", ["status"])
    assert (told["local_data"]["status"], told["remote_data"]["status"]) == ("cancelled", "preparing")
    assert evening.conflicts(evening.right) == []
    assert evening.open() == [[], [], []]


def test_of_one_product_other_fields_merge_and_only_the_collision_is_reported(evening: Evening) -> None:
    evening.begin("products", {"price": 10, "name": "feijoada"})
    evening.left.do("products", "x", "UPDATE", {"price": 11, "name": "feijoada completa"})
    evening.right.world.advance(5)
    evening.right.do("products", "x", "UPDATE", {"price": 12, "active": True})
    evening.meet()
    shown = evening.view("products")
    assert (shown["price"], shown["name"], shown["active"]) == (12, "feijoada completa", True)
    assert [c["path"] for c in evening.conflicts(evening.left)] == [["price"]]


def test_a_contested_customer_field_keeps_its_first_value_until_somebody_decides(evening: Evening) -> None:
    evening.begin("customers", {"phone": "1", "name": "Rita"})
    evening.left.do("customers", "x", "UPDATE", {"phone": "2"})
    evening.right.world.advance(5)
    evening.right.do("customers", "x", "UPDATE", {"phone": "3", "email": "rita@exemplo.br"})
    evening.meet()
    shown = evening.view("customers")
    assert (shown["phone"], shown["email"], shown["name"]) == ("2", "rita@exemplo.br", "Rita")
    ids = evening.open()
    assert ids[0] == ids[1] == ids[2]
    assert len(ids[0]) == 1
    for terminal in evening.terminals:
        (told,) = evening.conflicts(terminal)
        assert (told["type"], told["state"], told["id"]) == ("field_conflict", "open", ids[0][0])
    evening.right.send({"type": "conflict_resolution", "conflict_id": ids[0][0], "resolution": "accept_remote"})
    evening.meet()
    assert evening.view("customers")["phone"] == "3"
    assert evening.open() == [[], [], []]


def both_write_the_phone(evening: Evening) -> str:
    """On two sides, "2" before "3". Returns the id of their conflict."""
    evening.begin("customers", {"phone": "1", "name": "Rita"})
    evening.left.do("customers", "x", "UPDATE", {"phone": "2"})
    evening.right.world.advance(5)
    evening.right.do("customers", "x", "UPDATE", {"phone": "3"})
    evening.meet()
    ((conflict_id,), *_) = evening.open()
    return conflict_id


def disputed(evening: Evening) -> list[str]:
    """The phones of the conflict that was told of last, the shown one first."""
    evening.meet()
    told = evening.conflicts(evening.right)[-1]["candidates"]
    return [candidate["data"]["phone"] for candidate in told]


@pytest.mark.parametrize("who", ["left", "centre"])
def test_who_replaces_the_shown_value_of_a_contested_field_sees_its_own(evening: Evening, who: str) -> None:
    """Both values replaced one record, so that neither was there before the other but by when it was accepted."""
    both_write_the_phone(evening)
    for phone in ("4", "5"):
        getattr(evening, who).do("customers", "x", "UPDATE", {"phone": phone})
        assert disputed(evening) == [phone, "3"]
        assert evening.view("customers")["phone"] == phone


def test_of_two_who_replace_the_shown_value_the_first_stays_also_with_its_next_write(evening: Evening) -> None:
    both_write_the_phone(evening)
    evening.part()
    evening.left.do("customers", "x", "UPDATE", {"phone": "4"})
    evening.centre.world.advance(5)
    evening.centre.do("customers", "x", "UPDATE", {"phone": "5"})
    assert disputed(evening) == ["4", "5", "3"]
    evening.left.do("customers", "x", "UPDATE", {"phone": "6"})
    assert disputed(evening) == ["6", "5", "3"]
    assert evening.view("customers")["phone"] == "6"


def test_what_came_before_a_decision_and_was_not_decided_about_stays_behind_it(evening: Evening) -> None:
    evening.begin("customers", {"phone": "1"})
    for terminal, phone in ((evening.left, "2"), (evening.centre, "3"), (evening.right, "4")):
        terminal.do("customers", "x", "UPDATE", {"phone": phone})
        for world in evening.mesh.worlds:
            world.advance(5)
    evening.mesh.wires[0].connect()
    evening.mesh.settle(lambda: sum(t.receive() for t in evening.terminals), reconnect=False)
    decided = evening.conflicts(evening.left)[-1]["id"]
    evening.meet()
    evening.left.send({"type": "conflict_resolution", "conflict_id": decided, "resolution": "accept_local"})
    assert disputed(evening) == ["2", "4"]
    assert evening.view("customers")["phone"] == "2"


def test_a_cashier_conflict_is_open_everywhere_until_one_person_resolves_it_once(evening: Evening) -> None:
    evening.begin("cashier_operations", {"type": "withdrawal", "amount": 100})
    evening.left.do("cashier_operations", "x", "UPDATE", {"amount": 150})
    evening.right.world.advance(5)
    evening.right.do("cashier_operations", "x", "UPDATE", {"amount": 250})
    evening.meet()
    assert evening.view("cashier_operations")["amount"] == 150
    (ids, *others) = evening.open()
    assert others == [ids, ids]
    for terminal in evening.terminals:
        refused = terminal.do("cashier_operations", "x", "UPDATE", {"amount": 999})
        assert (refused["type"], refused["code"], refused["conflict_id"]) == ("sync_error", 4010, ids[0])
    evening.centre.send({"type": "conflict_resolution", "conflict_id": ids[0], "resolution": "accept_remote"})
    evening.meet()
    assert evening.view("cashier_operations")["amount"] == 250
    assert evening.open() == [[], [], []]
    for terminal in evening.terminals:
        (closed,) = terminal.of("conflict_resolution")
        assert (closed["conflict_id"], closed["state"]) == (ids[0], "closed")
    late = evening.left
    late.send({"type": "conflict_resolution", "conflict_id": ids[0], "resolution": "accept_local"})
    evening.meet()
    assert (late.inbox[-1]["type"], late.inbox[-1]["code"]) == ("sync_error", 4010)
    assert evening.view("cashier_operations")["amount"] == 250


def test_two_resolutions_of_one_conflict_on_two_sides_open_a_new_conflict(evening: Evening) -> None:
    evening.begin("cashier_operations", {"amount": 100})
    evening.left.do("cashier_operations", "x", "UPDATE", {"amount": 150})
    evening.right.world.advance(5)
    evening.right.do("cashier_operations", "x", "UPDATE", {"amount": 250})
    evening.meet()
    ((conflict_id,), *_) = evening.open()
    evening.part()
    for terminal, side in ((evening.left, "accept_local"), (evening.right, "accept_remote")):
        terminal.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": side})
    evening.meet()
    ((again,), *others) = evening.open()
    assert again != conflict_id
    assert others == [[again], [again]]
    evening.centre.send({"type": "conflict_resolution", "conflict_id": again, "resolution": "accept_local"})
    evening.meet()
    assert evening.open() == [[], [], []]


def test_a_deletion_against_a_write_it_had_not_seen(evening: Evening) -> None:
    evening.begin("products", {"price": 10})
    evening.left.do("products", "x", "DELETE", {})
    evening.right.do("products", "x", "UPDATE", {"price": 12})
    evening.meet()
    assert evening.view("products")["price"] == 12  # the update revives it
    evening.part()
    evening.left.do("customers", "x", "CREATE", {"name": "Rita"})
    evening.meet()
    evening.part()
    evening.left.do("customers", "x", "DELETE", {})
    evening.right.do("customers", "x", "UPDATE", {"name": "Rita Maria"})
    evening.meet()
    assert evening.view("customers")["name"] == "Rita Maria"
    ((conflict_id,), *_) = evening.open()
    evening.centre.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_remote"})
    evening.meet()
    assert evening.view("customers") == {}


def test_a_clock_set_to_2030_does_not_win_for_ever_on_any_node(evening: Evening) -> None:
    evening.begin("orders", {"status": "pending"})
    evening.left.do("orders", "x", "UPDATE", {"status": "future"}, timestamp="2030-01-01T00:00:00.000Z")
    for world in evening.mesh.worlds:
        world.advance(61_000)
    evening.right.do("orders", "x", "UPDATE", {"status": "now"})
    evening.meet()
    assert evening.view("orders")["status"] == "now"


def test_monitors_see_the_operations_of_every_node_in_their_audit(evening: Evening) -> None:
    monitor = Client(evening.mesh.worlds[2], "tv", "monitor").connect()
    evening.terminals = (*evening.terminals, monitor)
    evening.left.do("orders", "x", "CREATE", {"status": "pending"})
    evening.meet()
    entries = [message["entry"] for message in monitor.of("audit_log")]
    (entry,) = [entry for entry in entries if entry["entity_id"] == "x"]
    assert (entry["terminal_id"], entry["user_id"], entry["lock_status"]) == ("ana", "user-1", "unlocked")


def test_a_refused_write_that_another_node_had_accepted_is_shown_as_it_is_when_it_is_tried_again(
    evening: Evening,
) -> None:
    evening.begin("orders", {"status": "pending"})
    here, moved = evening.left, Client(evening.mesh.worlds[2], evening.left.name)
    evening.centre.world.settle()
    holder = Client(here.world, "caixa").connect()
    order = {"entity_type": "orders", "entity_id": "x"}
    holder.send({"type": "acquire_lock", "terminal_id": "caixa", "timeout": 60_000, **order})
    here.world.settle()
    operation = here.operation("orders", "x", "UPDATE", {"status": "ready"})
    here.submit(operation)
    here.world.settle()
    here.receive()
    assert here.answer(operation["id"])["type"] == "sync_error"
    moved.connect().send({"type": "data_sync", "operation": operation})
    moved.world.settle()
    moved.disconnect()
    evening.right.world.advance(5)
    evening.right.do("orders", "x", "UPDATE", {"status": "served"})
    evening.meet()
    here.submit(operation)
    evening.meet()
    assert evening.view("orders")["status"] == "served"


def test_a_node_stamps_with_its_upstreams_clock(evening: Evening) -> None:
    evening.part()
    hub = evening.centre.world
    hub.wall_ms += 3 * 3_600_000  # the node's own clock is in another time zone
    evening.meet()
    evening.left.do("orders", "x", "CREATE", {"status": "pending"})
    evening.meet()
    (row,) = [r for r in hub.reader.audit("orders", "x") if r.terminal_id == "ana"]
    assert abs(millis(row.accepted) - hub.wall_ms) < 5_000
    hub.wall_ms += 10 * 365 * 86_400_000  # and this one is broken
    before = evening.left.world.core.replica.clock.offset_ms
    evening.part()
    evening.meet()
    assert evening.left.world.core.replica.clock.offset_ms == before


def test_a_resolution_brings_its_field_back_where_the_other_side_created_the_entity_afresh(tmp_path: Path) -> None:
    """The decision names no field: what it brings back has to be found by what it touched."""
    evening = Evening(tmp_path)
    evening.begin("customers", {"name": "Rita", "phone": "1"})
    evening.left.do("customers", "x", "UPDATE", {"phone": "2"})
    evening.right.do("customers", "x", "UPDATE", {"phone": "3"})
    evening.meet()
    evening.part()
    conflict_id = evening.conflicts(evening.left)[-1]["id"]
    evening.left.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_local"})
    evening.right.do("customers", "x", "DELETE", {})
    evening.right.do("customers", "x", "CREATE", {"name": "Ana"})
    evening.meet()
    assert "phone" in evening.view("customers")
    evening.mesh.close()


@pytest.mark.parametrize(
    ("decision", "alive"),
    [
        ({"resolution": "accept_local"}, True),
        ({"resolution": "merge", "resolved_data": {"note": "fica"}}, True),
        ({"resolution": "merge", "resolved_data": {"deleted_at": "2026-01-15T10:00:00.000Z"}}, False),
    ],
)
def test_a_deletion_is_decided_on_every_node_after_what_contested_it_was_replaced(
    evening: Evening, decision: dict[str, Any], alive: bool
) -> None:
    evening.begin("customers", {"phone": "1"})
    evening.right.do("customers", "x", "DELETE", {})
    evening.left.do("customers", "x", "UPDATE", {"phone": "2"})
    evening.meet()
    (asked,) = evening.conflicts(evening.right)
    evening.left.do("customers", "x", "UPDATE", {"phone": "3"})
    evening.meet()
    evening.right.send({"type": "conflict_resolution", "conflict_id": asked["id"], **decision})
    evening.meet()
    assert [len(world.core.replica.quarantine) for world in evening.mesh.worlds] == [0, 0, 0]
    assert [("x" in world.view("customers")) for world in evening.mesh.worlds] == [alive] * 3
