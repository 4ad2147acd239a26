"""`comanda restore`: put a backup back; the node then regains from its peers what it lost."""

from __future__ import annotations

import shutil
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.clock import timestamp
from storage.sqlite.database import DATABASE, StorageError, lock_directory
from storage.sqlite.head_note import NOTE_FILE
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from storage.records import TokenRow

FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", NOTE_FILE)


@click.command()
@data_option
@json_option
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(data: Path, as_json: bool, backup: Path) -> None:
    """Restaura um backup com o nó parado; o banco atual fica ao lado. / Put a backup back, the node being stopped.

    \b
    comanda restore --data comanda-data comanda-data/backups/auto-812-1768471200000.db
    """
    tokens = _tokens(data)
    aside = data / f"before-{timestamp().replace(':', '')}"
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_directory(data).release()  # refused while a node has it open
        _move(data, aside)
        try:
            node_id, head, strange = _put_back(data, backup, tokens)
        except BaseException:
            for name in FILES:
                (data / name).unlink(missing_ok=True)
            if aside.exists():
                _move(aside, data)
                aside.rmdir()
            raise
    except (StorageError, OSError) as error:
        raise click.ClickException(str(error)) from error
    before, of_backup = str(aside) if aside.exists() else None, tokens is None and aside.exists()
    if as_json:
        said = {"node_id": node_id, "head": head, "before": before, "tokens_of_the_backup": of_backup}
        say_json({**said, "tokens_only_in_the_backup": strange})
        return
    say(f"{node_id}: {head} linhas / rows; o que falta vem dos outros nós / the rest comes from other nodes")
    if of_backup:
        say(
            "os tokens são os do backup: revogue de novo os revogados desde então / the tokens are the backup's: "
            "revoke again what was revoked since",
            err=True,
        )
    if strange:
        say(
            "só o backup tem estes tokens; revogue os que não conhece / only the backup has these tokens; revoke "
            f"those that you do not know: {', '.join(strange)}",
            err=True,
        )
    if before is not None:
        say(f"o banco anterior / the database before: {before}")


def _tokens(data: Path) -> list[TokenRow] | None:
    """The tokens of the database that is there; None where there is none that can be read."""
    try:
        with closing(Reader(data / DATABASE)) as reader:
            return reader.tokens()
    except StorageError:
        return None


def _move(source: Path, target: Path) -> None:
    """Move the database and what belongs to it, without reading it: a damaged one is a reason to restore."""
    for name in FILES:
        if (source / name).exists():
            target.mkdir(mode=0o700, exist_ok=True)
            (source / name).replace(target / name)


def _put_back(data: Path, backup: Path, tokens: list[TokenRow] | None) -> tuple[str, int, list[str]]:
    """Copy the backup, check it and mark it, so that the node goes on under a fresh writer.

    tokens: those that there were since: none that was revoked comes back, and none that was made is lost.
    Returns its node id, its last row, and whose tokens only the backup has: who can write a backup can put one in.
    Raises StorageError where the backup is damaged.
    """
    (data / DATABASE).touch(mode=0o600)  # before anything is in it
    shutil.copyfile(backup, data / DATABASE)
    store = Store.open(data, None, lambda: uuid.uuid4().hex, verify=True)
    with closing(Reader(store.path)) as reader:
        known = {row.token_hash for row in tokens or ()}
        held = [row for row in reader.tokens() if row.revoked_at is None and row.token_hash]
    strange = {row.terminal_id for row in held if row.token_hash not in known}
    store.put_tokens([row for row in tokens or () if row.token_hash])
    store.set_meta({"restored_from": f"{store.epoch}:{store.head}"})
    node_id, head = store.node_id, store.head
    store.close()
    return node_id, head, sorted(strange) if tokens is not None else []
