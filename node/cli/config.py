"""`comanda config`: which settings are in force, and where each comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import orjson

from node.cli.output import json_option, say, say_json
from node.cli.settings import settings_options, settings_told

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = {"flag": "opção / flag", "environment": "ambiente / environment", "file": "arquivo / file"}


@click.group()
def config() -> None:
    """Configuração em vigor. / The configuration in force."""


@config.command()
@settings_options
@json_option
def show(config_file: Path | None, flags: dict[tuple[str, str], Any], as_json: bool) -> None:
    """Mostra cada valor e de onde vem. / Show each value and where it comes from.

    Opção antes de variável, variável antes de arquivo, arquivo antes de padrão; segredos não aparecem. / A flag wins
    over a variable, that over the file, and that over the default; secrets are not shown. Takes what `serve` takes.

    \b
    COMANDA_NODE_PORT=9000 comanda config show
    """
    told = settings_told(config_file, flags)
    rows = told.rows()
    if as_json:
        say_json({"file": None if told.file is None else str(told.file), "settings": rows}, indent=True)
        return
    for row in rows:
        source = f"{LAYERS[row['source']]}: {row['where']}" if row["where"] else "padrão / default"
        value = "" if row["value"] is None else orjson.dumps(row["value"]).decode()
        say(f"{row['key']} = {value}  ({source})")
