"""What is paid stays paid: every way in, by every terminal type, over every pair of ranks, seen, unseen and apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define

from node.config.reading import parse
from tests.harness import Client
from tests.mesh import Mesh, audit, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = parse(
    """
    [entities.orders.fields.status]
    kind = "progress"
    ranks = ["pending", "ready", "cancelled", "paid"]
    lower = ["pos"]
    final = ["cancelled", "paid"]
    """
)
KIND = CONFIG.registry().get("orders").kinds.of("status")  # type: ignore[union-attr]
RANKS = KIND.declared.ranks
LOWER = ("pos",)
TYPES = ("pos", "kds", "waiter")
UNRANKED: tuple[object, ...] = ("Paid", None)
PAIRS = [
    *((high, low) for place, high in enumerate(RANKS) for low in RANKS[:place]),
    *(("paid", other) for other in UNRANKED),
]


@define(eq=False)
class Case:
    """One order that somebody at the till took to `high`, and an actor who tries to take it to `low`."""

    order: str
    high: str
    low: Any
    actor: Client

    def write(self, kind: str, data: dict[str, Any], **extra: Any) -> None:
        self.actor.submit(self.actor.operation("orders", self.order, kind, data, **extra))

    def bulk(self, data: dict[str, Any]) -> None:
        updates = [{"entity_id": self.order, "data": data}]
        self.actor.submit(self.actor.operation("orders", None, "BULK_UPDATE", {"updates": updates}))

    def conflicts(self) -> list[str]:
        """The conflicts about the order that the actor was told of."""
        told = [message["conflict"] for message in self.actor.of("sync_conflict")]
        return list(dict.fromkeys(conflict["id"] for conflict in told if conflict["entity_id"] == self.order))

    def decide(self, resolution: str, data: dict[str, Any] | None = None) -> None:
        for conflict in self.conflicts():
            message = {"type": "conflict_resolution", "conflict_id": conflict, "resolution": resolution}
            self.actor.send(message if data is None else {**message, "resolved_data": data})

    def told(self) -> bool:
        """Whether the actor was refused, or told of a conflict."""
        refused = [message for message in self.actor.of("sync_error") if message.get("entity_id") == self.order]
        assert all(message["code"] in (4007, 4008, 4010) for message in refused), refused
        return bool(refused or self.conflicts())


Step = Callable[[Case], None]


def update(case: Case) -> None:
    case.write("UPDATE", {"status": case.low})


def create(case: Case) -> None:
    case.write("CREATE", {"status": case.low})


def create_without(case: Case) -> None:
    case.write("CREATE", {"table": 8})


def delete(case: Case) -> None:
    case.write("DELETE", {})


def meet(case: Case) -> None:
    """Everybody hears of everything before the next step."""


WAYS: dict[str, list[Step]] = {
    "update": [update],
    "update that names a version": [lambda case: case.write("UPDATE", {"status": case.low, "version": 99})],
    "restored value": [lambda case: case.write("UPDATE", {"status": case.low}, restores="some-operation")],
    "create": [create],
    "create without a status": [create_without],
    "bulk update": [lambda case: case.bulk({"status": case.low})],
    "delete": [delete],
    "delete that writes a status": [lambda case: case.write("DELETE", {"status": case.low})],
    "delete, then create": [delete, create],
    "delete, then create without a status": [delete, create_without],
    "delete, then update": [delete, update],
    "delete, create, delete, create": [delete, create, delete, create],
    "decides: remote": [update, meet, lambda case: case.decide("accept_remote")],
    "decides: local, with data": [update, meet, lambda case: case.decide("accept_local", {"status": case.low})],
    "decides: merge": [update, meet, lambda case: case.decide("merge", {"status": case.low})],
    "decides: merge of another field": [update, meet, lambda case: case.decide("merge", {"note": "sem sal"})],
    "decides: deletion": [delete, meet, lambda case: case.decide("accept_remote")],
    "decides: deletion, with data": [delete, meet, lambda case: case.decide("merge", {"status": case.low})],
}


class Evening:
    """Two linked nodes: a till at each, and an actor of each type at the second."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)], config=CONFIG)
        hub, node = self.mesh.worlds
        self.tills = [Client(hub, "caixa-1").connect(), Client(node, "caixa-2").connect()]
        self.actors = {kind: Client(node, f"ator-{kind}", kind).connect() for kind in TYPES}

    def meet(self) -> None:
        everybody = (*self.tills, *self.actors.values())
        self.mesh.settle(lambda: sum(client.receive() for client in everybody))

    def part(self) -> None:
        self.mesh.wires[0].cut()

    def play(self, situation: str, way: str) -> list[Case]:
        """Every pair of ranks by every type. Returns what was played, once everybody has met again."""
        cases = [
            Case(f"{kind}-{n}", high, low, actor)
            for kind, actor in self.actors.items()
            for n, (high, low) in enumerate(PAIRS)
        ]
        node = self.mesh.worlds[1]
        till = self.tills[situation == "unseen"]
        for case in cases:
            self.tills[0].submit(
                self.tills[0].operation("orders", case.order, "CREATE", {"status": RANKS[0], "table": 7})
            )
        self.meet()
        if situation == "apart":
            self.part()
        for case in cases:
            till.submit(till.operation("orders", case.order, "UPDATE", {"status": case.high}))
        till.world.settle()
        if situation == "seen":
            self.meet()
        else:
            node.advance(1_000)
        for step in WAYS[way]:
            for case in cases:
                step(case)
            if step is meet:
                self.meet()
            node.settle()
            for actor in self.actors.values():
                actor.receive()
            node.settle()
        self.meet()
        return cases


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path)
    yield evening
    evening.mesh.close()


@pytest.mark.walk(4)
@pytest.mark.parametrize("situation", ["seen", "unseen", "apart"])
@pytest.mark.parametrize("way", WAYS)
def test_nobody_takes_a_status_back_who_may_not(evening: Evening, situation: str, way: str) -> None:
    cases = evening.play(situation, way)
    first, second = evening.mesh.worlds
    assert shown(first) == shown(second)
    assert audit(first) == audit(second)
    orders, steps = first.view("orders"), WAYS[way]
    for case in cases:
        where = (situation, way, case.order, case.high, case.low)
        order = orders.get(case.order)
        mine = case.actor.shown("orders").get(case.order)
        assert mine == (None if order is None else {n: v for n, v in order.items() if n != "version"}), where
        if case.actor.kind in LOWER:
            if situation == "seen":
                assert _taken_back(order, case, way), where
            if situation == "seen" or len(steps) > 1:
                continue  # it may take it back, and knew what it took back
        if case.high in KIND.declared.final:
            assert order is not None, where
            writes = situation == "seen" or delete in steps or case.low != RANKS[0]  # else its author repeats it
            assert case.told() or create_without in steps or not writes, where
        if order is not None:
            assert KIND.rank(order["status"]) >= KIND.rank(case.high), where
        else:
            assert way.startswith("delete") or delete in steps, where


def _taken_back(order: dict[str, Any] | None, case: Case, way: str) -> bool:
    """Whether what somebody did who may take a status back, and had seen it, became so."""
    steps = WAYS[way]
    if way.startswith("decides: deletion") or (
        way.startswith("delete") and not {create, create_without} & set(steps)
    ):
        return order is None
    if create_without in steps:
        return order is not None and order.get("status") == (None if delete in steps else case.high)
    return order is not None and order["status"] == case.low


def test_a_table_that_the_till_closed_is_opened_anew_by_anybody(evening: Evening) -> None:
    till, waiter = evening.tills[0], evening.actors["waiter"]
    till.do("orders", "mesa-7", "CREATE", {"status": "paid", "table": 7})
    till.do("orders", "mesa-7", "DELETE", {})
    evening.meet()
    assert waiter.do("orders", "mesa-7", "CREATE", {"status": "pending"})["status"] == "applied"
    evening.meet()
    assert evening.mesh.worlds[0].view("orders")["mesa-7"]["status"] == "pending"


def test_a_refused_deletion_says_why_and_is_kept(evening: Evening) -> None:
    till, waiter = evening.tills[0], evening.actors["waiter"]
    till.do("orders", "mesa-7", "CREATE", {"status": "paid", "table": 7})
    evening.meet()
    answer = waiter.do("orders", "mesa-7", "DELETE", {})
    assert (answer["type"], answer["code"], answer["kept"]) == ("sync_error", 4008, True)
    assert answer["error"] == "orders mesa-7 is paid: a terminal of type waiter may not delete it"
    kept = [row.operation_id for row in evening.mesh.worlds[1].reader.audit("orders", kinds=("refused",))]
    assert kept == [answer["operation_id"]]


def test_a_deletion_that_had_not_seen_the_payment_loses_and_its_author_is_told(evening: Evening) -> None:
    till, waiter = evening.tills[0], evening.actors["waiter"]
    till.do("orders", "mesa-7", "CREATE", {"status": "served", "table": 7})
    evening.meet()
    evening.mesh.wires[0].cut()
    till.do("orders", "mesa-7", "UPDATE", {"status": "paid", "payments": [{"id": "p-1", "amount": 90}]})
    waiter.world.advance(60_000)
    waiter.do("orders", "mesa-7", "DELETE", {})
    assert "mesa-7" not in waiter.shown("orders")
    evening.meet()
    for world in evening.mesh.worlds:
        order = world.view("orders")["mesa-7"]
        assert (order["status"], order["payments"]) == ("paid", [{"id": "p-1", "amount": 90}])
    assert waiter.shown("orders")["mesa-7"]["status"] == "paid"
    (told,) = [message["conflict"] for message in waiter.of("sync_conflict")]
    assert (told["state"], told["path"], told["local_data"]["status"]) == ("settled", ["deleted_at"], "paid")


def test_a_deletion_counts_again_once_nothing_final_stands_against_it(evening: Evening) -> None:
    """The till takes the payment back, then deletes the order: it had seen all."""
    till, waiter = evening.tills[0], evening.actors["waiter"]
    till.do("orders", "mesa-7", "CREATE", {"status": "paid"})
    evening.meet()
    till.do("orders", "mesa-7", "UPDATE", {"status": "served"})
    evening.meet()
    assert waiter.do("orders", "mesa-7", "DELETE", {})["status"] == "applied"
    evening.meet()
    assert "mesa-7" not in evening.mesh.worlds[0].view("orders")
