"""A field explained: every value ever written to it, once, with its author; of random histories on the real cores."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.document import Document
from crdt.engine import DEFAULT
from crdt.hlc import iso, millis
from node.core.history.explain import explain
from storage.records import UPDATE_KINDS
from storage.sqlite.history_reader import HistoryReader
from strategies.explain import said_of
from strategies.kinds.kind import ABSENT
from strategies.policy import policy
from tests.archives import archive
from tests.harness import Client, settle_all
from tests.mesh import Mesh
from tests.scenarios.evening import Evening
from tests.scenarios.seeds import FEW_SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from crdt.records import FieldRecord
    from node.core.history.explain import Explanation, Writing
    from tests.harness import World

FIELDS = ("a", "b", "c", "deleted_at")

Key = tuple[str, str]


def explained(world: World, key: Key, name: str) -> Explanation:
    with closing(HistoryReader(world.store.path)) as reader:
        rows = reader.entity_rows(key, (*UPDATE_KINDS, "refused"))
        policy, base = world.core.replica.registry.get(key[0]), reader.entity_base(key)
        found = explain(rows, key, policy, name, DEFAULT, base)
    assert found is not None
    return found


def report(world: World, key: Key, name: str) -> dict[str, Any]:
    """As HTTP answers."""
    return orjson.loads(orjson.dumps(explained(world, key, name).report(1_000)))


class Scribe:
    """Notes, beside the log, every record that an operation wrote and which operations superseded it."""

    def __init__(self, evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: dict[tuple[Key, int, int], FieldRecord] = {}
        self.killers: dict[tuple[Key, int, int], set[str]] = {}
        self.homes: dict[int, str] = {}
        self.worlds = evening.mesh.worlds
        edit, crash = Document.edit, evening.mesh.crash

        def noted(document: Document, **plan: Any) -> Any:
            done = edit(document, **plan)
            self._note(document, done)
            return done

        def crash_later(number: int) -> None:
            """What was not committed would be forgotten; here nothing is."""
            self.worlds[number].settle()
            crash(number)

        monkeypatch.setattr(Document, "edit", noted)
        monkeypatch.setattr(evening.mesh, "crash", crash_later)

    def _note(self, document: Document, done: Any) -> None:
        world, key = next(
            (world, key)
            for world in self.worlds
            for key, entity in world.core.replica.residents.entities.items()
            if entity.document is document
        )
        self.homes[done.writer] = world.node_id
        for record in done.added:
            self.written[key, *record.id] = record
        for record in done.removed:
            by = done.added[0].operation if done.added else None
            self.killers.setdefault((key, *record.id), set()).update({by} - {None})

    def of(self, key: Key, name: str) -> dict[tuple[object, ...], list[FieldRecord]]:
        """The values of a field; an operation under two writers is one."""
        found: dict[tuple[object, ...], list[FieldRecord]] = {}
        for (owner, _, _), record in self.written.items():
            if owner == key and record.path in ((), (name,)) and said_of(record, name, PLAIN) is not ABSENT:
                found.setdefault(named(record, name), []).append(record)
        return found


PLAIN = policy("x", priority="low", requires_lock=False, conflict_resolution="merge_changes")


def named(record: FieldRecord, name: str) -> tuple[object, ...]:
    value = said_of(record, name, PLAIN)
    return (record.operation, record.terminal, record.path, b"" if value is ABSENT else orjson.dumps(value))


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_every_value_ever_written_is_explained_once_with_its_author(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = Evening(tmp_path, seed)
    scribe = Scribe(evening, monkeypatch)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    for world in evening.mesh.worlds:
        for row in (
            r for kind in ("orders", "products", "customers", "cashier_operations") for r in rows(world, kind)
        ):
            key, live = (row.entity_type, row.entity_id), Document.load(row.snapshot, writer=1, engine=DEFAULT)
            view = orjson.loads(row.view)
            for name in FIELDS:
                found = explained(world, key, name)
                assert found.value == view.get(name, ABSENT), (seed, key, name)
                assert found.entity.document.version == row.version
                values = scribe.of(key, name)
                listed = Counter(named(w.record, name) for w in found.writings if w.value is not ABSENT)
                assert listed == Counter(values.keys()), (seed, world.node_id, key, name)
                for writing in found.writings:
                    check(
                        writing,
                        values.get(named(writing.record, name), [writing.record]),
                        live,
                        scribe,
                        (seed, key, name),
                    )
    evening.mesh.close()


def rows(world: World, entity_type: str) -> list[Any]:
    return world.reader.entities(entity_type, None, 100_000, deleted=True)


def check(writing: Writing, records: list[FieldRecord], live: Document, scribe: Scribe, at: tuple[Any, ...]) -> None:
    record, act, key = writing.record, writing.act, at[1]
    alive = [r for r in records if live.record(*r.id) is not None]
    assert (writing.state == "superseded") == (not alive), at
    assert act is not None, at
    assert (act.operation_id, act.terminal_id, act.user_id) == (record.operation, record.terminal, "user-1"), at
    assert act.origin in {scribe.homes[r.writer] for r in records}, at
    assert (act.stamp, act.accepted) == (record.stamp, record.accepted), at
    if writing.state == "superseded":
        killers = set().union(*(scribe.killers[key, *r.id] for r in records))
        assert killers <= {killer.operation_id for killer in writing.superseded_by}, at
    else:
        assert not writing.superseded_by, at


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_what_is_shown_is_the_value_of_those_marked_as_shown(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 150)):
        evening.step()
    evening.end()
    reports = []
    for world in evening.mesh.worlds:
        found = {}
        for kind in ("orders", "products", "customers", "cashier_operations"):
            for row in rows(world, kind):
                for name in FIELDS:
                    one = report(world, (kind, row.entity_id), name)
                    shown = [w["value"] for w in one["candidates"] if w["state"] == "shown" and not w["absent"]]
                    if name != "deleted_at" or one["deleted"]:
                        assert bool(shown) == (not one["absent"]), (seed, one)
                    assert all(same(value, one["value"]) for value in shown), (seed, one)
                    found[kind, row.entity_id, name] = without_place(one)
        reports.append(found)
    assert all(found == reports[0] for found in reports[1:]), seed
    evening.mesh.close()


def same(one: object, other: object) -> bool:
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


def without_place(one: dict[str, Any]) -> dict[str, Any]:
    """What every node that holds the same operations says: not in which row of its log, nor from which neighbour, nor
    what it refused or assumed itself.

    Of an operation under two writers a node names the origin it knows first."""
    values = [
        {
            **{name: value for name, value in w.items() if name not in ("seq", "origin", "via", "signed", "assumed")},
            "superseded_by": sorted({killer["operation_id"] for killer in w["superseded_by"]}),
        }
        for w in (*one["candidates"], *one["superseded"])
    ]
    kept = ("value", "absent", "rule", "conflicts", "version", "deleted", "superseded_total")
    return {**{name: one[name] for name in kept}, "values": values}


# ------------------------------------------------------------------ each rule


def two_sides(directory: Path) -> tuple[Mesh, Client, Client]:
    """Two linked nodes with a terminal each, cut apart."""
    mesh = Mesh(directory, 2, [(1, 0, True)])
    ana, bia = Client(mesh.worlds[0], "ana").connect(), Client(mesh.worlds[1], "bia").connect()
    return mesh, ana, bia


def collide(mesh: Mesh, ana: Client, bia: Client, key: Key, first: dict[str, Any], *, then: str = "UPDATE") -> None:
    """Both sides write after an outage began: ana {"a": 1}, then bia {"a": 2} or a deletion."""
    ana.do(*key, "CREATE", first)
    mesh.settle(lambda: ana.receive() + bia.receive())
    for wire in mesh.wires:
        wire.cut()
    ana.do(*key, "UPDATE", {"a": 1})
    bia.world.advance(1_000)
    bia.do(*key, then, {"a": 2} if then == "UPDATE" else {})
    mesh.settle(lambda: ana.receive() + bia.receive())


def test_the_latest_of_two_concurrent_writes_is_shown_and_the_other_a_candidate(tmp_path: Path) -> None:
    mesh, ana, bia = two_sides(tmp_path)
    collide(mesh, ana, bia, ("orders", "o-1"), {"a": 0})
    for world in mesh.worlds:
        found = report(world, ("orders", "o-1"), "a")
        assert found["value"] == 2
        assert found["rule"]["strategy"] == "last_write_wins"
        assert found["rule"]["why"] == ["latest"]
        assert found["conflicts"][0]["state"] == "settled"
        assert [(w["value"], w["state"], w["terminal_id"], w["origin"]) for w in found["candidates"]] == [
            (2, "shown", "bia", "n1"),
            (1, "candidate", "ana", "n0"),
        ]
        (old,) = found["superseded"]
        assert old["value"] == 0
        assert {killer["terminal_id"] for killer in old["superseded_by"]} == {"ana", "bia"}
    mesh.close()


def test_the_first_written_of_a_customer_field_stays_shown_until_somebody_decides(tmp_path: Path) -> None:
    mesh, ana, bia = two_sides(tmp_path)
    collide(mesh, ana, bia, ("customers", "c-1"), {"a": 0})
    found = report(mesh.worlds[1], ("customers", "c-1"), "a")
    assert (found["value"], found["rule"]["why"], found["conflicts"][0]["state"]) == (1, ["first_written"], "open")
    bia.send(
        {"type": "conflict_resolution", "conflict_id": found["conflicts"][0]["id"], "resolution": "accept_remote"}
    )
    mesh.settle(lambda: ana.receive() + bia.receive())
    found = report(mesh.worlds[0], ("customers", "c-1"), "a")
    assert (found["value"], found["rule"]["why"], found["conflicts"]) == (2, ["only", "decided"], [])
    decision = found["candidates"][0]
    assert [w["superseded_by"][-1]["operation_id"] for w in found["superseded"][:2]] == [decision["operation_id"]] * 2
    assert found["superseded"][0]["superseded_by"][0]["resolves"] is not None
    mesh.close()


def test_a_field_of_an_entity_kept_whole_is_explained_by_who_wrote_it_and_who_only_carried_it(tmp_path: Path) -> None:
    mesh, ana, bia = two_sides(tmp_path)
    collide(mesh, ana, bia, ("cashier_operations", "k-1"), {"a": 0, "note": "x"})
    found = report(mesh.worlds[0], ("cashier_operations", "k-1"), "note")
    assert found["rule"]["why"] == ["whole_entity", "first_written"]
    assert [(w["value"], w["named"]) for w in found["candidates"]] == [("x", False)] * 2
    assert [(w["value"], w["named"]) for w in found["superseded"]] == [("x", True)]
    assert found["candidates"][0]["data"] == {"a": 1, "note": "x"}
    assert found["conflicts"][0]["freezes"]
    mesh.close()


def test_equal_concurrent_writes_agree(tmp_path: Path) -> None:
    mesh, ana, bia = two_sides(tmp_path)
    for client in (ana, bia):
        client.do("products", "p-1", "UPDATE", {"a": 7})
    mesh.settle(lambda: ana.receive() + bia.receive())
    found = report(mesh.worlds[0], ("products", "p-1"), "a")
    assert (found["value"], found["rule"]["why"]) == (7, ["agreed"])
    assert [w["state"] for w in found["candidates"]] == ["shown", "shown"]
    mesh.close()


def test_a_deleted_entity_shows_who_deleted_it_and_what_it_had(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    deletion = ana.do("orders", "o-1", "DELETE", {"deleted_at": "2026-01-15T23:00:00.000Z"})
    found = report(world, ("orders", "o-1"), "a")
    assert (found["value"], found["deleted"], found["rule"]["why"]) == (1, True, ["only", "deleted"])
    found = report(world, ("orders", "o-1"), "deleted_at")
    assert found["value"] == "2026-01-15T23:00:00.000Z"
    assert [w["operation_id"] for w in found["candidates"]] == [deletion["operation_id"]]


def test_a_deletion_that_an_update_outlived_is_a_candidate(tmp_path: Path) -> None:
    mesh, ana, bia = two_sides(tmp_path)
    collide(mesh, ana, bia, ("products", "p-1"), {"a": 0}, then="DELETE")
    found = report(mesh.worlds[0], ("products", "p-1"), "deleted_at")
    assert (found["deleted"], found["absent"]) == (False, True)
    assert [(w["state"], w["terminal_id"]) for w in found["candidates"]] == [("candidate", "bia")]
    assert report(mesh.worlds[0], ("products", "p-1"), "a")["rule"]["why"] == ["only", "revived"]
    mesh.close()


def test_clocks_are_told_as_the_client_sent_them_and_as_they_count(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1}, timestamp="2030-01-01T00:00:00-03:00", user_id="Ana")
    (written,) = report(world, ("orders", "o-1"), "a")["candidates"]
    assert written["timestamp"] == "2030-01-01T00:00:00-03:00"
    assert written["effective_timestamp"] == iso(world.wall_ms)
    assert written["clock"]["counted_as"] == iso(world.wall_ms)
    assert written["clock"]["en"].startswith("its clock was 1446 d 17 h ahead; counted as 2026-01-15T10:00")
    assert written["accepted_at"] == iso(world.wall_ms)
    assert millis(explained(world, ("orders", "o-1"), "a").writings[0].record.accepted) == written["accepted"][0]
    assert (written["user_id"], written["lock_status"], written["version"]) == ("user-1", "unlocked", 1)


def test_a_refused_write_is_told_until_it_is_accepted(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o-1", "timeout": 1_000})
    settle_all(world, [ana, bia])
    operation = bia.operation("orders", "o-1", "UPDATE", {"a": 2})
    bia.submit(operation)
    settle_all(world, [ana, bia])
    found = report(world, ("orders", "o-1"), "a")
    assert [(act["operation_id"], act["value"]) for act in found["refused"]] == [(operation["id"], 2)]
    world.advance(60_000)
    bia.submit(operation)
    settle_all(world, [ana, bia])
    found = report(world, ("orders", "o-1"), "a")
    assert (found["value"], found["refused"]) == (2, [])


def test_a_bulk_update_is_explained_by_what_it_says_of_the_entity(world: World) -> None:
    ana = Client(world, "ana").connect()
    updates = [{"entity_id": f"p-{n}", "data": {"a": n}} for n in range(3)]
    ana.do("products", None, "BULK_UPDATE", {"updates": updates})
    (written,) = report(world, ("products", "p-2"), "a")["candidates"]
    assert (written["value"], written["named"], written["terminal_id"]) == (2, True, "ana")


def test_a_field_that_nobody_wrote_is_told_as_such_and_the_version_as_a_count(world: World) -> None:
    ana = Client(world, "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"a": 1})
    found = report(world, ("orders", "o-1"), "zzz")
    assert (found["absent"], found["rule"]["why"], found["candidates"]) == (True, ["unwritten"], [])
    found = report(world, ("orders", "o-1"), "version")
    assert (found["value"], found["rule"]["why"]) == (1, ["counted"])


def test_only_the_latest_superseded_values_are_listed_where_there_are_many(world: World) -> None:
    ana = Client(world, "ana").connect()
    for number in range(30):
        ana.do("orders", "o-1", "UPDATE", {"a": number})
    found = explained(world, ("orders", "o-1"), "a").report(5)
    assert [w["value"] for w in found["superseded"]] == [28, 27, 26, 25, 24]  # type: ignore[union-attr,index]
    assert found["superseded_total"] == 29


def test_of_archived_rows_what_is_still_live_is_told_and_up_to_where_the_rest_is_archived(world: World) -> None:
    ana = Client(world, "ana").connect()
    for number in range(5):
        ana.do("orders", "o-1", "UPDATE", {"a": number, f"b{number}": 0})
    archive(world, 3)
    found = report(world, ("orders", "o-1"), "a")
    assert (found["value"], found["archived"]) == (4, 3)
    assert [(w["value"], w["origin"]) for w in found["superseded"]] == [(3, "node-a"), (2, None)]
    assert [killer["operation_id"] for w in found["superseded"] for killer in w["superseded_by"]] == [
        "ana.op-4",
        "ana.op-3",
    ]
    found = report(world, ("orders", "o-1"), "b1")
    assert [(w["state"], w["terminal_id"], w["user_id"]) for w in found["candidates"]] == [("shown", "ana", None)]
    archive(world)
    assert report(world, ("orders", "o-1"), "a")["value"] == 4
