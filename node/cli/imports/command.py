"""`comanda import`: entities from a CSV or JSON Lines file or an SQLite table, as operations of a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click
from attrs import frozen

from node.cli.asking import ask, node_option, pages
from node.cli.imports import columns
from node.cli.imports.planning import Plan, Planner, shown_of
from node.cli.imports.reading import Unreadable, read
from node.cli.imports.report import print_plan, report, say_recognised
from node.cli.imports.sending import Interrupted, Sender
from node.cli.options import progress_bars, zone_option
from node.cli.output import json_option, say_json
from node.config.sections import LimitsSection
from node.printable import printable
from node.wire.codec import CodecLimits

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from node.cli.imports.planning import Shown


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--type", "entity_type", default="products", show_default=True, help="Tipo. / Entity type.")
@click.option("--key", metavar="COLUNA", help="Coluna que identifica cada linha. / Column with each row's id.")
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="COLUNA=CAMPO[:TIPO]",
    help='"Preço=price", "Código de barras=barcode:text", "Obs=" deixa fora / leaves out.',
)
@click.option("--only-mapped", is_flag=True, help="Deixa fora as outras colunas. / Leave the other columns out.")
@click.option("--dry-run", is_flag=True, help="Só mostra o que faria. / Only show what it would do.")
@click.option("--encoding", help="utf-8, cp1252, cp850...; sem isso, reconhecida. / Recognised without it.")
@click.option("--delimiter", metavar="C", help="; , | ou TAB; sem isso, reconhecido. / Recognised without it.")
@click.option("--decimal", type=click.Choice(["comma", "point"]), help="Sem isso, reconhecido. / Else recognised.")
@click.option(
    "--skip", default=0, type=click.IntRange(0), help="Linhas antes do cabeçalho. / Lines before the header."
)
@click.option("--table", help="De um arquivo SQLite. / Of an SQLite file.")
@zone_option
@click.option(
    "--counts", is_flag=True, help="Também contadores (estoque) do que já existe. / Counters of what is there too."
)
@click.option("--revive", is_flag=True, help="Traz de volta o que foi excluído. / Bring deleted entities back.")
@click.option("--terminal", metavar="ID", default="import", show_default=True, help="Quem escreve. / Who writes.")
@click.option("--terminal-type", default="pos", show_default=True, help="Tipo desse terminal. / Its type.")
@click.option("--user", default="", help="A pessoa, para a auditoria. / The person, for the audit.")
@json_option
@node_option
def import_(
    file: Path,
    entity_type: str,
    key: str | None,
    maps: tuple[str, ...],
    only_mapped: bool,
    dry_run: bool,
    encoding: str | None,
    delimiter: str | None,
    decimal: str | None,
    skip: int,
    table: str | None,
    zone: ZoneInfo,
    counts: bool,
    revive: bool,
    terminal: str,
    terminal_type: str,
    user: str,
    as_json: bool,
    url: str,
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
    tab = "\t" if (delimiter or "").casefold() in ("tab", "\\t") else delimiter
    if tab is not None and len(tab) != 1:
        raise click.UsageError("--delimiter: um caractere / one character")
    try:
        found = read(file, encoding=encoding, delimiter=tab, skip=skip, table=table)
    except (Unreadable, OSError) as error:
        raise click.ClickException(f"{file}: {error}") from error
    wanted = columns.given(maps, found.columns)
    if only_mapped:
        wanted |= {name: columns.Wanted("") for name in found.columns if name not in wanted}
    elif not maps and not as_json and columns.on_a_terminal():
        wanted, key = columns.ask(found, wanted, key)
    shown = _shown(url, entity_type)
    separator = {"comma": ",", "point": ".", None: None}[decimal]
    mapped = columns.mapped(found, wanted, key, decimal=separator, numbers=shown.counters, zone=zone)
    limits = LimitsSection()
    of_message = CodecLimits(limits.json_depth, limits.bulk_items, limits.fields, bulk_fields=limits.bulk_fields)
    planner = Planner(entity_type, mapped, shown, of_message, counts=counts, revive=revive)
    plan = planner.plan(found)
    if not as_json:
        say_recognised(found, mapped)
    statuses: dict[str, int] = {}
    stopped = None
    if not dry_run:
        who = Who(terminal, terminal_type, user, printable(file.name))
        statuses, stopped = _send(url, plan, planner, entity_type, shown, who)
    if as_json:
        say_json(report(file, found, mapped, plan, statuses, dry_run), indent=True)
    else:
        print_plan(plan, statuses, dry_run)
    if stopped is not None:
        again = "rode de novo para terminar / run it again to finish"
        raise click.ClickException(f"{stopped}; {sum(statuses.values())} confirmadas / confirmed; {again}")
    if plan.refused:
        sys.exit(1)


@frozen
class Who:
    """As whom it writes: a terminal of its own. file: the name of what it imports."""

    terminal: str
    kind: str
    user: str
    file: str


def _shown(url: str, entity_type: str) -> Shown:
    """What the node shows of a type. Raises ClickException."""
    policies = ask(url, "/api/v1/policies")["policies"]
    counters = next((policy["counters"] for policy in policies if policy["entity_type"] == entity_type), None)
    if counters is None:
        known = ", ".join(policy["entity_type"] for policy in policies)
        raise click.ClickException(f"tipo desconhecido / unknown entity type {entity_type}: {known}")
    place = f"/api/v1/entities/{quote(entity_type, safe='')}"
    return shown_of(pages(url, place, deleted=1), counters)


def _send(
    url: str, plan: Plan, planner: Planner, entity_type: str, shown: Shown, who: Who
) -> tuple[dict[str, int], str | None]:
    """What became of the plan's entities, by status, and why it stopped, if it did.

    In the plan is left what was done, and what the node refused is added.
    """
    stopped = None
    with progress_bars() as progress:
        task = progress.add_task("import", total=len(plan.created) + len(plan.changed))
        sender = Sender(url, who.terminal, who.kind, who.user, who.file, lambda done: progress.advance(task, done))
        try:
            sender.send(entity_type, plan.created, plan.changed, shown.seq)
        except Interrupted as error:
            stopped = str(error)
        except (KeyboardInterrupt, BaseExceptionGroup) as error:
            if not _is_interrupt(error):
                raise
            stopped = "interrompido / interrupted"
    done = sender.outcome.done
    plan.created = [entry for entry in plan.created if entry.entity_id in done]
    plan.changed = [entry for entry in plan.changed if entry.entity_id in done]
    for entry, message in sender.outcome.refused:
        reason = " ".join(str(message[name]) for name in ("code", "error", "reason") if message.get(name))
        plan.refused.append(planner.refused(entry.line, entry.data, message.get("where") or "", reason))
    plan.refused.sort(key=lambda refusal: refusal.line)
    return sender.outcome.statuses, stopped


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)
