"""`comanda tls`: a certificate for those who have none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.errors import ConfigError
from node.runtime import x509

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "tls"
"""Where in a data directory the files are."""


@click.group()
def tls() -> None:
    """Certificados. / Certificates."""


@tls.command()
@click.option(
    "--host", "hosts", required=True, multiple=True, help="Nome ou endereço IP; repetível. / Name or IP; repeats."
)
@data_option
@json_option
def create(hosts: tuple[str, ...], data: Path, as_json: bool) -> None:
    """Faz um certificado, e na primeira vez a autoridade. / Make a certificate, and at first its authority.

    Um nó em uso toma o novo sem reiniciar. / A running node takes the new one without a restart.

    \b
    comanda tls create --host hub.local --host 10.0.0.5
    """
    folder = data / FOLDER
    try:
        said = x509.make(folder, hosts, datetime.now(UTC))
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    if as_json:
        files = {"certificate": x509.CERTIFICATE, "key": x509.CERTIFICATE_KEY, "ca": x509.AUTHORITY}
        named = {name: str(folder / file) for name, file in files.items()}
        until = said.not_after.isoformat()
        say_json({"hosts": [*said.hosts], "not_after": until, "fingerprint": said.fingerprint, **named}, indent=True)
        return
    say(f"{', '.join(said.hosts)} até / until {said.not_after:%Y-%m-%d}")
    say(f"SHA-256 {said.fingerprint}")
    say(f"--tls-cert {folder / x509.CERTIFICATE} --tls-key {folder / x509.CERTIFICATE_KEY}")
    say(f"ca = {folder / x509.AUTHORITY}")
