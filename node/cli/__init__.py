"""The command line: one file a command, all of them in COMMANDS. Help is in Portuguese, then in English."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from node.cli.output import encode_anything, say
from node.printable import printable

LONGEST_MESSAGE = 2_000
"""Characters of what a command says of an error."""

COMMANDS = {
    "serve": "node.cli.serve",
    "demo": "node.cli.demo.command",
    "status": "node.cli.status",
    "top": "node.cli.top",
    "doctor": "node.cli.doctor",
    "init": "node.cli.init",
    "config": "node.cli.config",
    "tls": "node.cli.tls",
    "service": "node.cli.service",
    "realm": "node.cli.realm",
    "pair": "node.cli.pair",
    "join": "node.cli.join",
    "token": "node.cli.token",
    "audit": "node.cli.audit",
    "verify": "node.cli.verify",
    "show": "node.cli.show",
    "explain": "node.cli.explain",
    "import": "node.cli.imports.command",
    "export": "node.cli.exports.command",
    "sink": "node.cli.sink",
    "publish": "node.cli.publishing.command",
    "conflicts": "node.cli.conflicts",
    "send": "node.cli.send",
    "listen": "node.cli.listen",
    "quarantine": "node.cli.quarantine",
    "keys": "node.cli.keys",
    "backup": "node.cli.backup",
    "archive": "node.cli.archive",
    "restore": "node.cli.restore",
    "simulate": "node.cli.simulate",
    "conformance": "node.cli.conformance",
    "bench": "node.cli.bench",
}
"""Each command, and the module that has it under the same name, or with `_` where that is a keyword of Python.

A node does not load the simulator to start.
"""


class Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def main(self, *args: Any, **more: Any) -> Any:
        encode_anything()
        return super().main(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """What went wrong is told in one line, whoever's text it quotes."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if not getattr(error, "several_lines", False):
                vars(error)["message"] = printable(error.message, LONGEST_MESSAGE)
            raise
        except UnicodeError as error:  # an argument that is no text
            raise click.ClickException(printable(str(error))) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(import_module(module), f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name)
        assert isinstance(command, click.Command)
        return command


def _versions(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """Print what runs, and end. What that needs is imported only then: it is no command's business."""
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import version
    from platform import python_version

    from crdt.engine import DEFAULT, running

    say(f"comanda {version('comanda')}, {running(DEFAULT)}, Python {python_version()}")
    context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_versions, help="O que roda. / What runs."
)
def main() -> None:
    """Comanda: nó de sincronização que trabalha sem rede. / Offline-first sync node for restaurant terminals."""
