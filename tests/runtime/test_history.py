"""`GET /api/v1/history`: every step of an entity's life once, in pages, with what of it did not stay, also of what is
archived."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.rights import Rights, Visitor
from node.runtime.api import history
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.runtime.api_rig import served
from tests.runtime.test_conflicts import answer

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDER = ("orders", "mesa-12")
ANA = ("customers", "ana")

Told = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Closed by each test, before what it stored is served."""
    return World(tmp_path / "node")


async def life(world: World, key: tuple[str, str] = ORDER, **query: object) -> Told:
    world.close()
    async with served(world) as node:
        return await answer(node.api, f"/api/v1/history/{key[0]}/{key[1]}", **query)


def ids(steps: Sequence[Told]) -> list[str]:
    return [step["operation_id"] for step in steps]


def evening(world: World, times: int = 6) -> list[str]:
    """Two write an order, one at a time, once both together, once in a BULK_UPDATE, and once in vain; all ids."""
    rui, lia = Client(world, "rui").connect(), Client(world, "lia", "waiter").connect()
    written = [rui.do(*ORDER, "CREATE", {"table": 12, "note": "a", "total": 10})["operation_id"]]
    for number in range(times):
        client = (rui, lia)[number % 2]
        client.receive()
        written.append(client.do(*ORDER, "UPDATE", {"note": f"n{number}"})["operation_id"])
    settle_all(world, [rui, lia])
    rui.do("orders", "mesa-13", "CREATE", {"note": "another's"})
    bulk = {
        "updates": [{"entity_id": ORDER[1], "data": {"total": 11}}, {"entity_id": "mesa-13", "data": {"total": 3}}]
    }
    written.append(rui.do("orders", None, "BULK_UPDATE", bulk)["operation_id"])
    settle_all(world, [rui, lia])
    written += [rui.write(*ORDER, "UPDATE", {"note": "rui's"}), lia.write(*ORDER, "UPDATE", {"note": "lia's"})]
    settle_all(world, [rui, lia])
    rui.send({"type": "acquire_lock", "entity_type": ORDER[0], "entity_id": ORDER[1]})
    world.settle()
    written.append(lia.do(*ORDER, "UPDATE", {"note": "in vain"})["operation_id"])
    return written


async def test_each_step_says_who_when_and_what_it_changed(world: World) -> None:
    written = evening(world)
    found = await life(world)
    steps = found["steps"]
    assert ids(steps) == written
    first, second = steps[:2]
    assert (first["operation"], first["terminal_id"], first["user_id"], first["node"]) == (
        "CREATE",
        "rui",
        "user-1",
        "node-a",
    )
    assert first["changed"]["table"] == {"to": 12}
    assert second["changed"] == {"note": {"from": "a", "to": "n0"}}
    (bulk,) = [step for step in steps if step["operation"] == "BULK_UPDATE"]
    assert bulk["changed"] == {"total": {"from": 10, "to": 11}}
    assert all(step["arrived_at"] == step["accepted_at"] for step in steps)
    assert [step["seq"] for step in steps] == sorted(step["seq"] for step in steps)


async def test_what_did_not_stay_is_named_with_its_rule_and_its_operation(world: World) -> None:
    written = evening(world)
    found = {step["operation_id"]: step for step in (await life(world))["steps"]}
    (lost,) = found[written[-3]]["discarded"]
    assert (lost["data"], lost["how"], lost["rule"]["why"]) == ({"note": "rui's"}, "rule", "latest")
    (refused,) = found[written[-1]]["discarded"]
    assert (refused["how"], refused["code"], refused["locked_by"], refused["data"]) == (
        "refused",
        4009,
        "rui",
        {"note": "in vain"},
    )
    assert sum(len(step["discarded"]) for step in found.values()) == 2


async def test_a_decision_says_what_it_resolved_and_why_and_its_loser_says_who_decided(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do(*ANA, "CREATE", {"phone": "1"})
    lia.receive()
    sides = rui.write(*ANA, "UPDATE", {"phone": "2"}), lia.write(*ANA, "UPDATE", {"phone": "3"})
    settle_all(world, [rui, lia])
    (row,) = world.reader.conflicts("open")
    world.close()
    async with served(world) as node:
        found = await answer(node.api, "/api/v1/history/customers", entity_id="ana")
    (waits,) = [step for step in found["steps"] if step["discarded"]]
    assert (waits["operation_id"], waits["discarded"][0]["how"]) == (sides[1], "open")
    world.boot()
    lia = Client(world, "lia").connect()
    lia.send(
        {
            "type": "conflict_resolution",
            "conflict_id": row.conflict_id,
            "resolution": "accept_remote",
            "reason": "ela disse",
        }
    )
    world.settle()
    steps = (await life(world, ANA))["steps"]
    assert (steps[-1]["resolves"], steps[-1]["reason"]) == (row.conflict_id, "ela disse")
    (lost,) = [step for step in steps if step["discarded"]]
    assert lost["operation_id"] == sides[0]
    assert (lost["discarded"][0]["how"], lost["discarded"][0]["reason"]) == ("person", "ela disse")
    assert lost["discarded"][0]["by"]["terminal_id"] == "lia"


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("archived", [0.0, 0.5, 1.0])
async def test_pages_hold_each_step_once_also_of_what_is_archived(world: World, limit: int, archived: float) -> None:
    written = evening(world)
    upto = int(world.core.replica.log.committed * archived)
    if upto:
        archive(world, upto)
    begins = world.store.anchor.seq
    world.close()
    async with served(world) as node:
        for archives in (1, 0):
            found: list[Told] = []
            after = 0
            while True:
                page = await answer(
                    node.api, "/api/v1/history/orders/mesa-12", limit=limit, after=after, archives=archives
                )
                assert len(page["steps"]) <= limit
                assert page["unread"] == []
                found += page["steps"]
                if page["next"] is None:
                    break
                after = page["next"]
            assert ids(found) == (written if archives else written[len(written) - len(found) :])
            assert all(step["seq"] > begins for step in found) or archives
            assert (page["archived"] is None) is (not archived)


def harmed(world: World, damage: str) -> Path:
    """The only archive."""
    (file,) = world.reader.archives()
    path = Path(file.file)
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "no gzip": b"no gzip"}[damage])
    return path


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "no gzip"])
async def test_an_archive_that_is_gone_or_damaged_is_named_and_the_rest_is_told(world: World, damage: str) -> None:
    written = evening(world)
    archive(world, world.core.replica.log.committed // 2)
    path, begins = harmed(world, damage), world.store.anchor.seq
    found = await life(world, archives=1)
    assert [note.partition(":")[0] for note in found["unread"]] == [path.name]
    logged = [step for step in found["steps"] if step["seq"] > begins]
    assert ids(logged) == written[-len(logged) :]
    assert ids(found["steps"]) == [name for name in written if name in ids(found["steps"])]


async def test_what_came_over_a_link_says_when_it_came(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, leaf = mesh.worlds
    mesh.settle()
    for wire in mesh.wires:
        wire.cut()
    Client(leaf, "lia").connect().do(*ORDER, "CREATE", {"note": "a"})
    for node in mesh.worlds:
        node.advance(600_000)
    mesh.settle()
    (step,) = (await life(hub))["steps"]
    assert (step["node"], step["terminal_id"]) == ("n1", "lia")
    assert step["accepted_at"][:16] == "2026-01-15T10:00"
    assert step["arrived_at"][:16] == "2026-01-15T10:10"


async def test_a_state_of_another_node_has_no_author(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, leaf = mesh.worlds
    Client(hub, "rui").connect().do(*ORDER, "CREATE", {"note": "a"})
    archive(hub)
    mesh.settle()
    (step, *_) = (await life(leaf))["steps"]
    assert (step["kind"], step["terminal_id"], step["user_id"]) == ("state", None, None)
    assert step["changed"] == {"note": {"to": "a"}}


async def test_pages_end_by_their_bytes_and_nobody_reads_without_the_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "PAGE_BYTES", 10_000)
    rui = Client(world, "rui").connect()
    for number in range(8):
        rui.do(*ORDER, "UPDATE", {"note": str(number) * 4_000})
    archive(world, world.core.replica.log.committed // 2)
    world.close()
    async with served(world) as node:
        found, after = [], 0
        while after is not None:
            page = await answer(node.api, "/api/v1/history/orders/mesa-12", after=after, archives=1)
            assert len(orjson.dumps(page)) < 40_000
            found, after = [*found, *page["steps"]], page["next"]
        assert len(found) == 8
        assert (await answer(node.api, "/api/v1/history/orders/none"))["status"] == 404
        assert (await answer(node.api, "/api/v1/history/ships/none"))["status"] == 404
        assert (await answer(node.api, "/api/v1/history/orders/mesa-12", Visitor(Rights()), limit=0))["status"] == 400
