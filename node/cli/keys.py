"""`comanda keys`: whose public key is whose to a running node, and what somebody decides about it."""

from __future__ import annotations

from urllib.parse import urlencode

import click

from node.cli.asking import ask, node_option
from node.cli.output import json_option, say, say_json
from node.printable import printable_tree


@click.group()
def keys() -> None:
    """Chaves dos nós. / Keys of nodes."""


@keys.command(name="list")
@node_option
@json_option
def list_keys(url: str, as_json: bool) -> None:
    """Lista as impressões digitais. / List the fingerprints.

    \b
    comanda keys list --json
    """
    answer = ask(url, "/api/v1/keys")
    if as_json:
        say_json(answer, indent=True)
        return
    report = printable_tree(answer)
    for node, known in report["keys"].items():
        for key in known:
            by = f"  dito por / told by {key['by']}" if key["by"] else ""
            own = "  este nó / this node" if node == report["node_id"] else ""
            say(f"{node}  {key['fingerprint']}{by}{own}")
    for node, waiting in report["offered"].items():
        for key in waiting:
            say(f"{node}  {key['fingerprint']}  NÃO ACEITA / NOT TAKEN: {key['reason']}")


@keys.command()
@click.argument("node")
@click.argument("fingerprint")
@node_option
@json_option
def trust(node: str, fingerprint: str, url: str, as_json: bool) -> None:
    """Aceita a chave nova de um nó. / Take the new key of a node.

    Confira antes a impressão digital no próprio nó (`comanda keys list`). / First compare it at that node.

    \b
    comanda keys trust caixa-2 1a2b-3c4d-5e6f-7081
    """
    _decide(url, "trust", node, fingerprint, as_json)


@keys.command()
@click.argument("node")
@click.argument("fingerprint")
@node_option
@json_option
def forget(node: str, fingerprint: str, url: str, as_json: bool) -> None:
    """Deixa de aceitar uma chave, por exemplo roubada. / Take a key no longer, a stolen one for example.

    \b
    comanda keys forget caixa-2 1a2b-3c4d-5e6f-7081
    """
    _decide(url, "forget", node, fingerprint, as_json)


def _decide(url: str, what: str, node: str, fingerprint: str, as_json: bool) -> None:
    answer = ask(url, f"/api/v1/keys/{what}?{urlencode({'node': node, 'fingerprint': fingerprint})}", "POST")
    if as_json:
        say_json(answer, indent=True)
        return
    say(f"{node}: {len(answer['keys'].get(node, []))} chave(s) / key(s)")
