"""`GET /api/v1/conflicts`: who wrote each value, what there was before, what it holds up, and how it was decided."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.hlc import iso
from node.config.sections import Config, EntityConfig
from node.core.history.since import last_before
from node.rights import Rights, Visitor
from node.runtime.api import conflicts
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.runtime.api_rig import ADMIN, request, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DROP = ("cashier_operations", "sangria-1")
ANA = ("customers", "ana")
DAY = 86_400_000

Told = dict[str, Any]


async def told(world: World, path: str = "/api/v1/conflicts", visitor: Visitor = ADMIN, **query: object) -> Told:
    """The answer of a node that is stopped by then."""
    world.close()
    async with served(world) as node:
        return await answer(node.api, path, visitor, **query)


async def answer(api: Any, path: str, visitor: Visitor = ADMIN, **query: object) -> Told:
    found = await api.answer(request(path, {name: [str(value)] for name, value in query.items()}), visitor)
    body = found.body
    whole = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
    return {"status": found.status, **orjson.loads(whole)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Closed by each test, before what it stored is served."""
    return World(tmp_path / "node")


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Mesh, Client, Client]:
    """Ana at a hub and Rogério at a node below it, who do not see each other; both had seen what Ana wrote first."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    mesh.settle()
    ana, rogerio = Client(mesh.worlds[0], "caixa-1").connect(), Client(mesh.worlds[1], "caixa-2").connect()
    meet(mesh, ana, rogerio)
    ana.do(*DROP, "CREATE", {"amount": 200, "note": "troco", "drawer_id": "1"})
    ana.do(*ANA, "CREATE", {"name": "Ana", "phone": "1", "address": "rua 1"})
    meet(mesh, ana, rogerio)
    for wire in mesh.wires:
        wire.cut()
    return mesh, ana, rogerio


def meet(mesh: Mesh, *clients: Client) -> None:
    mesh.settle(lambda: sum(client.receive() for client in clients))


async def test_each_value_has_its_author_and_both_clocks_and_what_was_before_has_one_too(
    cut: tuple[Mesh, Client, Client],
) -> None:
    mesh, ana, rogerio = cut
    ana.do(*DROP, "UPDATE", {"amount": 300})
    for world in mesh.worlds:
        world.advance(1_000)
    slow = rogerio.operation(*DROP, "UPDATE", {"amount": 350}, user_id="rogério")
    for ago in (0, 1, 2):  # its clock is measured as two minutes behind
        rogerio.send({"type": "ping", "timestamp": iso(rogerio.world.wall_ms - 128_000 + ago)})
    rogerio.submit({**slow, "timestamp": iso(rogerio.world.wall_ms - 128_000)})
    rogerio.world.settle()
    meet(mesh, ana, rogerio)
    for world in mesh.worlds:
        (found,) = (await told(world, state="open"))["conflicts"]
        assert (found["priority"], found["path"], found["state"]) == ("critical", [], "open")
        first, second = found["candidates"]
        assert (first["terminal_id"], first["user_id"], first["node"], first["data"]["amount"]) == (
            "caixa-1",
            "user-1",
            "n0",
            300,
        )
        assert (second["user_id"], second["claimed_user_id"], second["node"]) == ("user-1", "rogério", "n1")
        assert first["clock"] is None
        assert second["clock"]["skew_ms"] < -120_000
        assert second["terminal_timestamp"] < second["timestamp"] <= second["accepted_at"] <= second["arrived_at"]
        before = found["before"]["amount"]
        assert (before["value"], before["by"]["terminal_id"], before["by"]["user_id"]) == (200, "caixa-1", "user-1")
        assert before["by"]["seq"] < min(first["seq"], second["seq"])
        assert found["holds"]["frozen"] is True


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "ana", [], ["ana"], {}, {"ana": {"ana": []}}], ids=repr)
async def test_whatever_a_record_holds_where_a_name_is_looked_for(world: World, value: object) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do(*ANA, "CREATE", {"phone": 1})
    lia.receive()
    rui.write(*ANA, "UPDATE", {"phone": 2})
    lia.write(*ANA, "UPDATE", {"phone": 3})
    settle_all(world, [rui, lia])
    rui.do("orders", "1", "CREATE", {"customer_id": value, "status": value, "items": [value, {"customer_id": value}]})
    rui.do("orders", "2", "CREATE", {"customer_id": "ana", "items": value})
    (found,) = (await told(world))["conflicts"]
    users = {one["entity_id"] for one in found["holds"]["used_by"]}
    assert users == {"2"} | ({"1"} if value == "ana" else set())


async def test_what_it_holds_up_is_counted_and_named(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    for entity in (DROP, ANA):
        rui.do(*entity, "CREATE", {"amount": 1})
        lia.receive()
        rui.write(*entity, "UPDATE", {"amount": 2})
        lia.write(*entity, "UPDATE", {"amount": 3})
        settle_all(world, [rui, lia])
    for number in range(3):
        assert rui.do(*DROP, "UPDATE", {"note": str(number)})["code"] == 4010
    rui.do("orders", "1061", "CREATE", {"customer_id": "ana", "status": "open"})
    rui.do("orders", "1062", "CREATE", {"customer_id": "bia", "note": "ana"})
    rui.do("orders", "1063", "CREATE", {"items": [{"id": "1", "customer_id": "ana"}]})
    rui.do("orders", "1064", "CREATE", {"customer_id": "ana"})
    rui.do("orders", "1064", "DELETE", {})
    world.close()
    async with served(world) as node:
        found = {
            one["entity_type"]: one["holds"] for one in (await answer(node.api, "/api/v1/conflicts"))["conflicts"]
        }
        blind = Visitor(Rights(read=["customers"]))
        (seen,) = (await answer(node.api, "/api/v1/conflicts", blind))["conflicts"]
    drop, ana = found["cashier_operations"], found["customers"]
    assert (drop["frozen"], drop["refused"], drop["used_by"]) == (True, 3, [])
    assert (ana["frozen"], ana["refused"]) == (False, 0)
    assert sorted(user["entity_id"] for user in ana["used_by"]) == ["1061", "1063"]
    assert seen["holds"]["used_by"] == [], "what one may not read one is not told of either"


def by_rule(world: World) -> Callable[[], None]:
    """Rui's price loses against Lia's."""
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do("products", "chopp", "CREATE", {"price": 11})
    lia.receive()

    def collide(price: int = 12) -> None:
        rui.write("products", "chopp", "UPDATE", {"price": price})
        lia.write("products", "chopp", "UPDATE", {"price": price + 100})
        settle_all(world, [rui, lia])

    collide()
    return collide


async def test_what_a_rule_decided_says_which_and_what_was_kept(world: World) -> None:
    by_rule(world)
    (found,) = (await told(world, state="decided"))["conflicts"]
    decided = found["decided"]
    assert (decided["how"], decided["rule"]["strategy"], decided["rule"]["why"]) == (
        "rule",
        "merge_changes",
        "latest",
    )
    assert decided["pt"].startswith("De 2 escritas")
    assert [side["terminal_id"] for side in decided["kept"]] == ["lia"]
    assert [side["terminal_id"] for side in decided["lost"]] == ["rui"]


@pytest.mark.parametrize("resolution", ["accept_local", "accept_remote", "merge"])
async def test_what_a_person_decided_says_who_and_why_and_what_was_kept(world: World, resolution: str) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do(*DROP, "CREATE", {"amount": 200, "note": "x"})
    lia.receive()
    rui.write(*DROP, "UPDATE", {"amount": 300})
    lia.write(*DROP, "UPDATE", {"amount": 350})
    settle_all(world, [rui, lia])
    (row,) = world.reader.conflicts("open")
    message = {"type": "conflict_resolution", "conflict_id": row.conflict_id, "resolution": resolution}
    typed = {"resolved_data": {"amount": 325}} if resolution == "merge" else {}
    lia.send({**message, **typed, "id": "d-1", "reason": "contei a gaveta"})
    settle_all(world, [rui, lia])
    found = await told(world, f"/api/v1/conflicts/{row.conflict_id}")
    decided = found["decided"]
    assert (decided["how"], decided["resolution"], decided["reason"]) == ("person", resolution, "contei a gaveta")
    assert (decided["by"]["terminal_id"], decided["by"]["user_id"], decided["by"]["operation_id"]) == (
        "lia",
        "user-1",
        "d-1",
    )
    kept = {"accept_local": ["rui"], "accept_remote": ["lia"], "merge": []}[resolution]
    assert [side["terminal_id"] for side in decided["kept"]] == kept
    assert {side["terminal_id"] for side in decided["lost"]} == {"rui", "lia"} - {*kept}
    assert decided["data"] == {
        "amount": {"accept_local": 300, "accept_remote": 350, "merge": 325}[resolution],
        "note": "x",
    }


async def test_a_conflict_that_grew_is_not_decided(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do(*ANA, "CREATE", {"phone": "1"})
    lia.receive()
    rui.write(*ANA, "UPDATE", {"phone": "2"})
    lia.write(*ANA, "UPDATE", {"phone": "3"})
    settle_all(world, [rui, lia])
    bia = Client(world, "bia").connect()
    settle_all(world, [bia])
    bia.do(*ANA, "UPDATE", {"phone": "4"})
    world.close()
    async with served(world) as node:
        ask = partial(answer, node.api, "/api/v1/conflicts")
        assert (await ask(state="decided"))["conflicts"] == [], "one of more writes has taken its place"
        (found,) = (await ask(state="closed"))["conflicts"]
        (open_one,) = (await ask(state="open"))["conflicts"]
        assert found["decided"] == {"how": "replaced", "replaced_by": open_one["id"]}


async def test_a_deletion_against_a_write_says_what_there_was(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.do(*ANA, "CREATE", {"name": "Ana", "note": "a"})
    lia.receive()
    rui.write(*ANA, "UPDATE", {"note": "b"})
    lia.write(*ANA, "DELETE", {})
    settle_all(world, [rui, lia])
    (found,) = (await told(world, state="open"))["conflicts"]
    assert found["type"] == "delete_conflict"
    assert found["before"]["note"]["value"] == "a"
    assert found["before"]["deleted_at"]["value"] is None


async def test_of_a_line_only_that_line_is_the_value_before(world: World) -> None:
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    line = {"id": "i1", "name": "Chopp", "note": "a"}
    rui.do("orders", "o-1", "CREATE", {"items": [line, {"id": "i2", "name": "Couve"}]})
    lia.receive()
    lia.do("orders", "o-1", "UPDATE", {"items": [line, {"id": "i2", "name": "Couve mineira"}]})
    rui.receive()
    for client, note in ((rui, "b"), (lia, "c")):
        client.write(
            "orders", "o-1", "UPDATE", {"items": [{**line, "note": note}, {"id": "i2", "name": "Couve mineira"}]}
        )
    settle_all(world, [rui, lia])
    (found,) = (await told(world))["conflicts"]
    before = found["before"]["items"]
    assert before["value"] == [line]
    assert before["by"]["terminal_id"] == "rui", "who wrote that line, and not who wrote another one since"


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_lists_go_on_where_they_ended_each_conflict_once(
    world: World, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conflicts, "AT_ONCE", 2)
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    for number in range(4):  # two conflicts of one row each: the phone's, and the name's
        rui.do("customers", f"c-{number}", "CREATE", {"phone": "1", "name": "a"})
        lia.receive()
        rui.write("customers", f"c-{number}", "UPDATE", {"phone": "2", "name": "b"})
        lia.write("customers", f"c-{number}", "UPDATE", {"phone": "3", "name": "c"})
        settle_all(world, [rui, lia])
    (every,) = [{row.conflict_id for row in world.reader.conflicts("open")}]
    for row in world.reader.conflicts("open")[::2]:
        lia.send({"type": "conflict_resolution", "conflict_id": row.conflict_id, "resolution": "accept_local"})
    settle_all(world, [rui, lia])
    world.close()
    async with served(world) as node:
        for state in ("open", "closed", "decided"):
            found: list[Told] = []
            query: dict[str, object] = {"state": state, "limit": limit}
            while True:
                page = await answer(node.api, "/api/v1/conflicts", **query)
                assert len(page["conflicts"]) <= limit
                found += page["conflicts"]
                if page["next"] is None:
                    break
                query["after"] = page["next"]
            ids = [one["id"] for one in found]
            assert len(ids) == len(set(ids)) == len(every) // 2


async def test_decided_since_a_time_the_latest_first(world: World) -> None:
    collide = by_rule(world)
    for price in (20, 30, 40):
        world.advance(DAY)
        collide(price)
    begun = world.wall_ms
    world.close()
    async with served(world) as node:
        ask = partial(answer, node.api, "/api/v1/conflicts", state="decided")
        every = (await ask())["conflicts"]
        shown = [one["candidates"][0]["data"]["price"] for one in every]
        assert shown == [140, 130, 120, 112]
        for days, many in ((0.5, 1), (1.5, 2), (10, 4)):
            since = iso(begun - int(days * DAY))
            assert [one["id"] for one in (await ask(since=since))["conflicts"]] == [one["id"] for one in every[:many]]
        assert (await ask(since=iso(begun + DAY)))["conflicts"] == []
        for wrong in ({"since": "yesterday"}, {"after": "x"}, {"state": "open", "since": iso(0)}, {"state": "lost"}):
            assert (await ask(**wrong))["status"] == 400, wrong


async def test_what_is_archived_is_not_known_and_the_conflict_is_told_all_the_same(world: World) -> None:
    by_rule(world)
    archive(world)
    (found,) = (await told(world))["conflicts"]
    assert [side["user_id"] for side in found["candidates"]] == [None, None]
    assert [side["terminal_id"] for side in found["decided"]["kept"]] == ["lia"]


async def test_what_a_rule_decided_when_a_link_came_back_was_decided_then(cut: tuple[Mesh, Client, Client]) -> None:
    mesh, ana, rogerio = cut
    for client, name in ((ana, "Ana M."), (rogerio, "Ana R.")):
        client.do("products", "p-1", "CREATE", {"name": name})
    for node in mesh.worlds:
        node.advance(DAY)
    meet(mesh, ana, rogerio)
    now_ms = mesh.worlds[0].wall_ms
    (found,) = (await told(mesh.worlds[0], state="decided", since=iso(now_ms - DAY // 2)))["conflicts"]
    assert found["decided"]["how"] == "rule"
    assert found["created_at"] < found["decided"]["at"][:-1]


async def test_a_conflict_of_a_type_that_is_not_configured_any_more_is_left_out(tmp_path: Path) -> None:
    boats = EntityConfig("high", False, "merge_changes")
    world = World(tmp_path / "node", config=Config(entities={"boats": boats}))
    rui, lia = Client(world, "rui").connect(), Client(world, "lia").connect()
    rui.write("boats", "b-1", "CREATE", {"name": "a"})
    lia.write("boats", "b-1", "CREATE", {"name": "b"})
    settle_all(world, [rui, lia])
    (row,) = world.reader.conflicts("settled")
    world.close()
    async with served(world) as node:
        assert (await answer(node.api, "/api/v1/conflicts"))["conflicts"] == []
        assert (await answer(node.api, f"/api/v1/conflicts/{row.conflict_id}"))["status"] == 404


async def test_one_conflict_is_told_to_who_may_read_its_type(world: World) -> None:
    by_rule(world)
    (row,) = world.reader.conflicts("settled")
    world.close()
    async with served(world) as node:
        path = f"/api/v1/conflicts/{row.conflict_id}"
        assert (await answer(node.api, path))["id"] == row.conflict_id
        for visitor in (Visitor(Rights(read=["orders"])), Visitor(Rights())):
            assert (await answer(node.api, path, visitor))["status"] == 404
        assert (await answer(node.api, "/api/v1/conflicts/conflict-none"))["status"] == 404


@pytest.mark.parametrize("begins", [1, 5])
def test_a_time_is_found_by_halving(begins: int) -> None:
    times = {seq: 100 * seq for seq in range(begins, 40) if seq % 3}  # of some nothing is known
    looks: list[int] = []

    def time_at(seq: int) -> int | None:
        looks.append(seq)
        return next((times[later] for later in range(seq, 40) if later in times), None)

    for ms in range(0, 4_200, 50):
        looks.clear()
        found = last_before(ms, begins, 39, time_at)
        assert all(at < ms for seq, at in times.items() if seq <= found)
        assert all(at >= ms for seq, at in times.items() if seq > found)
        assert len(looks) <= 6
