"""Bearer tokens: stored hashed, bound to a terminal id and type. Tokens never reach a log."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from node.errors import AuthenticationFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage.records import TokenRow


def new_token() -> str:
    return f"cmd_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """SHA-256, in hex. The token has 256 random bits, so no salt and no slow hash are needed."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens a node knows. With none it runs open (on loopback, or told to with --insecure)."""

    def __init__(self, rows: Iterable[TokenRow]) -> None:
        self._by_hash = {row.token_hash: row for row in rows if row.revoked_at is None}

    @property
    def required(self) -> bool:
        return bool(self._by_hash)

    def _find(self, token: str | None) -> TokenRow | None:
        if not self.required:
            return None
        row = self._by_hash.get(token_hash(token)) if token else None
        if row is None:
            raise AuthenticationFailed("Authentication failed")
        return row

    def check(self, token: str | None, terminal_id: str, terminal_type: str) -> None:
        """Raise AuthenticationFailed unless the token is this terminal's (no matter, while none is required)."""
        row = self._find(token)
        if row is not None and (row.terminal_id, row.terminal_type) != (terminal_id, terminal_type):
            raise AuthenticationFailed("Authentication failed")

    def reader(self, token: str | None) -> str | None:
        """Whose token an HTTP request carries; None while none is required. Raises AuthenticationFailed."""
        row = self._find(token)
        return row.terminal_id if row is not None else None
