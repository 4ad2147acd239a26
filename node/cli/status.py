"""`comanda status`: the links of a running node, what is under way on them and what waits in quarantine."""

from __future__ import annotations

from typing import Any

import click

from crdt.hlc import length
from node.cli.asking import ask, node_option
from node.cli.output import json_option, say_json
from node.cli.screen import Grid, Screen
from node.printable import printable_tree


@click.command()
@node_option
@json_option
def status(url: str, as_json: bool) -> None:
    """Mostra ligações, atraso e quarentena. / Show links, lag, cursors and quarantine.

    \b
    comanda status --url https://hub.local:8001 --ca hub-authority.pem
    """
    answer = ask(url, "/api/v1/links")
    if as_json:
        say_json(answer, indent=True)
    else:
        print_links(printable_tree(answer), Screen())


def print_links(report: dict[str, Any], console: Screen) -> None:
    """A node's `GET /api/v1/links`, for people."""
    quarantine = report["quarantine"]
    console.print(f"nó / node {report['node_id']}  linha / row {report['head']}  autoridade / authority", end=" ")
    console.print(f"{report['authority']}  época / epoch {report['epoch'][:8]}")
    console.print(f"motor / engine {report['engine']}")
    table = Grid(apart=1)
    for column in ("nó\nnode", "papel\nrole", "estado\nstate", "a enviar\nlag", "a receber\nbehind"):
        table.add_column(column)
    for column in ("confirmado\nconfirmed", "recebido\nreceived", "relógio\nclock ms", "erro\nerror"):
        table.add_column(column)
    for link in (*report["links"], *report["away"]):
        table.add_row(
            str(link.get("peer") or link.get("url")),
            link.get("role", ""),
            link["state"],
            _text(link.get("lag")),
            _text(link.get("behind")),
            _positions(link.get("confirmed")),
            _positions(link.get("received")),
            _text(link.get("offset_ms")),
            "" if link["state"] == "up" else _text(link.get("last_error")),
        )
    console.print(table if table.row_count else "nenhuma ligação / no links")
    for link in report["links"]:
        if link.get("speaks_for"):
            others = ", ".join(link["speaks_for"])
            console.print(f"{link['peer']} fala por / speaks for: {others}", markup=False)
        if link.get("refused"):
            told = "entidades não pedidas, recusadas / entities that nobody asked for, refused"
            console.print(f"{link['peer']}: {link['refused']} {told}", style="yellow", markup=False)
        if kept_out := link.get("kept_out"):
            told = "operações daqui não entram lá / operations from here that cannot be applied there"
            console.print(
                f"{link['peer']}: {kept_out['count']} {told}: {kept_out['why']}", style="bold red", markup=False
            )
        if link.get("paused"):
            told = "passou do limite, espera um minuto / passed its budget, waits for a minute"
            console.print(f"{link['peer']}: {told}", style="yellow", markup=False)
    sync = report["first_sync"]
    if sync is not None and sync["phase"] != "over":
        done = f"{sync['entities']}/{sync['entities_total']} entidades / entities"
        history = f"{sync['operations']}/{_text(sync['operations_total'])} operações / operations"
        console.print(f"primeira sincronização com / first synchronisation from {sync['peer']}: {done}, {history}")
    console.print(f"quarentena / quarantine: {quarantine['bad']} bad, {quarantine['waiting']} waiting")
    for terminal_id, offset_ms in report.get("clocks", {}).items():
        pt, en = ("atrasado", "behind") if offset_ms > 0 else ("adiantado", "ahead")
        console.print(f"relógio de / clock of {terminal_id}: {length(offset_ms)} {pt} / {en}", style="yellow")
    for node, known in report.get("keys", {}).items():
        console.print(f"chave de / key of {node}: {', '.join(map(_key, known))}", markup=False)
    for node, waiting in report.get("offered", {}).items():
        for key in waiting:
            told = f"OUTRA CHAVE / ANOTHER KEY: {key['reason']} (comanda keys trust {node} {key['fingerprint']})"
            console.print(told, style="bold red", markup=False)
    for what in report.get("head_alarms", ()):
        told = f"O REGISTRO NÃO É O MESMO / THE LOG IS NOT THE ONE THAT IT WAS: {what}"
        console.print(told, style="bold red", markup=False)
    for large in report.get("too_large", ()):
        told = f"GRANDE DEMAIS PARA ENVIAR / TOO LARGE TO BE SENT: {large['what']}, {large['bytes']} bytes"
        console.print(told, style="yellow", markup=False)
    for what in report.get("contradictions", ()):
        console.print(
            f"DUAS VERSÕES DE UMA OPERAÇÃO / TWO VERSIONS OF ONE OPERATION: {what}", style="bold red", markup=False
        )
    for terminal_id, devices in report.get("shared_terminals", {}).items():
        told = f"VÁRIOS APARELHOS COMO / SEVERAL DEVICES AS {terminal_id}: {', '.join(devices)}"
        console.print(told, style="bold red", markup=False)
    for twin in report["twins"]:
        console.print(f"DOIS NÓS COM O MESMO NOME / TWO NODES WITH ONE ID: {twin}", style="bold red")


def _key(key: dict[str, str]) -> str:
    return key["fingerprint"] + (f" (dito por / told by {key['by']})" if key.get("by") else "")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _positions(positions: list[int] | None) -> str:
    """One number a priority class, or the one that all of them are at."""
    return "/".join(map(str, positions if len(set(positions)) > 1 else positions[:1])) if positions else ""
