"""What was stored before the configuration changed is told from what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from node.config.reading import parse
from node.config.sections import Config
from tests.harness import Client, World, settle_all
from tests.scenarios.history.test_verification import (
    found,
    run,
    tamper,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RANKED = (
    '[entities.orders]\n[entities.orders.fields.status]\nkind = "progress"\nranks = ["pending", "ready", "paid"]\n'
)
OPEN = '[entities.orders]\nconflict_resolution = "merge_non_conflicting"\n'
SETTLED = '[entities.customers]\nconflict_resolution = "last_write_wins"\n'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two orders' statuses collided, and a customer's phone."""
    world = World(tmp_path / "node", config=Config())
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    settle_all(world, [ana, bia])
    for name in ("o-1", "o-2"):
        ana.write("orders", name, "UPDATE", {"status": "paid"})
        bia.write("orders", name, "UPDATE", {"status": "ready"})
    for client in (ana, bia):
        client.write("customers", "c", "UPDATE", {"phone": client.name})
    settle_all(world, [ana, bia])
    assert world.view("orders")["o-1"]["status"] == "ready"
    yield world
    world.close()


def start_with(world: World, text: str) -> None:
    world.config = parse(text)
    world.crash()


def test_a_view_of_before_is_no_broken_one(world: World) -> None:
    start_with(world, RANKED)
    findings = found(world)
    assert {(f.where, f.other) for f in findings} == {("orders o-1", True), ("orders o-2", True)}
    assert findings[0].what == (
        'was written under another configuration of this node: view shows status as "ready", the log gives "paid"'
    )
    assert Client(world, "eva").connect().do("orders", "o-1", "UPDATE", {"note": "x"})["status"]
    assert {f.where for f in found(world)} == {"orders o-2"}, "the other is written anew"


def test_a_view_that_no_configuration_makes_is_broken(world: World) -> None:
    start_with(world, RANKED)
    tamper(world, "UPDATE entities SET view = replace(view, 'ready', 'free') WHERE entity_id = 'o-1'")
    (broken,) = [f for f in found(world) if not f.other]
    assert broken.what == 'view shows status as "free", the log gives "paid"'


@pytest.mark.parametrize("text", [OPEN, SETTLED])
def test_conflicts_of_before_are_no_broken_ones(world: World, text: str) -> None:
    start_with(world, text)
    findings = found(world)
    assert any("conflict" in f.what for f in findings)
    assert all(f.other for f in findings), findings
    assert Client(world, "eva").connect().do("orders", "o-1", "UPDATE", {"note": "x"})["status"]
    assert all(f.other for f in found(world)), "the conflict is still stored as it was"


def test_a_conflict_that_no_configuration_has_is_broken(world: World) -> None:
    start_with(world, SETTLED)
    tamper(world, "UPDATE conflicts SET conflict_id = 'conflict-0' WHERE state = 'open'")
    assert [f.where for f in found(world) if not f.other] == ["customers c"]


def test_nothing_is_found_once_the_configuration_is_what_it_was(world: World) -> None:
    start_with(world, RANKED)
    start_with(world, "")
    assert words(world) == []


def test_the_command_tells_the_two_apart_and_only_what_is_broken_is_a_failure(world: World, tmp_path: Path) -> None:
    start_with(world, RANKED)
    settings = tmp_path / "comanda.toml"
    settings.write_text(RANKED)
    result = run(world, "--config", str(settings))
    assert (result.exit_code, "2 de outra configuração" in result.output) == (0, True)
    assert "2 de outra configuração" in run(world).output, "as the node last ran"
    start_with(world, "")
    result = run(world)
    assert (result.exit_code, "configuração" in result.output) == (0, False), "as it was written"
    tamper(world, "UPDATE entities SET version = 9 WHERE entity_id = 'o-1'")
    assert run(world, "--config", str(settings)).exit_code == 1
