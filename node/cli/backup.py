"""`comanda backup`: a consistent copy of a running node's database."""

from __future__ import annotations

import click

from node.cli.asking import LONG_S, ask, node_option
from node.cli.output import say


@click.command()
@node_option
def backup(url: str) -> None:
    """Copia o banco de um nó em uso, para backups/ do diretório de dados. / Copy a running node's database."""
    say(ask(url, "/api/v1/backup", "POST", LONG_S)["backup"])
