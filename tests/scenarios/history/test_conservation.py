"""Sums that must come out, in `comanda verify`: what broke one is named."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from node.config.conservation import Conservation, Sign
from node.config.sections import Config
from node.errors import ConfigError
from tests.archives import archive
from tests.harness import Client, World
from tests.scenarios.history.test_verification import TAB, found, owes, run, sale, words
from tests.scenarios.seeds import FEW_SEEDS

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("seed", FEW_SEEDS)
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
