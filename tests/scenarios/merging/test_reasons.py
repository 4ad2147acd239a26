"""Why a person decided a conflict so: said once, it stands on every node, and everybody who is told of the decision
is told it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.core.log.messages import audit_entry
from node.wire.messages import LONGEST_REASON
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, each_operation
from tests.scenarios.history.test_explanation import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CUSTOMER = ("customers", "ana")
WHY = 'Liguei para a Ana: "o novo é o certo" <b>\u202e'


def contested(world: World, everybody: Iterable[Client], settle: Callable[[], None]) -> str:
    """Two write a phone unseen; the conflict's id."""
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    everybody = [*everybody, rui, lia]
    rui.do(*CUSTOMER, "CREATE", {"phone": "1"})
    settle_all(world, [rui, lia])
    rui.write(*CUSTOMER, "UPDATE", {"phone": "2"})
    lia.write(*CUSTOMER, "UPDATE", {"phone": "3"})
    settle()
    (row,) = world.reader.conflicts("open")
    return row.conflict_id


def decided(client: Client, conflict_id: str, **more: Any) -> None:
    client.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_remote", **more})


def held(world: World, operation_id: str) -> list[dict[str, Any]]:
    """What the audit says of an operation."""
    rows = world.reader.audit(*CUSTOMER)
    return [audit_entry(row) for row in rows if row.operation_id == operation_id]


@pytest.mark.parametrize("said", [None, "", WHY, "é" * LONGEST_REASON])
def test_a_reason_is_told_to_everybody_and_stands_on_every_node(tmp_path: Path, said: str | None) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 1, True)])
    hub, _, leaf = mesh.worlds
    screens = [Client(world, f"painel-{n}", "monitor").connect() for n, world in enumerate(mesh.worlds)]
    manager = Client(leaf, "gerente").connect()

    def settle() -> None:
        mesh.settle(lambda: sum(client.receive() for client in (*screens, manager)))

    conflict_id = contested(hub, screens, settle)
    decided(manager, conflict_id, id="decision-1", **({} if said is None else {"reason": said}))
    settle()
    by = {"terminal_id": "gerente", "user_id": "user-1", "operation_id": "decision-1"}
    wanted = by | ({"reason": said} if said else {})
    for screen in screens:
        (told,) = screen.of("conflict_resolution")
        assert {name: told[name] for name in told if name in (*by, "reason")} == wanted
        (operation,) = [m["operation"] for m in screen.of("data_sync") if m["operation"]["id"] == "decision-1"]
        assert operation.get("reason") == (said or None)
    mesh.crash(1)
    for world in mesh.worlds:
        (entry,) = held(world, "decision-1")
        assert (entry["resolves"], entry.get("reason")) == (conflict_id, said or None)
        (row,) = world.reader.conflicts("closed")
        outcome = orjson.loads(row.outcome)
        assert {name: outcome.get(name) for name in (*by, "reason")} == {"reason": None} | wanted
        explanation = report(world, CUSTOMER, "phone")
        (shown,) = explanation["candidates"]
        assert (shown["resolves"], shown["reason"]) == (conflict_id, said or None)
        killers = {killer["reason"] for write in explanation["superseded"] for killer in write["superseded_by"]}
        assert killers == {said or None, None}
    mesh.close()


def test_who_comes_after_the_log_was_archived_is_told_how_it_ended_and_why(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, leaf = mesh.worlds
    conflict_id = contested(hub, [], hub.settle)
    decided(Client(hub, "gerente").connect(), conflict_id, reason=WHY)
    hub.settle()
    archive(hub)
    mesh.settle()
    (row,) = leaf.reader.conflicts("closed")
    assert orjson.loads(row.outcome)["reason"] == WHY
    mesh.close()


def test_a_decision_that_is_sent_again_with_another_reason_is_the_same_decision(world: World) -> None:
    manager = Client(world, "gerente").connect()
    conflict_id = contested(world, [], world.settle)
    decided(manager, conflict_id, reason="uma")
    decided(manager, conflict_id, reason="outra")
    world.settle()
    manager.receive()
    first, again = manager.of("sync_confirmation")
    assert again["status"] == "duplicate"
    assert first["operation_id"] == again["operation_id"]
    (row,) = world.reader.conflicts("closed")
    assert orjson.loads(row.outcome)["reason"] == "uma"


def test_a_decision_that_could_not_be_stored_keeps_its_reason(world: World) -> None:
    manager = Client(world, "gerente").connect()
    conflict_id = contested(world, [], world.settle)
    decided(manager, conflict_id, reason=WHY)
    assert world.core.torn("a fault elsewhere")
    world.recover()
    world.settle()
    (row,) = world.reader.conflicts("closed")
    assert orjson.loads(row.outcome)["reason"] == WHY


@pytest.mark.parametrize("said", [{"a": 1}, 7, ["x"], "x" * 100_000, None])
def test_what_another_node_calls_a_reason_is_a_short_text_or_none(tmp_path: Path, said: object) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], has_key=False)  # what is signed cannot be changed on the way
    hub, leaf = mesh.worlds
    mesh.settle()
    conflict_id = contested(hub, [], mesh.settle)

    def claim(message: dict[str, Any]) -> None:
        if "resolves" in message["operation"]:
            message["operation"]["reason"] = said

    mesh.wires[0].damage = each_operation(claim)
    decided(Client(hub, "gerente").connect(), conflict_id, id="decision-1", reason=WHY)
    mesh.settle()
    (entry,) = held(leaf, "decision-1")
    wanted = said[:LONGEST_REASON] if isinstance(said, str) else None
    assert entry.get("reason") == wanted
    superseded = report(leaf, CUSTOMER, "phone")["superseded"]
    assert {by["reason"] for write in superseded for by in write["superseded_by"]} == {wanted, None}
    (row,) = leaf.reader.conflicts("closed")
    assert orjson.loads(row.outcome).get("reason") == wanted
    mesh.close()
