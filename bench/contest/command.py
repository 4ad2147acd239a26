"""`comanda bench`: Comanda and what a user would pick instead, measured in one run."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from attrs import asdict, evolve

from bench.contest.report import PLOTS, Report, Result, tables, write_page
from bench.contest.runs import BENCHES, SMOKE, Size, missing, runs
from bench.contest.servers import INSTALL
from bench.rig.machine import describe
from node.cli.options import progress_bars
from node.cli.output import json_option, say, say_json
from node.cli.screen import Screen

FULL = Size()

WIDTH = 150
"""Columns of a table that goes into a file."""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHES), metavar=f"[{'|'.join(BENCHES)}]...")
@click.option("--only", multiple=True, help="Só quem tem isto no nome. / Only who has this in the name.")
@click.option("--seed", default=1, show_default=True, help="Semente da carga. / Seed of the workload.")
@click.option("--smoke", is_flag=True, help="Só mostra que tudo roda. / Only shows that everything runs.")
@click.option("--terminals", type=int, help=f"Escrevem e escutam. / Write and listen.  [{FULL.terminals}]")
@click.option("--rate", type=int, help=f"Alterações por segundo. / Changes a second.  [{FULL.rate}]")
@click.option("--seconds", type=float, help=f"Por medida. / For each measurement.  [{FULL.seconds:g}]")
@click.option("--missed", type=int, help=f"Alterações perdidas. / Changes missed.  [{FULL.missed}]")
@click.option("--changes", type=int, help=f"Alterações guardadas. / Changes stored.  [{FULL.changes}]")
@click.option("--edits", type=int, help=f"Edições a juntar. / Edits to merge.  [{FULL.edits}]")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Relatório com gráficos. / Plots.")
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="De --json. / Of --json."
)
@json_option
def bench(
    names: tuple[str, ...],
    only: tuple[str, ...],
    seed: int,
    smoke: bool,
    html: Path | None,
    against: Path | None,
    as_json: bool,
    **sizes: float | None,
) -> None:
    """Mede este nó e as alternativas. / Measure this node and what a user would pick instead.

    Sem nomes, tudo. / Without names, everything.

    \b
    comanda bench merge latency --html report.html
    comanda bench throughput --only comanda --against before.json
    """
    if html is not None and not PLOTS:
        raise click.UsageError(f"--html: {INSTALL}")
    try:
        before = Report.of_file(against) if against is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--against") from error
    said = {name: value for name, value in sizes.items() if value is not None}
    for name, value in said.items():
        if value <= 0:
            raise click.BadParameter("> 0", param_hint=f"--{name}")
    size = evolve(SMOKE if smoke else FULL, **said)
    report = Report(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe(),
        seed=seed,
        options=asdict(size),
        results=_measure(names or BENCHES, size, seed, only),
    )
    if as_json:
        say_json(asdict(report), indent=True)
    else:
        screen = Screen(markup=True, width=None if sys.stdout.isatty() else WIDTH)
        for table in tables(report, before):
            screen.print(table)
        if missing():
            say(f"não instalados / not installed: {', '.join(missing())}. {INSTALL}")
    if html is not None:
        write_page(report, html)
    if any(result.failed for result in report.results):
        raise click.exceptions.Exit(1)


def _measure(names: tuple[str, ...], size: Size, seed: int, only: tuple[str, ...]) -> list[Result]:
    def chosen(name: str) -> bool:
        return not only or any(word.casefold() in name.casefold() for word in only)

    planned = [(name, who, run) for name in names for who, run in runs(name, size, seed, chosen)]
    results = []
    with progress_bars() as progress:
        task = progress.add_task("bench", total=len(planned))
        for name, who, run in planned:
            progress.update(task, description=f"{name}: {who}")
            try:
                results.append(Result(name, who, run()))
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                results.append(Result(name, who, {}, str(error).strip().rpartition("\n")[2][:200]))
            progress.advance(task)
    return results
