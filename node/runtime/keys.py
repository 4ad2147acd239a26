"""The node's own key: an Ed25519 pair (RFC 8032) in a file of the data directory, made at the first start.

The file stays where it is when a backup is put back, and no backup holds it: whoever has the file is the node. Only
this file knows of cryptography; the core is handed functions.
"""

from __future__ import annotations

import os
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from node.core.ports import Signatures
from node.runtime.whole_files import put_file
from storage.sqlite.database import StorageError
from storage.system import flush_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY_FILE = "node.key"

SEED = 32
"""Random bytes that a key is made of."""


SEAL = 20
"""Bytes of a seal."""


def signatures(directory: Path, random: Callable[[int], bytes] = os.urandom) -> Signatures:
    """Sign as the node of this data directory, whose key is made if it has none.

    random: draws the bytes of a new key. A new key is on disk before it is used. Raises StorageError.
    """
    path = directory / KEY_FILE
    try:
        key = _read(path) if path.exists() else _make(path, random(SEED))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    secret = blake2b(key.private_bytes_raw(), person=b"comanda seals").digest()

    def seal(leaf: bytes) -> bytes:
        return blake2b(leaf, digest_size=SEAL, key=secret).digest()

    return Signatures(public=key.public_key().public_bytes_raw(), sign=key.sign, seal=seal, verify=verify)


def verify(public: bytes, statement: bytes, signature: bytes) -> bool:
    """Whether the owner of a public key signed a statement."""
    try:
        _loaded(public).verify(signature, statement)
    except (InvalidSignature, ValueError):  # the latter: these bytes are no key
        return False
    return True


@lru_cache(maxsize=1_000)
def _loaded(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key: object = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        key = error
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageError(
            f"{path} is no Ed25519 key: put it back, or remove it; this node then goes on under a new key, which "
            "linked nodes have to be told of (`comanda keys trust`)"
        )
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return key


def _make(path: Path, seed: bytes) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    put_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    flush_names(path.parent)
    return key
