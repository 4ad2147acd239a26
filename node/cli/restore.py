"""`comanda restore`: put a backup back; the node then regains from its peers what it lost."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import click

from node.cli.terminal import timestamp
from node.cli.tokens import data_option
from storage.database import DATABASE, StorageError
from storage.store import Store


@click.command()
@data_option
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(data: Path, backup: Path) -> None:
    """Restaura um backup com o nó parado; o banco atual fica ao lado. / Put a backup back, the node being stopped."""
    aside = data / f"{DATABASE}.before-{timestamp().replace(':', '')}"
    try:
        known = None
        if (data / DATABASE).exists():
            current = Store.open(data, None, lambda: uuid.uuid4().hex)  # refused while a node has it open
            known = current.node_id
            current.close()
            (data / DATABASE).rename(aside)
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(backup, data / DATABASE)
        (data / DATABASE).chmod(0o600)
        store = Store.open(data, known, lambda: uuid.uuid4().hex, verify=True)
        store.set_meta({"restored_from": f"{store.epoch}:{store.head}"})
        node_id, head = store.node_id, store.head
        store.close()
    except (StorageError, OSError) as error:
        if aside.exists():
            aside.replace(data / DATABASE)
        raise click.ClickException(str(error)) from error
    click.echo(f"{node_id}: {head} linhas / rows; o que falta vem dos outros nós / the rest comes from other nodes")
    if aside.exists():
        click.echo(f"o banco anterior / the database before: {aside}")
