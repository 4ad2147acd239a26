"""A local authority and its certificate for this machine, made once for all tests of a process."""

from __future__ import annotations

import atexit
import shutil
import ssl
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from attrs import frozen

from node.config.sections import TlsSection
from node.runtime import x509

HOSTS = ("localhost", "127.0.0.1", "::1")


@frozen
class Authority:
    """A folder as `comanda tls create` makes it."""

    folder: Path

    @property
    def ca(self) -> str:
        return str(self.folder / x509.AUTHORITY)

    @property
    def certificate(self) -> str:
        return str(self.folder / x509.CERTIFICATE)

    @property
    def key(self) -> str:
        return str(self.folder / x509.CERTIFICATE_KEY)

    def settings(self) -> TlsSection:
        return TlsSection(self.certificate, self.key)

    def flags(self) -> tuple[str, ...]:
        """Of `comanda serve`."""
        return ("--tls-cert", self.certificate, "--tls-key", self.key)

    def context(self) -> ssl.SSLContext:
        """For a client that knows this authority only."""
        return ssl.create_default_context(cafile=self.ca)

    def fingerprint(self) -> str:
        return x509.said(x509.read(Path(self.certificate).read_bytes())[0]).fingerprint

    def again(self) -> str:
        """Another certificate takes the place of this one; its fingerprint."""
        return x509.make(self.folder, HOSTS, datetime.now(UTC)).fingerprint


def make(folder: Path) -> Authority:
    made = Authority(folder)
    made.again()
    return made


@cache
def authority() -> Authority:
    """The one that nobody changes."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make(folder)
