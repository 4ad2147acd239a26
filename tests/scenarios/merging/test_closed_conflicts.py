"""A conflict that was closed before a node had anything: who answers it there is told how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.core.links.travellers import ANSWER_MS
from storage.answers import MOST_CLOSED
from tests.archives import archive
from tests.harness import Client, World
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path


def contested(hub: World, times: int = 1) -> list[str]:
    """A customer's phone is contested and decided, again and again; the conflicts' ids."""
    ana, bia = Client(hub, "ana").connect(), Client(hub, "bia").connect()
    ana.do("customers", "c-1", "UPDATE", {"phone": "1"})
    bia.receive()
    ids = []
    for number in range(times):
        version = hub.view("customers")["c-1"]["version"] + 1
        for client in (ana, bia):
            client.do("customers", "c-1", "UPDATE", {"phone": f"{client.name} {number}", "version": version})
        (row,) = hub.reader.conflicts("open")
        ids.append(row.conflict_id)
        bia.send({"type": "conflict_resolution", "conflict_id": ids[-1], "resolution": "accept_remote"})
        for client in (ana, bia):
            hub.settle()
            client.receive()
    assert not hub.reader.conflicts("open")
    return ids


def answer(node: World, conflict_id: str) -> dict[str, Any]:
    """What somebody is told who decides it now."""
    late = Client(node, "gerente").connect()
    late.send({"type": "conflict_resolution", "conflict_id": conflict_id, "resolution": "accept_local"})
    node.settle()
    node.advance(ANSWER_MS)  # linked nodes are asked first what is known of a terminal that is new here
    node.settle()
    late.receive()
    late.disconnect()
    return late.of("sync_error")[-1]


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("crashed", [False, True])
def test_it_is_closed_with_its_outcome_on_every_node_of_a_chain(
    tmp_path: Path, archived: bool, crashed: bool
) -> None:
    mesh = Mesh(tmp_path, 4, [(1, 0, True), (2, 1, True), (3, 2, True)])
    hub, *nodes = mesh.worlds
    (conflict_id,) = contested(hub)
    if archived:
        archive(hub)
    mesh.wires[1].connect()  # the third gets what the second passes on, the fourth the second's own state
    last = mesh.wires.pop()
    mesh.settle()
    mesh.wires.append(last)
    mesh.settle()
    if crashed:
        for number in (1, 2, 3):
            mesh.crash(number)
    told = answer(hub, conflict_id)
    assert (told["code"], "accept_remote" in told["error"]) == (4010, True)
    for node in nodes:
        again = answer(node, conflict_id)
        assert (again["code"], again["error"]) == (4010, told["error"])
        assert [row.body for row in node.reader.conflicts("closed")] == [
            row.body for row in hub.reader.conflicts("closed")
        ]
    mesh.close()


def test_nobody_is_told_of_it_who_has_not_asked(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    contested(hub)
    manager = Client(node, "gerente").connect()
    mesh.settle(manager.receive)
    assert node.view("customers") == hub.view("customers")
    assert not manager.of("sync_conflict")
    assert not manager.of("conflict_resolution")
    mesh.close()


def test_of_one_entity_the_latest_travel(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ids = contested(hub, MOST_CLOSED + 3)
    mesh.settle()
    assert {row.conflict_id for row in node.reader.conflicts("closed")} == set(ids[-MOST_CLOSED:])
    assert answer(node, ids[0])["code"] == 4007
    mesh.close()


@pytest.mark.parametrize(
    "closed",
    [
        [{}],
        [[{}, [], "op", {}]],
        ["id"],
        ["operations"],
        ["outcome"],
        ["path"],
    ],
)
def test_one_that_cannot_be_read_costs_the_entity_nothing(tmp_path: Path, closed: list[Any]) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    (conflict_id,) = contested(hub)

    def damage(frame: bytes) -> bytes:
        messages = orjson.loads(frame)
        for message in messages if isinstance(messages, list) else [messages]:
            if message["type"] == "data_sync" and "closed" in message["operation"]:
                body, operations, closed_by, outcome = message["operation"]["closed"][0]
                wrong = {
                    "id": [{**body, "id": "conflict-0"}, operations, closed_by, outcome],
                    "operations": [body, [1, *operations], closed_by, outcome],
                    "outcome": [body, operations, closed_by, "none"],
                    "path": [{**body, "path": ["phone", 7]}, operations, closed_by, outcome],
                }
                message["operation"]["closed"] = [wrong.get(c, c) if isinstance(c, str) else c for c in closed]
        return orjson.dumps(messages)

    mesh.wires[0].damage = damage
    mesh.settle()
    assert node.view("customers") == hub.view("customers")
    assert answer(node, conflict_id)["code"] == 4007
    mesh.close()
