"""`comanda realm`: the stores that head office keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.asking import CONTROL, NoNode, ask
from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.config.sections import REALMS, SITE, SITE_SAID
from node.runtime.kept_realm import new_realm
from storage.sqlite.database import DATABASE, StorageError

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def realm() -> None:
    """As lojas que o escritório guarda. / The stores that head office keeps."""


@realm.command()
@data_option
@json_option
@click.argument("site")
def add(data: Path, as_json: bool, site: str) -> None:
    """Passa a guardar uma loja. / Keep a store from now on.

    Depois / then: comanda pair --site SITE

    \b
    comanda realm add loja-017
    """
    if SITE.match(site) is None:
        raise click.BadParameter(SITE_SAID, param_hint="SITE")
    folder = data / REALMS / site
    if (folder / DATABASE).exists():
        raise click.ClickException(f"{folder}: já existe / is there already")
    if not (data / DATABASE).is_file():
        raise click.ClickException(f"{data}: nenhum nó / no node: comanda serve --data {data}")
    try:
        new_realm(folder, site)
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        say_json({"realm": site, "folder": str(folder)})
        return
    say(f"{site}: {folder}")
    say(f"comanda pair --site {site}")


@realm.command(name="list")
@data_option
@json_option
def list_realms(data: Path, as_json: bool) -> None:
    """Lista as lojas, e quem está ligado. / List the stores, and who is linked.

    Também as que só outro processo do escritório guarda. / Also those that only another process of head office keeps.

    \b
    comanda realm list
    """
    for row in _realms(data):
        if as_json:
            say_json(row)
        else:
            say(_line(row))


def _line(row: dict[str, Any]) -> str:
    name = f"{row['realm']}  {row['owner']}" if row.get("owner") else row["realm"]
    if row.get("elsewhere"):
        return f"{name}  só em outro processo / only in another process"
    if row["wrong"]:
        return f"{name}  ERRO / ERROR: {row['wrong']}"
    if not row["open"]:
        return f"{name}  fechada / closed"
    return f"{name}  {', '.join(row['linked']) or 'sem enlace / no link'}  {row['head']} linhas / rows"


def _realms(data: Path) -> list[dict[str, Any]]:
    """What the running node says of them, also of those that only others keep; without one, which there are."""
    try:
        said = ask(f"{CONTROL}{data}", "/api/v1/realms")
    except NoNode:
        folder = data / REALMS
        names = sorted(path.parent.name for path in folder.glob(f"*/{DATABASE}"))
        return [{"realm": name, "open": False, "wrong": None} for name in names]
    others = [{"open": False, "wrong": None, "elsewhere": True, **row} for row in said.get("elsewhere", ())]
    return sorted([*said["realms"], *others], key=lambda row: str(row["realm"]))
