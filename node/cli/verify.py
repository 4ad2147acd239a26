"""`comanda verify`: hold everything stored against the log, also while the node runs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import data_option, progress_bars
from node.cli.output import json_option, say, say_json
from node.config.reading import find, load
from node.config.remembered import recalled
from node.core.history.verify import Verification
from node.errors import ComandaError
from storage.audit import chain_walk
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.history_reader import HistoryReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress, TaskID

    from node.config.sections import Config


@click.command()
@data_option
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Outra que a última do nó. / Another than the node's last.",
)
@json_option
def verify(data: Path, config_file: Path | None, as_json: bool) -> None:
    """Refaz tudo a partir do registro e compara. / Rebuild everything from the log, and compare.

    Confere o arquivo, a trilha de auditoria, cada documento, visão e conflito, e as somas de [[conservation]]. /
    Checks the file, the audit chain, every document, view and conflict, and the sums of [[conservation]]. Without
    --config: as the node was configured when it last started.

    \b
    comanda verify --data comanda-data
    """
    try:
        with closing(HistoryReader(data / DATABASE)) as history, progress_bars() as progress:
            last = history.config()
            found = config_file or (find(data) if last is None else None)
            config = load(found) if found is not None else recalled(last)
            told: list[str] = []
            problems, others, checked = _walk(history, config, progress, told.append if as_json else say)
    except (ComandaError, StorageError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        say_json({"problems": problems, "of_another_configuration": others, "told": told, **checked}, indent=True)
    if problems:
        raise click.ClickException(f"{problems} problema(s) / problem(s)")
    if as_json:
        return
    if others:
        say(
            f"{others} de outra configuração, nada quebrado; o nó usou esta por último? / of another configuration, "
            "nothing broken; did the node last run with this one?"
        )
    counted = "{rows} linhas / rows, {entities} entidades / entities, {sums} somas / sums".format(**checked)
    say(f"conferem / verified: {counted}")


def _walk(
    history: HistoryReader, config: Config, progress: Progress, tell: Callable[[str], None]
) -> tuple[int, int, dict[str, int]]:
    """Tell each problem as it is found. Raises StorageError.

    Returns how many problems there are, how much is stored as another configuration has it, and what was checked.
    """
    history.reader.check_structure()
    problems = others = 0
    bar = progress.add_task("registro / log")
    for row in chain_walk.verify(history.reader, lambda done, head: progress.update(bar, completed=done, total=head)):
        problems += 1
        tell(f"seq {row.seq}: {row.what}")
    for what in history.reader.damaged_rows():
        problems += 1
        tell(what)
    head, _ = history.reader.head()
    progress.update(bar, completed=head, total=head)
    rules = config.conservation
    advance = _bars(progress, history.entity_count())
    verification = Verification(history, config.registry(), rules, config.node.engine, advance)
    for finding in verification.run():
        others += finding.other
        problems += not finding.other
        tell(f"{finding.where}: {finding.what}")
    return problems, others, {"rows": head, "entities": verification.entities, "sums": len(rules)}


def _bars(progress: Progress, total: int) -> Callable[[str, int], None]:
    """What a verification reports to: (part, how much of it is done). Each part gets a bar as it begins."""
    bars: dict[str, TaskID] = {}

    def advance(part: str, done: int) -> None:
        if part not in bars:
            bars[part] = progress.add_task(part, total=total)
        progress.update(bars[part], completed=done, total=max(total, done))

    return advance
