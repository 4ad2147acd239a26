"""`comanda top`: one look at a node, and that it fits a screen however many there are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from node.cli import main
from node.cli.screen import Screen
from node.cli.top import POINTS, screenful
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, request, served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Answers

PATHS = ("doctor", "terminals", "websocket/stats", "performance")
FINDING = {"code": "x", "level": "error", "about": "hub", "pt": "sem ligação", "en": "no link"}


@pytest.fixture
def asked(answers: Answers, tmp_path: Path) -> None:
    """A node answers, of one terminal."""
    world = World(tmp_path / "node")
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {})
    world.core.store_cursors(every=True)
    world.commit()
    world.close()
    found = trio.run(answered, world)
    answers.by_path |= {path: [answer] for path, answer in found.items()}


async def answered(world: World) -> dict[str, Any]:
    found = {}
    async with served(world) as node:
        node.core.note_figures(1_000, 2_000)
        for path in PATHS:
            answer = await node.api.answer(request(f"/api/v1/{path}"), ADMIN)
            assert isinstance(answer.body, bytes)
            found[f"/api/v1/{path}"] = orjson.loads(answer.body)
    return found


def lines(found: dict[str, Any], height: int | None = None) -> list[str]:
    text = io.StringIO()
    Screen(file=text, width=80).print(screenful(found, height))
    return [line.rstrip() for line in text.getvalue().splitlines()]


def look(links: int, terminals: int, findings: int = 0, points: int = 0) -> dict[str, Any]:
    link = {"state": "up", "lag": 3, "oldest_ms": 0, "rtt_ms": 1.5}
    terminal = {"status": "online", "type": "pos", "node": "hub", "waiting": 0}
    point = {"operations": 12.0, "confirmation_p50_ms": 1.0, "confirmation_p99_ms": 9.0}
    return {
        "node_id": "hub",
        "at_ms": 60_000,
        "head": 41,
        "trouble": None,
        "findings": [FINDING] * findings,
        "links": [{**link, "peer": f"till-{number}"} for number in range(links)],
        "terminals": [{**terminal, "terminal_id": f"pos-{number}"} for number in range(terminals)],
        "more_terminals": False,
        "stats": {"uptime_seconds": 60.0, "message_throughput": 1.5},
        "points": [{**point, "delivery_p50_ms": None, "delivery_p99_ms": None}] * points,
        "conflicts_open": 2,
        "quarantine": {"bad": 1, "waiting": 0},
        "disk": {"free_bytes": 5 * 10**9, "total_bytes": 10**10, "low_bytes": 2 * 10**9, "last_bytes": 0},
    }


@pytest.mark.usefixtures("asked")
def test_a_program_gets_one_look() -> None:
    result = CliRunner().invoke(main, ["top", "--json"])
    assert result.exit_code == 0, result.output
    found = orjson.loads(result.stdout)
    assert found.keys() == look(0, 0).keys()
    assert [one["terminal_id"] for one in found["terminals"]] == ["ana"]
    assert len(found["points"]) == 1


@pytest.mark.usefixtures("asked")
def test_where_the_output_is_no_terminal_it_is_one_screen() -> None:
    result = CliRunner().invoke(main, ["top"])
    assert result.exit_code == 0, result.output
    assert "ana" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_node_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["top", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "no node runs" in result.output


def test_everything_wanted_is_on_the_screen() -> None:
    told = "\n".join(lines(look(1, 1, findings=1, points=POINTS)))
    for text in ("till-0", "pos-0", "12", "1/9", "conflicts 2", "quarantine 1+0", "5000 de / of 10000 MB", "no link"):
        assert text in told


@given(st.integers(0, 60), st.integers(0, 600), st.integers(0, 30), st.integers(16, 60))
def test_it_fits_the_screen_and_says_what_does_not(links: int, terminals: int, findings: int, height: int) -> None:
    found = look(links, terminals, findings)
    shown = lines(found, height)
    assert len(shown) <= height
    rows = sum(line.startswith(("till-", "pos-")) for line in shown)
    left = [line for line in shown if line.startswith("... mais / more: ")]
    assert rows + sum(int(line.rpartition(" ")[2]) for line in left) == links + terminals


def test_foreign_names_are_text() -> None:
    found = look(1, 1)
    found["terminals"][0]["terminal_id"] = "\x1b[2J[red]x\ny"
    assert len(lines(found)) == len(lines(look(1, 1)))
    assert "\x1b" not in "".join(lines(found))
