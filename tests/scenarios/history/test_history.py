"""What the log gives back: every document as it was at any place and time, of random histories on the real cores."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from crdt.document import Document
from crdt.engine import DEFAULT, INSTALLED
from crdt.hlc import iso, millis
from crdt.json_values import canonical
from node.core.history.rebuild import (
    HistoryError,
    Rebuilt,
    at_seq,
    at_time,
    from_operations,
)
from storage.sqlite.history_reader import HistoryReader
from tests.archives import archive
from tests.harness import Client, settle_all
from tests.mesh import Mesh
from tests.scenarios.evening import TYPES, Evening
from tests.scenarios.seeds import FEW_SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import EntityRow
    from tests.harness import World

ENGINE = DEFAULT

Key = tuple[str, str]
Stored = dict[Key, "EntityRow"]


def history(world: World) -> HistoryReader:
    return HistoryReader(world.store.path)


def stored(world: World) -> Stored:
    """Every entity as the node has it, dead ones too."""
    rows = [row for kind in TYPES for row in world.reader.entities(kind, None, 100_000, deleted=True)]
    return {(row.entity_type, row.entity_id): row for row in rows}


def policy_of(world: World, key: Key) -> Any:
    return world.core.replica.registry.get(key[0])


def content(document: Document) -> object:
    """All that merges: live records, headers and the state vector."""
    records = sorted((r.id, r.path, canonical(r.value), r.stamp, r.terminal, r.operation) for r in document.records())
    headers = {writer: (header.clock, header.n) for writer, header in document.headers.items()}
    return records, headers, document.vector


def shows(rebuilt: Rebuilt, row: EntityRow) -> bool:
    entity = rebuilt.entity()
    seen = orjson.dumps(entity.shown(), option=orjson.OPT_SORT_KEYS)
    same = seen == orjson.dumps(orjson.loads(row.view), option=orjson.OPT_SORT_KEYS)
    return same and entity.view.alive != row.deleted and entity.document.version == row.version


def play(evening: Evening, every: int) -> list[tuple[World, int, Stored]]:
    """The evening to its end; what each node stored at its log's head, now and then."""
    noted = []
    for number in range(evening.rng.randrange(20, 200)):
        evening.step()
        if number % every == 0:
            for world in evening.mesh.worlds:
                world.settle()
                noted.append((world, world.store.head, stored(world)))
    evening.end()
    return noted


# ------------------------------------------------------------------ now


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_operations_in_any_order_give_the_stored_document_and_view(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    play(evening, 50)
    rng = random.Random(seed)
    for world in evening.mesh.worlds:
        with closing(history(world)) as reader:
            for key, row in stored(world).items():
                rows = list(reader.entity_rows(key))
                rng.shuffle(rows)
                rebuilt = from_operations(rows, key, policy_of(world, key), ENGINE)
                assert not rebuilt.waiting, (seed, key)
                document = Document.load(row.snapshot, writer=1, engine=ENGINE)
                assert content(rebuilt.document) == content(document), (seed, key)
                assert shows(rebuilt, row), (seed, key)
    evening.mesh.close()


def test_a_long_history_backwards_waits_and_then_goes_on_to_the_end(world: World) -> None:
    ana = Client(world, "ana").connect()
    for number in range(1_500):
        ana.write("orders", "o-1", "UPDATE", {"n": number})
    world.settle()
    with closing(history(world)) as reader:
        rows = list(reader.entity_rows(("orders", "o-1")))
    rebuilt = Rebuilt.begin(("orders", "o-1"), policy_of(world, ("orders", "o-1")), ENGINE)
    for row in reversed(rows[1:]):
        rebuilt.take(row)
    assert len(rebuilt.waiting) == 1_499
    assert not rebuilt.exists
    rebuilt.take(rows[0])
    assert not rebuilt.waiting
    assert rebuilt.entity().shown() == {"n": 1_499, "version": 1_500}


@pytest.mark.parametrize("engine", INSTALLED)
def test_a_document_is_rebuilt_whoever_wrote_it(world: World, engine: str) -> None:
    """Also under the client id that the rebuilding document began with."""
    world.core.replica.residents.write_as(1)
    ana = Client(world, "ana").connect()
    ana.do("products", "p-1", "CREATE", {"price": 1})
    world.core.replica.residents.write_as(2)
    ana.do("products", "p-1", "UPDATE", {"price": 2})
    with closing(history(world)) as reader:
        key = ("products", "p-1")
        assert shows(from_operations(reader.entity_rows(key), key, policy_of(world, key), engine), stored(world)[key])


@pytest.mark.parametrize("change", ["updates = X'5b'", "updates = X'5b5b315d5d'", "updates = CAST('{}' AS BLOB)"])
def test_a_damaged_row_is_named(world: World, change: str) -> None:
    ana = Client(world, "ana").connect()
    for price in (1, 2, 3):
        ana.do("products", "p-1", "UPDATE", {"price": price})
    world.store.connection.execute(f"UPDATE log SET {change} WHERE seq = 2")
    key = ("products", "p-1")
    with closing(history(world)) as reader:
        rebuilt = Rebuilt.begin(key, policy_of(world, key), ENGINE)
        failed = []
        for row in reader.entity_rows(key):
            try:
                rebuilt.take(row)
            except HistoryError as error:
                failed.append(error.seq)
    assert failed == [2] or rebuilt.waiting == [3]


# ------------------------------------------------------------------ then


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_what_was_shown_at_a_row_of_the_log_is_shown_again(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    for world, head, entities in play(evening, 10):
        with closing(history(world)) as reader:
            for key in reader.entity_keys():
                then = at_seq(reader.entity_rows(key), head, key, policy_of(world, key), ENGINE)
                assert then.exists == (key in entities), (seed, world.node_id, head, key)
                if key in entities:
                    assert shows(then, entities[key]), (seed, world.node_id, head, key)
    evening.mesh.close()


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_what_a_node_showed_at_a_time_is_shown_again(world: World, seed: int) -> None:
    rng = random.Random(seed)
    clients = [Client(world, f"t{n}").connect() for n in range(3)]
    noted: list[tuple[int, Stored]] = []
    for number in range(rng.randrange(10, 60)):
        client = rng.choice(clients)
        kind = rng.choice(["CREATE", "UPDATE", "UPDATE", "UPDATE", "DELETE"])
        data = {} if kind == "DELETE" else {rng.choice("ab"): number}
        client.write(rng.choice(TYPES), f"e-{rng.randrange(3)}", kind, data)
        if rng.random() < 0.5:
            settle_all(world, clients)
        world.settle()
        noted.append((world.wall_ms, stored(world)))
    with closing(history(world)) as reader:
        for ms, entities in noted:
            for key in reader.entity_keys():
                past = at_time(reader.entity_rows(key), ms, key, policy_of(world, key), ENGINE)
                assert past is not None
                assert past.exists == (key in entities), (seed, ms, key)
                assert key not in entities or shows(past, entities[key]), (seed, ms, key)


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_nodes_that_agree_now_agree_on_every_time_before(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    play(evening, 50)
    first, *others = evening.mesh.worlds
    with closing(history(first)) as reader:
        keys = list(reader.entity_keys())
        times = [millis(row.accepted) for key in keys for row in reader.entity_rows(key, ("operation",))]
    rng = random.Random(seed)
    for ms in rng.sample(times, min(len(times), 8)):
        assert len({then(world, keys, ms) for world in (first, *others)}) == 1, (seed, iso(ms))
    evening.mesh.close()


def then(world: World, keys: list[Key], ms: int) -> bytes:
    """What a node says of a time, as text."""
    found: dict[str, object] = {}
    with closing(history(world)) as reader:
        for key in keys:
            past = at_time(reader.entity_rows(key), ms, key, policy_of(world, key), ENGINE)
            assert past is not None
            entity = past.entity()
            found["/".join(key)] = (past.exists, entity.view.alive, entity.shown())
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


# ------------------------------------------------------------------ whole states


def synchronised(directory: Path) -> tuple[Mesh, int]:
    """A hub with two writes of one order, and a node that was empty; and when the first of them had been made."""
    mesh = Mesh(directory, 2, [(1, 0, True)])
    ana = Client(mesh.worlds[0], "ana").connect()
    ana.do("orders", "o-1", "CREATE", {"status": "pending", "table": 4})
    between = mesh.worlds[0].wall_ms
    ana.do("orders", "o-1", "UPDATE", {"status": "ready"})
    mesh.settle()
    ana.do("orders", "o-1", "UPDATE", {"status": "paid"})
    mesh.settle()
    return mesh, between


def test_after_a_first_synchronisation_the_state_is_there_first_and_history_tells_what_was_before(
    tmp_path: Path,
) -> None:
    mesh, between = synchronised(tmp_path)
    node, key = mesh.worlds[1], ("orders", "o-1")
    with closing(history(node)) as reader:
        rows = list(reader.entity_rows(key))
        assert rows[0].kind == "state"
        assert [row.kind for row in rows[1:]] == ["operation"] * 3
        policy = policy_of(node, key)
        assert at_seq(rows, rows[0].seq, key, policy, ENGINE).entity().shown()["status"] == "ready"
        past = at_time(rows, between, key, policy, ENGINE)
    assert past is not None
    assert past.entity().shown() == {"status": "pending", "table": 4, "version": 1}
    mesh.close()


def test_where_only_a_state_came_the_time_before_it_is_not_told(tmp_path: Path) -> None:
    """As if the operations it is made of had been pruned everywhere: also where the log has one of them."""
    mesh, between = synchronised(tmp_path)
    node, key = mesh.worlds[1], ("orders", "o-1")
    policy = policy_of(node, key)
    with closing(history(node)) as reader:
        state, first, second, last = reader.entity_rows(key)
    for rows in ([state, last], [state, second, last], [state, first, last]):
        assert at_time(rows, between, key, policy, ENGINE) is None
        now = at_time(rows, node.wall_ms, key, policy, ENGINE)
        assert now is not None
        assert shows(now, stored(node)[key])
        assert shows(from_operations(rows, key, policy, ENGINE), stored(node)[key])
    mesh.close()


# ------------------------------------------------------------------ archived beginnings


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_what_was_shown_since_the_archived_rows_is_shown_again(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    noted = play(evening, 10)
    for world in evening.mesh.worlds:
        archive(world, evening.rng.randrange(world.store.head + 1))
    for world, head, entities in noted:
        if head < world.store.anchor.seq:
            continue
        with closing(history(world)) as reader:
            for key in reader.entity_keys():
                base = reader.entity_base(key)
                then = at_seq(reader.entity_rows(key), head, key, policy_of(world, key), ENGINE, base)
                assert then.exists == (key in entities), (seed, world.node_id, head, key)
                assert key not in entities or shows(then, entities[key]), (seed, world.node_id, head, key)
    for world in evening.mesh.worlds:
        with closing(history(world)) as reader:
            for key, row in stored(world).items():
                rows = list(reader.entity_rows(key))
                rebuilt = from_operations(reversed(rows), key, policy_of(world, key), ENGINE, reader.entity_base(key))
                assert not rebuilt.waiting, (seed, key)
                assert shows(rebuilt, row), (seed, key)
    evening.mesh.close()


def test_a_time_before_the_archived_rows_is_not_told_and_one_after_them_is(world: World) -> None:
    ana, key = Client(world, "ana").connect(), ("orders", "o-1")
    times = []
    for number in range(4):
        ana.do(*key, "UPDATE", {"n": number})
        times.append(world.wall_ms)
        world.advance(1_000)
    archive(world, 2)
    with closing(history(world)) as reader:
        past = [
            at_time(reader.entity_rows(key), ms, key, policy_of(world, key), ENGINE, reader.entity_base(key))
            for ms in times
        ]
    assert past[0] is None
    assert [rebuilt and rebuilt.entity().shown()["n"] for rebuilt in past[1:]] == [1, 2, 3]
