"""`comanda join`: this machine becomes a node below a hub, with a code that `comanda pair` showed there."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import orjson
import tomlkit
from attrs import define
from tomlkit.exceptions import TOMLKitError

from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.config.links import node_url
from node.config.reading import NAME, find, parse
from node.config.remembered import shared
from node.config.sections import Config, NodeSection, is_loopback
from node.errors import ConfigError
from node.printable import printable
from node.runtime.net.tls import bounded, fingerprint_of
from node.runtime.whole_files import put_file
from node.wire.codec import TERMINAL_ID
from node.wire.pairing import HUB, NEWCOMER, key_of, name_of, proof, proves, read_code
from storage.sqlite.database import StorageError
from storage.sqlite.store import Store

PATIENCE_S = 15.0
MOST_BYTES = 1_048_576
"""Most bytes of a hub's answer, with the configuration in it."""

NO_NODE = "não responde como um nó / does not answer as a node"
AUTHORITY = "hub-authority.pem"
"""Where in the data directory the hub's authority is put."""


@click.command()
@click.argument("url")
@click.argument("code")
@click.option("--id", "node_id", help="Nome deste nó. / This node's id.  [o da máquina / the machine's]")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help=f"Arquivo TOML. / TOML file.  [{NAME}]"
)
@data_option
@json_option
def join(url: str, code: str, node_id: str | None, config_file: Path | None, data: Path, as_json: bool) -> None:
    """Liga esta máquina a uma central. / Make this machine a node below a hub.

    O código é o de `comanda pair`, na central. / The code is that of `comanda pair`, at the hub.

    \b
    comanda join wss://hub.local:8001 K7QM-2XPD-9HTR && comanda serve
    """
    secret = read_code(code)
    if secret is None:
        raise click.BadParameter("doze letras e dígitos / twelve letters and digits", param_hint="CODE")
    try:
        url = node_url(url)
        path = config_file or find(data) or Path(NAME)
        document = _document(path, url)
        name = _node_id(data, node_id)
        hub = _Hub(url, secret)
        answer = hub.ask(name)
        _write(path, document, url, answer, hub.recognised(answer, data), data)
    except (ConfigError, StorageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or url}: {error.strerror or error}") from error
    if as_json:
        say_json({"node_id": name, "url": url, "configuration": str(path)})
        return
    say(f"{name} -> {url}")
    say(f"{path}: comanda serve")


@define
class _Hub:
    """The hub at a URL, and the code that it showed."""

    url: str
    code: str
    fingerprint: str = ""

    def ask(self, name: str) -> dict[str, Any]:
        """What the hub says to a newcomer. Raises ClickException where it refuses, or does not know the code."""
        key, nonce = key_of(self.code), secrets.token_hex(32)
        with closing(self._connected()) as connection:
            words = {"name": name_of(self.code), "nonce": nonce, "terminal_id": name}
            words["proof"] = proof(key, NEWCOMER, self.fingerprint, nonce, name)
            try:
                connection.request("POST", "/api/v1/join", orjson.dumps(words))
                response = connection.getresponse()
                body = orjson.loads(response.read(MOST_BYTES))
                if response.status != 200:
                    raise click.ClickException(f"{self.url}: {printable(str(body.get('error')))}")
                said, given = str(body["said"]), str(body["proof"])
                if not proves(given, key, HUB, self.fingerprint, nonce, said):
                    raise click.ClickException(f"{self.url} não conhece o código / does not know the code")
                answer: dict[str, Any] = orjson.loads(said)
            except (http.client.HTTPException, orjson.JSONDecodeError, AttributeError, KeyError) as error:
                raise click.ClickException(f"{self.url}: {NO_NODE}") from error
        return answer

    def _connected(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme == "ws":
            if not is_loopback(host):
                raise click.ClickException(f"{self.url}: só por TLS (wss://) / over TLS (wss://) only")
            return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        # Whose certificate it is, is proved by the code.
        context = bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
        connection.connect()
        self.fingerprint = fingerprint_of(connection.sock.getpeercert(True) or b"")
        return connection

    def recognised(self, answer: dict[str, Any], data: Path) -> dict[str, object]:
        """How this hub is recognised from now on, as [links.at] says it. A certificate that its authority renews
        stays recognised; its fingerprint is taken where no authority vouches for it."""
        if not self.fingerprint or self._vouched(ssl.create_default_context()):
            return {}
        if answer.get("authority"):
            path = (data / AUTHORITY).resolve()
            path.write_text(answer["authority"])
            if self._vouched(ssl.create_default_context(cafile=str(path))):
                return {"ca": str(path)}
        return {"certificates": [self.fingerprint]}

    def _vouched(self, context: ssl.SSLContext) -> bool:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        try:
            with (
                socket.create_connection((host, parts.port or 443), PATIENCE_S) as opened,
                context.wrap_socket(opened, server_hostname=host) as secured,
            ):
                return fingerprint_of(secured.getpeercert(True) or b"") == self.fingerprint
        except OSError:
            return False


def _node_id(data: Path, wanted: str | None) -> str:
    """The id of this data directory, which is made if there is none. Raises StorageError."""
    machine = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in socket.gethostname())
    drawn = f"{machine[:64] or 'node'}-{secrets.token_hex(2)}"
    if wanted is not None and TERMINAL_ID.match(wanted) is None:
        raise click.BadParameter(f"{wanted!r} não é um nome / is no id", param_hint="--id")
    with closing(Store.open(data, wanted, lambda: drawn)) as store:
        return store.node_id


# ---------------------------------------------------------------------- the configuration


def _document(path: Path, url: str) -> tomlkit.TOMLDocument:
    """The configuration that is there, or an empty one. Raises ConfigError."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    config = parse(text, str(path))
    if config.links.upstream is not None and node_url(config.links.upstream) != url:
        raise ConfigError(f"{path}: [links] upstream is {config.links.upstream} already")
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ConfigError(f"{path}: {error}") from error


def _write(
    path: Path,
    document: tomlkit.TOMLDocument,
    url: str,
    answer: dict[str, Any],
    recognised: dict[str, object],
    data: Path,
) -> None:
    """Add the hub, and what the nodes of a store have in common and this file does not say."""
    told = answer.get("configuration", {})
    for section in shared(Config()):  # and nothing else: where this node listens and whom it trusts is not the hub's
        if section not in document and told.get(section):
            document[section] = told[section]
    if data != Path(NodeSection().data):
        _table(document, "node")["data"] = str(data)
    links = _table(document, "links")
    links["upstream"] = url
    at = _table(links, "at")
    at[url] = {"token": answer["token"], **recognised, "node_key": answer["node_key"]}
    text = tomlkit.dumps(document)
    parse(text, str(path))
    put_file(path, text.encode(), 0o600)


def _table(within: Any, name: str) -> Any:
    if name not in within:
        within[name] = tomlkit.table()
    return within[name]
