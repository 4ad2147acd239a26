"""`comanda init`: write a commented configuration."""

from __future__ import annotations

import os
from pathlib import Path

import click

from node.cli.output import say
from node.config.example import example_toml


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("comanda.toml"))
def init(path: Path) -> None:
    """Escreve uma configuração comentada. / Write a commented configuration.

    \b
    comanda init && comanda serve
    """
    try:
        # A link's token may be written into it.
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(example_toml())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    say(str(path))
