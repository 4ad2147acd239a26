"""Nothing foreign acts on the screen: each command, with an answer full of what a terminal or a node may hold."""

from __future__ import annotations

import ast
import copy
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from node.cli import asking, main
from node.cli.output import encode_anything, say, say_json
from node.cli.screen import Screen
from tests.cli.test_explain import explained
from tests.cli.test_show import entity
from tests.cli.test_status import UP, report

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "one\nError: two",
    "\r\x1b[1Aforged",
    "\u202egnp.exe",
    "\u2066x\u2069\u200b\ufeff",
    "\x9b31m\x85\u2028",
    "[/closing] [bold red]x[/] [link=http://evil]",
    ":warning: \x00\x7f",
    "\ud83d half",
)


def poisoned(value: Any, poison: str) -> Any:
    """JSON with a poison behind every text in it, and in the names of what an entity's data holds."""
    if isinstance(value, str):
        return value + poison
    if isinstance(value, list):
        return [poisoned(item, poison) for item in value]
    if isinstance(value, dict):
        return {name: poisoned(item, poison) for name, item in value.items()}
    return value


KEPT = ("state", "next", "phase")
"""Members by which a command decides what to print."""


def spoil(value: Any, poison: str) -> Any:
    spoilt = poisoned(value, poison)

    def mend(there: Any, good: Any) -> None:
        if isinstance(good, dict):
            for name, item in good.items():
                if name in KEPT:
                    there[name] = item
                else:
                    mend(there[name], item)
            if "data" in good and "entity_id" in good:
                there["data"] = {f"{name}{poison}": item for name, item in there["data"].items()}
        elif isinstance(good, list):
            for one, other in zip(there, good, strict=True):
                mend(one, other)

    mend(spoilt, value)
    return spoilt


QUARANTINED = {
    "id": "q-1",
    "state": "bad",
    "from": "n2",
    "terminal_id": "ana",
    "operation_id": "op-1",
    "entity_type": "orders",
    "entity_id": "mesa-1",
    "reason": "it cannot be read",
}
CONFLICT = {
    "id": "conflict-1",
    "type": "field_conflict",
    "entity_type": "customers",
    "entity_id": "ana",
    "path": ["phone"],
    "local_data": {"phone": "1"},
    "remote_data": {"phone": "2"},
    "state": "open",
    "candidates": [{"timestamp": "t", "terminal_id": "a", "operation_id": "o", "data": {"phone": "1"}}],
}
SYNC = {"phase": "states", "peer": "hub", "entities": 1, "entities_total": 2, "operations": 3, "operations_total": 4}
DOWN = {"url": "ws://hub", "role": "peer", "state": "down", "last_error": "1006 gone"}

FINDING = {"code": "x", "level": "", "about": "hub", "pt": "a", "en": "b", "remedy_pt": "c", "remedy_en": "d"}

ALL = {"entities": [entity("a")], "next": None, "unknown": ["b"]}
COMMANDS: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "show one": (["show", "orders", "mesa-1"], "/api/v1/entities/orders", entity("mesa-1", conflicts=["c"])),
    "show all": (
        ["show", "orders"],
        "/api/v1/entities/orders",
        {"entities": [entity("a")], "next": None, "unknown": ["b"]},
    ),
    "show --json": (["show", "orders", "mesa-1", "--json"], "/api/v1/entities/orders", entity("mesa-1")),
    "explain": (["explain", "orders", "o-1", "status"], "/api/v1/explain/orders", explained()),
    "explain --json": (["explain", "orders", "o-1", "status", "--json"], "/api/v1/explain/orders", explained()),
    "status": (["status"], "/api/v1/links", report(links=[UP], away=[DOWN], first_sync=SYNC, twins=["ws://n1"])),
    "doctor": (["doctor", "--url", "http://x"], "/api/v1/doctor", {"node_id": "n1", "findings": [FINDING]}),
    "quarantine list": (["quarantine", "list"], "/api/v1/quarantine", {"quarantine": [QUARANTINED]}),
    "conflicts list": (["conflicts", "list"], "/api/v1/conflicts", {"conflicts": [CONFLICT], "next": None}),
    "conflicts show": (["conflicts", "show", "c"], "/api/v1/conflicts/c", CONFLICT),
    "backup": (["backup"], "/api/v1/backup", {"backup": "backups/a.db"}),
    "archive": (
        ["archive", "--until", "7", "--url", "http://x"],
        "/api/v1/archive",
        {"archived": 5, "file": "archives/a", "held_by": {"node": "n2", "confirmed": 3}},
    ),
}


def lines(arguments: list[str], width: int = 4_000) -> list[str]:
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": str(width)})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output.splitlines()


@pytest.mark.parametrize("poison", [poison for poison in HOSTILE if "\ud83d" not in poison], ids=ascii)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_prints_foreign_text_printably_and_no_line_more(answers: Answers, name: str, poison: str) -> None:
    arguments, path, answer = COMMANDS[name]
    answers.by_path[path] = [copy.deepcopy(answer)]
    good = lines(arguments)
    answers.by_path[path] = [spoil(answer, poison)]
    shown = lines(arguments)
    assert all(line.isprintable() for line in shown), shown
    assert len(shown) == len(good), shown
    if poison.startswith("["):
        assert "[/closing]" in "".join(shown)


@pytest.mark.parametrize("poison", HOSTILE, ids=ascii)
def test_an_error_of_a_node_is_one_printable_line(monkeypatch: pytest.MonkeyPatch, poison: str) -> None:
    class Answer:
        status_code = 404
        content = json.dumps({"error": f"no orders {poison}"}).encode()

    monkeypatch.setattr(asking.httpx, "request", lambda *_, **__: Answer())
    result = CliRunner().invoke(main, ["show", "orders", "x"])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.isprintable()


def test_an_argument_that_is_no_text_is_an_error_and_no_traceback() -> None:
    result = CliRunner().invoke(main, ["show", "orders", "\udcff"])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_an_encoding_lacks_is_printed_as_an_escape(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding))
    encode_anything()
    say("● açaí 🥑 \ud83d")
    say("●", err=True)
    Screen().print("● açaí 🥑", Text("×", "red"))
    sys.stdout.flush()
    sys.stderr.flush()
    for written in (out.getvalue(), err.getvalue()):  # click writes UTF-8 where it is told ASCII
        assert b"\\u25cf" in written or "●".encode() in written


def test_json_for_programs_is_escaped_as_json_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a\u202e": ["\x1b[31m", "\x9b", "\U000e0001", "açaí 🥑", "line\n"]}
    for indent in (False, True):
        say_json(value, indent=indent)
        printed = capsys.readouterr().out
        assert printed.replace("\n", "").isprintable()
        assert json.loads(printed) == value


@pytest.mark.parametrize("poison", HOSTILE, ids=ascii)
def test_a_screen_lets_nothing_raw_through_whatever_it_is_given(poison: str) -> None:
    text = io.StringIO()
    screen = Screen(file=text, width=200)
    table = Table(poison, "b")
    table.add_row(poison, Text(poison, "bold"))
    screen.print(poison, Text(poison), table, style="bold")
    screen.rule(poison)
    assert text.getvalue().replace("\n", "").isprintable()
    colours = Screen(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    colours.print(Text("red", "red"))
    assert "\x1b[" in colours.file.getvalue()  # its own styles are not taken for foreign text


FOLDER = Path(__file__).parents[2] / "node" / "cli"


PRINTS = ("echo", "secho", "print_json", "Console", "print_exception")


def test_no_command_prints_by_itself() -> None:
    paths = [path for path in FOLDER.rglob("*.py") if path.name not in ("output.py", "screen.py")]
    assert len(paths) > 50
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", getattr(node, "id", None))
            assert name not in PRINTS, f"{path}: {ast.unparse(node)}"  # type: ignore[arg-type]
            assert not (isinstance(node, ast.Name) and node.id == "print"), path
