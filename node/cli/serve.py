"""`comanda serve`: run a node."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import trio

from node.cli.output import say
from node.cli.settings import Misled, settings_options, settings_told
from node.config.reading import NAME
from node.errors import ComandaError, ConfigError
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from pathlib import Path

UNPROTECTED = (
    f"sem {NAME}, só os padrões: um pedido pago pode voltar atrás ou ser excluído, e valor pago e pontos não somam "
    f"(`comanda init` escreve as regras) / no {NAME}, only defaults: a paid order may go back or be deleted, and "
    "amounts paid and points do not add up (`comanda init` writes the rules)"
)
"""What is said where there is no configuration."""


@click.command()
@settings_options
def serve(config_file: Path | None, flags: dict[tuple[str, str], Any]) -> None:
    """Roda um nó até SIGTERM. / Run a node until SIGTERM.

    `comanda config show` diz cada valor e de onde vem. / says each setting's value and where it comes from.

    \b
    comanda serve
    comanda serve --host 10.0.0.5 --tls-cert hub.pem --tls-key hub.key
    """
    from node.runtime.app import Started
    from node.runtime.app import serve as run
    from node.runtime.logs import configure

    told = settings_told(config_file, flags)
    configure(told.config.log)

    def started(node: Started) -> None:
        for url in node.urls:
            say(f"{node.node_id} {url}/ws/{{terminal_id}}?type={{pos|kds|waiter|monitor}}")
        say(f"configuração / configuration: {told.file}" if told.file is not None else UNPROTECTED)
        if node.open:
            say("sem tokens: qualquer programa desta máquina pode conectar / open: no token needed")
        sys.stdout.flush()

    try:
        trio.run(partial(run, told.config, started))
    except (ComandaError, StorageError, OSError, ExceptionGroup) as error:
        raise _cannot_start(error, f"{told.config.node.host}:{told.config.node.port}") from error


def _cannot_start(error: Exception, address: str) -> Exception:
    """Why a node cannot start, as one sentence; status 2 where what it was told is wrong. Else the error itself.

    address: where it listens.
    """
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, ComandaError | StorageError):
        said = str(error)
    elif isinstance(error, OSError):
        said = f"{address}: {error}" if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        return error
    refused = Misled(said) if isinstance(error, ConfigError) else click.ClickException(said)
    return refused
