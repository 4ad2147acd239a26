"""`comanda pair`: a one-time code for another machine, or for a browser."""

from __future__ import annotations

import sys
from urllib.parse import urlencode

import click
import segno

from node.cli.addresses import SEEN
from node.cli.asking import ask, node_option
from node.cli.output import say, say_json


@click.command()
@click.option("--type", "kind", default="node", show_default=True, help="Para o quê. / What it is for.")
@click.option("--id", "terminal_id", help="O nome que terá. / The id that it will have.")
@click.option("--site", metavar="SITE", help="Uma loja do escritório. / A store of head office.")
@click.option("--at", "at", type=SEEN, help="Este nó visto de fora. / This node, seen from elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="Em JSON. / As JSON.")
@node_option
def pair(kind: str, terminal_id: str | None, site: str | None, at: str | None, as_json: bool, url: str) -> None:
    """Mostra um código de uso único, por dez minutos, e o QR dele. / Show a one-time code, for ten minutes.

    \b
    comanda pair                        # outro nó / another node: comanda join URL CODE
    comanda pair --type kds --id kds-1  # um navegador / a browser: open what the QR says
    comanda pair --site loja-017        # no escritório, a central de uma loja / at head office, a store's hub
    """
    query = {"type": kind} | ({"terminal_id": terminal_id} if terminal_id is not None else {})
    query |= {"realm": site} if site is not None else {}
    answer = ask(url, f"/api/v1/pair?{urlencode(query)}", "POST")
    reached = at or answer["url"]
    who = {"pair": answer["code"]} | ({"realm": site} if site is not None else {})
    page = f"http{reached.removeprefix('ws')}/#{urlencode(who)}"
    office = "" if site is None else f" --office {site}"
    if as_json:
        say_json({**answer, "url": reached, "page": page})
        return
    say(f"{answer['code']}  até / until {answer['expires_at']}")
    say(f"comanda join {reached} {answer['code']}{office}" if kind == "node" else page)
    if answer["asks_for_certificate"] and kind != "node":
        say(f"o nó pede um certificado / the node asks for a certificate: comanda tls client {terminal_id}")
    segno.make(page).terminal(out=sys.stdout, compact=True)
