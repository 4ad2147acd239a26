"""Addresses that people write: of a node, of a database, and of where a node listens.

They are read here alone, so that each option and each setting takes the same forms, and a mistake says the same: what
was written, what is wrong with it, and the form that is wanted. Who asks names the option.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from attrs import frozen

SECURE = {"ws": False, "wss": True, "http": False, "https": True}
"""The schemes of a node, and whether it speaks TLS. A node answers HTTP and WebSockets at one address, so that either
name of it will do."""

DATABASES = ("postgresql", "postgres")
NODE = "wss://HOST:8001"
NODE_BEHIND = "https://HOST:8001"
DATABASE = "postgresql://USER@HOST/NAME"
HOST = "192.0.2.1, hub.local"

_PARAMETERS = re.compile(r"\s*[a-z_]+\s*=", re.ASCII)
"""How the other form of a database begins: `host=localhost dbname=report`."""


class AddressError(ValueError):
    """An address that cannot be read. pt, en: what is wrong with it. form: what is wanted."""

    def __init__(self, written: str, pt: str, en: str, form: str) -> None:
        self.en = f"{_quoted(written)} {en}; it is like {form}"
        super().__init__(f"{_quoted(written)} {pt} / {en}: {form}")


@frozen
class NodeAddress:
    """A node's address. place: host and port as they were written. path: what leads there, or ""."""

    secure: bool
    host: str
    port: int
    place: str
    path: str = ""

    def __repr__(self) -> str:
        return f"NodeAddress({self.http!r})"

    @property
    def http(self) -> str:
        """What is asked over HTTP: `https://HOST:8001`."""
        return f"http{'s' if self.secure else ''}://{self.place}{self.path}"

    @property
    def ws(self) -> str:
        """Where a WebSocket is opened: `wss://HOST:8001`."""
        return f"ws{'s' if self.secure else ''}://{self.place}{self.path}"


def node_address(written: str, *, behind: bool = False) -> NodeAddress:
    """The address of a node, with ws(s) or http(s). behind: a path may lead to it, as a proxy has. Raises
    AddressError."""

    def wrong(pt: str, en: str) -> AddressError:
        return AddressError(written, pt, en, NODE_BEHIND if behind else NODE)

    parts, port = _parts(written, NODE_BEHIND if behind else NODE)
    if parts.scheme not in SECURE:
        raise wrong("não começa com ws:// nem http://", "begins with neither ws:// nor http://")
    if port == 0:
        raise wrong("tem uma porta que não existe", "has a port that is none")
    if "?" in written or "#" in written:
        raise wrong("tem mais do que host e porta", "has more than host and port")
    path = parts.path.rstrip("/")
    if path and not behind:
        raise wrong("tem mais do que host e porta", "has more than host and port")
    secure = SECURE[parts.scheme]
    return NodeAddress(secure, parts.hostname or "", port or (443 if secure else 80), parts.netloc, path)


def database_address(written: str) -> str:
    """The address of a PostgreSQL as its library takes it, a URL or `host=... dbname=...`. Raises AddressError."""
    if _PARAMETERS.match(written):
        return written
    scheme, sign, _ = written.partition("://")
    if not sign or scheme not in DATABASES:
        raise AddressError(written, "não é de um PostgreSQL", "is not that of a PostgreSQL", DATABASE)
    return written


def listening_host(written: str) -> str:
    """A name or an IP address where a node listens, without a port. Raises AddressError."""
    alone = written.count(":") != 1 and not re.search(r"[\s/\[\]]", written)
    if not alone:
        raise AddressError(written, "é mais do que um nome ou IP", "is more than a name or an IP address", HOST)
    return written


def _parts(written: str, form: str) -> tuple[SplitResult, int | None]:
    """A URL in its parts, and its port. Raises AddressError."""
    if "://" not in written:
        raise AddressError(written, "não começa com ws:// nem http://", "begins with neither ws:// nor http://", form)
    if not written.isascii() or re.search(r"[\s\x00-\x1f\x7f\\]", written):
        # What urlsplit leaves out without a word.
        raise AddressError(written, "tem letras que um endereço não tem", "has letters that no address has", form)
    try:
        parts = urlsplit(written)
        port = parts.port
    except ValueError:
        raise AddressError(written, "tem host ou porta impossível", "has a host or port that is none", form) from None
    if not parts.hostname:
        raise AddressError(written, "não tem host", "has no host", form)
    return parts, port


def _quoted(written: str) -> str:
    """As it may be shown: without the password that may stand in it, and not without end."""
    return repr(re.sub(r"//[^/@]*@", "//***@", written)[:256])
