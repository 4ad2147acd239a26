"""`comanda bench`. The benchmarks come with the source and not with the package: their contestants are many."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import click


def _command() -> click.Command:
    if find_spec("bench") is not None and find_spec("bench.contest") is not None:
        found = import_module("bench.contest.command").bench
        assert isinstance(found, click.Command)
        return found

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("names", nargs=-1)
    def absent(names: tuple[str, ...]) -> None:
        """Mede este nó e as alternativas. / Measure this node and what a user would pick instead."""
        raise click.ClickException(
            "só num clone do projeto / only in a clone of the project: pip install -e '.[bench]'"
        )

    return absent


bench = _command()
