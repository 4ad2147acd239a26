"""`comanda top`: how a running node is, live, on one screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from crdt.hlc import length
from node.cli.asking import NoNode, ask, node_option
from node.cli.output import json_option, say_json
from node.cli.screen import Grid, Screen
from node.findings import ERROR
from node.printable import printable, printable_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS = 20
"""Points of the curve of operations: five minutes."""

BARS = "▁▂▃▄▅▆▇█"

FINDINGS = 3
"""Findings that are shown; `comanda doctor` has all of them."""

MB = 1_000_000


@click.command()
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3_600),
    default=2.0,
    show_default=True,
    help="Segundos. / Seconds.",
)
@json_option
@node_option
def top(every_s: float, as_json: bool, url: str) -> None:
    """Mostra o nó ao vivo, em uma tela. / Show a running node live, on one screen.

    Até Ctrl+C; --json, ou uma saída que não é um terminal: uma vez. / Until Ctrl+C; once with --json, or where the
    output is no terminal.

    \b
    comanda top
    comanda top --json | jq .links
    """
    console = Screen()
    if as_json:
        say_json(sample(url), indent=True)
    elif not console.is_terminal:
        console.print(screenful(sample(url), None))
    else:
        _live(url, every_s, console)


def _live(url: str, every_s: float, console: Screen) -> None:
    """Until Ctrl+C. A node that does not answer is asked again."""
    latest = sample(url)  # which says at once that there is none
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(screenful(latest, console.height), refresh=True)
                time.sleep(every_s)
                try:
                    latest = sample(url)
                except NoNode as error:
                    latest = {**latest, "trouble": error.message}
        except KeyboardInterrupt:
            return


def sample(url: str) -> dict[str, Any]:
    """What one look at a node shows. Raises ClickException."""
    examined, known = ask(url, "/api/v1/doctor"), ask(url, "/api/v1/terminals")
    counted, past = ask(url, "/api/v1/websocket/stats"), ask(url, "/api/v1/performance?hours=1")
    facts = examined["facts"]
    report = facts["links"]
    return {
        "node_id": examined["node_id"],
        "at_ms": facts["at_ms"],
        "head": report["head"],
        "trouble": facts["trouble"],
        "findings": examined["findings"],
        "links": [*report["links"], *report["away"]],
        "terminals": known["terminals"],
        "more_terminals": known["next"] is not None,
        "stats": counted,
        "points": past["points"][-POINTS:],
        "conflicts_open": report["conflicts_open"],
        "quarantine": report["quarantine"],
        "disk": facts["disk"],
    }


def screenful(found: dict[str, Any], height: int | None) -> Group:
    """For people. height: lines that there are; None for all that is known."""
    seen = printable_tree(found)
    head = [*_head(seen), *_findings(seen["findings"])]
    links = seen["links"]
    terminals = sorted(seen["terminals"], key=lambda one: (one["status"] == "offline", -(one["waiting"] or 0)))
    shown = len(links) + len(terminals)
    room = shown if height is None else max(height - len(head) - 4, 2)
    of_links = min(len(links), max(room // 2, room - len(terminals)))
    parts: list[Text | Grid] = [*head, _links(links[:of_links], seen["at_ms"])]
    parts.append(_terminals(terminals[: max(room - of_links, 0)]))
    if left := shown - min(shown, room):
        parts.append(_line(f"... mais / more: {left}{'+' if seen['more_terminals'] else ''}"))
    return Group(*parts)


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text, len(text)), style, no_wrap=True, overflow="ellipsis")


def _head(seen: dict[str, Any]) -> list[Text]:
    counted, points, held = seen["stats"], seen["points"], seen["quarantine"]
    latest = points[-1] if points else {}
    up = length(int(counted["uptime_seconds"] * 1000))
    lines = [_line(f"{seen['node_id']}  linha / row {seen['head']}  há / up {up}", "bold")]
    if seen["trouble"]:
        lines.append(_line(seen["trouble"], "bold red"))
    rate = _number(latest.get("operations"))
    curve = _curve([point["operations"] for point in points])
    lines.append(
        _line(
            f"operações/min / operations/min {rate} {curve}  mensagens/s / messages/s {counted['message_throughput']}"
        )
    )
    confirmed, delivered = (
        f"{_number(latest.get(f'{name}_p50_ms'))}/{_number(latest.get(f'{name}_p99_ms'))}"
        for name in ("confirmation", "delivery")
    )
    lines.append(_line(f"confirmação / confirmation p50/p99 ms {confirmed}  entrega / delivery {delivered}"))
    waiting = (
        f"conflitos / conflicts {seen['conflicts_open']}  quarentena / quarantine {held['bad']}+{held['waiting']}"
    )
    free, low = "?", False
    if disk := seen["disk"]:
        free = f"{disk['free_bytes'] // MB} de / of {disk['total_bytes'] // MB} MB"
        low = disk["free_bytes"] < disk["low_bytes"]
    lines += [_line(waiting), _line(f"disco / disk {free}", "yellow" if low else "")]
    return lines


def _findings(found: Sequence[dict[str, Any]]) -> list[Text]:
    lines = [
        _line(f"{one['about'] + ': ' if one['about'] else ''}{one['pt']} / {one['en']}", _colour(one))
        for one in found[:FINDINGS]
    ]
    more = len(found) - FINDINGS
    return lines if more <= 0 else [*lines, _line(f"... {more} mais / more: comanda doctor", "yellow")]


def _colour(one: dict[str, Any]) -> str:
    return "red" if one["level"] == ERROR else "yellow"


def _table(*columns: str) -> Grid:
    table = Grid(apart=1)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    return table


def _links(links: Sequence[dict[str, Any]], now_ms: int) -> Grid:
    table = _table("nó / node", "estado / state", "a enviar / lag", "há / for", "ms")
    for link in links:
        oldest_ms = link.get("oldest_ms")
        age = "" if oldest_ms is None else length(now_ms - oldest_ms)
        style = "" if link["state"] == "up" else "red"
        name, rtt = str(link.get("peer") or link.get("url")), link.get("rtt_ms")
        table.add_row(name, link["state"], _number(link.get("lag")), age, _number(rtt), style=style)
    return table


def _terminals(terminals: Sequence[dict[str, Any]]) -> Grid:
    table = _table("terminal", "tipo / type", "estado / state", "onde / where", "espera / waits")
    for one in terminals:
        style = "dim" if one["status"] == "offline" else ""
        about = (str(one.get(name) or "") for name in ("type", "status", "node"))
        table.add_row(one["terminal_id"], *about, _number(one["waiting"]), style=style)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _curve(values: Sequence[float]) -> str:
    """The values as bars, the largest one full."""
    most = max(values, default=0) or 1
    return "".join(BARS[min(int(value / most * len(BARS)), len(BARS) - 1)] for value in values)
