"""`comanda archive`: the history of closed days goes into a file; the node keeps what it needs of it."""

from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from node.cli.asking import ask
from node.cli.clock import timestamp
from node.cli.options import progress_bars
from storage.audit.archiving import (
    Until,
    check_unfinished,
    held_by,
    last_row,
    make_archive,
    unfinished,
)
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from storage.audit.archiving import Held
    from storage.records import ArchiveRow

BATCH = 2_000
"""Rows pruned in one transaction. It may be large: the node is stopped, so nobody waits for the disk."""

TIMEOUT_S = 3_600.0
"""How long a running node may take to archive."""


@click.command()
@click.option("--until", "text", required=True, help="ISO 8601, ou linha / or row.")
@click.option("--data", type=click.Path(path_type=Path), help="Nó parado. / A stopped node.")
@click.option("--url", help="Nó em uso. / A running node.")
@click.option("--force", is_flag=True, help="Também o que outros nós não confirmaram. / Also what others lack.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def archive(text: str, data: Path | None, url: str | None, force: bool, file: Path | None) -> None:
    """Tira o histórico antigo do banco para um arquivo. / Move old history from the database into a file.

    Um nó parado grava em FILE; um nó em uso, em archives/ do diretório de dados. / A stopped node writes FILE, a
    running one into archives/ of its data directory.
    """
    try:
        until = Until.read(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--until") from None
    if url is not None:
        if data is not None or file is not None:
            raise click.UsageError("--url: o nó escolhe o arquivo / the node names the file")
        query = urlencode({"until": text, **({"force": "1"} if force else {})})
        answer = ask(url, f"/api/v1/archive?{query}", "POST", TIMEOUT_S)
        held = answer["held_by"]
        _say(answer["archived"], answer["file"], (held["node"], held["confirmed"]) if held else None)
        return
    if data is None or file is None:
        raise click.UsageError("--data DIR FILE, ou / or --url")
    try:
        store = Store.open(data, None, lambda: uuid.uuid4().hex)
        try:
            with closing(Reader(store.path)) as reader:
                count, held_back = _archive(store, reader, until, file, force=force)
            store.shrink()
        finally:
            store.close()
    except (StorageError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _say(count, str(file), (held_back.node_id, held_back.seq) if held_back is not None else None)


def _archive(store: Store, reader: Reader, until: Until, file: Path, *, force: bool) -> tuple[int, Held | None]:
    """Archive and prune, after what an earlier run left unfinished.

    Returns how many rows went, and the linked node that holds up the rest, if one does.
    """
    before, left = store.anchor.seq, unfinished(reader)
    least = None if force else held_by(reader.followers(), store.epoch)
    if left is not None:
        try:
            check_unfinished(left)
        except StorageError:
            if not force:
                raise
            store.forget_archive(left.last)
            left = None
        else:
            _prune(store, left)
    if left is not None and left.file == str(file.resolve()):
        return store.anchor.seq - before, None  # what this command was called for before
    last, held = last_row(reader, until, least)
    if last > store.anchor.seq:
        with progress_bars() as progress:
            task = progress.add_task("archive")

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            made = make_archive(reader, file, last, store.node_id, store.epoch, timestamp(), advance)
        store.note_archive(made)
        _prune(store, made)
    return store.anchor.seq - before, held


def _prune(store: Store, made: ArchiveRow) -> None:
    while store.anchor.seq < made.last:
        store.prune(made.last, BATCH)


def _say(count: int, file: str | None, held: tuple[str, int] | None) -> None:
    if count:
        click.echo(f"{count} linhas / rows: {file}")
    else:
        click.echo("nada a arquivar / nothing to archive")
    if held is not None:
        node, seq = held
        click.echo(
            f"{node} confirmou até / has confirmed up to {seq}; o resto fica / the rest stays (--force)", err=True
        )
