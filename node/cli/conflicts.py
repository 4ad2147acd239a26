"""`comanda conflicts`: what collided, and a person's decision about it."""

from __future__ import annotations

import sys
import uuid
from typing import Any
from urllib.parse import quote

import click
import orjson

from node.cli.asking import ask, node_option, pages
from node.cli.exchange import exchange, status_of, terminal_options
from node.cli.output import json_option, say, say_json
from node.cli.screen import Grid, Screen
from node.printable import printable

STATES = ("open", "settled", "closed", "decided")
SIDES = {"local": "accept_local", "remote": "accept_remote"}


@click.group()
def conflicts() -> None:
    """Conflitos entre escritas. / Writes that collided."""


@conflicts.command(name="list")
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True, help="Quais. / Which.")
@json_option
@node_option
def list_conflicts(state: str, as_json: bool, url: str) -> None:
    """Lista os conflitos. / List conflicts.

    \b
    comanda conflicts list --state settled --json
    """
    found = [conflict for page in pages(url, "/api/v1/conflicts", state=state) for conflict in page["conflicts"]]
    if as_json:
        for conflict in found:
            say_json(conflict)
        return
    grid = Grid("conflito\nconflict", "entidade\nentity", "campo\nfield", "aparece\nshown", "outro\nother")
    for conflict in found:
        entity = f"{conflict['entity_type']} {conflict['entity_id']}"
        sides = [_side(conflict[side]) for side in ("local_data", "remote_data")]
        grid.add_row(printable(conflict["id"]), printable(entity), printable(_path(conflict)), *map(printable, sides))
    Screen().print(grid if found else "nenhum / none")


@conflicts.command()
@click.argument("conflict_id")
@json_option
@node_option
def show(conflict_id: str, as_json: bool, url: str) -> None:
    """Mostra um conflito inteiro: cada valor, de quem e de quando. / Show one whole: each value, whose and when.

    \b
    comanda conflicts show conflict-d85e0075f1ffdceeffda
    """
    conflict = ask(url, f"/api/v1/conflicts/{quote(conflict_id, safe='')}")
    if as_json:
        say_json(conflict, indent=True)
        return
    say(f"{conflict['id']}  {conflict['state']}  {conflict['type']}")
    say(f"{conflict['entity_type']} {conflict['entity_id']}  {_path(conflict)}")
    for candidate in conflict.get("candidates", ()):
        where = f"{candidate['timestamp']}  {candidate['terminal_id']}/{candidate['operation_id']}"
        say(f"  {where}  {_side(candidate['data'])}")


@conflicts.command()
@click.argument("conflict_id")
@click.option(
    "--accept", type=click.Choice([*SIDES]), help="O que aparece, ou o outro. / What is shown, or the other."
)
@click.option(
    "--set", "values", multiple=True, metavar="CAMPO=JSON", help="Este valor; repete-se. / This value; repeatable."
)
@click.option("--reason", help="Por quê; fica na auditoria. / Why; the audit keeps it.")
@terminal_options
@json_option
@node_option
def resolve(
    conflict_id: str,
    accept: str | None,
    values: tuple[str, ...],
    reason: str | None,
    terminal: str,
    terminal_type: str,
    user: str,
    as_json: bool,
    url: str,
) -> None:
    """Decide um conflito. / Decide a conflict.

    \b
    comanda conflicts resolve conflict-d85e... --accept remote --user rui --reason "Liguei para a Ana"
    comanda conflicts resolve conflict-d85e... --set 'phone="11 5550-0003"'

    0: decidido / decided. 1: recusado / refused. 2: opções / options.
    """
    if accept is None and not values:
        raise click.UsageError("--accept ou / or --set")
    data = dict(map(_value, values))
    message: dict[str, Any] = {
        "type": "conflict_resolution",
        "conflict_id": conflict_id,
        "resolution": SIDES[accept] if accept else "merge",
        "id": f"{terminal}-{uuid.uuid4()}",
    }
    message |= {"resolved_data": data} if data else {}
    message |= {"reason": reason} if reason else {}
    answer = exchange(url, terminal, terminal_type, user, message)
    assert answer is not None
    if as_json:
        say_json(answer)
    elif answer["type"] == "sync_error":
        say(f"recusado / refused {answer.get('code')}: {answer['error']}", err=True)
    else:
        say(f"decidido / decided  versão / version {answer['version']}  {answer['status']}")
    sys.exit(status_of(answer))


def _value(text: str) -> tuple[str, Any]:
    name, equals, said = text.partition("=")
    try:
        if name and equals:
            return name, orjson.loads(said)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"--set {text!r}: não é JSON / is no JSON: {error}") from error
    raise click.UsageError(f"--set {text!r}: CAMPO=JSON / FIELD=JSON")


def _path(conflict: dict[str, Any]) -> str:
    return " ".join(map(str, conflict.get("path", ()))) or "*"


def _side(data: dict[str, Any] | None) -> str:
    return orjson.dumps({name: value for name, value in (data or {}).items() if name != "version"}).decode()
