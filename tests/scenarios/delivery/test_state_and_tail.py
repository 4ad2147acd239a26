"""Where the state that a new terminal is sent ends and the rows begin: nothing is lost there, and nothing that others
create meanwhile comes twice."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.core.links.travellers import ANSWER_MS
from node.core.log.entries import NOTHING
from node.screen import without_version
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path


def came(client: Client) -> list[str | None]:
    """The entities that it was sent, in order."""
    return [message["operation"].get("entity_id") for message in client.of("data_sync")]


def states(client: Client) -> set[str]:
    """The live entities that it was sent as they are, not as operations."""
    operations = [message["operation"] for message in client.of("data_sync")]
    return {o["entity_id"] for o in operations if o["id"].startswith("state-") and o["operation"] == "CREATE"}


def stored(world: World) -> set[str]:
    return {row.entity_id for row in world.reader.entities("orders", None, 1_000, deleted=True)}


def test_what_others_create_while_a_new_terminals_state_is_read_comes_once_and_in_order(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "before", "CREATE", {"n": 0})
    bia = Client(world, "bia").connect()  # its state is asked for, and not read yet
    names = [f"o-{number % 7}-{number:02d}" for number in range(30)]
    for number, name in enumerate(names):
        ana.write("orders", name, "CREATE" if number % 2 else "UPDATE", {"n": number})
        if number % 4 == 0:
            world.commit()
    settle_all(world, [ana, bia])
    assert came(bia) == ["before", *names]
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_what_was_under_way_to_the_disk_when_a_terminal_connected_comes_once(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "before", "CREATE", {"n": 0})
    ana.write("orders", "o", "CREATE", {"n": 1})
    group = world.core.take_group()
    assert group is not None
    bia = Client(world, "bia").connect()
    world.store.commit(group.commit)
    world.core.committed(group)
    settle_all(world, [ana, bia])
    assert came(bia) == ["before", "o"]


def test_what_a_bulk_update_creates_meanwhile_comes_once(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "a", "CREATE", {"n": 0})
    bia = Client(world, "bia").connect()
    updates = [{"entity_id": name, "data": {"n": 1}} for name in ("a", "b")]
    ana.write("orders", None, "BULK_UPDATE", {"updates": updates})
    world.commit()
    settle_all(world, [ana, bia])
    assert came(bia) == ["a", None], "b comes with the operation"
    assert bia.shown("orders") == without_version(world.view("orders"))


def test_what_was_there_and_is_written_meanwhile_is_state_first(world: World) -> None:
    """Otherwise the row would be merged into nothing."""
    ana = Client(world, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 0, "table": 7})
    bia = Client(world, "bia").connect()
    ana.write("orders", "o", "UPDATE", {"n": 1})
    world.commit()
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == {"o": {"n": 1, "table": 7}}


@pytest.mark.parametrize("committed", [True, False])
def test_a_terminal_that_keeps_nothing_is_sent_what_it_wrote_just_before(world: World, committed: bool) -> None:
    ana = Client(world, "ana").connect()
    ana.write("orders", "o", "CREATE", {"n": 1})
    if committed:
        world.commit()
    ana.disconnect()
    reloaded = Client(world, "ana").connect(full=True)
    world.commit()
    settle_all(world, [reloaded])
    assert reloaded.shown("orders") == {"o": {"n": 1}}


def test_what_is_created_and_archived_while_a_terminal_reads_slowly_reaches_it(tmp_path: Path) -> None:
    world = World(tmp_path / "data", window=4, ring_rows=4)
    ana, bia = Client(world, "ana").connect(), Client(world, "bia")
    for number in range(20):
        ana.write("orders", f"o-{number:02d}", "CREATE", {"n": number})
    settle_all(world, [ana])
    bia.connect()
    world.settle()
    bia.receive(2)
    for number in range(20):
        ana.write("orders", f"o-{number:02d}-new", "CREATE", {"n": number})
    settle_all(world, [ana])
    archive(world)
    settle_all(world, [ana, bia])
    assert bia.shown("orders") == without_version(world.view("orders"))
    world.close()


def test_a_terminal_that_moved_here_is_told_of_an_entity_that_was_deleted_elsewhere(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, node = mesh.worlds
    ana = Client(hub, "ana").connect()
    ana.do("orders", "o", "CREATE", {"n": 1})
    ana.do("orders", "o", "DELETE", {})
    bia = Client(node, "bia")
    bia.screen["orders", "o"] = {"n": 1}  # from another node, where it was before
    bia.connect()
    waiting = list(node.calls)
    node.calls.clear()
    mesh.settle()
    node.calls.extend(waiting)
    settle_all(node, [bia])
    assert not bia.shown("orders")
    mesh.close()


@settings(
    max_examples=max(EXAMPLES // 5, 1), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_a_terminal_that_comes_in_the_middle_of_anything_shows_what_the_node_shows(
    tmp_path_factory: Any, seed: int
) -> None:
    """Writers, slow readers, archives, and again and again a terminal that keeps nothing; what others create after it
    came it is not sent as state, as long as nothing is archived."""
    rng = random.Random(seed)
    window, ring_rows = rng.choice([2, 5, 32]), rng.choice([4, 64])
    world = World(tmp_path_factory.mktemp("node") / "data", ring_rows=ring_rows, window=window, resident=4)
    writers = [Client(world, name).connect() for name in ("ana", "bia")]
    settle_all(world, writers)
    numbers = itertools.count()

    def anew() -> tuple[Client, set[str]]:
        reader = Client(world, "new")
        reader.numbers = numbers
        return reader.connect(full=True), stored(world)

    (reader, before), archived, own = anew(), False, set[str]()
    for number in range(rng.randrange(10, 60)):
        choice = rng.random()
        if choice < 0.5:
            writer, kind = rng.choice([*writers, reader]), rng.choice(["CREATE", "UPDATE", "UPDATE", "DELETE"])
            name = f"o-{rng.randrange(20)}"
            own |= {name} if writer is reader else set()
            writer.write("orders", name, kind, {"n": number})
        elif choice < 0.75:
            rng.choice([world.settle, world.commit])()
            reader.receive(rng.randrange(4))
        elif choice < 0.9:
            settle_all(world, writers)
        elif choice < 0.95:
            archived |= archive(world) > 0
        else:
            reader.disconnect()
            (reader, before), archived = anew(), False
    settle_all(world, [*writers, reader])
    for client in [*writers, reader]:
        assert client.shown("orders") == without_version(world.view("orders")), client.name
    assert archived or states(reader) <= before | own
    world.close()


@pytest.mark.parametrize("taken", range(1, 13, 2))
def test_a_refusal_is_told_also_where_the_state_is_read_anew_meanwhile(tmp_path: Path, taken: int) -> None:
    """A linked node says late that the terminal was there. taken: frames that it has read by then."""
    world = World(tmp_path, window=3)
    bia = Client(world, "bia").connect()
    for number in range(3):
        bia.do("cashier_operations", f"sangria-{number}", "CREATE", {"amount": 5})
        bia.do("orders", f"mesa-{number}", "CREATE", {"status": "pending"})
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "timeout": 60_000})
    world.settle()
    ana = Client(world, "ana").connect()
    told = [ana.write("orders", f"mesa-{number}", "UPDATE", {"note": "x"}) for number in (1, 2)]
    world.advance(ANSWER_MS)
    world.settle()
    for number in range(taken):
        bia.write("cashier_operations", "sangria-0", "UPDATE", {"amount": number})
        ana.receive(1)
        world.settle()
    world.core.sessions.note_cursors(every=True)
    world.core.sessions.was_elsewhere("ana", world.wall_ms, NOTHING)
    settle_all(world, [ana, bia])
    refused, confirmed = ana.of("sync_error"), ana.of("sync_confirmation")
    assert {m["operation_id"] for m in refused} == {told[0]}
    assert {m["operation_id"] for m in confirmed} == {told[1]}
    assert ana.shown("orders") == without_version(world.view("orders"))
    world.close()


def test_a_refusal_is_told_to_a_terminal_that_comes_back_with_nothing(world: World) -> None:
    """It has forgotten the operation too, so it does not send it again. Its user hears of it."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    bia.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    settle_all(world, [ana, bia])
    bia.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "timeout": 60_000})
    world.settle()
    told = ana.write("orders", "mesa-1", "UPDATE", {"note": "x"})
    world.settle()
    ana.disconnect()
    bia.do("orders", "mesa-1", "UPDATE", {"status": "ready"})
    again = Client(world, "ana").connect(full=True)
    settle_all(world, [again, bia])
    assert [message["operation_id"] for message in again.of("sync_error")] == [told]
    assert again.shown("orders") == without_version(world.view("orders"))
