"""`comanda send`: one message of the protocol from the shell, and the node's answer."""

from __future__ import annotations

import sys
import uuid
from typing import Any

import click
import orjson

from node.cli.asking import node_option
from node.cli.exchange import exchange, status_of, terminal_options
from node.cli.output import say_json
from node.clock import timestamp


@click.command()
@click.argument("message")
@terminal_options
@node_option
def send(message: str, terminal: str, terminal_type: str, user: str, url: str) -> None:
    """Envia uma mensagem do protocolo e mostra a resposta. / Send one message and print the answer.

    MESSAGE é JSON, ou - para a entrada padrão. Numa operação, `id` e `timestamp` que faltam são postos. / MESSAGE is
    JSON, or - for standard input. An operation's missing `id` and `timestamp` are put in.

    \b
    comanda send '{"type": "ping"}'
    comanda send '{"type": "data_sync", "operation": {"entity_type": "orders", "entity_id": "mesa-7",
                   "operation": "UPDATE", "data": {"status": "served"}}}' --terminal garcom-7 --terminal-type waiter

    0: feito / done. 1: recusado, ou sem resposta / refused, or no answer. 3: guardado, mas vale outro valor / stored,
    while another value is shown. 2: não é JSON / no JSON.
    """
    text = sys.stdin.read() if message == "-" else message
    try:
        said: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"não é JSON / is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise click.UsageError("não é um objeto JSON / is no JSON object")
    operation = said.get("operation")
    if said.get("type") == "data_sync" and isinstance(operation, dict):
        said["operation"] = {"id": f"{terminal}-{uuid.uuid4()}", "timestamp": timestamp(), **operation}
    answer = exchange(url, terminal, terminal_type, user, said)
    if answer is not None:
        say_json(answer)
    sys.exit(status_of(answer))
