"""`comanda quarantine`: operations of other nodes that a running node could not apply."""

from __future__ import annotations

import click

from node.cli.asking import ask, url_option
from node.cli.output import say


@click.group()
def quarantine() -> None:
    """Operações de outros nós que não puderam ser aplicadas. / Operations of other nodes that cannot be applied."""


@quarantine.command(name="list")
@url_option
def list_quarantine(url: str) -> None:
    """Lista. / List them."""
    for row in ask(url, "/api/v1/quarantine")["quarantine"]:
        entity = f"{row['entity_type']} {row['entity_id'] or ''}".strip()
        operation = f"{row['terminal_id']}/{row['operation_id']}"
        say(f"{row['id']}  {row['state']}  {row['from']}  {operation}  {entity}  {row['reason']}")


@quarantine.command()
@url_option
def retry(url: str) -> None:
    """Tenta de novo. / Try them again."""
    answer = ask(url, "/api/v1/quarantine/retry", "POST")
    say(f"{answer['retried']} tentadas / tried, {answer['left']} restam / left")
