"""`comanda export`: entities, operations or conflicts of a running node, now or as they were."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.asking import node_option
from node.cli.exports import rows
from node.cli.exports.days import Days, read_day
from node.cli.exports.formats import FORMATS, save
from node.cli.options import progress_bars, zone_option
from node.cli.output import say, say_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from zoneinfo import ZoneInfo

    from node.cli.exports.rows import Row

KINDS = ("entities", "operations", "conflicts")
NAMES = sorted({*FORMATS.values()})


def day_option(ctx: click.Context, parameter: click.Parameter, text: str | None) -> date | None:
    """Callback. Raises click.BadParameter."""
    try:
        return None if text is None else read_day(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def hour_option(ctx: click.Context, parameter: click.Parameter, text: str) -> time:
    """Callback. Raises click.BadParameter."""
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"HH:MM: {text}") from error


@click.command()
@click.argument("what", type=click.Choice(KINDS))
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--type", "entity_type", help="Tipo de entidade. / Entity type.")
@click.option("--at", metavar="TIME", help="Como estava então; sem fuso, no de --zone. / As of then.")
@click.option("--day", callback=day_option, help="Este dia de expediente. / This business day.")
@click.option("--until", "last", callback=day_option, metavar="DAY", help="Até este, com --day. / Up to this one.")
@click.option("--day-begins", default="05:00", show_default=True, callback=hour_option, help="Hora. / Hour.")
@zone_option
@click.option("--format", "kind", type=click.Choice(NAMES), help="Ou pelo nome. / Or by name.")
@click.option("--plain", is_flag=True, help="CSV com vírgula e ponto decimal. / CSV for programs.")
@click.option("--force", is_flag=True, help="No lugar de um arquivo que existe. / In the place of a file.")
@node_option
def export(
    what: str,
    file: Path | None,
    entity_type: str | None,
    at: str | None,
    day: date | None,
    last: date | None,
    day_begins: time,
    zone: ZoneInfo,
    kind: str | None,
    plain: bool,
    force: bool,
    url: str,
) -> None:
    """Exporta entidades, operações ou conflitos. / Export entities, operations or conflicts.

    CSV (como o Excel brasileiro abre), JSON Lines, SQLite ou Parquet; sem FILE, JSON Lines na tela. Com --day,
    entidades são como estavam no fim do dia. O que `import` lê de volta não muda nada.

    CSV, JSON Lines, SQLite or Parquet; without FILE, JSON Lines on stdout. With --day entities are as they were at
    its end. What `import` reads back changes nothing.

    \b
    comanda export entities produtos.csv --type products
    comanda export operations dia.jsonl --day 31/12/2026
    comanda export entities loja.db --at 2026-12-31T18:00
    """
    if (last is not None and day is None) or (at is not None and day is not None):
        raise click.UsageError("--at, ou / or --day [--until]")
    kind = kind or ("jsonl" if file is None else FORMATS.get(file.suffix.casefold()))
    if kind is None:
        raise click.UsageError(f"--format {'|'.join(NAMES)}")
    if file is None and kind != "jsonl":
        raise click.UsageError("FILE")
    if file is not None and file.exists() and not force:
        raise click.ClickException(f"{file} já existe / exists (--force)")
    days = Days(zone, day_begins)
    since, until = rows.in_days(days, day, last or day)
    try:
        then = None if at is None else days.moment(at)
    except ValueError as error:
        raise click.UsageError(f"--at: {error}") from error
    if what == "entities" and kind != "sqlite" and entity_type is None:
        raise click.UsageError("--type")
    tables: dict[str, Iterable[Row]]
    if what == "entities":
        types = [entity_type] if entity_type is not None else rows.entity_types(url)
        tables = {name: rows.entities(url, name, then or until) for name in types}
    elif what == "operations":
        tables = {what: rows.operations(url, entity_type, days, since, then or until)}
    else:
        tables = {what: rows.conflicts(url, entity_type, days, since, until, then)}
    if file is None:
        for row in next(iter(tables.values())):
            say_json(row)
        return
    columns = {"operations": rows.OPERATIONS, "conflicts": rows.CONFLICTS}.get(what)
    key = {"operations": "seq", "conflicts": "id"}.get(what, "entity_id")
    with progress_bars() as progress:
        task = progress.add_task("export", total=None)
        counted = {name: _counting(of, lambda: progress.advance(task)) for name, of in tables.items()}
        try:
            written = save(file, kind, counted, columns, key=key, plain=plain)
        except OSError as error:
            raise click.ClickException(f"{file}: {error}") from error
    say(f"{written} -> {file}", err=True)


def _counting(of: Iterable[Row], advance: Any) -> Iterator[Row]:
    for row in of:
        advance()
        yield row
