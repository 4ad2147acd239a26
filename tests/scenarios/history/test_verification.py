"""What is stored against the log it came from: nothing is found on healthy stores, and what is wrong is named."""

from __future__ import annotations

import os
import random
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from click.testing import CliRunner

from node.cli.verify import verify
from node.config.sections import Config, Conservation, Sign
from node.core.history.verify import Mismatch, Verification
from node.errors import ConfigError
from storage.audit import chain_walk
from storage.sqlite.history_reader import HistoryReader
from storage.sqlite.reader import Reader
from tests.archives import archive
from tests.harness import Client, World, settle_all
from tests.mesh import Mesh
from tests.scenarios.links.test_links import Evening

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import EntityRow

EXAMPLES = int(os.environ.get("COMANDA_EXAMPLES", "50"))
FIRST = int(os.environ.get("COMANDA_SEED", "1"))
SEEDS = range(FIRST, FIRST + max(EXAMPLES // 4, 1))

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


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_on_nodes_that_wrote_apart_broke_off_and_agreed(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    for world in evening.mesh.worlds:
        assert found(world) == [], (seed, world.node_id)
    evening.mesh.close()


@pytest.mark.parametrize("seed", SEEDS)
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
    assert any("snapshot lacks what operation ana2.op-0 wrote to total" in line for line in said), said
    assert all(line.startswith("orders o-1: ") for line in said)


def test_a_snapshot_with_another_value_is_named(store: World) -> None:
    row = store.reader.entity("orders", "o-1")
    assert row is not None
    forged = row.snapshot.replace(b'"ready"', b'"paid!"')
    tamper(store, "UPDATE entities SET snapshot = ? WHERE entity_id = 'o-1'", forged)
    assert words(store) == ["orders o-1: snapshot has what operation ana.op-3 wrote to status otherwise than the log"]


def test_a_removed_entity_and_one_that_was_never_written_are_named(store: World) -> None:
    tamper(store, "DELETE FROM entities WHERE entity_id = 'o-2'")
    tamper(
        store,
        "INSERT INTO entities SELECT 'orders', 'o-3', version, deleted, view, snapshot, seen, seq "
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
        "created_at, closed_by, outcome, seq FROM conflicts WHERE conflict_id = ?",
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
            "INSERT INTO entities SELECT 'drawers', ?, version, deleted, view, snapshot, seen, seq "
            "FROM entities WHERE entity_id = 'o-1'",
            (name,),
        )
    assert words(store) == ["drawers: is no entity type of this configuration"]


# ------------------------------------------------------------------ sums


def sale(client: Client, order: str, total: object, customer: str = "rita", kind: str = "sale") -> str:
    data = {"customer": customer, "total": total, "kind": kind}
    return str(client.do("orders", order, "UPDATE", data)["operation_id"])


def owes(client: Client, total: object, customer: str = "rita") -> str:
    return str(client.do("customers", customer, "UPDATE", {"owes": total})["operation_id"])


def test_a_sum_that_comes_out_is_no_finding_and_decimals_are_exact(world: World) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 0.1)
    sale(ana, "o-2", 0.2)
    sale(ana, "o-3", "100.05", kind="payment")
    sale(ana, "o-4", 99, kind="gift")
    owes(ana, -99.75)
    sale(ana, "o-5", 5, customer="ivo")
    ana.do("orders", "o-5", "DELETE", {})
    assert found(world, TAB) == []


def test_a_broken_sum_names_the_operation_after_which_it_never_came_out_again(world: World) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 10)
    owes(ana, 10)
    sale(ana, "o-2", 5)
    owes(ana, 14)  # a mistake that is mended
    owes(ana, 15)
    breaking = sale(ana, "o-1", 12.5)
    owes(ana, 18)
    (finding,) = found(world, TAB)
    assert finding.where == "tab: orders o-1"
    assert finding.what == (
        "orders of rita add up to 17.5, customers.owes says 18, "
        f"since operation {breaking} of ana (row {finding.seq})"
    )


def test_a_deletion_that_nobody_booked_is_the_operation_named(world: World) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 10)
    owes(ana, 10)
    deletion = ana.do("orders", "o-1", "DELETE", {})["operation_id"]
    sale(ana, "o-2", 1, customer="ivo")
    owes(ana, 1, customer="ivo")
    (finding,) = found(world, TAB)
    assert (finding.where, f"operation {deletion} of ana" in finding.what) == ("tab: orders o-1", True)


def test_a_bulk_update_that_keeps_a_sum_in_balance_breaks_nothing(world: World) -> None:
    ana = Client(world, "ana").connect()
    for order in ("o-1", "o-2"):
        sale(ana, order, 5)
    owes(ana, 10)
    updates = [{"entity_id": "o-1", "data": {"total": 7}}, {"entity_id": "o-2", "data": {"total": 3}}]
    ana.do("orders", None, "BULK_UPDATE", {"updates": updates})
    assert found(world, TAB) == []
    updates = [{"entity_id": "o-1", "data": {"total": 8}}, {"entity_id": "o-2", "data": {"total": 3}}]
    bulk = ana.do("orders", None, "BULK_UPDATE", {"updates": updates})["operation_id"]
    (finding,) = found(world, TAB)
    assert f"operation {bulk} of ana" in finding.what


def test_a_sum_that_broke_in_what_is_archived_is_told_as_such(world: World) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 10)
    owes(ana, 9)
    archive(world)
    ana.do("orders", "o-1", "UPDATE", {"note": "later"})
    (finding,) = found(world, TAB)
    assert finding.what == (
        f"orders of rita add up to 10, customers.owes says 9, since row {finding.seq} or before, which is archived"
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"total": "dez"}, "total is no number: 'dez'"),
        ({"total": True}, "total is no number: True"),
        ({"kind": "refund"}, "kind is neither plus nor minus: 'refund'"),
        ({"customer": None}, "customer names no group: None"),
    ],
)
def test_what_cannot_be_counted_is_named_with_the_operation_that_made_it_so(
    world: World, data: dict[str, Any], what: str
) -> None:
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 10)
    wrong = ana.do("orders", "o-1", "UPDATE", data)["operation_id"]
    ana.do("orders", "o-1", "UPDATE", {"note": "later"})
    (finding,) = found(world, TAB)
    assert finding.where == "tab: orders o-1"
    assert finding.what == f"{what}, since operation {wrong} of ana (row {finding.seq})"


def test_a_sum_may_have_to_be_a_number(world: World) -> None:
    rule = Conservation("transfers", "cashier_operations", "amount", "0")
    ana = Client(world, "ana").connect()
    ana.do("cashier_operations", "k-1", "CREATE", {"amount": -50})
    there = ana.do("cashier_operations", "k-2", "CREATE", {"amount": 49.9})["operation_id"]
    (finding,) = found(world, rule)
    assert "cashier_operations of all add up to -0.1, the rule says 0" in finding.what
    assert there not in finding.what
    ana.do("cashier_operations", "k-2", "UPDATE", {"amount": 50})
    assert found(world, rule) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_of_random_bookings_the_one_that_broke_the_sum_for_good_is_named(world: World, seed: int) -> None:
    rng = random.Random(seed)
    ana = Client(world, "ana").connect()
    since: dict[str, str | None] = dict.fromkeys(("rita", "ivo"))
    for _ in range(rng.randrange(5, 40)):
        customer, choice = rng.choice(("rita", "ivo")), rng.random()
        if choice < 0.5:
            operation = sale(
                ana, f"o-{rng.randrange(4)}", rng.randrange(5) / 10, customer, rng.choice(("sale", "payment"))
            )
        elif choice < 0.6:
            operation = str(ana.do("orders", f"o-{rng.randrange(4)}", "DELETE", {})["operation_id"])
        else:
            exact = rng.random() < 0.7
            operation = owes(ana, float(tab(world, customer)) if exact else rng.randrange(3) / 10, customer)
        for name in since:
            held = world.view("customers").get(name, {}).get("owes", 0)
            level = tab(world, name) == Decimal(repr(held))
            since[name] = None if level else since[name] or operation
    said = {line.partition(": ")[2] for line in words(world, TAB)}
    assert len(said) == sum(operation is not None for operation in since.values()), (seed, said)
    for name, operation in since.items():
        if operation is not None:
            assert any(f"orders of {name} " in line and f"operation {operation} of" in line for line in said), (
                seed,
                name,
                operation,
                said,
            )


def tab(world: World, customer: str) -> Decimal:
    """What the sum should be, added up from the views."""
    orders = [order for order in world.view("orders").values() if order.get("customer") == customer]
    signs = {"sale": 1, "payment": -1}
    return sum((signs[order["kind"]] * Decimal(repr(order["total"])) for order in orders), Decimal(0))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"of": "pizzas"}, "unknown entity type pizzas"),
        ({"equals": "drawers.balance"}, "unknown entity type drawers"),
        ({"equals": "customers"}, "equals is a number, or"),
        ({"group_by": None}, "equals is a number, or"),
        ({"equals": "orders.sum"}, "of and equals are two entity types"),
        ({"sign": Sign("kind", ["sale"], ["sale"])}, "a value of kind has more than one sign"),
    ],
)
def test_a_rule_that_names_what_is_not_there_is_refused(changed: dict[str, Any], what: str) -> None:
    rule = Conservation(
        **{**{name: getattr(TAB, name) for name in ("name", "of", "amount", "equals", "group_by", "sign")}, **changed}
    )
    with pytest.raises(ConfigError, match=what):
        rule.check(Config().registry())


# ------------------------------------------------------------------ the command


def run(world: World, *flags: str) -> Any:
    return CliRunner().invoke(verify, ["--data", str(world.directory), *flags])


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
    result = CliRunner().invoke(verify, ["--data", str(tmp_path / "nothing")])
    assert (result.exit_code, "unable to open database file" in result.output) == (1, True)


def test_the_command_checks_the_sums_of_the_configuration(world: World, tmp_path: Path) -> None:
    settings = tmp_path / "comanda.toml"
    settings.write_text(
        '[[conservation]]\nname = "tab"\nof = "orders"\namount = "total"\ngroup_by = "customer"\n'
        'equals = "customers.owes"\nsign = { field = "kind", plus = ["sale"], minus = ["payment"] }\n'
    )
    ana = Client(world, "ana").connect()
    sale(ana, "o-1", 10)
    owes(ana, 10)
    assert "1 somas / sums" in run(world, "--config", str(settings)).output
    owes(ana, 11)
    result = run(world, "--config", str(settings))
    assert (result.exit_code, "tab: customers rita: orders of rita add up to 10" in result.output) == (1, True)
    settings.write_text(settings.read_text().replace("customers.owes", "drawers.balance"))
    assert "unknown entity type drawers" in run(world, "--config", str(settings)).output
