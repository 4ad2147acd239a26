"""`--json`: every command that prints data has it, and what it prints then reads as JSON.

A new command is in none of the tables, and the walk fails until it is put into one.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from node.cli import main
from storage.sqlite.backup import back_up
from tests.cli.test_commands import COMMANDS, command_of
from tests.harness import Client, World

if TYPE_CHECKING:
    from tests.cli.conftest import Answers

TESTS = Path(__file__).parents[1]

SILENT = {
    "serve": "cli/test_serve.py",  # runs until it is stopped
    "demo": "e2e/test_demo.py",  # is looked at
    "init": "cli/test_init.py",  # writes a file
    "service print": "cli/test_service.py",  # prints a unit, whose format is systemd's
    "service install": "cli/test_service.py",  # writes that unit
    "quarantine export": "cli/test_quarantine.py",  # writes a file, of JSON lines
}
"""Commands that print no data of a node, and where each is tested."""

ALWAYS = {
    "send": "cli/test_talking.py",
    "quarantine show": "cli/test_quarantine.py",
    "export": "cli/exports/test_export.py",
}
"""What prints JSON without being asked to, as the first line or the only one of what it prints, and its test."""

ELSEWHERE = {
    "bench": "bench/test_contest.py",
    "conflicts list": "cli/test_talking.py",
    "conflicts resolve": "cli/test_talking.py",
    "conformance": "conformance/test_command.py",
    "explain": "e2e/test_explain.py",
    "import": "cli/imports/test_import.py",
    "join": "e2e/test_joining.py",
    "listen": "cli/test_talking.py",
    "pair": "e2e/test_joining.py",
    "publish send": "e2e/test_publish.py",
    "publish status": "e2e/test_publish.py",
    "realm list": "e2e/test_office.py",
    "sink": "sink/test_command.py",
    "tls client": "e2e/test_client_certificates.py",
    "top": "cli/test_top.py",
}
"""Commands whose JSON another test reads."""

ASKED: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "archive": (["--until", "7", "--url", "ws://x"], "archive", {"archived": 0, "file": None, "held_by": None}),
    "backup": ([], "backup", {"backup": "backups/a.db", "head": 7}),
    "conflicts show": (["c"], "conflicts/c", {"id": "c"}),
    "doctor": (["--url", "ws://x"], "doctor", {"node_id": "n", "findings": [], "facts": {}}),
    "keys forget": (["n", "f"], "keys/forget", {"keys": {}}),
    "keys list": ([], "keys", {"keys": {}, "offered": {}}),
    "keys trust": (["n", "f"], "keys/trust", {"keys": {}}),
    "quarantine drop": (["3"], "quarantine/drop", {"dropped": 3, "left": 0}),
    "quarantine list": ([], "quarantine", {"quarantine": []}),
    "quarantine retry": ([], "quarantine/retry", {"retried": 1, "left": 0}),
    "show": (["orders", "a"], "entities/orders", {"entity_type": "orders"}),
    "status": ([], "links", {"links": []}),
}
"""Arguments, the path that is asked for, and the node's answer, which is printed as it is."""

OF_A_DIRECTORY: dict[str, tuple[list[str], set[str]]] = {
    "audit verify": ([], {"problems", "findings", "rows"}),
    "config show": ([], {"file", "settings"}),
    "realm add": (["loja-017"], {"realm", "folder"}),
    "restore": (["{backup}"], {"node_id", "head", "before"}),
    "tls create": (["--host", "hub.local"], {"certificate", "key", "ca", "fingerprint"}),
    "token add": (["pos-1", "--type", "pos"], {"token"}),
    "token list": ([], {"terminal_id", "state"}),
    "token revoke": (["kds-1"], {"revoked"}),
    "token rotate": (["kds-1"], {"token"}),
    "verify": ([], {"problems", "told", "rows", "entities", "sums"}),
}
"""Arguments on a stopped node's directory, and what the object has at least."""

OF_NOTHING = {"simulate": (["--seed", "7"], {"seed", "digest", "faults", "problem"})}

LEAVES = {" ".join(words) for words in COMMANDS if not isinstance(command_of(words), click.Group)}


def test_every_command_is_in_one_table() -> None:
    tables = [set(one) for one in (SILENT, ALWAYS, ELSEWHERE, ASKED, OF_A_DIRECTORY, OF_NOTHING)]
    assert set().union(*tables) == LEAVES
    assert sum(map(len, tables)) == len(LEAVES)


@pytest.mark.parametrize(("name", "file"), (SILENT | ALWAYS | ELSEWHERE).items())
def test_what_another_file_tests_is_run_there(name: str, file: str) -> None:
    words = r"(?:\"[\],]* \[?\"| )".join(name.split())
    assert re.search(rf"[\"]{words}[\" ]|\b{name.split()[0]}\(", (TESTS / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(LEAVES - SILENT.keys() - ALWAYS.keys()))
def test_what_prints_data_takes_the_option(name: str) -> None:
    options = [option for parameter in command_of(tuple(name.split())).params for option in parameter.opts]
    assert "--json" in options


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped node's directory, in which a kitchen has a token, and a copy of its database."""
    folder = tmp_path_factory.mktemp("json")
    world = World(folder / "node")
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.close()
    run(["token", "add", "kds-1", "--type", "kds", "--data", str(folder / "node")])
    back_up(folder / "node" / "comanda.db", folder / "backup.db")
    return folder


def run(arguments: list[str]) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.parametrize("name", ASKED)
def test_what_a_node_answers_is_printed_as_it_is(answers: Answers, name: str) -> None:
    more, path, answer = ASKED[name]
    answers.by_path[f"/api/v1/{path}"] = [answer]
    assert json.loads(run([*name.split(), *more, "--json"])) == answer


@pytest.mark.parametrize("name", OF_A_DIRECTORY | OF_NOTHING)
def test_what_is_found_on_this_machine_is_an_object(name: str, stopped: Path, tmp_path: Path) -> None:
    more, members = (OF_A_DIRECTORY | OF_NOTHING)[name]
    arguments = [*name.split(), *(word.format(backup=stopped / "backup.db") for word in more), "--json"]
    if name in OF_A_DIRECTORY:
        shutil.copytree(stopped / "node", tmp_path / "node")
        arguments += ["--data", str(tmp_path / "node")]
    assert members <= json.loads(run(arguments)).keys()


def test_an_archive_of_a_stopped_node_is_told_as_a_running_one_tells_it(stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(stopped / "node", tmp_path / "node")
    file = tmp_path / "a.jsonl.gz"
    said = json.loads(run(["archive", "--until", "1", "--data", str(tmp_path / "node"), "--json", str(file)]))
    assert said == {"archived": 1, "file": str(file), "held_by": None}
