"""The command line: one file per command group. Help for staff is Portuguese first."""

from __future__ import annotations

import click

from node.cli.audit import audit
from node.cli.demo import demo
from node.cli.init import init
from node.cli.restore import restore
from node.cli.serve import serve
from node.cli.status import backup, quarantine, status
from node.cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="comanda")
def main() -> None:
    """Comanda: nó de sincronização que trabalha sem rede. / Offline-first sync node for restaurant terminals."""


for command in (serve, demo, status, init, token, audit, quarantine, backup, restore):
    main.add_command(command)
