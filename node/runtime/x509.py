"""Certificates (RFC 5280): a local authority for a store that has none, and what a certificate says.

Keys are ECDSA P-256. A certificate is for a server and for a client: a node that dials may be asked for its own.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.errors import ConfigError
from node.runtime.net.tls import fingerprint_of
from node.runtime.whole_files import put_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AUTHORITY, AUTHORITY_KEY = "authority.pem", "authority.key"
CERTIFICATE, CERTIFICATE_KEY = "certificate.pem", "certificate.key"
"""Files that `make` writes. The certificate's file has the authority's behind it."""

AUTHORITY_DAYS = 3_650
CERTIFICATE_DAYS = 825
"""As long as every browser takes the certificate of a private authority."""

EARLY = timedelta(days=1)
"""How far a certificate reaches back: clocks in a restaurant are slow by hours."""


@frozen
class Said:
    """What a certificate says of itself. fingerprint: SHA-256, in hex. hosts: names and addresses."""

    fingerprint: str
    not_before: datetime
    not_after: datetime
    hosts: tuple[str, ...]


def read(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a file, the node's own first. Raises ValueError."""
    return x509.load_pem_x509_certificates(pem)


def said(certificate: x509.Certificate) -> Said:
    """What a certificate says. Raises ValueError."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        hosts: tuple[str, ...] = ()
    else:
        addresses = names.get_values_for_type(x509.IPAddress)
        hosts = (*names.get_values_for_type(x509.DNSName), *map(str, addresses))
    return Said(
        fingerprint_of(certificate.public_bytes(Encoding.DER)),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        hosts,
    )


def own_authority(chain: Sequence[x509.Certificate]) -> bytes | None:
    """The authority that a file hands out with its certificate, in PEM: one that vouches for itself. Else None."""
    last = chain[-1]
    if len(chain) < 2 or last.issuer != last.subject:
        return None
    return last.public_bytes(Encoding.PEM)


def make(folder: Path, hosts: Sequence[str], now: datetime) -> Said:
    """A certificate for these hosts, by the folder's authority, which is made if there is none.

    hosts: names and IP addresses. Both files of the certificate are replaced whole, the key first. Raises ConfigError
    for a host that is none, or for an authority that cannot be read; OSError.
    """
    names = [_name(host) for host in hosts]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, authority_key = _authority(folder, now)
    key = generate_private_key(SECP256R1())
    certificate = (
        _builder(hosts[0][:64], authority.subject, key, now, CERTIFICATE_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, SHA256())
    )
    put_file(folder / CERTIFICATE_KEY, _pem(key), 0o600)
    chain = certificate.public_bytes(Encoding.PEM) + authority.public_bytes(Encoding.PEM)
    put_file(folder / CERTIFICATE, chain, 0o644)
    return said(certificate)


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    path, key_path = folder / AUTHORITY, folder / AUTHORITY_KEY
    if path.exists() or key_path.exists():
        try:
            key = load_pem_private_key(key_path.read_bytes(), None)
            return read(path.read_bytes())[0], key  # type: ignore[return-value]  # what this file wrote
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                f"{folder}: the authority cannot be read ({error}); put {AUTHORITY} and {AUTHORITY_KEY} back, or "
                "remove both: a new authority has to be made known to whoever trusts the old one"
            ) from error
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Comanda {os.urandom(4).hex()}")])
    authority = (
        _builder("", name, key, now, AUTHORITY_DAYS)
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, SHA256())
    )
    put_file(key_path, _pem(key), 0o600)
    put_file(path, authority.public_bytes(Encoding.PEM), 0o644)
    return authority, key


def _builder(
    subject: str, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if not subject:
        return builder
    return builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        sound = 0 < len(host) <= 253 and not set(host) & set(" /:@")
        if sound:
            return x509.DNSName(host)
    except ValueError:
        pass
    raise ConfigError(f"{host[:256]!r} is no name of a host, nor an IP address")


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
