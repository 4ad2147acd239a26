"""How a command recognises a node at an `https://` or `wss://` URL, and what it shows to one that asks for it.

The options of a command are found by whoever connects, through click's context: a command itself has no part in it.
"""

from __future__ import annotations

import ssl
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from crdt.classes import frozen
from node.runtime.net.tls import bounded

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = f"{__name__}.secured"


@frozen
class Secured:
    """ca: PEM file of authorities, in the place of the system's. certificate, key: what is shown."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """Raises ClickException where a file cannot be used."""
        try:
            context = bounded(ssl.create_default_context(cafile=self.ca))
        except (OSError, ValueError) as error:  # ssl.SSLError too
            raise click.ClickException(f"{self.ca}: {error}") from error
        self.show(context)
        return context

    def show(self, context: ssl.SSLContext) -> None:
        """Have a context show the certificate, if there is one. Raises as `context` does."""
        if self.certificate is None:
            return
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{self.certificate}, {self.key or ''}: {error}") from error


def secure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--ca`, `--client-cert`, `--client-key`, for `secured`."""

    @click.option(
        "--ca",
        metavar="FILE",
        envvar="COMANDA_CA",
        help="Autoridades do nó (PEM), para https. / The node's authorities.  [do sistema / the system's]",
    )
    @click.option(
        "--client-cert",
        metavar="FILE",
        envvar="COMANDA_CLIENT_CERT",
        help="O certificado que se mostra (PEM). / The certificate that is shown.",
    )
    @click.option("--client-key", metavar="FILE", envvar="COMANDA_CLIENT_KEY", help="A chave dele (PEM). / Its key.")
    @wraps(command)
    def told(*arguments: Any, ca: str | None, client_cert: str | None, client_key: str | None, **more: Any) -> Any:
        if client_key is not None and client_cert is None:
            raise click.UsageError("--client-key: sem / without --client-cert")
        click.get_current_context().meta[PLACE] = Secured(ca, client_cert, client_key)
        return command(*arguments, **more)

    return told


def secured() -> Secured:
    """What the running command was told; nothing outside of one."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.meta.get(PLACE)
    return found if isinstance(found, Secured) else Secured()
