"""The command line as a whole: which commands there are, and that each says what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator


def every(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    for name, command in group.commands.items():
        yield (*names, name)
        if isinstance(command, click.Group):
            yield from every(command, *names, name)


COMMANDS = sorted(every(main))


def command_of(words: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
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


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(main, ["frobnicate"]).exit_code == 2
