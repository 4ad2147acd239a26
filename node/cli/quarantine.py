"""`comanda quarantine`: operations of other nodes that a running node could not apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from node.cli.asking import ask, node_option
from node.cli.output import json_option, say, say_json
from node.runtime.whole_files import put_file


@click.group()
def quarantine() -> None:
    """Operações de outros nós que não puderam ser aplicadas. / Operations of other nodes that cannot be applied."""


@quarantine.command(name="list")
@node_option
@json_option
def list_quarantine(url: str, as_json: bool) -> None:
    """Lista. / List them.

    \b
    comanda quarantine list
    """
    answer = ask(url, "/api/v1/quarantine")
    if as_json:
        say_json(answer, indent=True)
        return
    for row in answer["quarantine"]:
        entity = f"{row['entity_type']} {row['entity_id'] or ''}".strip()
        operation = f"{row['terminal_id']}/{row['operation_id']}"
        say(f"{row['id']}  {row['state']}  {row['from']}  {operation}  {entity}  {row['reason']}")
    if answer.get("let_go"):
        say(f"{answer['let_go']} que esperavam saíram por falta de lugar / that waited went for lack of room")


@quarantine.command()
@node_option
@json_option
def retry(url: str, as_json: bool) -> None:
    """Tenta de novo. / Try them again.

    \b
    comanda quarantine retry
    """
    answer = ask(url, "/api/v1/quarantine/retry", "POST")
    if as_json:
        say_json(answer)
        return
    say(f"{answer['retried']} tentadas / tried, {answer['left']} restam / left")


@quarantine.command()
@click.argument("number", type=int)
@node_option
def show(number: int, url: str) -> None:
    """Mostra uma inteira. / Show one whole.

    \b
    comanda quarantine show 3
    """
    say_json(_row(url, number), indent=True)


@quarantine.command()
@click.argument("number", type=int)
@node_option
@json_option
def drop(number: int, url: str, as_json: bool) -> None:
    """Descarta uma, e ninguém a envia de novo. / Drop one; nobody sends it again.

    \b
    comanda quarantine drop 3
    """
    answer = ask(url, f"/api/v1/quarantine/drop?id={number}", "POST")
    if as_json:
        say_json(answer)
        return
    say(f"{answer['dropped']} descartada / dropped, {answer['left']} restam / left")


@quarantine.command()
@click.argument("file", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@node_option
def export(file: Path, url: str) -> None:
    """Grava todas num arquivo, uma por linha (JSON). / Write all into a file, one a line (JSON).

    Só quem grava pode ler o arquivo. / Only who writes the file can read it.

    \b
    comanda quarantine export quarantine.jsonl
    """
    rows = ask(url, "/api/v1/quarantine")["quarantine"]
    try:
        put_file(file, "".join(json.dumps(row) + "\n" for row in rows).encode(), 0o600)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    say(f"{len(rows)} -> {file}")


def _row(url: str, number: int) -> dict[str, Any]:
    for row in ask(url, "/api/v1/quarantine")["quarantine"]:
        if row["id"] == number:
            return dict(row)
    raise click.ClickException(f"não há / there is no {number}")
