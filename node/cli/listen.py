"""`comanda listen`: what a node sends to one of its terminals, as it happens."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click
import orjson

from node.cli.asking import ask, node_option
from node.cli.client import reach
from node.cli.output import json_option, say, say_json
from node.clock import timestamp
from node.runtime.terminal import Terminal, converse

if TYPE_CHECKING:
    import trio

STATES = ("state-", "current-")
"""How ids of `data_sync` begin that say what there is already, and not what happens."""


@click.command()
@click.option("--only", multiple=True, metavar="TYPE", help="Só mensagens deste tipo. / Only messages of this type.")
@click.option("--count", type=click.IntRange(1), help="Termina depois de tantas. / End after so many.")
@click.option("--state", is_flag=True, help="Também o que já existe. / What there is already too.")
@click.option("--terminal", metavar="ID", default="listen", show_default=True, help="Quem ouve. / Who listens.")
@click.option("--terminal-type", default="monitor", show_default=True, help="Tipo dele. / Its type.")
@json_option
@node_option
def listen(
    only: tuple[str, ...], count: int | None, state: bool, terminal: str, terminal_type: str, as_json: bool, url: str
) -> None:
    """Mostra o que acontece, ao vivo. / Show what happens, live.

    Até Ctrl+C. Volta sozinho quando o nó volta. / Until Ctrl+C. It comes back when the node does.

    \b
    comanda listen --only audit_log
    comanda listen --terminal-type kds --terminal cozinha-2 --json | jq .operation
    """
    ask(url, "/healthz")  # which says at once that there is none
    failure = converse(partial(Listening(only, count, state, as_json).run, url, terminal, terminal_type))
    if failure is not None:
        raise click.ClickException(f"{url}: {failure}")


class Listening:
    """Prints messages as they come."""

    def __init__(self, only: tuple[str, ...], count: int | None, state: bool, as_json: bool) -> None:
        self._only, self._left, self._state, self._as_json = only, count, state, as_json

    async def run(self, url: str, terminal_id: str, kind: str, nursery: trio.Nursery) -> str | None:
        """Until enough was heard. Returns why it stopped before that."""
        terminal = Terminal(terminal_id, kind, "", self._heard, reads=False)
        while self._left != 0:
            await reach(terminal, url, nursery)
            await terminal.until(lambda: not terminal.online or self._left == 0, float("inf"))
            if terminal.turned_away is not None:
                return terminal.turned_away
        return None

    def _heard(self, terminal: Terminal, message: dict[str, Any]) -> None:
        operation_id = message["operation"]["id"] if message["type"] == "data_sync" else ""
        if operation_id:
            terminal.confirm(operation_id)
        if self._left == 0 or (self._only and message["type"] not in self._only):
            return
        if operation_id.startswith(STATES) and not self._state:
            return
        if self._as_json:
            say_json(message)
        else:
            say(f"{timestamp()}  {in_a_line(message)}")
        if self._left is not None:
            self._left -= 1


def in_a_line(message: dict[str, Any]) -> str:
    """A message for people: what it is about first, then the rest as JSON."""
    kind = message["type"]
    inner = {"data_sync": "operation", "sync_conflict": "conflict", "audit_log": "entry"}.get(kind)
    said: dict[str, Any] = message[inner] if inner else {name: v for name, v in message.items() if name != "type"}
    first = [kind]
    for name in ("operation", "entity_type", "entity_id", "terminal_id", "status", "code", "error"):
        if said.get(name) is not None:
            first.append(str(said[name]))
    rest = said.get("data", said.get("changes", said if len(first) == 1 else None))
    return "  ".join(first if rest is None else [*first, orjson.dumps(rest).decode()])
