"""README's table of exit statuses, over every command."""

from __future__ import annotations

import ast
import re
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.doctor import STATUS
from node.findings import ERROR, WARNING
from tests.cli.test_commands import COMMANDS, command_of
from tests.harness import Client, World

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

ROOT = Path(__file__).parents[2]
TABLE = re.search(r"\| status \|.*?\n((?:\|.*\n)+)", (ROOT / "README.md").read_text(encoding="utf-8"))
LEAVES = [words for words in COMMANDS if not isinstance(command_of(words), click.Group)]
VALUES = {"state": "open", "what": "entities", "message": "{}", "number": "1", "url": "ws://127.0.0.1:1", "file": "x"}
"""Arguments that not any text will do for."""


def status(*arguments: str) -> int:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code


def test_the_table_names_what_commands_exit_with_and_nothing_else() -> None:
    assert TABLE is not None
    rows = [line.split("|")[1] for line in TABLE[1].splitlines()[1:]]
    listed = {int(number) for row in rows for number in re.findall(r"\d+", row)}
    used = {0, 1, 2, *STATUS.values()}  # 1 and 2 are click's
    for path in (ROOT / "node" / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and "exit_code" in [getattr(one, "id", "") for one in node.targets]:
                assert isinstance(node.value, ast.Constant)
                used.add(node.value.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "SystemExit", "ctx.exit"):
                used |= {one.value for one in node.args if isinstance(one, ast.Constant)}
    assert used == listed


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_2_is_an_option_that_there_is_not(words: tuple[str, ...]) -> None:
    assert status(*words, "--frobnicate") == 2


ASKING = [words for words in LEAVES if any("--url" in one.opts for one in command_of(words).params)]


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_1_is_nobody_who_answers(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("id,name\n1,a\n")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    required = [one for one in command_of(words).params if one.required]
    arguments = [VALUES.get(one.name or "", "1") for one in required if isinstance(one, click.Argument)]
    options = [word for one in required if isinstance(one, click.Option) for word in (one.opts[0], "1")]
    more = {("export",): ["--type", "orders"], ("conflicts", "resolve"): ["--accept", "remote"]}.get(words, [])
    assert status(*words, *arguments, *options, *more, "--url", dead) == 1


@pytest.mark.parametrize("levels", [[], [WARNING], [WARNING, ERROR]])
def test_3_and_4_are_the_doctors(answers: Answers, levels: list[str]) -> None:
    said = {"code": "x", "about": "", "pt": "a", "en": "a", "remedy_pt": "b", "remedy_en": "b"}
    answers.by_path["/api/v1/doctor"] = [{"node_id": "n", "findings": [{**said, "level": one} for one in levels]}]
    for more in ([], ["--json"]):
        expected = max((STATUS[level] for level in levels), default=0)
        assert status("doctor", "--url", "http://x", *more) == expected


@pytest.mark.parametrize("words", [("verify",), ("audit", "verify")], ids=" ".join)
def test_1_is_something_that_is_wrong_and_0_is_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    world = World(tmp_path / "node")
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.close()
    for more in ([], ["--json"]):
        assert status(*words, "--data", str(tmp_path / "node"), *more) == 0
    with closing(sqlite3.connect(tmp_path / "node" / "comanda.db")) as database, database:
        database.execute("UPDATE log SET user_id = 'somebody' WHERE seq = 1")
    for more in ([], ["--json"]):
        assert status(*words, "--data", str(tmp_path / "node"), *more) == 1
