"""The command line: one file per command group. Help for staff is Portuguese first."""

from __future__ import annotations

import click

from node.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="comanda")
def main() -> None:
    """Comanda: nó de sincronização que trabalha sem rede. / Offline-first sync node for restaurant terminals."""


main.add_command(serve)
