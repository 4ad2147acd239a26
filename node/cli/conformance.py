"""`comanda conformance`: hold a node against the protocol document, rule by rule."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

import click
import trio
from rich.progress import Progress
from rich.text import Text

from node.cli.addresses import ASKED
from node.cli.output import say, say_json
from node.cli.screen import Grid, Screen
from node.cli.secure import secure_options, secured
from node.conformance.runner import FAILED, NOT_TRIED, PASSED, chosen, run
from node.conformance.subject import Process, Seat, Subject, new_folder, read_token
from node.conformance.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.conformance.rule import Rule
    from node.conformance.runner import Outcome

STYLES = {PASSED: ("passou / passed", "green"), FAILED: ("FALHOU / FAILED", "bold red")}
STYLES[NOT_TRIED] = ("não testada / not tried", "yellow")


class _Token(click.ParamType[Seat]):
    name = "token"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Seat:
        try:
            return read_token(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("url", type=ASKED, required=False)
@click.option(
    "--start", metavar="TEMPLATE", help='Inicia o nó: "comanda serve --port {port} --data {data}". / Start the node.'
)
@click.option("--token", "tokens", type=_Token(), multiple=True, help="TOKEN, ou / or TYPE:TERMINAL_ID=TOKEN.")
@click.option("--only", metavar="TEXT", default="", help="Só as regras com este texto no nome. / Only these rules.")
@click.option("--long", is_flag=True, help="Também as demoradas. / Also those that take long or load the node.")
@click.option("--additions", is_flag=True, help="Também o que só o Comanda faz. / Also Comanda's own additions.")
@click.option("--patience", default=5.0, show_default=True, help="Segundos por resposta. / Seconds for an answer.")
@click.option("--list", "listed", is_flag=True, help="Só lista as regras. / Only list the rules.")
@secure_options
@click.option("--quiet", is_flag=True, help="Só as falhas. / Only failures.")
@click.option("--json", "as_json", is_flag=True, help="Em JSON. / As JSON.")
def conformance(
    url: str | None,
    start: str | None,
    tokens: tuple[Seat, ...],
    only: str,
    long: bool,
    additions: bool,
    patience: float,
    listed: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Confere um nó, de quem for, com o documento do protocolo. / Hold anybody's node against the protocol document.

    URL (ws://host:8001) ou --start; queda e reinício só com --start. Grava pedidos, produtos, clientes e operações
    de caixa com nomes próprios: use uma loja de teste. / URL or --start; crashes and restarts need --start. It writes
    entities under names of its own: use a test store.

    \b
    comanda conformance ws://localhost:8001 --only lock
    comanda conformance --start "comanda serve --port {port} --data {data}"
    """
    rules = chosen(only, additions=additions)
    if not rules:
        raise click.UsageError(f"nenhuma regra com / no rule with {only!r}")
    if listed:
        for rule in rules:
            say(f"{rule.name:36} {rule.heading}: {rule.says}")
        return
    if (url is None) is (start is None):
        raise click.UsageError("dê URL ou --start / give URL or --start")
    try:
        with Progress(console=Screen(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            bar = progress.add_task("regras / rules", total=len(rules))
            outcomes = trio.run(
                partial(_run, url, start, tokens, patience, rules, long, lambda: progress.advance(bar))
            )
    except (Refused, ValueError) as error:
        raise click.ClickException(str(error)) from error
    counts = {state: sum(outcome.state == state for outcome in outcomes) for state in (PASSED, FAILED, NOT_TRIED)}
    if as_json:
        found = {"rules": [outcome.as_json() for outcome in outcomes], **counts}
        say_json(found, indent=True)
    else:
        print_outcomes(outcomes, _console(), quiet=quiet)
        if counts[NOT_TRIED]:
            say(f"{counts[NOT_TRIED]} not tried")
        say(f"{counts[PASSED]} passed, {counts[FAILED]} failed")
    sys.exit(1 if counts[FAILED] else 0)


async def _run(
    url: str | None,
    start: str | None,
    tokens: tuple[Seat, ...],
    patience: float,
    rules: list[Rule],
    long: bool,
    advance: Callable[[], None],
) -> list[Outcome]:
    """Raises Refused, ValueError."""
    if start is None:
        subject = Subject(url or "", tokens=tokens, patience=patience, tls=secured().context())
        return await run(subject, rules, lambda _: advance(), long=long)
    folder = new_folder()
    process = Process(start, folder)
    try:
        await process.start()
        subject = Subject(f"ws://127.0.0.1:{process.port}", tokens=tokens, patience=patience, process=process)
        return await run(subject, rules, lambda _: advance(), long=long)
    finally:
        process.end()
        shutil.rmtree(folder, ignore_errors=True)


# ------------------------------------------------------------------ for people


def _console() -> Screen:
    """Wide where nobody looks at it: a file or a pipe has no columns to fit into."""
    return Screen(soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def print_outcomes(outcomes: list[Outcome], console: Screen, *, quiet: bool) -> None:
    """A table of all of them, unless quiet; then what there is to say about each failure."""
    if not quiet:
        table = Grid()
        table.add_column("regra / rule", no_wrap=True)
        table.add_column("")
        table.add_column("visto / seen", overflow="fold")
        for outcome in outcomes:
            table.add_row(outcome.rule.name, Text(*STYLES[outcome.state]), Text(outcome.note))
        console.print(table)
    for outcome in outcomes:
        if outcome.state == FAILED:
            print_failure(outcome, console)


def print_failure(outcome: Outcome, console: Screen) -> None:
    """The rule, what was sent, what came, and what should have come."""
    rule = outcome.rule
    console.print()
    console.print(Text(f"FAIL {rule.name}", "bold red"), Text(f"({rule.heading})"))
    for word, text in (("regra / rule", rule.says), ("deveria / expected", outcome.expected)):
        console.print(Text(f"  {word:19} {text}"))
    console.print(Text(f"  {'veio / came':19} {outcome.came}"))
    for line in outcome.transcript:
        text = line.text if len(line.text) <= 300 else line.text[:300] + " ..."
        console.print(Text(f"    {line.way} {line.who} {text}".rstrip(), "dim"))
