"""`comanda audit verify`: walk the chain of the log, also while the node runs."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.options import data_option, progress_bars
from node.cli.output import say
from storage.audit.archive_file import verify_archives
from storage.audit.chain_walk import verify as walk
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader


@click.group()
def audit() -> None:
    """A trilha de auditoria. / The audit trail."""


@audit.command()
@data_option
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Arquivos de `comanda archive`. / Files of `comanda archive`.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True))
def verify(data: Path, archives: tuple[Path, ...], more: tuple[Path, ...]) -> None:
    """Procura registros alterados, removidos ou cortados. / Find edited, removed or cut entries.

    --archive FILE... : também nos arquivos, desde a primeira linha. / Also in the archives, from the first row on.
    """
    try:
        reader = Reader(data / DATABASE)
        with progress_bars() as progress:
            task = progress.add_task("audit")
            findings = list(walk(reader, lambda done, total: progress.update(task, completed=done, total=total)))
        anchor, (head, _) = reader.anchor(), reader.head()
        if archives:
            findings += verify_archives([*archives, *more], anchor)
        reader.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    for finding in findings:
        say(f"seq {finding.seq}: {finding.what}")
    if findings:
        raise click.ClickException(f"{len(findings)} problema(s) / problem(s)")
    if anchor.seq and not archives:
        say(f"{anchor.seq} arquivados, não conferidos / archived, not verified (--archive FILE...)")
    say(f"{head if archives else head - anchor.seq} registros conferem / rows verified")
