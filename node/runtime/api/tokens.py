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
    """The tokens a node knows. Without any it is open to everybody: on loopback only, or with --insecure."""

    def __init__(self, rows: Iterable[TokenRow]) -> None:
        self._by_hash = {row.token_hash: row for row in rows if row.revoked_at is None}

    @property
    def required(self) -> bool:
        return bool(self._by_hash)

    def fits(self, token: str | None, terminal_id: str, terminal_type: str) -> bool:
        """Whether the token is the one of this terminal and type; any will do while none is required."""
        if not self.required:
            return True
        row = self._find(token)
        return row is not None and (row.terminal_id, row.terminal_type) == (terminal_id, terminal_type)

    def reader(self, token: str | None) -> str | None:
        """Whose token an HTTP request carries; None while none is required. Raises AuthenticationFailed."""
        if not self.required:
            return None
        row = self._find(token)
        if row is None:
            raise AuthenticationFailed("Authentication failed")
        return row.terminal_id

    def _find(self, token: str | None) -> TokenRow | None:
        return self._by_hash.get(token_hash(token)) if token else None
