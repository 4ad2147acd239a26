"""The certificate that this node shows, exchanged while it runs; and how it recognises the nodes that it dials.

A new certificate is taken on SIGHUP, and soon after its files have changed and rest. One that cannot be used leaves
the old one in force, and is logged. Connections that are open keep theirs.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from node.config.sections import TlsSection
from node.errors import ConfigError
from node.runtime.net.tls import Trust, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from node.config.links import LinkAddress
    from node.runtime import x509

logger = logging.getLogger("comanda.tls")

LOOK_S = 2.0
"""Between two looks at the files. What is taken has been the same for two: a key comes after its certificate."""

Stamps = tuple[tuple[int, int, int] | None, ...]
"""What tells whether files have changed."""


class Certificate:
    """The node's own certificate, and what it asks of others ([tls] client_ca).

    newcomers: each says whether it awaits somebody who has no certificate yet. said: what the certificate says.
    authority: the one it hands out with it, in PEM.
    """

    said: x509.Said
    authority: bytes | None

    def __init__(self, settings: TlsSection) -> None:
        """Raises ConfigError where it cannot be used."""
        self._settings = settings
        self.newcomers: list[Callable[[], bool]] = []
        self._files = [Path(name) for name in (settings.certificate, settings.key, settings.client_ca) if name]
        self._stamps = stamps(self._files)
        self._take()

    @property
    def context(self) -> ssl.SSLContext:
        """For a new connection."""
        return self._lenient if any(awaited() for awaited in self.newcomers) else self._strict

    @property
    def asks(self) -> bool:
        """Whether others have to show a certificate."""
        return self._settings.client_ca is not None

    def issued(self, name: str, asked: str) -> str | None:
        """A certificate that this node takes of others, in PEM, for a request; None where none can be made here.

        Raises ConfigError for what is no request.
        """
        from node.runtime import x509

        folder = Path(self._settings.certificate or "").parent
        if self._settings.client_ca is None or not x509.vouches(folder, Path(self._settings.client_ca)):
            return None
        return x509.issue(folder, name, asked.encode(), datetime.now(UTC)).decode()

    def _take(self) -> None:
        strict, said, authority = _loaded(self._settings, ssl.CERT_REQUIRED)
        lenient, *_ = _loaded(self._settings, ssl.CERT_OPTIONAL)
        self._strict, self._lenient, self.said, self.authority = strict, lenient, said, authority
        now = datetime.now(UTC)
        if not said.not_before <= now <= said.not_after:
            logger.error(
                "the certificate %(file)s holds from %(not_before)s to %(not_after)s, and it is %(clock)s by this "
                "machine's clock: who checks it will not connect",
                {
                    "file": self._settings.certificate,
                    "not_before": said.not_before.isoformat(),
                    "not_after": said.not_after.isoformat(),
                    "clock": now.isoformat(timespec="seconds"),
                },
            )

    def reload(self) -> bool:
        """Take what the files hold; whether it could be used."""
        self._stamps = stamps(self._files)
        try:
            self._take()
        except ConfigError as error:
            logger.error("%(reason)s; the certificate from before stays in use", {"reason": error})
            return False
        logger.warning("a new certificate is in use: %(fingerprint)s", {"fingerprint": self.said.fingerprint})
        return True

    async def watch(self) -> None:
        """Look at the files until cancelled."""
        before = self._stamps
        while True:
            await trio.sleep(LOOK_S)
            found = stamps(self._files)
            if found == before != self._stamps:
                self.reload()
            before = found


def stamps(files: Sequence[Path]) -> Stamps:
    return tuple(map(_stamp, files))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _loaded(settings: TlsSection, asked: ssl.VerifyMode) -> tuple[ssl.SSLContext, x509.Said, bytes | None]:
    from node.runtime import x509  # a node without certificates does not load it

    context = bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    certificate = settings.certificate or ""
    _show(context, settings)
    if settings.client_ca:
        _vouch(context, settings.client_ca, "[tls] client_ca")
        context.verify_mode = asked
    try:
        chain = x509.read(Path(certificate).read_bytes())
        return context, x509.said(chain[0]), x509.own_authority(chain)
    except (OSError, ValueError) as error:
        raise ConfigError(f"[tls] {certificate}: {error}") from error


def _show(context: ssl.SSLContext, settings: TlsSection) -> None:
    """Have a context show the node's certificate. Raises ConfigError."""
    certificate, key = settings.certificate or "", settings.key
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError too
        what = certificate if key is None else f"{certificate}, {key}"
        raise ConfigError(f"[tls] {what}: {_reason(error)}") from error


def _vouch(context: ssl.SSLContext, authorities: str, setting: str) -> None:
    """Have a context accept the certificates of these authorities. Raises ConfigError."""
    try:
        context.load_verify_locations(authorities)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{setting} {authorities}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


class Recognition:
    """How the node at one address is recognised, and the certificate shown to it. Read again when a file changes."""

    def __init__(self, address: LinkAddress, own: TlsSection) -> None:
        if address.own_certificate is not None:
            own = TlsSection(address.own_certificate, address.own_key)
        self._address, self._own = address, own
        self._files = [Path(name) for name in (address.ca, own.certificate, own.key) if name]
        self._read: tuple[Stamps, Trust] | None = None

    def trust(self) -> Trust:
        """Raises ConfigError where a file cannot be used."""
        found = stamps(self._files)
        if self._read is None or self._read[0] != found:
            self._read = found, self._trust()
        return self._read[1]

    def _trust(self) -> Trust:
        address = self._address
        pins = frozenset(address.pins())
        if pins:
            context = bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif address.ca is not None:
            context = bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            _vouch(context, address.ca, "[links.at] ca")
        else:
            context = bounded(ssl.create_default_context())
        if self._own.certificate is not None:
            _show(context, self._own)
        return Trust(context, pins)
