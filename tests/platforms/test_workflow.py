"""The public CI's workflow, which was never run: it parses, sets itself up, and names only what exists."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from typing import Any

import click
import pytest
import yaml

from node.cli import main
from tests.platforms.__main__ import commands
from tests.platforms.test_wheels import PYTHONS
from tests.processes import ROOT

FILE = ROOT / ".github" / "workflows" / "machines.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]
OF_THE_RUNNER = {"sudo"}
PIECES = [
    (job, piece.strip())
    for job, told in JOBS.items()
    for step in told["steps"]
    for piece in step.get("run", "").split("&&")
    if piece
]


def test_it_begins_when_somebody_pushes_and_may_only_read() -> None:
    assert set(WORKFLOW[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    assert WORKFLOW["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_sets_itself_up_for_every_python(job: str) -> None:
    told = JOBS[job]
    assert tuple(told["strategy"]["matrix"]["python"]) == PYTHONS
    used = [step["uses"] for step in told["steps"] if "uses" in step]
    assert [name.partition("@")[0] for name in used][:2] == ["actions/checkout", "actions/setup-python"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", name) for name in used)
    assert all(("uses" in step) != ("run" in step) for step in told["steps"])


def test_the_systems_are_those_of_the_readme() -> None:
    assert [name.partition("-")[0] for name in JOBS["linux"]["strategy"]["matrix"]["system"]] == ["ubuntu", "ubuntu"]
    assert JOBS["macos"]["runs-on"].startswith("macos-")
    assert JOBS["windows"]["runs-on"].startswith("windows-")


def test_linux_and_macos_run_the_readmes_commands_word_for_word() -> None:
    first, second = commands()
    linux, macos = ([step.get("run") for step in JOBS[job]["steps"]] for job in ("linux", "macos"))
    assert {first, second} <= set(linux)
    assert first in macos


@pytest.mark.parametrize(("job", "piece"), PIECES)
def test_a_command_exists(job: str, piece: str) -> None:
    program, *words = shlex.split(piece.replace("\\", "/"))
    name = program.rpartition("/")[2]
    if name in OF_THE_RUNNER:
        assert words[0] == "apt-get"
    elif name == "comanda":
        exists(words)
        for started in (shlex.split(word) for word in words if " " in word):
            assert started[0].rpartition("/")[2] == "comanda"
            exists(started[1:])
    elif name in ("python", "python3"):
        assert words[0] == "-m"
        assert find_spec(words[1]) is not None
    else:
        assert (name, words[0]) == ("pip", "install")


def exists(words: list[str]) -> None:
    """A command of `comanda`, whose options it has."""
    command: click.Command = main
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
