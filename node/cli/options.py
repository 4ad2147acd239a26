"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--data", type=click.Path(path_type=Path), default=Path("comanda-data"), show_default=True, help="Data directory."
)
