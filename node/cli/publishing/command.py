"""`comanda publish`: prices and products of head office into the realms of its stores, and who has them."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict
from rich.progress import TaskID

from node.asking import Unreached
from node.cli.asking import CONTROL, NoNode, ask
from node.cli.imports.options import list_options, read_list, told_by_click
from node.cli.imports.report import refusals_grid, say_recognised
from node.cli.options import data_option, progress_bars
from node.cli.output import json_option, say, say_json
from node.cli.screen import Grid, Screen
from node.clock import timestamp
from node.lists.planning import Plan
from node.printable import printable
from node.runtime.publishing.place import of_data, of_owner
from node.runtime.publishing.record import Held, Record, Store, begun, how_far, records
from node.runtime.publishing.run import Run
from node.runtime.publishing.sending import Who

if TYPE_CHECKING:
    from pathlib import Path

    from node.lists.listed import ListOptions

STATES = {"missing": "falta / missing", "sent": "a caminho / on its way", "delivered": "entregue / delivered"}


@click.group()
def publish() -> None:
    """Preços e produtos do escritório para as lojas. / Prices and products from head office to its stores."""


@publish.command()
@list_options
@click.option("--site", "sites", multiple=True, metavar="LOJA", help="Para quais lojas. / To which stores.")
@click.option("--all", "everywhere", is_flag=True, help="Para todas. / To all of them.")
@click.option("--dry-run", is_flag=True, help="Só mostra o que faria. / Only show what it would do.")
@click.option(
    "--terminal", metavar="ID", default="head-office", show_default=True, help="Quem escreve. / Who writes."
)
@click.option("--terminal-type", default="pos", show_default=True, help="Tipo desse terminal. / Its type.")
@click.option("--user", default="", help="A pessoa, para a auditoria. / The person, for the audit.")
@json_option
@data_option
def send(
    options: ListOptions,
    sites: tuple[str, ...],
    everywhere: bool,
    dry_run: bool,
    terminal: str,
    terminal_type: str,
    user: str,
    as_json: bool,
    data: Path,
) -> None:
    """Publica uma lista nas lojas. / Publish a list in stores.

    A lista é lida como em `comanda import`, e cada loja recebe o que lhe falta, mesmo que esteja sem rede agora.
    Rodar de novo termina o que foi interrompido e não duplica nada. Depois / then: comanda publish status

    The list is read as `comanda import` reads it, and each store gets what it lacks, also one that is away. Run again
    it finishes what was interrupted and doubles nothing.

    \b
    comanda publish send precos.csv --key Código --map "Preço=price" --only-mapped --all
    comanda publish send precos.csv --key Código --site loja-017 --site loja-018 --dry-run

    0: todas as lojas têm tudo / all stores took all. 1: linhas recusadas, ou lojas que faltam / refused, or missing.
    """
    stores = ask(f"{CONTROL}{data}", "/api/v1/realms")
    chosen = _chosen(stores, sites, everywhere=everywhere)
    listed = read_list(options, asks=not as_json)
    record = begun(data, listed, chosen, timestamp())
    record.node, record.offices = stores["node_id"], [stores["node_id"], *stores.get("offices", ())]
    with progress_bars() as progress:
        bars, plans = list[TaskID](), dict[str, Plan]()
        run = Run(
            data=data,
            listed=listed,
            record=record,
            sites=chosen,
            who=Who(terminal, terminal_type, user, printable(options.name)),
            place=partial(of_data, data),
            dry_run=dry_run,
            mapped=lambda mapped: None if as_json or plans else say_recognised(listed.found, mapped),
            begins=lambda site, plan: bars.append(
                progress.add_task(site, total=len(plan.created) + len(plan.changed))
            ),
            told=lambda count: progress.advance(bars[-1], count),
            ended=lambda site, plan: None if plan is None else plans.update({site: plan}),
        )
        with told_by_click():
            try:
                run()
            except Unreached as error:
                raise NoNode(str(error)) from error
    if as_json:
        say_json(_report(record, plans, chosen, dry_run=dry_run), indent=True)
    else:
        _print(record, plans, chosen)
    if any(record.stores[site].wrong or record.stores[site].refused for site in chosen):
        sys.exit(1)


def _chosen(said: dict[str, Any], sites: tuple[str, ...], *, everywhere: bool) -> list[str]:
    """said: the stores of head office, also those that only others of its processes keep. Raises ClickException."""
    if everywhere == bool(sites):
        raise click.UsageError("--site LOJA ou / or --all")
    kept = [row["realm"] for row in (*said["realms"], *said.get("elsewhere", ()))]
    unknown = sorted(set(sites) - set(kept))
    if unknown:
        raise click.UsageError(f"não é guardada aqui / is not kept here: {', '.join(unknown)}  (comanda realm list)")
    if not kept:
        raise click.ClickException("nenhuma loja aqui / no store is kept here: comanda realm add")
    return kept if everywhere else list(dict.fromkeys(sites))


def _report(record: Record, plans: dict[str, Plan], chosen: list[str], *, dry_run: bool) -> dict[str, object]:
    stores = [
        {
            "site": site,
            **asdict(record.stores[site]),
            "refusals": [refusal.report() for refusal in plans[site].refused] if site in plans else [],
        }
        for site in chosen
    ]
    return {"publication": record.id, "file": record.file, "dry_run": dry_run, "stores": stores}


def _print(record: Record, plans: dict[str, Plan], chosen: list[str]) -> None:
    refused = {(one.line, one.column, one.reason): one for plan in plans.values() for one in plan.refused}
    console = Screen()
    if refused:
        console.print(refusals_grid(list(refused.values())))
    console.print(_grid([(site, record.stores[site], record.stores[site].wrong or "") for site in chosen]))


def _grid(rows: list[tuple[str, Store, str]]) -> Grid:
    counts = ("criadas\ncreated", "mudadas\nchanged", "iguais\nunchanged", "recusadas\nrefused")
    grid = Grid("loja\nstore", *counts, "")
    for site, store, said in rows:
        numbers = (store.created, store.changed, store.unchanged, store.refused)
        grid.add_row(site, *map(str, numbers), said)
    return grid


@publish.command()
@click.argument("publication", required=False)
@data_option
@json_option
def status(publication: str | None, data: Path, as_json: bool) -> None:
    """Quem já tem a lista, e quem ainda não. / Who has a list, and who not yet.

    Sem nome, a última. Entregue: um nó da loja a tem no disco dele. O escritório pode estar parado.

    Without a name the latest one. Delivered: a node of the store has it on its disk. Head office need not run.

    \b
    comanda publish status
    """
    found = records(data)
    record = next((one for one in found if publication in (None, one.id)), None)
    if record is None:
        raise click.ClickException(f"{data}: nenhuma publicação / no publication {publication or ''}")
    rows = [how_far(data, record, site, partial(of_owner, data)) for site in sorted(record.stores)]
    if as_json:
        stores = [row.report() for row in rows]
        others = [one.id for one in found if one is not record]
        said = {"publication": record.id, "file": record.file, "begun": record.begun, "stores": stores}
        say_json({**said, "others": others}, indent=True)
        return
    say(f"{record.id}  {record.file}  {record.entity_type}  {record.begun}")
    Screen().print(_grid([(row.site, row.store, _said(row)) for row in rows]))
    for one in found:
        if one is not record:
            say(f"{one.id}  {one.file}  {one.begun}")


def _said(row: Held) -> str:
    parts = (STATES[row.state], row.node, row.at if row.state == "sent" else None, row.store.wrong)
    return "  ".join(part for part in parts if part)
