"""What is stored against the log it came from: nothing is found on healthy stores, and what is wrong is named."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from click.testing import CliRunner

from node.cli import main
from node.config.conservation import Conservation, Sign
from node.core.history.verify import Mismatch, Verification
from storage.audit import chain_walk
from storage.sqlite.history_reader import HistoryReader
from storage.sqlite.reader import Reader
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.evening import Evening
from tests.scenarios.seeds import FEW_SEEDS
from tests.simulation.slips import defect
from tests.storage.rows import sum_rows

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import EntityRow


TAB = Conservation(
    name="tab",
    of="orders",
    amount="total",
    equals="customers.owes",
    group_by="customer",
    sign=Sign("kind", plus=["sale"], minus=["payment"], zero=["gift"]),
)
"""What customers owe is what was put on their tab."""


def found(world: World, *rules: Conservation) -> list[Mismatch]:
    with closing(HistoryReader(world.store.path)) as reader:
        return list(Verification(reader, world.core.replica.registry, rules).run())


def words(world: World, *rules: Conservation) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in found(world, *rules)]


def tamper(world: World, sql: str, *values: object) -> None:
    assert world.store.connection.execute(sql, values).rowcount == 1
    sum_rows(world.store.connection)


def sale(client: Client, order: str, total: object, customer: str = "rita", kind: str = "sale") -> str:
    data = {"customer": customer, "total": total, "kind": kind}
    return str(client.do("orders", order, "UPDATE", data)["operation_id"])


def owes(client: Client, total: object, customer: str = "rita") -> str:
    return str(client.do("customers", customer, "UPDATE", {"owes": total})["operation_id"])


@pytest.fixture
def store(world: World) -> World:
    """Two orders, a customer with an open conflict, a frozen withdrawal, a dead product."""
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    for client, phone in ((ana, "1"), (bia, "2")):
        client.write("customers", "rita", "UPDATE", {"phone": phone})
        client.write("cashier_operations", "k-1", "UPDATE", {"amount": int(phone)})
    settle_all(world, [ana, bia])
    ana.do("orders", "o-1", "CREATE", {"status": "pending", "total": 10})
    ana.do("orders", "o-1", "UPDATE", {"status": "ready"})
    ana.do("orders", "o-2", "CREATE", {"status": "pending"})
    ana.do("products", "p-1", "CREATE", {"price": 1})
    ana.do("products", "p-1", "DELETE", {})
    settle_all(world, [ana, bia])
    return world


# ------------------------------------------------------------------ healthy


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_nothing_is_found_on_nodes_that_wrote_apart_broke_off_and_agreed(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    for world in evening.mesh.worlds:
        assert found(world) == [], (seed, world.node_id)
    evening.mesh.close()


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_nothing_is_found_on_nodes_that_archived_the_beginning_of_their_logs(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
        if evening.rng.random() < 0.03:
            world = evening.rng.choice(evening.mesh.worlds)
            world.settle()
            archive(world, evening.rng.randrange(world.store.head + 1))
    evening.end()
    for world in evening.mesh.worlds:
        assert found(world) == [], (seed, world.node_id)
    evening.mesh.close()


def test_nothing_is_found_after_a_first_synchronisation(tmp_path: Path, store: World) -> None:
    mesh = Mesh(tmp_path / "mesh", 2, [(1, 0, True)])
    ana = Client(mesh.worlds[0], "ana").connect()
    for number in range(30):
        ana.do("orders", f"o-{number}", "CREATE", {"n": number})
        ana.do("orders", f"o-{number}", "UPDATE", {"n": -number})
    mesh.settle()
    assert found(mesh.worlds[1]) == []
    mesh.close()


def test_nothing_is_found_while_the_node_writes_and_sums_are_those_of_when_it_began(world: World) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 5)
    owes(ana, 5)

    def write(part: str, done: int) -> None:
        sale(ana, "o-1", 100 + done)
        sale(ana, f"new-{done}", 7)

    with closing(HistoryReader(world.store.path)) as reader:
        verification = Verification(reader, world.core.replica.registry, [TAB], progress=write)
        assert list(verification.run()) == []
    assert len(found(world, TAB)) == 1


def test_an_entity_that_is_written_while_it_is_looked_at_is_no_finding(
    store: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Client(store, "carla").connect()

    def entity_then_write(self: Reader, entity_type: str, entity_id: str) -> EntityRow | None:
        row = read(self, entity_type, entity_id)
        writer.do(entity_type, entity_id, "UPDATE", {"phone": str(store.wall_ms)})
        return row

    with closing(HistoryReader(store.store.path)) as history:
        read = Reader.entity
        monkeypatch.setattr(Reader, "entity", entity_then_write)
        assert list(Verification(history, store.core.replica.registry).run()) == []


# ------------------------------------------------------------------ each thing that may be wrong


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            """view = '{"status":"paid","total":10,"version":2}'""",
            'orders o-1: view shows status as "paid", the log gives "ready"',
        ),
        (
            """view = '{"status":"ready","version":2}'""",
            "orders o-1: view shows total as nothing, the log gives 10",
        ),
        ("view = 'paid'", "orders o-1: view cannot be read"),
        ("version = 7", "orders o-1: version is stored as 7, the log gives 2"),
        ("deleted = 1", "orders o-1: is stored as deleted, the log says otherwise"),
        ("snapshot = X'0102'", "orders o-1: snapshot cannot be read: unexpected end at byte 2"),
    ],
)
def test_an_edited_entity_is_named_with_what_was_edited(store: World, change: str, what: str) -> None:
    tamper(store, f"UPDATE entities SET {change} WHERE entity_id = 'o-1'")
    assert words(store) == [what]


def test_a_snapshot_of_an_earlier_time_is_named_with_the_operation_it_lacks(store: World) -> None:
    old = store.reader.entity("orders", "o-1")
    assert old is not None
    Client(store, "ana2").connect().do("orders", "o-1", "UPDATE", {"total": 12})
    tamper(store, "UPDATE entities SET snapshot = ? WHERE entity_id = 'o-1'", old.snapshot)
    said = words(store)
    assert any("snapshot lacks what operation ana2.op-0 of ana2 wrote to total" in line for line in said), said
    assert all(line.startswith("orders o-1: ") for line in said)


def test_a_snapshot_with_another_value_is_named(store: World) -> None:
    row = store.reader.entity("orders", "o-1")
    assert row is not None
    forged = row.snapshot.replace(b'"ready"', b'"paid!"')
    tamper(store, "UPDATE entities SET snapshot = ? WHERE entity_id = 'o-1'", forged)
    assert words(store) == [
        "orders o-1: snapshot has what operation ana.op-3 of ana wrote to status otherwise than the log"
    ]


def test_a_removed_entity_and_one_that_was_never_written_are_named(store: World) -> None:
    tamper(store, "DELETE FROM entities WHERE entity_id = 'o-2'")
    tamper(
        store,
        "INSERT INTO entities SELECT 'orders', 'o-3', version, deleted, view, snapshot, seen, seq, 0 "
        "FROM entities WHERE entity_id = 'o-1'",
    )
    assert words(store) == [
        "orders o-2: is in the log, and was removed from the table of entities",
        "orders o-3: is in the table of entities, and not in the log",
    ]


def test_a_removed_an_edited_a_closed_and_an_invented_conflict_are_named(store: World) -> None:
    rows = {row.entity_id: row.conflict_id for row in store.reader.conflicts("open")}
    phone, drawer = rows["rita"], rows["k-1"]
    tamper(store, "DELETE FROM conflicts WHERE conflict_id = ?", phone)
    tamper(store, "UPDATE conflicts SET state = 'closed' WHERE conflict_id = ?", drawer)
    tamper(
        store,
        "INSERT INTO conflicts SELECT 'conflict-x', entity_type, entity_id, path, operations, type, 'open', body, "
        "created_at, closed_by, outcome, seq, 0 FROM conflicts WHERE conflict_id = ?",
        drawer,
    )
    assert words(store) == [
        f"cashier_operations k-1: conflict {drawer} is stored as closed, the log gives it as open",
        f"customers rita: open conflict {phone} was removed from the table of conflicts",
        "cashier_operations k-1: conflict conflict-x is stored as open, the log has none such",
    ]


def test_a_conflict_with_another_body_is_named(store: World) -> None:
    (row,) = [row for row in store.reader.conflicts("open") if row.entity_id == "rita"]
    body = orjson.dumps({**orjson.loads(row.body), "local_data": {"phone": "9"}})
    tamper(store, "UPDATE conflicts SET body = ? WHERE conflict_id = ?", body, row.conflict_id)
    assert words(store) == [
        f"customers rita: conflict {row.conflict_id} is stored with another body than the log gives"
    ]


def test_a_damaged_row_of_the_log_is_named_and_everything_else_still_looked_at(store: World) -> None:
    (seq,) = [row.seq for row in store.reader.audit("orders", "o-2")]
    tamper(store, f"UPDATE log SET updates = X'5b' WHERE seq = {seq}")
    tamper(store, "UPDATE entities SET version = 9 WHERE entity_id = 'p-1'")
    said = words(store)
    assert len(said) == 2
    assert said[0].startswith(f"orders o-2: row {seq}: unreadable updates")
    assert said[1] == "products p-1: version is stored as 9, the log gives 2"
    with closing(HistoryReader(store.store.path)) as history:
        assert [finding.seq for finding in chain_walk.verify(history.reader)] == [seq]


def test_a_removed_row_of_the_log_is_named_by_what_builds_on_it(store: World) -> None:
    first, second = [row.seq for row in store.reader.audit("orders", "o-1")]
    tamper(store, f"DELETE FROM log WHERE seq = {first}")
    assert f"orders o-1: row {second} of the log builds on something that is not there" in words(store)


def test_an_entity_whose_rows_are_archived_is_still_held_against_its_document(store: World) -> None:
    archive(store)
    assert found(store) == []
    tamper(store, """UPDATE entities SET view = '{"status":"paid","total":10,"version":2}' WHERE entity_id = 'o-1'""")
    tamper(store, "DELETE FROM entities WHERE entity_id = 'o-2'")
    assert words(store) == [
        'orders o-1: view shows status as "paid", the log gives "ready"',
        "orders o-2: is in the log, and was removed from the table of entities",
    ]


def test_entities_of_a_type_that_the_configuration_does_not_know_are_named_once(store: World) -> None:
    for name in ("a", "b"):
        store.store.connection.execute(
            "INSERT INTO entities SELECT 'drawers', ?, version, deleted, view, snapshot, seen, seq, 0 "
            "FROM entities WHERE entity_id = 'o-1'",
            (name,),
        )
    assert words(store) == ["drawers: is no entity type of this configuration"]


# ------------------------------------------------------------------ sums


# ------------------------------------------------------------------ the command


def run(world: World, *flags: str) -> Any:
    return CliRunner().invoke(main, ["verify", "--data", str(world.directory), *flags])


def test_the_command_verifies_a_store_also_while_the_node_has_it_open(store: World) -> None:
    result = run(store)
    assert (result.exit_code, result.output) == (
        0,
        f"conferem / verified: {store.store.head} linhas / rows, 5 entidades / entities, 0 somas / sums\n",
    )


def test_the_command_says_what_is_wrong_and_exits_with_1(store: World) -> None:
    tamper(store, "UPDATE entities SET version = 9 WHERE entity_id = 'p-1'")
    tamper(store, "UPDATE log SET status = 'lost' WHERE seq = 3")
    result = run(store)
    assert result.exit_code == 1
    assert "seq 3: row 3 was edited" in result.output
    assert "products p-1: version is stored as 9, the log gives 2" in result.output
    assert "2 problema(s) / problem(s)" in result.output


def test_the_command_says_so_where_there_is_no_store(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "--data", str(tmp_path / "nothing")])
    assert (result.exit_code, "unable to open database file" in result.output) == (1, True)


def test_a_value_that_a_repair_took_and_nobody_replaced_is_named(tmp_path: Path) -> None:
    """A repair that removes every copy of an operation, instead of those whose like was replaced."""
    careless = defect("", "", ("node.core.operations.two_writers:outlived", " and r.path in replaced", ""))
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    for world in mesh.worlds:
        tablet = Client(world, "tablet").connect()
        tablet.do("customers", "ana", "UPDATE", {"phone": "1"}, id="op-1", timestamp=None)
        tablet.disconnect()
    with careless.present():
        mesh.settle()
    for world in mesh.worlds:
        assert "phone" not in world.view("customers").get("ana", {})
        said = words(world)
        assert said
        assert all("op-1 of tablet wrote to phone is gone: n" in line for line in said), said
    mesh.close()


def test_nothing_is_lost_where_one_copy_was_replaced(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    for world in mesh.worlds:
        tablet = Client(world, "tablet").connect()
        tablet.do("customers", "ana", "UPDATE", {"phone": "1"}, id="op-1", timestamp=None)
        tablet.disconnect()
    other = Client(mesh.worlds[1], "bia").connect()
    settle_all(mesh.worlds[1], [other])
    other.do("customers", "ana", "UPDATE", {"phone": "2"})
    mesh.settle(other.receive)
    for world in mesh.worlds:
        assert world.view("customers")["ana"]["phone"] == "2"
        assert words(world) == []
    mesh.close()
