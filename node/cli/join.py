"""`comanda join`: this machine becomes a node below a hub, with a code that `comanda pair` showed there."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click
import orjson
import tomlkit
from tomlkit.exceptions import TOMLKitError

from crdt.classes import define
from node.cli.addresses import DIALLED
from node.cli.options import data_option
from node.cli.output import json_option, say, say_json
from node.cli.secure import Secured
from node.config.links import node_url
from node.config.reading import NAME, find, parse
from node.config.remembered import shared
from node.config.sections import Config, NodeSection, is_loopback
from node.errors import ConfigError
from node.printable import printable
from node.runtime import x509
from node.runtime.net.tls import bounded, fingerprint_of
from node.runtime.whole_files import put_file
from node.wire.codec import TERMINAL_ID
from node.wire.pairing import HUB, NEWCOMER, key_of, name_of, proof, proves, read_code
from storage.sqlite.database import StorageError
from storage.sqlite.store import Store

PATIENCE_S = 15.0
AGAIN_S = 1.0
"""When a hub is asked again that cannot answer at the moment: a store of head office may be changing hands."""

UNAVAILABLE = 503
MOST_BYTES = 1_048_576
"""Most bytes of a hub's answer, with the configuration in it."""

WANTED = (
    "a central pede um certificado que não pode fazer; peça um às autoridades dela, e ponha em [links.at] / the hub "
    'asks for a certificate that it cannot make: get one of its authorities, and name it under [links.at."{url}"] '
    "own_certificate, own_key"
)
NO_NODE = "não responde como um nó / does not answer as a node"
AUTHORITY = "hub-authority.pem"
"""Where in the data directory the hub's authority is put."""

SHOWN, SHOWN_KEY = "hub-client.pem", "hub-client.key"
"""And the certificate that the hub made for this node, where it asks for one."""


@click.command()
@click.argument("url", type=DIALLED)
@click.argument("code")
@click.option("--id", "node_id", help="Nome deste nó. / This node's id.  [o da máquina / the machine's]")
@click.option("--office", "site", metavar="SITE", help="O URL é do escritório. / The URL is head office's.")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help=f"Arquivo TOML. / TOML file.  [{NAME}]"
)
@click.option("--client-cert", metavar="FILE", help="O que se mostra à central (PEM). / What is shown to the hub.")
@click.option("--client-key", metavar="FILE", help="A chave dele. / Its key.")
@data_option
@json_option
def join(
    url: str,
    code: str,
    node_id: str | None,
    site: str | None,
    config_file: Path | None,
    client_cert: str | None,
    client_key: str | None,
    data: Path,
    as_json: bool,
) -> None:
    """Liga esta máquina a uma central. / Make this machine a node below a hub.

    O código é o de `comanda pair`, na central. / The code is that of `comanda pair`, at the hub.

    Se a central pede certificados ([tls] client_ca), faz um; se não pode, dê um das autoridades dela. / A hub that
    asks for certificates makes one; where it cannot, give one of its authorities.

    Com --office, a central da loja passa a ter uma cópia no escritório, e continua a dona das travas. / With --office
    this store's hub has a copy at head office, and goes on granting the locks.

    \b
    comanda join wss://hub.local:8001 K7QM-2XPD-9HTR && comanda serve
    comanda join wss://office.example:8001 K7QM-2XPD-9HTR --office loja-017 && comanda serve
    """
    secret = read_code(code)
    if secret is None:
        raise click.BadParameter("doze letras e dígitos / twelve letters and digits", param_hint="CODE")
    try:
        path = config_file or find(data) or Path(NAME)
        document = _document(path, url, site)
        name = _node_id(data, node_id)
        own = Secured(None, client_cert, client_key)
        hub = _Hub(url, secret, own, site)
        answer = hub.ask(name)
        at = {**hub.recognised(answer, data), **hub.shown(answer, data)}
        _write(path, document, url, answer, at, data, site)
    except (ConfigError, StorageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or url}: {error.strerror or error}") from error
    if as_json:
        say_json({"node_id": name, "url": url, "configuration": str(path)})
        return
    say(f"{name} -> {url}")
    say(f"{path}: comanda serve")
    if "certificate" in answer and "own_certificate" not in at:
        say(WANTED.format(url=url), err=True)


@define
class _Hub:
    """The hub at a URL, and the code that it showed. own: what is shown to it, where there is something already.
    site: of head office, the store that is meant."""

    url: str
    code: str
    own: Secured
    site: str | None = None
    fingerprint: str = ""
    key: bytes = b""
    """Of the certificate that the hub is asked for."""

    def ask(self, name: str) -> dict[str, Any]:
        """What the hub says to a newcomer. Raises ClickException where it refuses, or does not know the code."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            status, answer = self._asked(name)
            if status != UNAVAILABLE or time.monotonic() > until_s:
                break
            time.sleep(AGAIN_S)
        if status != 200:
            raise click.ClickException(f"{self.url}: {printable(str(answer.get('error')))}")
        return answer

    def _asked(self, name: str) -> tuple[int, dict[str, Any]]:
        """The status of the answer, and what it says, proved where the status is 200. Raises ClickException."""
        key, nonce = key_of(self.code), secrets.token_hex(32)
        with closing(self._connected()) as connection:
            words = {"name": name_of(self.code), "nonce": nonce, "terminal_id": name}
            words["proof"] = proof(key, NEWCOMER, self.fingerprint, nonce, name)
            if self.own.certificate is None:
                self.key, asked = x509.request(name)
                words["certificate_request"] = asked.decode()
            try:
                of = "" if self.site is None else f"?realm={quote(self.site)}"
                connection.request("POST", f"/api/v1/join{of}", orjson.dumps(words))
                response = connection.getresponse()
                body = orjson.loads(response.read(MOST_BYTES))
                if response.status != 200:
                    return response.status, {"error": body.get("error")}
                said, given = str(body["said"]), str(body["proof"])
                if not proves(given, key, HUB, self.fingerprint, nonce, said):
                    raise click.ClickException(f"{self.url} não conhece o código / does not know the code")
                answer: dict[str, Any] = orjson.loads(said)
            except (http.client.HTTPException, orjson.JSONDecodeError, AttributeError, KeyError) as error:
                raise click.ClickException(f"{self.url}: {NO_NODE}") from error
        return 200, answer

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
        self.own.show(context)
        connection = http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
        connection.connect()
        self.fingerprint = fingerprint_of(connection.sock.getpeercert(True) or b"")
        return connection

    def recognised(self, answer: dict[str, Any], data: Path) -> dict[str, object]:
        """How this hub is recognised from now on, as [links.at] says it. A certificate that its authority renews
        stays recognised; its fingerprint is taken where no authority vouches for it."""
        if not self.fingerprint:
            return {}
        if answer.get("authority"):
            path = (data / AUTHORITY).resolve()
            path.write_text(answer["authority"])
            if self._vouched(ssl.create_default_context(cafile=str(path))):
                return {"ca": str(path)}
        if self._vouched(ssl.create_default_context()):
            return {}
        return {"certificates": [self.fingerprint]}

    def shown(self, answer: dict[str, Any], data: Path) -> dict[str, object]:
        """What is shown to this hub from now on, as [links.at] says it."""
        if self.own.certificate is not None:
            key = {} if self.own.key is None else {"own_key": str(Path(self.own.key).resolve())}
            return {"own_certificate": str(Path(self.own.certificate).resolve()), **key}
        if not answer.get("certificate"):
            return {}
        certificate, key_file = (data / SHOWN).resolve(), (data / SHOWN_KEY).resolve()
        put_file(key_file, self.key, 0o600)
        put_file(certificate, str(answer["certificate"]).encode(), 0o644)
        return {"own_certificate": str(certificate), "own_key": str(key_file)}

    def _vouched(self, context: ssl.SSLContext) -> bool:
        self.own.show(context)
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


def _document(path: Path, url: str, site: str | None = None) -> tomlkit.TOMLDocument:
    """The configuration that is there, or an empty one. site: as `_write` has it. Raises ConfigError."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    config = parse(text, str(path))
    there = config.links.upstream if site is None else config.links.office
    if there is not None and node_url(there, str(path)) != url:
        raise ConfigError(f"{path}: [links] {'upstream' if site is None else 'office'} is {there} already")
    if site is not None and config.node.site not in (None, site):
        raise ConfigError(f"{path}: [node] site is {config.node.site} already")
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
    site: str | None = None,
) -> None:
    """Add the hub, and what the nodes of a store have in common and this file does not say.

    site: the store where the other node is no hub above this one, but head office.
    """
    told = answer.get("configuration", {})
    for section in shared(Config()):  # and nothing else: where this node listens and whom it trusts is not the hub's
        if section not in document and told.get(section):
            document[section] = told[section]
    if told_site := answer.get("site"):
        here = _table(document, "node").setdefault("site", told_site)
        if here != told_site:
            raise ConfigError(f"{path}: [node] site is {here}, and the hub is a node of {told_site}")
    if data != Path(NodeSection().data):
        _table(document, "node")["data"] = str(data)
    links = _table(document, "links")
    links["upstream" if site is None else "office"] = url
    at = _table(links, "at")
    key = {"node_key": answer["node_key"]} if "node_key" in answer else {}
    at[url] = {"token": answer["token"], **recognised, **key}
    text = tomlkit.dumps(document)
    parse(text, str(path))
    put_file(path, text.encode(), 0o600)


def _table(within: Any, name: str) -> Any:
    if name not in within:
        within[name] = tomlkit.table()
    return within[name]
