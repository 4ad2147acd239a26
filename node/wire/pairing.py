"""The one-time code with which a machine joins a store, and what both sides prove with it.

A code is twelve letters and digits in three groups: two name it, ten (50 bits) are secret, and are not sent. The
newcomer proves that it knows the code, over the fingerprint of the certificate that it was shown; the hub, whose
certificate has that fingerprint, over its answer. So nobody between them can be either without the code, and a code
cannot be found from what was overheard within the ten minutes that it lives: each guess costs an scrypt.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter looks like another one or like a digit."""

NAME, LENGTH, GROUP = 2, 12, 4
"""Characters of a code that name it, of all of it, and of a group."""

HUB, NEWCOMER = "hub", "newcomer"


def new_code(draw: Callable[[int], bytes]) -> str:
    """A code, in groups. draw: random bytes."""
    letters = "".join(ALPHABET[byte % len(ALPHABET)] for byte in draw(LENGTH))
    return "-".join(letters[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def read_code(text: str) -> str | None:
    """A code as `new_code` writes it, however a person wrote it; None where it is none."""
    letters = text.upper().replace("-", "").replace(" ", "").translate(str.maketrans("OIL", "011"))
    if len(letters) != LENGTH or set(letters) - set(ALPHABET):
        return None
    return "-".join(letters[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def name_of(code: str) -> str:
    """What a code is called where it must not be told."""
    return code[:NAME]


def key_of(code: str) -> bytes:
    """What is proved to be known. It takes some 50 ms."""
    return hashlib.scrypt(code.encode(), salt=b"comanda pairing", n=2**14, r=8, p=1, dklen=32)


def proof(key: bytes, who: str, certificate: str, nonce: str, said: str) -> str:
    """That `who` knows the code and says this, in hex.

    certificate: fingerprint of what the hub showed; "" without TLS. nonce: drawn by the newcomer.
    """
    parts = [part.encode() for part in (who, certificate, nonce, said)]
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def proves(given: str, key: bytes, who: str, certificate: str, nonce: str, said: str) -> bool:
    return hmac.compare_digest(given.encode(), proof(key, who, certificate, nonce, said).encode())
