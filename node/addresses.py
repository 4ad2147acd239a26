"""Addresses that people write: of a node, of a database, and of where a node listens.

They are read here alone, so that each option and each setting takes the same forms, and a mistake says the same: what
was written, what is wrong with it, and the form that is wanted. Who asks names the option.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from attrs import field, frozen

SECURE = {"ws": False, "wss": True, "http": False, "https": True}
"""The schemes of a node, and whether it speaks TLS. A node answers HTTP and WebSockets at one address, so that either
name of it will do."""

DATABASES = ("postgresql", "postgres")
REDIS = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
"""The schemes of a Redis or Valkey, and whether it speaks TLS."""

REDIS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What may stand behind the ? of such an address, by the names that its libraries use."""

MASK = "***"
NODE = "wss://HOST:8001"
NODE_BEHIND = "https://HOST:8001"
DATABASE = "postgresql://USER@HOST/NAME"
REDIS_FORM = "rediss://:PASSWORD@HOST:6379/0"
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


@frozen
class RedisAddress:
    """A Redis or Valkey. number: of its database. authorities: a file of those that its certificate is recognised by;
    None is the system's. certificate, key: what is shown to it."""

    secure: bool
    host: str
    port: int
    number: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None


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


def redis_address(written: str) -> RedisAddress:
    """The address of a Redis or Valkey. Raises AddressError."""

    def wrong(pt: str, en: str) -> AddressError:
        return AddressError(written, pt, en, REDIS_FORM)

    parts, port = _parts(written, REDIS_FORM)
    if parts.scheme not in REDIS:
        raise wrong("não é de um Redis", "is not that of a Redis")
    if port == 0:
        raise wrong("tem uma porta que não existe", "has a port that is none")
    number = parts.path.strip("/")
    if not re.fullmatch(r"\d{0,4}", number, re.ASCII):
        raise wrong("tem um banco que não é número", "has a database that is no number")
    files = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = REDIS[parts.scheme]
    if parts.fragment or set(files) - set(REDIS_FILES) or not all(files.values()) or (files and not secure):
        raise wrong("tem um parâmetro desconhecido", f"has a parameter other than {', '.join(REDIS_FILES)} with TLS")
    if ("ssl_certfile" in files) != ("ssl_keyfile" in files):
        raise wrong("tem certificado sem chave, ou chave sem certificado", "has one of certificate and key alone")
    user, password = (None if not one else unquote(one) for one in (parts.username, parts.password))
    authorities, certificate, key = map(files.get, REDIS_FILES)
    return RedisAddress(
        *(secure, parts.hostname or "", port or 6379, int(number or 0)),
        *(user, password, authorities, certificate, key),
    )


def is_redis(written: str) -> bool:
    """Whether an address claims to be that of a Redis or Valkey."""
    return written.partition("://")[0].lower() in REDIS


def shared_database(written: str) -> str:
    """The address of what the processes of head office share: a PostgreSQL, a Redis or a Valkey. Raises
    AddressError."""
    if is_redis(written):
        redis_address(written)
        return written
    try:
        return database_address(written)
    except AddressError:
        pt, en = "não é de um PostgreSQL nem de um Redis", "is that of neither a PostgreSQL nor a Redis"
        raise AddressError(written, pt, en, f"{DATABASE}, {REDIS_FORM}") from None


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


def without_password(text: str) -> str:
    """An address, or words with one in them, as it may be shown."""
    hidden = re.sub(r"//.*@", f"//{MASK}@", text, flags=re.DOTALL)  # up to the last @: a password may hold any letter
    return re.sub(r"(password\s*=\s*)('[^']*'|[^&\s]*)", rf"\1{MASK}", hidden, flags=re.IGNORECASE)


def _quoted(written: str) -> str:
    return repr(without_password(written)[:256])
