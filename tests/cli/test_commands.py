"""The command line as a whole: which commands there are, and that each says what it is for."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import orjson
import pytest
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Answers


def every(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*names, name)
        if isinstance(command, click.Group):
            yield from every(command, *names, name)


COMMANDS = sorted(every(main))


def command_of(words: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    for flag in ("--help", "-h"):
        result = CliRunner().invoke(main, [*words, flag])
        assert result.exit_code == 0, result.output
        assert result.output.startswith("Usage: ")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_in_portuguese_and_then_in_english(words: tuple[str, ...]) -> None:
    command = command_of(words)
    lists = {("quarantine", "list"): "Lista."}
    text = command.help or ""
    assert " / " in text or text.startswith(lists.get(words, "?")), text
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert " / " in parameter.help, parameter.help


LEAVES = [words for words in COMMANDS if not isinstance(command_of(words), click.Group)]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_has_an_example_whose_options_exist(words: tuple[str, ...]) -> None:
    command = command_of(words)
    examples = re.findall(rf"\bcomanda {' '.join(words)}\b(.*)", (command.help or "").partition("\b")[2])
    assert examples
    options = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    for example in examples:
        own = re.sub(r'"[^"]*"|\'[^\']*\'', "", example.split("&&")[0].split(" | ")[0].split(" # ")[0])
        assert {*re.findall(r"(?<=\s)--?[a-z][\w-]*", own)} <= options, example


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(main, ["frobnicate"]).exit_code == 2


def test_a_node_starts_without_loading_what_other_commands_need() -> None:
    code = """if True:
        import sys
        from click.testing import CliRunner
        from node.cli import main
        assert CliRunner().invoke(main, ["serve", "--help"]).exit_code == 0
        print(*[m for m in sys.modules if m.startswith(("node.simulation", "node.conformance", "httpx"))])
    """
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []


@pytest.mark.parametrize(
    ("words", "path"),
    [(["status"], "links"), (["keys", "list"], "keys"), (["quarantine", "list"], "quarantine")],
)
def test_a_program_gets_what_the_node_answers_and_a_screen_no_control_characters(
    answers: Answers, words: list[str], path: str
) -> None:
    answer = {"node_id": "a\x1b[2J", "anything": [1, None]}
    answers.by_path[f"/api/v1/{path}"] = [answer]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 0, result.output
    assert orjson.loads(result.stdout) == answer
    assert "\x1b" not in result.stdout
