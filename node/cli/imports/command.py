"""`comanda import`: entities from a CSV or JSON Lines file or an SQLite table, as operations of a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from node.cli.asking import node_option
from node.cli.imports.options import list_options, read_list, told_by_click
from node.cli.imports.report import print_plan, report, say_recognised
from node.cli.imports.writing import place_at, send
from node.cli.output import json_option, say_json
from node.printable import printable
from node.runtime.publishing.sending import Who

if TYPE_CHECKING:
    from node.lists.listed import ListOptions


@click.command(name="import")
@list_options
@click.option("--dry-run", is_flag=True, help="Só mostra o que faria. / Only show what it would do.")
@click.option("--terminal", metavar="ID", default="import", show_default=True, help="Quem escreve. / Who writes.")
@click.option("--terminal-type", default="pos", show_default=True, help="Tipo desse terminal. / Its type.")
@click.option("--user", default="", help="A pessoa, para a auditoria. / The person, for the audit.")
@json_option
@node_option
def import_(
    options: ListOptions, dry_run: bool, terminal: str, terminal_type: str, user: str, as_json: bool, url: str
) -> None:
    """Importa entidades de um arquivo. / Import entities from a file.

    CSV, JSON Lines ou tabela SQLite. Ponto e vírgula, vírgula decimal, dd/mm/aaaa e cp1252 são reconhecidos. Rodar de
    novo não duplica nada e termina o que foi interrompido. Linhas com erro são listadas, e as outras entram.

    CSV, JSON Lines or an SQLite table; what Brazilian systems write is recognised. Run again it doubles nothing and
    finishes what was interrupted. Rows with errors are listed, and the others are taken.

    \b
    comanda import produtos.csv --key Código --map "Preço=price" --map "Descrição=name" --dry-run

    0: tudo entrou / all is in. 1: linhas recusadas, ou interrompido / rows refused, or interrupted.
    """
    listed, place = read_list(options, asks=not as_json), place_at(url)
    with told_by_click():
        shown = place.shown(options.entity_type)
        mapped = listed.mapped(shown)
    planner = listed.planner(mapped, shown)
    plan = planner.plan(listed.found)
    if not as_json:
        say_recognised(listed.found, mapped)
    statuses: dict[str, int] = {}
    stopped = None
    if not dry_run:
        who = Who(terminal, terminal_type, user, printable(options.file.name))
        statuses, stopped = send(place, plan, planner, options.entity_type, shown, who)
    if as_json:
        say_json(report(options.file, listed.found, mapped, plan, statuses, dry_run), indent=True)
    else:
        print_plan(plan, statuses, dry_run)
    if stopped is not None:
        again = "rode de novo para terminar / run it again to finish"
        raise click.ClickException(f"{stopped}; {sum(statuses.values())} confirmadas / confirmed; {again}")
    if plan.refused:
        sys.exit(1)
