"""An empty node beside a large one: entities first, urgent types first, then history; broken off anywhere."""

from __future__ import annotations

import random
import shutil
from base64 import b64decode, b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve

from crdt import document, settled
from node.config.sections import Config
from node.core.keyring import VERIFIED
from node.core.links import contents, feed
from node.core.links.first_sync import ASKED_AGAIN, PATIENCE_MS
from node.core.operations import parked
from tests.harness import Client
from tests.mesh import Mesh, audit, each_message, each_operation, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from storage.records import LogRow


EVENINGS = 6


def store(directory: Path, count: int = 2, resident: int = 8) -> Mesh:
    """A hub with some of everything, conflicts and dead entities too; the others are empty and not linked."""
    mesh = Mesh(directory, count, [(n, n - 1, True) for n in range(1, count)], resident=resident)
    hub = mesh.worlds[0]
    ana, bia = Client(hub, "ana").connect(), Client(hub, "bia").connect()
    for number in range(40):
        ana.do("products", f"p-{number}", "CREATE", {"price": number})
        ana.do("orders", f"o-{number}", "CREATE", {"status": "pending"})
        ana.do("orders", f"o-{number}", "UPDATE", {"status": "ready"})
    ana.do("orders", "o-0", "DELETE", {})
    bia.receive()
    for data, client in (
        ({"phone": "1"}, ana),
        ({"phone": "2", "version": 2}, ana),
        ({"phone": "3", "version": 2}, bia),
    ):
        client.do("customers", "c-1", "UPDATE", data)
    ana.do("cashier_operations", "k-1", "CREATE", {"amount": 10})
    assert shown(hub)["conflicts"]
    return mesh


def test_an_empty_node_shows_everything_before_history_comes(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    screen = Client(node, "cozinha", "kds").connect()
    came: list[str] = []
    mesh.wires[0].damage = lambda frame: _note(frame, came)
    mesh.settle(screen.receive)
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    states, history = came.count("state"), came.count("history")
    assert states == 40 + 40 + 2
    assert history == len(audit(hub))
    assert came.index("history") > max(n for n, kind in enumerate(came) if kind == "state")
    live = {i: {n: v for n, v in e.items() if n != "version"} for i, e in node.view("orders").items()}
    assert screen.shown("orders") == live
    sync = node.core.links.first_sync
    assert sync is not None
    assert (sync.phase, sync.states, sync.operations) == ("over", states, history)
    assert hub.core.links.first_sync is None
    mesh.close()


def _note(frame: bytes, came: list[str]) -> bytes:
    messages = orjson.loads(frame)
    for message in messages if isinstance(messages, list) else [messages]:
        if message["type"] == "data_sync":
            came.append("state" if "state" in message["link"] else "history")
    return frame


def test_urgent_types_come_first(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    types: list[str] = []

    def note(message: dict[str, Any]) -> None:
        if message["type"] == "data_sync" and "state" in message["link"]:
            types.append(message["operation"]["entity_type"])

    mesh.wires[0].damage = each_message(note)
    mesh.settle()
    assert list(dict.fromkeys(types)) == ["cashier_operations", "orders", "customers", "products"]
    mesh.close()


def test_a_first_synchronisation_that_breaks_off_again_and_again_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FRAME_BYTES", 1_000)
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    wire = mesh.wires[0]
    states: list[str] = []

    def note(message: dict[str, Any]) -> None:
        if message["type"] == "data_sync" and "state" in message["link"]:
            states.append(message["operation"]["entity_id"])

    wire.damage = each_message(note)
    link_page = 8
    for turn in range(60):
        wire.connect()
        assert wire.links is not None
        for link in wire.links:
            link.delivery.page = link_page
        for _ in range(turn % 7 + 6):
            for world in mesh.worlds:
                world.settle()
            wire.step(0)
            wire.step(1)
        wire.cut()
        if turn == 20:
            mesh.crash(1)
    mesh.settle()
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    assert len(states) < 3 * len(set(states))
    mesh.close()


def test_a_chain_of_empty_nodes_is_filled_from_the_hub(tmp_path: Path) -> None:
    mesh = store(tmp_path, 4)
    for wire in reversed(mesh.wires):  # the far ones are linked before anything comes to them
        wire.connect()
    mesh.settle()
    hub, *others = mesh.worlds
    for world in others:
        assert shown(world) == shown(hub)
        assert audit(world) == audit(hub)
    mesh.close()


def test_writing_goes_on_on_both_sides_while_history_comes(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    here, there = Client(node, "caixa").connect(), Client(hub, "carla").connect()
    wire = mesh.wires[0]
    wire.connect()
    for number in range(60):
        here.write("orders", f"o-{number}", "UPDATE", {"note": f"n{number}"})
        there.write("orders", f"o-{number}", "UPDATE", {"table": number})
        for world in mesh.worlds:
            world.settle()
        wire.step(0)
        wire.step(1)
        here.receive()
        there.receive()
    mesh.settle(lambda: here.receive() + there.receive())
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    assert not len(node.core.replica.quarantine)
    mesh.close()


def test_a_conflict_that_came_with_the_state_is_resolved_once_for_all(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    manager = Client(node, "gerente").connect()
    mesh.settle(manager.receive)
    (conflict,) = [m["conflict"] for m in manager.of("sync_conflict") if m["conflict"]["state"] == "open"]
    manager.send({"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": "accept_remote"})
    mesh.settle(manager.receive)
    assert not shown(hub)["conflicts"]
    assert shown(node) == shown(hub)
    assert hub.view("customers")["c-1"]["phone"] == conflict["remote_data"]["phone"]
    mesh.close()


def test_a_damaged_state_is_left_to_history(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds

    def damage(message: dict[str, Any]) -> None:
        if "state" in message.get("link", {}) and message["operation"]["entity_id"] == "p-7":
            message["link"]["state"] = "AQEB" + message["link"]["state"]

    mesh.wires[0].damage = each_message(damage)
    mesh.settle()
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    mesh.close()


def test_history_that_comes_damaged_behind_its_state_is_kept_out_of_the_log(tmp_path: Path) -> None:
    """The state holds what it did already; what would be passed on and read later are its own bytes."""
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    cut: list[str] = []

    def damage(message: dict[str, Any]) -> None:
        if len(cut) < 3:
            entry = message["link"]["updates"][0]
            cut.append(message["operation"]["id"])
            entry[2] = entry[2][: len(entry[2]) // 8 * 4]

    mesh.wires[0].damage = each_operation(damage)
    mesh.settle()
    assert len(cut) == 3
    assert sorted(row.operation_id for row in node.core.replica.quarantine) == sorted(cut)
    node.advance(61_000)
    mesh.settle()
    assert not len(node.core.replica.quarantine)
    assert audit(node) == audit(hub)
    updates = [
        [row.updates for row in world.reader.audit(limit=1_000, kinds=("operation",))] for world in (hub, node)
    ]
    assert sorted(updates[0]) == sorted(updates[1])
    mesh.close()


# ------------------------------------------------------------------ history beside live traffic


class Watched:
    """What comes to the empty node of a mesh: how often each operation of the history, and messages of a type."""

    def __init__(self, mesh: Mesh) -> None:
        self.history: Counter[str] = Counter()
        self.types: Counter[str] = Counter()
        mesh.wires[0].damage = self._note

    def _note(self, frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        for message in loaded if isinstance(loaded, list) else [loaded]:
            self.types[message["type"]] += 1
            if "updates" in message.get("link", {}):
                self.history[message["operation"]["id"]] += 1
        return frame


def turn(mesh: Mesh, *, frames: int = 1, ms: int = 0) -> None:
    """Some frames each way, then a time. With many ms to a frame the machine is a slow one."""
    for world in mesh.worlds:
        world.settle()
    for _ in range(frames):
        mesh.wires[0].step(0)
        mesh.wires[0].step(1)
    for world in mesh.worlds:
        world.advance(ms)


def in_history(mesh: Mesh) -> bool:
    sync = mesh.worlds[1].core.links.first_sync
    return sync is not None and sync.phase == "history" and 0 < sync.after < (sync.upto or 0)


def over(mesh: Mesh) -> bool:
    sync = mesh.worlds[1].core.links.first_sync
    return sync is not None and sync.phase == "over"


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HISTORY_PAGE", 8)
    monkeypatch.setattr(feed, "PAGES", 2)
    monkeypatch.setattr(feed, "FRAME_BYTES", 1_000)


@pytest.mark.usefixtures("small_pages")
def test_after_a_cut_history_goes_on_beside_traffic_that_never_rests(tmp_path: Path) -> None:
    """What comes live says nothing of whether the history still comes."""
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    there = Client(hub, "carla").connect()
    watched = Watched(mesh)
    mesh.connect()
    turns = 0
    while not over(mesh):
        there.write("orders", f"live-{turns % 7}", "UPDATE", {"table": turns})
        if in_history(mesh) and turns % 40 == 0:
            mesh.wires[0].cut()
            mesh.connect()
        turn(mesh, frames=4, ms=50)
        turns += 1
        assert turns < 2_000
    mesh.settle(there.receive)
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    assert not watched.types["digest_want"]
    mesh.close()


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("frames", "ms"), [(1, 3_000), (4, PATIENCE_MS + 1_000)])
def test_nothing_is_sent_twice_to_a_slow_machine(tmp_path: Path, frames: int, ms: int) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    watched = Watched(mesh)
    mesh.connect()
    while not over(mesh):
        turn(mesh, frames=frames, ms=ms)
    assert not watched.types["digest_keys"]
    mesh.settle()
    assert audit(node) == audit(hub)
    assert set(watched.history.values()) == {1}
    mesh.close()


@pytest.mark.usefixtures("small_pages")
def test_a_synchronisation_rests_only_when_everything_is_there(tmp_path: Path) -> None:
    """Whatever was cut, restarted, slow or out of its budget before: the history comes to its end as history, and
    until it has come something is always on its way."""
    store(tmp_path / "store").close()
    for seed in range(EVENINGS):
        shutil.copytree(tmp_path / "store" / "n0", tmp_path / str(seed) / "n0")
        _evening(tmp_path / str(seed), random.Random(seed))


def _evening(directory: Path, rng: random.Random) -> None:
    config, frames = Config(), rng.choice([60, 10_000])
    config = evolve(config, links=evolve(config.links, minute_frames=frames))
    mesh = Mesh(directory, 2, [(1, 0, True)], resident=rng.choice([8, 1_000]), config=config)
    hub, node = mesh.worlds
    wire = mesh.wires[0]
    mesh.connect()
    trouble = rng.sample(["here", "there", "cut", "crash"], rng.randrange(4))
    for number in range(rng.randrange(20, 100)):
        what = rng.choice(trouble) if trouble and rng.random() < 0.2 else ""
        if what in ("here", "there"):
            world = node if what == "here" else hub
            Client(world, f"caixa-{number}").connect().write("orders", f"o-{number % 7}", "UPDATE", {"table": number})
        elif what == "cut":
            wire.cut()
        elif what == "crash":
            mesh.crash(rng.randrange(2))
        mesh.connect()
        turn(mesh, frames=rng.choice([1, 4, 20]), ms=rng.choice([0, 50, 3_000, PATIENCE_MS + 1_000]))
    roots = [world.core.replica.held.digests.roots for world in mesh.worlds]
    idle = 0
    for _ in range(1_000):
        if roots[0]() == roots[1]():
            break
        mesh.connect()
        assert wire.links is not None
        paused = any(link.paused for link in wire.links)
        moved = False
        for world in mesh.worlds:
            world.settle()
        while wire.step(0) or wire.step(1):
            moved = True
            for world in mesh.worlds:
                world.settle()
        if not (moved or paused):
            idle += 1
            assert idle <= 3
        for world in mesh.worlds:
            world.advance(1_001)
    sync = node.core.links.first_sync
    assert sync is None or sync.complete
    assert audit(node) == audit(hub)
    mesh.close()


@pytest.mark.usefixtures("small_pages")
def test_history_goes_on_after_a_restart_of_either_node_where_it_was(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    watched = Watched(mesh)
    mesh.connect()
    for crashed in (1, 0, 1):
        come = len(watched.history)
        while not in_history(mesh) or len(watched.history) < come + 20:
            turn(mesh)
        mesh.crash(crashed)
        mesh.connect()
    mesh.settle()
    assert over(mesh)
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    twice = sum(times - 1 for times in watched.history.values())
    assert twice <= 3 * 3 * 8  # at each crash, the pages that were under way
    mesh.close()


@pytest.mark.usefixtures("small_pages")
def test_history_that_its_sender_cannot_read_is_left_to_comparisons(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    mesh.connect()
    while not in_history(mesh):
        turn(mesh)
    hub.unreadable = lambda name, *_: name == "history"
    for _ in range(ASKED_AGAIN + 1):
        turn(mesh, frames=10, ms=PATIENCE_MS)
        assert not over(mesh)
    turn(mesh, frames=10, ms=PATIENCE_MS)
    assert over(mesh)
    for _ in range(5):  # and no minute, until comparisons are due
        turn(mesh, frames=100, ms=1_000)
    assert audit(node) == audit(hub)
    assert all(link.caught_up for link in mesh.wires[0].links or ())
    mesh.close()


@pytest.mark.usefixtures("small_pages")
def test_history_comes_again_where_its_commit_failed(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    mesh.connect()
    while not in_history(mesh):
        turn(mesh)
    node.failing = True
    turn(mesh, frames=4)
    node.settle()
    assert not node.core.health.ok
    node.failing = False
    node.recover()
    mesh.settle()
    assert shown(node) == shown(hub)
    assert audit(node) == audit(hub)
    mesh.close()


def test_a_repair_waits_for_the_history_of_what_it_repairs(tmp_path: Path) -> None:
    """The documents of a node that joins are ahead of its log: it cannot tell yet that there are two copies."""
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)])
    (hub, node, joins), (wire, late) = mesh.worlds, mesh.wires
    mesh.wires = [wire]
    ana, bia = Client(node, "ana").connect(), Client(node, "bia").connect()
    ana.do("orders", "x", "CREATE", {"status": "pending"})
    mesh.settle(bia.receive)
    wire.cut()
    again = ana.operation("orders", "x", "UPDATE", {"note": "sem sal"})
    for client in (ana, Client(hub, "ana").connect()):
        client.submit(again)
        client.world.settle()
    bia.receive()
    bia.do("orders", "x", "UPDATE", {"note": "pouco sal"})

    late.connect()
    while "x" not in joins.view("orders"):
        for world in (hub, joins):
            world.settle()
        assert late.step(0) or late.step(1)
    wire.connect()
    moved = True
    while moved:
        for world in mesh.worlds:
            world.settle()
        moved = wire.step(0) or wire.step(1) or late.step(1)  # what asks for the history does not arrive
    waiting = [orjson.loads(row.body)["operation"].get("repairs") for row in joins.core.replica.quarantine]
    assert "ana/" + again["id"] in waiting

    mesh.wires = [wire, late]
    mesh.settle()
    assert not any(len(world.core.replica.quarantine) for world in mesh.worlds)
    assert all(shown(world) == shown(hub) and audit(world) == audit(hub) for world in mesh.worlds)
    assert joins.view("orders")["x"]["note"] == "pouco sal"
    mesh.close()


def test_what_a_first_synchronisation_costs_a_row_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each operation one update is decoded, and no entity is loaded for its history; a page costs one check of a
    proof, though each operation was a commit of its own. Statements come by commits and not by rows.

    The comparison of entities when all is there is not counted: it reads each of them once."""
    monkeypatch.setattr(contents, "begin", lambda link: None)
    mesh = store(tmp_path)
    hub, node = mesh.worlds
    done: Counter[str] = Counter()

    def counted(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            done[name] += 1
            return act(*arguments)

        return call

    page = 16
    monkeypatch.setattr(feed, "HISTORY_PAGE", page)
    mesh.connect()
    keyring = node.core.replica.keyring
    keyring.signatures = evolve(keyring.signatures, verify=counted("checks", keyring.signatures.verify))
    monkeypatch.setattr(settled, "operation_texts", counted("decoded", settled.operation_texts))
    monkeypatch.setattr(settled, "live_texts", counted("read", settled.live_texts))
    monkeypatch.setattr(document, "live_texts", counted("loaded", document.live_texts))
    node.store.connection.set_trace_callback(lambda sql: done.update(["statements"]))
    node.store.commit = counted("commits", node.store.commit)  # type: ignore[method-assign]
    mesh.settle()
    rows = [row for _, row, _ in node.reader.chained_rows() if row is not None]
    operations = [row for row in rows if row.kind == "operation"]
    entities = len(rows) - len(operations)
    assert audit(node) == audit(hub)
    assert {row.signed for row in operations} == {VERIFIED}
    assert done["decoded"] == len(operations)
    assert done["loaded"] <= entities
    assert done["read"] <= len(operations)
    assert done["checks"] <= -(-len(operations) // page) + 2  # and who is there
    assert done["commits"] <= len(rows) // page + 20
    assert done["statements"] <= 20 * done["commits"]
    mesh.close()


def test_history_taken_at_a_glance_has_the_rows_that_it_has_when_looked_at_closely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name, resident in (("loaded", 1_000), ("read", 8), ("closely", 8)):
        mesh = store(tmp_path / name, resident=resident)
        if name == "closely":
            monkeypatch.setattr(parked, "receive_settled", lambda *_: 0)
        mesh.settle()
        hub, node = mesh.worlds
        assert audit(node) == audit(hub)
        rows = [row for _, row, _ in node.reader.chained_rows() if row is not None and row.kind == "operation"]
        found.append([_said(row) for row in rows])
        mesh.close()
    assert found[0] == found[1] == found[2]


def _said(row: LogRow) -> tuple[object, ...]:
    """What two stores of one content have alike in a row."""
    told = orjson.loads(row.changes)
    return (row.name, row.priority, row.targets, row.version, row.status, row.lock_status, row.echo, row.signed, told)


def test_a_false_proof_of_a_page_proves_nothing_and_costs_nothing_but_itself(tmp_path: Path) -> None:
    mesh = store(tmp_path)
    hub, node = mesh.worlds

    def damage(message: dict[str, Any]) -> None:
        if message["type"] == "history_proofs":
            for run in message["runs"]:
                run[2] = b64encode(bytes(len(b64decode(run[2])))).decode()

    mesh.wires[0].damage = each_message(damage)
    mesh.settle()
    assert audit(node) == audit(hub)
    assert not len(node.core.replica.quarantine)
    mesh.close()
