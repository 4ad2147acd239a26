"""The Dockerfile against the tree. No engine builds it here: what can be known of it without one is held."""

from __future__ import annotations

import json
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main
from node.cli.asking import DATA
from node.config.sections import NodeSection
from node.config.sources import settings
from tests.cli.test_commands import COMMANDS, command_of
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FILE = ROOT / "node" / "container" / "Dockerfile"
KNOWN = {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
KNOWN |= {"ENTRYPOINT", "CMD", "ARG", "LABEL"}


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(instruction, the rest) of each, comments left out and continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


FOUND = list(instructions(FILE.read_text(encoding="utf-8")))
STARTS = [number for number, (name, _) in enumerate(FOUND) if name == "FROM"]
LAST = FOUND[STARTS[-1] :]
"""The stage that runs."""


def of(name: str) -> list[str]:
    return [rest for instruction, rest in LAST if instruction == name]


def ignored(path: str) -> bool:
    """Whether `.dockerignore` leaves it out: the last line that fits counts."""
    result = False
    for line in FILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        parts = [path, *map(str, Path(path).parents)]
        if any(fnmatch(part, pattern) or fnmatch(part, pattern.removeprefix("**/")) for part in parts):
            result = not line.startswith("!")
    return result


def test_every_line_is_an_instruction() -> None:
    assert {name for name, _ in FOUND} <= KNOWN
    assert all(rest for _, rest in FOUND)
    assert FOUND[0][0] == "FROM"


def test_its_images_are_slim_and_of_a_python_that_has_the_first_engine() -> None:
    for rest in (FOUND[number][1] for number in STARTS):
        assert re.fullmatch(r"python:3\.1[12]-slim( AS \w+)?", rest), rest


def test_what_it_copies_is_there_and_sent_to_it() -> None:
    stages = {rest.split(" AS ")[1] for name, rest in FOUND if name == "FROM" and " AS " in rest}
    copied = []
    for name, rest in FOUND:
        if name == "COPY":
            *sources, _ = (word for word in rest.split() if not word.startswith("--"))
            if flag := re.match(r"--from=(\w+)", rest):
                assert flag[1] in stages
            else:
                copied += sources
    assert [source for source in copied if not (ROOT / source).exists() or ignored(source)] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert packages | {"pyproject.toml", "README.md", "LICENSE", "requirements.lock"} == set(copied)


def test_nothing_else_is_sent_to_it() -> None:
    for path in (".git", "tests", "comanda-data", "node/ui/vendor", "node/ui/node_modules", "node/core/__pycache__"):
        assert ignored(path), path
    assert not ignored("node/ui/package.json")


def test_what_it_installs_is_the_lock_file_by_hash() -> None:
    installed = [rest for rest in of("RUN") if "pip install" in rest]
    assert "--require-hashes -r /tmp/requirements.lock" in installed[0]
    assert all("--no-deps" in rest for rest in installed[1:])
    assert "--hash=sha256:" in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_it_runs_as_a_user_of_its_own_who_has_the_volume() -> None:
    (user,) = of("USER")
    made = next(rest for rest in of("RUN") if "useradd" in rest)
    assert user != "0"
    assert f"--uid {user} " in made
    (volume,) = of("VOLUME")
    assert re.search(rf"install -d -o (\w+) -g \1 -m 0700 {volume}", made)
    after = [name for name, _ in LAST[[name for name, _ in LAST].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after)
    assert of("WORKDIR") == [volume]  # where `serve` looks for comanda.toml


def test_its_environment_are_settings_and_its_port_is_the_nodes() -> None:
    said = dict(word.split("=", 1) for rest in of("ENV") for word in shlex.split(rest))
    config = settings(said).config
    assert [config.node.data] == of("VOLUME") == [said[DATA]]
    assert config.node.host == "0.0.0.0"
    assert of("EXPOSE") == [str(NodeSection().port)]
    assert of("STOPSIGNAL") == ["SIGTERM"]


def test_its_commands_are_commands() -> None:
    (entry,), (default,), (health,) = of("ENTRYPOINT"), of("CMD"), of("HEALTHCHECK")
    assert json.loads(entry) == ["comanda"]
    checked = json.loads(health.partition(" CMD ")[2])
    for words in (json.loads(entry) + json.loads(default), checked):
        assert words[0] == "comanda"
        assert tuple(word for word in words[1:] if not word.startswith("-")) in COMMANDS
        options = {option for one in command_of((words[1],)).params for option in one.opts}
        assert {word for word in words if word.startswith("-")} <= options


@pytest.mark.parametrize("runs", [True, False])
def test_the_health_check_says_whether_the_node_runs(runs: bool, tmp_path: Path) -> None:
    words = json.loads(of("HEALTHCHECK")[0].partition(" CMD ")[2])
    node = NodeProcess(tmp_path / "data")
    try:
        if runs:
            node.start()
        assert CliRunner().invoke(main, words[1:], env={DATA: str(node.data)}).exit_code == (0 if runs else 1)
    finally:
        if runs:
            node.end()
