"""The command line: one file a command, all of them in COMMANDS. Help is in Portuguese, then in English."""

from __future__ import annotations

import click

from node.cli.archive import archive
from node.cli.audit import audit
from node.cli.backup import backup
from node.cli.conformance import conformance
from node.cli.demo.command import demo
from node.cli.explain import explain
from node.cli.init import init
from node.cli.quarantine import quarantine
from node.cli.restore import restore
from node.cli.serve import serve
from node.cli.show import show
from node.cli.simulate import simulate
from node.cli.status import status
from node.cli.token import token
from node.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="comanda")
def main() -> None:
    """Comanda: nó de sincronização que trabalha sem rede. / Offline-first sync node for restaurant terminals."""


COMMANDS = (
    serve,
    demo,
    status,
    init,
    token,
    audit,
    verify,
    show,
    explain,
    quarantine,
    backup,
    archive,
    restore,
    simulate,
    conformance,
)
for command in COMMANDS:
    main.add_command(command)
