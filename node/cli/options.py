"""Options and progress bars that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from node.cli.asking import DATA

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("comanda-data"),
    envvar=DATA,
    show_default=True,
    help="Diretório de dados. / Data directory.",
)


def _zone(ctx: click.Context, parameter: click.Parameter, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise click.BadParameter(f"fuso desconhecido / unknown time zone: {name}") from error


zone_option = click.option(
    "--zone",
    default="America/Sao_Paulo",
    show_default=True,
    callback=_zone,
    help="Fuso da loja. / The store's time zone.",
)


def progress_bars(*columns: ProgressColumn) -> Progress:
    """Bars on stderr, gone when they are done. Shows nothing where stderr is no terminal.

    columns: what a bar consists of; without any, name, bar, percentage and time left.
    """
    from rich.progress import Progress  # a node that serves has none

    from node.cli.screen import Screen

    return Progress(*columns, console=Screen(stderr=True), transient=True, disable=not sys.stderr.isatty())
