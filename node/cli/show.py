"""`comanda show`: an entity, or all of a type, now or as it was at a time or a place in the node's log."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import click
import orjson
from rich.text import Text

from node.cli.asking import ask, node_option, pages, say_zone
from node.cli.output import say_json
from node.cli.screen import Grid, Screen
from node.printable import printable


@click.command()
@click.argument("entity_type")
@click.argument("entity_id", required=False)
@click.option(
    "--at", metavar="TIME", help="Como estava então; ISO 8601. / As of then; without an offset, in the store's zone."
)
@click.option(
    "--seq", type=click.IntRange(0), help="Como estava nessa linha do registro. / As of that row of the log."
)
@click.option("--deleted", is_flag=True, help="Também as excluídas. / Deleted ones too.")
@click.option("--json", "as_json", is_flag=True, help="Uma entidade por linha. / One entity a line.")
@node_option
def show(
    entity_type: str, entity_id: str | None, at: str | None, seq: int | None, deleted: bool, as_json: bool, url: str
) -> None:
    """Mostra entidades, agora ou como estavam. / Show entities, now or as they were.

    \b
    comanda show orders mesa-7 --at 2026-01-15T20:00:00-03:00
    """
    if at is not None and seq is not None:
        raise click.UsageError("--at ou / or --seq")
    moment = {name: value for name, value in (("at", at), ("seq", seq)) if value is not None}
    place = f"/api/v1/entities/{quote(entity_type, safe='')}"
    unknown: list[str] = []
    if entity_id is not None:
        # In the query, as a client may take `.` and `..` out of a path, and a proxy make one slash of two.
        entities = [ask(url, f"{place}?{urlencode({'entity_id': entity_id, **moment})}")]
        say_zone(entities[0].get("as_of"))
    else:
        entities, unknown = _all(url, place, {**moment, **({"deleted": 1} if deleted else {})})
    if as_json:
        for entity in entities:
            say_json(entity)
        return
    console = Screen(soft_wrap=entity_id is not None)
    if entity_id is not None:
        console.print(Text(f"{entity_type} {entity_id}{_marks(entities[0])}", "bold"))
        for name, value in entities[0]["data"].items():
            console.print(f"  {name}  {orjson.dumps(value).decode()}")
    else:
        _print_table(entities, console)
        if unknown:
            text = "o registro não diz, está arquivado / archived, the log does not tell"
            console.print(Text(f"{text}: {' '.join(map(printable, unknown))}", "yellow"))


def _all(url: str, place: str, parameters: dict[str, object]) -> tuple[list[dict[str, Any]], list[str]]:
    """All pages, and the ids of those of which the log does not tell. Raises ClickException."""
    entities: list[dict[str, Any]] = []
    unknown: list[str] = []
    for page in pages(url, place, **parameters):
        if not entities:
            say_zone(page.get("as_of"))
        entities += page["entities"]
        unknown += page.get("unknown", [])
    return entities, unknown


def _print_table(entities: list[dict[str, Any]], console: Screen) -> None:
    table = Grid()
    table.add_column("entidade\nentity", no_wrap=True)
    table.add_column("versão\nversion", justify="right")
    table.add_column("campos\nfields", overflow="fold")
    for entity in entities:
        fields = {name: value for name, value in entity["data"].items() if name != "version"}
        text = orjson.dumps(fields).decode()
        shown = Text(printable(text, len(text))) + Text(_marks(entity), "yellow")
        table.add_row(Text(printable(entity["entity_id"])), str(entity["version"]), shown)
    console.print(table if entities else "nada / nothing")


def _marks(entity: dict[str, Any]) -> str:
    marks = {
        "  EXCLUÍDA / DELETED": entity["deleted"],
        "  EM CONFLITO / IN CONFLICT": bool(entity["conflicts"]),
    }
    return "".join(mark for mark, applies in marks.items() if applies)
