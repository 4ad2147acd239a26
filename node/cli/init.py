"""`comanda init`: write a commented configuration."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.output import say
from node.config.example import example_toml


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("comanda.toml"))
def init(path: Path) -> None:
    """Escreve uma configuração comentada. / Write a commented configuration."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example_toml())
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error
    say(str(path))
