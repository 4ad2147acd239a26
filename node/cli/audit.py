"""`comanda audit verify`: walk the chain of the log, also while the node runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import Progress

from node.cli.tokens import data_option
from storage.audit import verify as walk
from storage.database import DATABASE, StorageError
from storage.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def audit() -> None:
    """A trilha de auditoria. / The audit trail."""


@audit.command()
@data_option
def verify(data: Path) -> None:
    """Procura registros alterados, removidos ou cortados. / Find edited, removed or cut entries."""
    try:
        reader = Reader(data / DATABASE)
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("audit")
            findings = list(walk(reader, lambda done, total: progress.update(task, completed=done, total=total)))
        head, _ = reader.head()
        reader.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    for finding in findings:
        click.echo(f"seq {finding.seq}: {finding.what}")
    if findings:
        raise click.ClickException(f"{len(findings)} problema(s) / problem(s)")
    click.echo(f"{head} registros conferem / rows verified")
