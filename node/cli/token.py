"""`comanda token`: bearer tokens, of a running node or of a stopped one."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from crdt.hlc import iso, time_asked
from node.cli.addresses import ASKED
from node.cli.asking import CONTROL, NoNode, ask
from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.cli.secure import secure_options
from node.cli.settings import settings_in
from node.clock import timestamp
from node.errors import ConfigError
from node.rights import VERBS
from node.runtime.api.tokens import made, objection, revoked, rotated, shown
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from storage.records import TokenRow


def url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--url`, with what `secure_options` adds."""
    return click.option("--url", type=ASKED, help="Um nó em outro lugar. / A node elsewhere.")(
        secure_options(command)
    )


@click.group()
def token() -> None:
    """Tokens de acesso dos terminais. / The terminals' access tokens."""


def _right(verb: str, pt: str, en: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{verb}", metavar="A,B", help=f"{pt} / {en} Sem isso, como o tipo. / Else as its type.")


@token.command()
@data_option
@url_option
@click.option("--type", "kind", required=True, help="Tipo: pos, kds, waiter, monitor; node. / Its type.")
@click.option("--label", default="", help="Para reconhecê-lo depois. / To recognise it later.")
@click.option("--expires", metavar="TIME", help="Até quando vale; ISO 8601. / Until when it is worth something.")
@_right("write", "Tipos que grava.", "Entity types it writes.")
@_right("resolve", "Tipos cujos conflitos decide.", "Those whose conflicts it decides.")
@_right("read", "Tipos que lê; audit, metrics.", "Those it reads; audit, metrics.")
@_right("operate", "archive, backup, keys, publish, quarantine, tokens.", "What it administers.")
@json_option
@click.argument("terminal_id")
def add(
    data: Path,
    url: str | None,
    kind: str,
    label: str,
    expires: str | None,
    as_json: bool,
    terminal_id: str,
    **verbs: str | None,
) -> None:
    """Cria um token; ele só é mostrado agora. / Make a token; it is shown only now.

    \b
    comanda token add garcom-3 --type waiter --label "celular da Bia"
    comanda token add tela-1 --type kds --read orders
    """
    rights = {verb: said.split(",") if said else [] for verb in VERBS if (said := verbs[verb]) is not None}
    query = {"terminal_id": terminal_id, "type": kind, "label": label}
    query |= {verb: ",".join(over) for verb, over in rights.items()}
    if expires is not None:
        query["expires"] = expires
    answer = _asked(data, url, f"add?{urlencode(query)}", "POST")
    if answer is None:
        answer = {"token": _add(data, terminal_id, kind, label, rights, expires)}
    if as_json:
        say_json(answer)
    else:
        say(answer["token"])


@token.command()
@data_option
@url_option
@json_option
@click.argument("terminal_id")
def revoke(data: Path, url: str | None, as_json: bool, terminal_id: str) -> None:
    """Revoga os tokens de um terminal. / Revoke a terminal's tokens.

    Um terminal ligado é desconectado na hora. / A terminal that is connected is disconnected at once.

    \b
    comanda token revoke garcom-3
    """
    answer = _asked(data, url, f"revoke?{urlencode({'terminal_id': terminal_id})}", "POST")
    if answer is None:
        rows = _change(data, lambda rows: revoked(rows, terminal_id, timestamp()))
        answer = {"revoked": len(rows)}
    if as_json:
        say_json(answer)
    else:
        say(f"{answer['revoked']} revogado(s) / revoked")


@token.command()
@data_option
@url_option
@json_option
@click.argument("terminal_id")
def rotate(data: Path, url: str | None, as_json: bool, terminal_id: str) -> None:
    """Troca o token de um terminal por um novo. / Put a new token in the place of a terminal's.

    \b
    comanda token rotate garcom-3
    """
    answer = _asked(data, url, f"rotate?{urlencode({'terminal_id': terminal_id})}", "POST")
    if answer is None:
        new: list[str] = []

        def change(rows: Sequence[TokenRow]) -> list[TokenRow]:
            found = rotated(rows, terminal_id, timestamp())
            if found is None:
                raise click.ClickException(f"{terminal_id} não tem token / has no live token")
            new.append(found[0])
            return found[1]

        _change(data, change)
        answer = {"token": new[0]}
    if as_json:
        say_json(answer)
    else:
        say(answer["token"])


@token.command(name="list")
@data_option
@url_option
@click.option("--json", "as_json", is_flag=True, help="Um token por linha. / One token a line.")
def list_tokens(data: Path, url: str | None, as_json: bool) -> None:
    """Lista os tokens (sem mostrá-los). / List tokens, without showing them.

    \b
    comanda token list
    """
    answer = _asked(data, url, "", "GET")
    tokens = answer["tokens"] if answer is not None else _stored(data)
    for row in tokens:
        if as_json:
            say_json(row)
            continue
        state = f"revoked {row['revoked_at']}" if row["state"] == "revoked" else row["state"]
        more = [f"until {row['expires_at']}"] if row["expires_at"] else []
        more += [f"used {row['used_at']} {row['used_from']}"] if row["used_at"] else []
        more += [f"{verb}={','.join(over) or '-'}" for verb, over in row["rights"].items()]
        words = [row["terminal_id"], row["type"], row["created_at"], state, *([row["label"]] if row["label"] else [])]
        say("  ".join([*words, *more]))


# ------------------------------------------------------------------ a running node, or a stopped one


def _asked(data: Path, url: str | None, what: str, method: str) -> dict[str, Any] | None:
    """The running node's answer; None where none runs in this data directory."""
    path = f"/api/v1/tokens{'/' if what else ''}{what}"
    if url is not None:
        return ask(url, path, method)
    try:
        return ask(f"{CONTROL}{data}", path, method)
    except NoNode:
        return None


def _add(
    data: Path, terminal_id: str, kind: str, label: str, rights: dict[str, list[str]], expires: str | None
) -> str:
    try:
        config = settings_in(data).config
        expires_at = None if expires is None else iso(time_asked(expires, config.time.where())[0])
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{expires}: {error}", param_hint="--expires") from None
    types = [policy.entity_type for policy in config.registry().all()]
    if wrong := objection(terminal_id, kind, rights, config.terminals, types):
        raise click.BadParameter(wrong)
    new, row = made(terminal_id, kind, label, timestamp(), rights, expires_at)
    _change(data, lambda rows: [row])
    return new


def _change(data: Path, change: Callable[[Sequence[TokenRow]], list[TokenRow]]) -> list[TokenRow]:
    """Change the tokens of a stopped node; the rows that changed."""
    try:
        with closing(Store.open(data, None, lambda: uuid.uuid4().hex)) as store:
            with closing(Reader(store.path)) as reader:
                rows = change(reader.tokens())
            store.put_tokens(rows)
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    return rows


def _stored(data: Path) -> list[dict[str, Any]]:
    try:
        with closing(Reader(data / DATABASE)) as reader:
            return [shown(row, timestamp()) for row in reader.tokens()]
    except StorageError as error:
        raise click.ClickException(str(error)) from error
