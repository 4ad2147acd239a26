"""`comanda verify` and `archive` know under which configuration the node ran, without being told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from node.cli import main
from node.config.reading import parse
from node.config.remembered import recalled, remembered
from node.config.sections import Config
from tests.harness import Client, World

if TYPE_CHECKING:
    from pathlib import Path

OWN = """
[time]
zone = "America/Sao_Paulo"
[entities.reservations]
priority = "medium"
requires_lock = false
conflict_resolution = "merge_changes"
fields = { seats = "counter", guests = "keyed_list", state = { kind = "progress", ranks = ["a", "b"], lower = [] } }
[entities.orders]
groups = [["total", "discount"]]
[[conservation]]
name = "seats"
of = "reservations"
amount = "seats"
equals = "7"
sign = { field = "kind", plus = ["in"], minus = ["out"] }
"""


def test_what_is_remembered_is_what_decides_what_is_shown() -> None:
    config = parse(OWN)
    again = recalled(remembered(config))
    assert (again.entities, again.conservation, again.time.zone) == (
        config.entities,
        config.conservation,
        "America/Sao_Paulo",
    )
    assert recalled(remembered(Config())) == Config() == recalled(None)


def test_a_healthy_node_with_entity_types_of_its_own_is_verified_without_its_file(tmp_path: Path) -> None:
    world = World(tmp_path / "node", config=parse(OWN))
    ana = Client(world, "ana").connect()
    ana.do("reservations", "r", "CREATE", {"seats": 7, "kind": "in", "guests": [{"id": "g"}]})
    ana.do("orders", "o", "CREATE", {"total": 3})
    world.close()
    result = CliRunner().invoke(main, ["verify", "--data", str(world.directory)])
    assert result.exit_code == 0, result.output
    assert "2 entidades / entities, 1 somas / sums" in result.output


def test_a_time_without_an_offset_is_of_the_zone_that_the_node_ran_with(tmp_path: Path) -> None:
    world = World(tmp_path / "node", config=parse(OWN))
    Client(world, "ana").connect().do("orders", "o", "CREATE", {"total": 3})  # at 10:00 UTC
    world.close()
    command = ["archive", "--data", str(world.directory), str(tmp_path / "a.archive"), "--until"]
    early = CliRunner().invoke(main, [*command, "2026-01-15T06:59:00"])
    assert "read as America/Sao_Paulo" in early.output
    assert "nothing to archive" in early.output
    late = CliRunner().invoke(main, [*command, "2026-01-15T07:01:00"])
    assert "1 linhas / rows" in late.output
