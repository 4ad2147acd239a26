"""`comanda tls`: a certificate for those who have none."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.errors import ConfigError
from node.runtime import x509
from node.runtime.whole_files import file_name, put_file
from node.wire.codec import TERMINAL_ID

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "tls"
"""Where in a data directory the files are."""

CLIENTS = "clients"
"""And in it those of who connects, each under a name."""


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


@tls.command()
@click.argument("name")
@data_option
@json_option
def client(name: str, data: Path, as_json: bool) -> None:
    """Faz um certificado para quem conecta a um nó com [tls] client_ca. / Make one for who connects to such a node.

    O .p12 é para navegadores, com a senha mostrada. / The .p12 is for browsers, with the password that is shown.

    \b
    comanda tls client kds-1
    comanda serve --tls-client-ca comanda-data/tls/authority.pem
    """
    if TERMINAL_ID.match(name) is None:
        raise click.BadParameter(f"{name!r} não é um nome / is no id", param_hint="NAME")
    folder, password = data / FOLDER, secrets.token_hex(6)
    files = {kind: folder / CLIENTS / f"{file_name(name)}.{kind}" for kind in ("pem", "key", "p12")}
    try:
        key, asked = x509.request(name)
        certificate = x509.issue(folder, name, asked, datetime.now(UTC))
        (folder / CLIENTS).mkdir(mode=0o700, exist_ok=True)
        put_file(files["key"], key, 0o600)
        put_file(files["p12"], x509.bundle(name, key, certificate, password), 0o600)
        put_file(files["pem"], certificate, 0o644)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    if as_json:
        named = {"certificate": str(files["pem"]), "key": str(files["key"]), "p12": str(files["p12"])}
        say_json({"name": name, "password": password, **named}, indent=True)
        return
    say(f"--client-cert {files['pem']} --client-key {files['key']}")
    say(f"{files['p12']}  senha / password {password}")
