"""`comanda token`: bearer tokens, while the node is stopped (one process writes a database)."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import click

from node.cli.clock import timestamp
from node.cli.options import data_option
from node.cli.output import say
from node.runtime.api.tokens import new_token, token_hash
from node.wire.codec import TERMINAL_ID
from storage.records import TokenRow
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def token() -> None:
    """Tokens de acesso dos terminais. / The terminals' access tokens."""


@token.command()
@data_option
@click.option("--type", "kind", required=True, help="Tipo: pos, kds, waiter, monitor; node. / Its type.")
@click.option("--label", default="", help="Para reconhecê-lo depois. / To recognise it later.")
@click.argument("terminal_id")
def add(data: Path, kind: str, label: str, terminal_id: str) -> None:
    """Cria um token; ele só é mostrado agora. / Make a token; it is shown only now."""
    if TERMINAL_ID.match(terminal_id) is None:
        raise click.BadParameter(f"{terminal_id!r} não é um nome de terminal / is no terminal's id")
    made = new_token()
    try:
        store = Store.open(data, None, lambda: uuid.uuid4().hex)
        store.add_token(TokenRow(token_hash(made), terminal_id, kind, label, timestamp(), None))
        store.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    say(made)


@token.command()
@data_option
@click.argument("terminal_id")
def revoke(data: Path, terminal_id: str) -> None:
    """Revoga os tokens de um terminal. / Revoke a terminal's tokens."""
    try:
        store = Store.open(data, None, lambda: uuid.uuid4().hex)
        count = store.revoke_tokens(terminal_id, timestamp())
        store.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    say(f"{count} revogado(s) / revoked")


@token.command(name="list")
@data_option
def list_tokens(data: Path) -> None:
    """Lista os tokens (sem mostrá-los). / List tokens, without showing them."""
    try:
        reader = Reader(data / DATABASE)
        for row in reader.tokens():
            state = f"revoked {row.revoked_at}" if row.revoked_at else "live"
            say(f"{row.terminal_id}  {row.terminal_type}  {row.created_at}  {state}  {row.label}")
        reader.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
