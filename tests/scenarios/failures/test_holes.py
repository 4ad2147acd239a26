"""The rare branches: a restart, an archive, a BULK_UPDATE, two of a thing, a terminal that is far behind.

Each scenario ends well; with its defect in the node (tests/simulation/hole_defects.py) it does not.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from node.rights import EVERYTHING, Visitor
from node.runtime.api.routes import Api
from node.runtime.api.tokens import Tokens
from node.runtime.net.http import Request
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh, each_operation, shown
from tests.scenarios.links.test_large_messages import PHOTO
from tests.scenarios.links.test_quarantine import flip_update, of
from tests.simulation.hole_defects import HOLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node.runtime.api.about import About
    from node.runtime.api.doctor import Doctor
    from node.runtime.api.joining import Joining
    from node.runtime.archiving import Archiver
    from node.runtime.disk import TrioDisk
    from node.runtime.reads import PeopleReads


def terminals(world: World, *names: str) -> list[Client]:
    found = [Client(world, name).connect() for name in names]
    settle_all(world, found)
    return found


def several_leases_outlive_a_restart(directory: Path) -> None:
    with closing(World(directory)) as world:
        (ana,) = terminals(world, "ana")
        for number in range(3):
            ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": f"o-{number}", "timeout": 60_000})
        world.settle()
        world.crash()
        (bia,) = terminals(world, "bia")
        holders = [bia.do("orders", f"o-{number}", "CREATE", {"a": 1}).get("locked_by") for number in range(3)]
        assert holders == ["ana"] * 3


def who_is_beyond_the_ring_is_told(directory: Path) -> None:
    with closing(World(directory, ring_rows=8)) as world:
        ana, bia = terminals(world, "ana", "bia")
        bia.do("orders", "o-1", "UPDATE", {"table": 1}, timestamp="2026-01-15T09:00:00.000Z")
        bia.disconnect()
        bia.inbox.clear()
        ana.do("orders", "o-1", "UPDATE", {"table": 2, "version": 1})
        for number in range(20):
            ana.do("orders", f"other-{number}", "CREATE", {"table": number})
        bia.connect()
        settle_all(world, [ana, bia])
        assert [m["conflict"]["state"] for m in bia.of("sync_conflict")] == ["settled"]


def every_loser_is_told(directory: Path) -> None:
    with closing(World(directory)) as world:
        people = terminals(world, "ana", "bia", "carla")
        for number, person in enumerate(people):
            person.write("orders", "o-1", "UPDATE", {"table": number}, version=1)
        settle_all(world, people)
        losers = [name for person in people for name in {person.name for _ in person.of("sync_conflict")}]
        assert losers == ["ana", "bia"]
        assert world.view("orders")["o-1"]["table"] == 2


def a_bulk_update_whose_commit_failed_is_stored_when_it_comes_again(directory: Path) -> None:
    with closing(World(directory)) as world:
        (ana,) = terminals(world, "ana")
        updates = [{"entity_id": name, "data": {"stock": 3}} for name in ("p-1", "p-2")]
        operation = ana.operation("products", None, "BULK_UPDATE", {"updates": updates})
        world.failing = True
        ana.submit(operation)
        settle_all(world, [ana])
        assert ana.answer(operation["id"])["type"] == "sync_error"
        world.failing = False
        world.recover()
        ana.inbox.clear()
        ana.submit(operation)
        settle_all(world, [ana])
        assert ana.answer(operation["id"])["status"] == "applied"
        assert {name: entity["stock"] for name, entity in world.view("products").items()} == {"p-1": 3, "p-2": 3}


def a_bulk_update_goes_on_when_its_second_entity_gets_something(directory: Path) -> None:
    mesh = Mesh(directory, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    for name in ("o-1", "o-2"):
        ana.do("orders", name, "CREATE", {"a": 1})
    mesh.settle()
    spoil, spoiled = of("o-2", flip_update), list[str]()

    def once(message: dict[str, Any]) -> None:
        if not spoiled and message["operation"].get("entity_id") == "o-2":
            spoiled.append(message["operation"]["id"])
            spoil(message)

    mesh.wires[0].damage = each_operation(once)
    ana.do("orders", "o-2", "UPDATE", {"a": 2})
    items = [{"entity_id": name, "data": {"b": 3}} for name in ("o-1", "o-2")]
    ana.do("orders", None, "BULK_UPDATE", {"updates": items})
    mesh.settle()
    node.advance(61_000)  # once a minute a node asks for what came damaged
    mesh.settle()
    parked, same = len(node.core.replica.quarantine), shown(hub) == shown(node)
    mesh.close()
    assert (parked, same) == (0, True)


def an_archive_waits_for_an_absent_node_over_a_restart(directory: Path) -> None:
    mesh = Mesh(directory, 2, [(1, 0, True)])
    hub, _ = mesh.worlds
    ana = Client(hub, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    mesh.settle()
    mesh.wires[0].cut()
    ana.do("orders", "o-1", "UPDATE", {"a": 2})
    confirmed = hub.store.head - 1
    mesh.crash(0)
    archive(hub, force=False)
    archived = hub.store.anchor.seq
    mesh.close()
    assert archived <= confirmed


def a_conflict_of_the_last_archived_row_is_told(directory: Path) -> None:
    with closing(World(directory)) as world:
        ana, bia, manager = people = terminals(world, "ana", "bia", "gerente")
        manager.disconnect()
        ana.do("customers", "c-1", "UPDATE", {"phone": "1"})
        bia.do("customers", "c-1", "UPDATE", {"phone": "2", "version": 1})
        settle_all(world, [ana, bia])
        (conflict,) = world.reader.conflicts("open")
        archive(world, conflict.seq)
        assert world.store.anchor.seq == conflict.seq
        world.crash()  # what it has in memory reaches further back
        for person in people:
            person.inbox.clear()
            person.connect()
        settle_all(world, people)
        assert [m["conflict"]["id"] for m in manager.of("sync_conflict")] == [conflict.conflict_id]


def what_is_larger_than_a_frame_is_linked(directory: Path) -> None:
    mesh = Mesh(directory, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    mesh.settle()
    ana.do("products", "p-1", "CREATE", {"photo": PHOTO})
    mesh.wires[0].damage = None
    for _ in range(20):
        for world in mesh.worlds:
            world.settle()
        while any(wire.step(0) or wire.step(1) for wire in mesh.wires):
            pass
    there = set(node.view("products"))
    mesh.close()
    assert there == {"p-1"}


def what_the_last_connection_sent_is_decided_first(directory: Path) -> None:
    with closing(World(directory)) as world:
        (eva,) = terminals(world, "eva")
        eva.do("orders", "on-disk", "CREATE", {"n": 0})
        world.crash()
        (ana,) = terminals(world, "ana")
        first = ana.write("orders", "on-disk", "UPDATE", {"n": 1})
        ana.disconnect()
        ana.connect()
        second = ana.write("orders", "new", "CREATE", {"n": 2})
        settle_all(world, [ana])
        rows = [row.operation_id for row in world.reader.audit() if row.operation_id in (first, second)]
        assert rows == [first, second]


def who_reads_an_entity_has_seen_what_the_answer_shows(directory: Path) -> None:
    """The entity is written again after it was read, and before the answer is made."""
    with closing(World(directory)) as world:
        ana, bia = people = terminals(world, "ana", "bia")
        ana.do("customers", "c-1", "CREATE", {"phone": "1"})
        settle_all(world, people)
        bia.confirms = bia.pongs = False

        class Slow:
            reader = world.reader

            async def read(self, call: Callable[..., Any], *arguments: Any) -> Any:
                found = call(*arguments)
                ana.do("customers", "c-1", "UPDATE", {"phone": "2"})
                return found

        slow, disk = cast("PeopleReads", Slow()), cast("TrioDisk", None)
        api = Api(
            core=world.core,
            disk=disk,
            people=slow,
            store=world.store,
            doctor=cast("Doctor", None),
            archiver=cast("Archiver", None),
            tokens=Tokens(()),
            joining=cast("Joining", None),
            about=cast("About", None),
        )
        path = "/api/v1/entities/customers/c-1"
        asked = Request("GET", path, path, {}, {}, "127.0.0.1")
        trio.run(api.answer, asked, Visitor(EVERYTHING, "bia", "bia"))
        bia.do("customers", "c-1", "UPDATE", {"phone": "3"})
        settle_all(world, people)
        assert len(world.reader.conflicts("open")) == 1


def what_was_deleted_stays_away_from_who_creates_it_again(directory: Path) -> None:
    with closing(World(directory)) as world:
        ana, bia = people = terminals(world, "ana", "bia")
        bia.do("orders", "o-1", "CREATE", {"note": "sem sal"})
        settle_all(world, people)
        ana.do("orders", "o-1", "DELETE", {})
        settle_all(world, people)
        ana.do("orders", "o-1", "CREATE", {"status": "pending"})
        assert set(world.view("orders")["o-1"]) == {"status", "version"}


def everybody_is_told_of_an_archived_notice(directory: Path) -> None:
    with closing(World(directory)) as world:
        people = terminals(world, "ana", "bia", "carla")
        for number, person in enumerate(people):
            person.write("orders", "o-1", "UPDATE", {"table": number}, version=1)
        for person in people:
            person.disconnect()
        world.settle()
        archive(world)
        world.crash()
        for person in people:
            person.connect()
        settle_all(world, people)
        assert [bool(person.of("sync_conflict")) for person in people] == [True, True, False]


def locked(directory: Path) -> tuple[Mesh, Client, Client]:
    """A hub, and Rui at a node below it."""
    mesh = Mesh(directory, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana, rui = Client(hub, "ana").connect(), Client(node, "rui").connect()
    mesh.settle()
    return mesh, ana, rui


def ask(client: Client, number: int) -> None:
    asked = {"entity_type": "orders", "entity_id": f"o-{number}", "lock_id": f"l-{number}", "timeout": 600_000}
    client.send({"type": "acquire_lock", **asked})


def holders(client: Client) -> list[str | None]:
    """Who has the locks of o-0 to o-2, as a write of this terminal is told."""
    return [client.do("orders", f"o-{number}", "UPDATE", {"n": 1}).get("locked_by") for number in range(3)]


def who_gives_one_lock_back_is_answered_about_another(directory: Path) -> None:
    mesh, _, rui = locked(directory)
    ask(rui, 0)
    mesh.settle(rui.receive)
    ask(rui, 1)
    rui.send({"type": "release_lock", "lock_id": "l-0"})
    mesh.settle(rui.receive)
    granted = [message["lock_id"] for message in rui.of("lock_acquired")]
    mesh.close()
    assert granted == ["l-0", "l-1"]


def every_lease_is_offered(directory: Path) -> None:
    mesh, ana, rui = locked(directory)
    mesh.wires[0].cut()
    for number in range(3):
        ask(rui, number)
    rui.world.settle()
    mesh.settle(rui.receive)
    found = holders(ana)
    mesh.close()
    assert found == ["rui"] * 3


def every_release_is_told(directory: Path) -> None:
    mesh, ana, rui = locked(directory)
    for number in range(3):
        ask(rui, number)
    mesh.settle(rui.receive)
    mesh.wires[0].cut()
    for number in range(3):
        rui.send({"type": "release_lock", "lock_id": f"l-{number}"})
    rui.world.settle()
    mesh.settle(rui.receive)
    found = holders(ana)
    mesh.close()
    assert found == [None] * 3


SCENARIOS: dict[str, Callable[[Path], None]] = {
    "one-lease-after-restart": several_leases_outlive_a_restart,
    "no-notices-from-disk": who_is_beyond_the_ring_is_told,
    "one-loser-told": every_loser_is_told,
    "failed-bulk-remembered": a_bulk_update_whose_commit_failed_is_stored_when_it_comes_again,
    "bulk-not-looked-at": a_bulk_update_goes_on_when_its_second_entity_gets_something,
    "followers-forgotten": an_archive_waits_for_an_absent_node_over_a_restart,
    "last-archived-conflict-untold": a_conflict_of_the_last_archived_row_is_told,
    "large-not-linked": what_is_larger_than_a_frame_is_linked,
    "earlier-connection-overtaken": what_the_last_connection_sent_is_decided_first,
    "read-counts-later-rows": who_reads_an_entity_has_seen_what_the_answer_shows,
    "owed-to-one": everybody_is_told_of_an_archived_notice,
    "release-ends-other-requests": who_gives_one_lock_back_is_answered_about_another,
    "one-lease-offered": every_lease_is_offered,
    "one-release-told": every_release_is_told,
    "created-again-keeps-fields": what_was_deleted_stays_away_from_who_creates_it_again,
}


def test_every_defect_has_a_scenario() -> None:
    assert set(SCENARIOS) == {found.name for found in HOLES}


@pytest.mark.parametrize("found", HOLES, ids=[found.name for found in HOLES])
def test_it_ends_well_and_with_the_defect_it_does_not(tmp_path: Path, found: Any) -> None:
    scenario = SCENARIOS[found.name]
    scenario(tmp_path / "well")
    with found.present(), pytest.raises(AssertionError):
        scenario(tmp_path / "ill")
