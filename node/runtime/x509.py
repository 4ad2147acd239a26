"""Certificates (RFC 5280): a local authority for a store that has none, and what a certificate says.

Keys are ECDSA P-256. A node's certificate is for a server and for a client: a node that dials may be asked for its
own. A client's is for nothing else, so that who has it can be no hub.
"""

from __future__ import annotations

import ipaddress
import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crdt.classes import frozen
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


def read_der(certificate: bytes) -> x509.Certificate:
    """As a connection shows it. Raises ValueError."""
    return x509.load_der_x509_certificate(certificate)


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
    for made in (folder.parent, folder):  # the data directory too, where this is the first that is put there
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def request(name: str) -> tuple[bytes, bytes]:
    """A new private key and what asks for a certificate for it (PKCS #10), both in PEM."""
    key = generate_private_key(SECP256R1())
    asked = x509.CertificateSigningRequestBuilder().subject_name(_named(name)).sign(key, SHA256())
    return _pem(key), asked.public_bytes(Encoding.PEM)


def vouches(folder: Path, authorities: Path) -> bool:
    """Whether the folder has an authority with its key, and it is among those in a file."""
    try:
        own = read((folder / AUTHORITY).read_bytes())[0]
        return own in read(authorities.read_bytes()) and (folder / AUTHORITY_KEY).is_file()
    except (OSError, ValueError):
        return False


def issue(folder: Path, name: str, asked: bytes, now: datetime) -> bytes:
    """A client's certificate by the folder's authority, in PEM.

    name: whose it is. asked: the request, of which the key alone is taken. Raises ConfigError where there is no
    authority, or no sound request.
    """
    try:
        found = x509.load_pem_x509_csr(asked)
        key = found.public_key()
        sound = found.is_signature_valid and isinstance(key, EllipticCurvePublicKey)
    except (ValueError, UnsupportedAlgorithm):
        sound = False
    if not sound or not isinstance(key, EllipticCurvePublicKey):
        raise ConfigError("this is no request for a certificate (PEM, PKCS #10, an elliptic key)")
    if not (folder / AUTHORITY_KEY).is_file():
        raise ConfigError(f"{folder}: there is no {AUTHORITY_KEY}: `comanda tls create` makes one")
    authority, authority_key = _authority(folder, now)
    certificate = (
        _builder(name[:64], authority.subject, key, now, CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


def bundle(name: str, key: bytes, certificate: bytes, password: str) -> bytes:
    """A key and its certificate in one file, as browsers take it (PKCS #12)."""
    private: Any = load_pem_private_key(key, None)  # an elliptic one
    sealed = BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(name.encode(), private, read(certificate)[0], None, sealed)


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
    subject: str,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey | EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    public = key if isinstance(key, EllipticCurvePublicKey) else key.public_key()
    builder = (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if not subject:
        return builder
    return builder.subject_name(_named(subject))


def _named(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])


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
