"""One message to a node as a terminal, and its answer: `send`, `conflicts resolve` and `explain --restore` do it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from node.cli.asking import ask
from node.cli.client import reach
from node.runtime.terminal import Terminal, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import trio

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "ping": ("pong",),
    "data_sync": ("sync_confirmation",),
    "conflict_resolution": ("sync_confirmation",),
    "acquire_lock": ("lock_acquired", "lock_failed"),
    "release_lock": ("lock_released",),
    "sync_confirmation": (),
}
"""What answers each message of a terminal; a `sync_error` answers any. The last has no answer."""

NAMES = ("operation_id", "conflict_id", "lock_id")
"""Members by which an answer says what it is about."""

OTHERWISE = 3
"""Exit status of a write that is stored while something else is shown."""


def terminal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--terminal`, `--terminal-type`, `--user`: as whom a command speaks."""
    for option in (
        click.option("--user", default="", help="A pessoa, para a auditoria. / The person, for the audit."),
        click.option("--terminal-type", default="pos", show_default=True, help="Tipo dele. / Its type."),
        click.option("--terminal", metavar="ID", default="shell", show_default=True, help="Quem fala. / Who speaks."),
    ):
        command = option(command)
    return command


def exchange(url: str, terminal_id: str, kind: str, user: str, message: dict[str, Any]) -> dict[str, Any] | None:
    """The node's answer; None where the message has none.

    url: as `node_option` gives it. Raises ClickException where there is no answer that should be.
    """
    ask(url, "/healthz")  # which says at once that there is none
    heard: list[dict[str, Any]] = []

    def listen(_: Terminal, said: dict[str, Any]) -> None:
        if not heard and _answers(message, said):
            heard.append(said)

    terminal = Terminal(terminal_id, kind, user, listen, reads=False)
    failure = converse(partial(_exchange, url, terminal, message, heard))
    if failure is not None:
        raise click.ClickException(f"{url}: {failure}")
    return heard[0] if heard else None


async def _exchange(
    url: str, terminal: Terminal, message: dict[str, Any], heard: list[dict[str, Any]], nursery: trio.Nursery
) -> str | None:
    """Why there is no answer that should be."""
    await reach(terminal, url, nursery)
    terminal.say(message)
    if ANSWERS.get(str(message.get("type"))) != ():
        await terminal.until(lambda: bool(heard) or not terminal.online)
        if not heard:
            return "conexão encerrada / connection closed {} {}".format(*(terminal.ended or ("", "")))
    await terminal.go_offline()
    return None


def _answers(message: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether what was said is about this message: of its kind, and with no other name."""
    kind = message.get("type")
    if said["type"] not in (*ANSWERS.get(str(kind), ()), "sync_error"):
        return False
    operation = message.get("operation")
    names: dict[str, Any] = {name: message.get(name) for name in NAMES}
    if kind == "data_sync":
        names["operation_id"] = operation.get("id") if isinstance(operation, dict) else None
    elif kind == "conflict_resolution":
        names["operation_id"] = message.get("id")
    return all(wanted is None or said.get(name) in (None, wanted) for name, wanted in names.items())


def status_of(answer: Mapping[str, Any] | None) -> int:
    """The exit status that an answer gives: 0 done, OTHERWISE, 1 refused."""
    if answer is None:
        return 0
    if answer["type"] in ("sync_error", "lock_failed"):
        return 1
    return OTHERWISE if answer.get("status") in ("lost", "conflict") else 0
