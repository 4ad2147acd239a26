"""`comanda archive`: the history of closed days goes into a file; the node keeps what it needs of it."""

from __future__ import annotations

import uuid
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from node.cli.addresses import ASKED
from node.cli.asking import LONG_S, ask, say_zone, where_asked
from node.cli.options import progress_bars
from node.cli.output import json_option, say, say_json
from node.cli.secure import secure_options
from node.clock import timestamp
from node.config.remembered import recalled
from node.errors import ComandaError
from storage.audit.archiving import Until, furthest_behind
from storage.audit.archiving_steps import Archived, Job, Read, archiving
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

BATCH = 2_000
"""Rows pruned in one transaction. It may be large: the node is stopped, so nobody waits for the disk."""


@click.command()
@click.option("--until", "text", required=True, help="ISO 8601, ou linha / or row.")
@click.option("--data", type=click.Path(path_type=Path), help="Nó desta máquina. / A node here.  [comanda-data]")
@click.option("--url", type=ASKED, help="Um nó em outro lugar. / A node elsewhere.")
@secure_options
@click.option("--force", is_flag=True, help="Também o que outros nós não confirmaram. / Also what others lack.")
@json_option
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def archive(text: str, data: Path | None, url: str | None, force: bool, as_json: bool, file: Path | None) -> None:
    """Tira o histórico antigo do banco para um arquivo. / Move old history from the database into a file.

    Um nó parado grava em FILE; um nó em uso, em archives/ do diretório de dados. / A stopped node writes FILE, a
    running one into archives/ of its data directory.

    \b
    comanda archive --until 2026-01-01T00:00:00Z
    """
    try:
        Until.read(text)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{text}: {error}", param_hint="--until") from None
    if file is None:
        if data is not None and url is not None:
            raise click.UsageError("--data ou / or --url")
        query = urlencode({"until": text, **({"force": "1"} if force else {})})
        answer = ask(where_asked(data, url), f"/api/v1/archive?{query}", "POST", LONG_S)
        say_zone(answer)
        _say(answer, as_json)
        return
    if data is None:
        raise click.UsageError("FILE: só com / only with --data, do nó parado / of a stopped node")
    try:
        store = Store.open(data, None, lambda: uuid.uuid4().hex)
        try:
            until = Until.read(text, recalled(store.config()).time.where())
            say_zone({"assumed_zone": until.assumed_zone})
            with closing(Reader(store.path)) as reader:
                found = _archive(store, reader, until, file, force=force)
            store.shrink()
        finally:
            store.close()
    except (ComandaError, StorageError, OSError) as error:
        raise click.ClickException(str(error)) from error
    held = None if found.held is None else {"node": found.held.node_id, "confirmed": found.held.seq}
    _say({"archived": found.rows, "file": str(file) if found.rows else None, "held_by": held}, as_json)


def _archive(store: Store, reader: Reader, until: Until, file: Path, *, force: bool) -> Archived:
    with progress_bars() as progress:
        task = progress.add_task("archive", total=None)
        job = Job(
            until=until,
            target=lambda first, last: file,
            held=lambda: None if force else furthest_behind(reader.followers(), store.epoch),
            force=force,
            node_id=store.node_id,
            epoch=store.epoch,
            made_at=timestamp(),
            once=True,
            batch=BATCH,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
        steps = archiving(job)
        try:
            step = next(steps)
            while True:
                try:
                    result = step.call(reader) if isinstance(step, Read) else step.call(store)
                except StorageError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as over:
            found: Archived = over.value
            return found


def _say(answer: dict[str, Any], as_json: bool) -> None:
    """answer: `archived`, `file` and `held_by`, as a running node has them."""
    if as_json:
        say_json(answer)
        return
    if answer["archived"]:
        say(f"{answer['archived']} linhas / rows: {answer['file']}")
    else:
        say("nada a arquivar / nothing to archive")
    if held := answer["held_by"]:
        told = f"{held['node']} confirmou até / has confirmed up to {held['confirmed']}"
        say(f"{told}; o resto fica / the rest stays (--force)", err=True)
