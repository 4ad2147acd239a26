"""`comanda simulate`: whole stores in one process, from seeds: outages, crashes, wrong clocks, bad clients."""

from __future__ import annotations

import os
import time

import click
from attrs import asdict
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from node.cli.options import progress_bars
from node.cli.output import json_option, say, say_json
from node.simulation.runner import Summary, one, outcomes

TOLD_SEEDS = 100
"""Where there is no progress bar, seeds after which a line says how far a run is."""


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=100, show_default=True, help="Quantas noites. / How many.")
@click.option("--first", type=click.IntRange(0), default=1, show_default=True, help="A primeira. / The first seed.")
@click.option("--seed", type=click.IntRange(0), help="Repete uma, linha a linha. / Replay one, with transcript.")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processos. / Processes.")
@json_option
def simulate(seeds: int, first: int, seed: int | None, jobs: int, as_json: bool) -> None:
    """Simula noites de lojas inteiras com tudo o que falha. / Simulate evenings of whole stores, and all that breaks.

    O mesmo número repete a mesma noite, byte a byte. / The same seed repeats the same evening, byte for byte.

    \b
    comanda simulate --seeds 20
    comanda simulate --seed 7
    """
    if seed is not None:
        _replay(seed, as_json)
        return
    began, summary = time.monotonic(), Summary(upto=first - 1)
    with progress_bars(
        TextColumn("simulate"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[hours]:,.0f} h"),
        TimeRemainingColumn(),
    ) as progress:
        task = progress.add_task("", total=seeds, hours=0.0)
        for outcome in outcomes(range(first, first + seeds), jobs):
            summary.add(outcome)
            progress.update(task, advance=1, hours=summary.hours)
            if progress.disable and summary.seeds % min(max(seeds // 10, 1), TOLD_SEEDS) == 0:
                say(f"{summary.ended}; {seeds - summary.seeds:,} to go", err=True)
            if outcome.problem is not None:
                progress.console.print(
                    f"seed {outcome.seed}: {outcome.problem[:300]}  =>  comanda simulate --seed {outcome.seed}",
                    soft_wrap=True,
                )
    if as_json:
        say_json(asdict(summary, filter=lambda one, _: not one.name.startswith("_")), indent=True)
    else:
        for line in summary.lines(time.monotonic() - began):
            say(line)
    if summary.failed:
        raise click.ClickException(f"{len(summary.failed)} semente(s) falharam / seed(s) failed")


def _replay(seed: int, as_json: bool) -> None:
    outcome = one(seed, None if as_json else say)
    if as_json:
        said = {name: getattr(outcome, name) for name in ("seed", "hours", "operations", "digest", "problem")}
        say_json({**said, "faults": dict(outcome.faults)}, indent=True)
    else:
        say(f"{outcome.hours:.2f} h, {outcome.operations} operações / operations, digest {outcome.digest}")
        for kind, count in outcome.faults.items():
            say(f"  {kind}: {count}")
    if outcome.problem is not None:
        raise click.ClickException(outcome.problem)
