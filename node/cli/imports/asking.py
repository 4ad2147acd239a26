"""On a terminal is asked what no option says of a list's columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from node.cli.output import say
from node.lists.columns import Misfit, Wanted, column_of, likely_key, proposed, texts_of
from node.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.lists.reading import Table


def on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(table: Table, wanted: Mapping[str, Wanted], key: str | None) -> tuple[dict[str, Wanted], str]:
    """Ask on the terminal for what the options leave open: the key, and each column's field. Raises click.Abort."""
    say("Enter aceita o que está entre colchetes; - deixa a coluna fora. / Enter takes it; - leaves the column out.")
    if key is None:
        likely = likely_key(table.columns)
        key = click.prompt("chave / key", default=likely, value_proc=lambda name: _column(name, table.columns))
    answers = dict(wanted)
    for name in table.columns:
        if name in answers or name == key:
            continue
        sample = next(texts_of(table, name), "")
        question = f"{printable(name)}  ({printable(sample, 40)})"
        field = str(click.prompt(question, default=proposed(name))).strip()
        answers[name] = Wanted("" if field == "-" else field)
    return answers, str(key)


def _column(name: str, columns: Sequence[str]) -> str:
    """Raises click.UsageError, upon which click asks again."""
    try:
        return column_of(name, columns)
    except Misfit as error:
        raise click.UsageError(str(error)) from error
