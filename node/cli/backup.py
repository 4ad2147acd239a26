"""`comanda backup`: a consistent copy of a running node's database."""

from __future__ import annotations

import click

from node.cli.asking import LONG_S, ask, node_option
from node.cli.output import json_option, say, say_json


@click.command()
@node_option
@json_option
def backup(url: str, as_json: bool) -> None:
    """Copia o banco de um nó em uso, para backups/ do diretório de dados. / Copy a running node's database.

    \b
    comanda backup --data comanda-data
    """
    answer = ask(url, "/api/v1/backup", "POST", LONG_S)
    if as_json:
        say_json(answer)
    else:
        say(answer["backup"])
