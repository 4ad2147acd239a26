"""`comanda sink`: the logs of stores into reporting tables in PostgreSQL, or into files of the same."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from node.addresses import AddressError, database_address
from node.cli.addresses import TARGET, Misread
from node.cli.exports.command import hour_option
from node.cli.exports.days import Days
from node.cli.options import data_option, zone_option
from node.cli.output import json_option, say, say_json
from node.errors import ConfigError
from node.lists.cells import guarded
from node.sink import files
from node.sink.cursor import PAGE, Cursor, Fenced
from node.sink.follow import Archived, Follower, Refused
from node.sink.mapping import Counted, Mapping, read_mapping
from node.sink.sheets import Csv, Parquet
from node.sink.watch import Watch
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import time

    from node.sink.sheets import Sheet

WITHOUT = "falta o extra / the extra is missing: pip install 'comanda[{}]'"


@click.command()
@data_option
@click.option(
    "--to",
    required=True,
    envvar="COMANDA_SINK_TO",
    type=TARGET,
    help="Onde; postgresql://USER@HOST/DATABASE, ou uma pasta com --format / Where to.",
)
@click.option(
    "--format", "kind", type=click.Choice(["csv", "parquet"]), help="Arquivos, um por dia. / Files, one a day."
)
@click.option(
    "--mapping", "mapping_file", type=click.Path(path_type=Path), help="Campos por coluna (TOML). / Fields by column."
)
@click.option("--day-begins", default="05:00", show_default=True, callback=hour_option, help="Hora. / Hour.")
@zone_option
@click.option("--every", "every_s", type=float, help="Segundos entre leituras. / Seconds.  [1; arquivos/files 60]")
@click.option("--page", type=click.IntRange(1), help="Linhas de uma vez. / Rows at once.  [500; arquivos/files 5000]")
@click.option("--once", is_flag=True, help="Até o fim dos registros, e termina. / To the end of the logs, and ends.")
@click.option("--skip-archived", is_flag=True, help="Deixa de fora o que só está num arquivo. / Leave it out.")
@json_option
def sink(
    data: Path,
    to: str,
    mapping_file: Path | None,
    day_begins: time,
    zone: ZoneInfo,
    kind: str | None,
    every_s: float | None,
    page: int | None,
    once: bool,
    skip_archived: bool,
    as_json: bool,
) -> None:
    """Leva os registros das lojas ao PostgreSQL, ou a arquivos. / Take the logs of stores to PostgreSQL, or to files.

    De todas as lojas que o escritório guarda, ou da loja deste diretório ([node] site): operações, entidades,
    pedidos, itens e pagamentos, por dia de expediente, cada operação uma vez. Outro `sink` toma o lugar deste.

    Of all stores that head office keeps, or of this directory's ([node] site): operations, entities, orders, lines
    and payments, by business day, each operation once. Another `sink` that begins takes this one's place.

    \b
    comanda sink --to postgresql://comanda@localhost/comanda
    comanda sink --to relatorios --format csv
    """
    _check_target(to, kind)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        mapping = Mapping() if mapping_file is None else read_mapping(mapping_file)
        zones = {site: ZoneInfo(name) for site, name in mapping.zones.items()}
    except (ConfigError, ZoneInfoNotFoundError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    follower = Follower(Watch(data))

    def counted(site: str) -> Counted:
        own = zones.get(site, zone)
        return Counted(own.key, f"{day_begins:%H:%M}", Days(own, day_begins).day_of)

    def cursor(site: str) -> Cursor:
        days = counted(site)
        return Cursor(
            site=site,
            mapping=mapping,
            day_of=days.day_of,
            zone=days.zone,
            day_begins=days.day_begins,
            skip_archived=skip_archived,
            page=page or PAGE,
        )

    try:
        if kind is None:
            _into_postgres(to, follower, cursor, every_s or 1.0, once=once)
        else:
            files.Files(
                folder=Path(to),
                sheet=_sheet(kind),
                follower=follower,
                mapping=mapping,
                counted=counted,
                every_s=every_s or 60.0,
                skip_archived=skip_archived,
                page=page or files.PAGE,
            ).run(once=once)
    except (Archived, ConfigError, Refused, StorageError, OSError) as error:
        raise click.ClickException(str(error).strip()) from error
    except KeyboardInterrupt:
        return
    if as_json:
        say_json({"rows": follower.passed})
    else:
        say(f"{follower.passed} linhas / rows")


def _check_target(to: str, kind: str | None) -> None:
    """Raises Misread where `--to` is a folder without a format, or a database with one."""
    try:
        if kind is None:
            database_address(to)
        elif "://" in to:
            raise Misread("--to", "--format grava numa pasta / --format writes into a folder")
    except AddressError as error:
        raise Misread("--to", f"{error}; ou uma pasta, com --format / or a folder, with --format") from error


def _into_postgres(
    to: str, follower: Follower, cursor: Callable[[str], Cursor], every_s: float, *, once: bool
) -> None:
    """Raises ClickException, and what keeps a store from being read."""
    try:
        import psycopg

        from node.sink.sink import Sink
    except ImportError as error:
        raise click.ClickException(WITHOUT.format("sink")) from error
    try:
        Sink(to=to, follower=follower, cursor=cursor, every_s=every_s).run(once=once)
    except (Fenced, psycopg.Error) as error:
        raise click.ClickException(str(error).strip()) from error


def _sheet(kind: str) -> Sheet:
    """Raises ClickException."""
    if kind == "csv":
        return Csv(guarded)
    try:
        return Parquet.load()
    except ImportError as error:
        raise click.ClickException(WITHOUT.format("parquet")) from error
