"""Invitations: the one-time codes that are open at a node. No sockets and no clock.

open --right proof--> used, gone
     --wrong ones--> gone after TRIES
     --LIVES_MS--> gone
"""

from __future__ import annotations

import hmac

from attrs import define, field

from node.core.latest import keep_latest
from node.wire.pairing import NEWCOMER, name_of, proves

LIVES_MS = 600_000
"""How long a code can be used."""

TRIES = 5
"""After so many wrong proofs a code is worth nothing."""

MOST = 32
"""Codes that are open at a time: a new one takes the place of the first."""


@define(eq=False, kw_only=True)
class Invitation:
    """One code.

    kind: the type of the token that is given for it. terminal_id: of that token; None where the newcomer says it.
    until_ms: on the monotonic clock.
    """

    code: str
    key: bytes
    kind: str
    terminal_id: str | None
    until_ms: int
    wrong: int = 0


@define(eq=False)
class Invitations:
    """The codes that are open, by name."""

    _open: dict[str, Invitation] = field(factory=dict)

    def names(self) -> set[str]:
        return set(self._open)

    def put(self, invitation: Invitation) -> None:
        self._open[name_of(invitation.code)] = invitation
        keep_latest(self._open, MOST)

    def proved(
        self, name: str, given: str, certificate: str, nonce: str, said: str, *, now_ms: int
    ) -> Invitation | None:
        """The invitation whose code a newcomer has proved to know; it stays open until it is `used`."""
        found = self._live(name, now_ms)
        if found is None:
            return None
        return self._tried(found, proves(given, found.key, NEWCOMER, certificate, nonce, said))

    def told(self, code: str, *, now_ms: int) -> Invitation | None:
        """The same of one who tells the code itself, as a browser does over a connection that it trusts."""
        found = self._live(name_of(code), now_ms)
        return None if found is None else self._tried(found, hmac.compare_digest(code.encode(), found.code.encode()))

    def used(self, invitation: Invitation) -> None:
        """Nobody uses it again."""
        if self._open.get(name_of(invitation.code)) is invitation:
            del self._open[name_of(invitation.code)]

    def _live(self, name: str, now_ms: int) -> Invitation | None:
        found = self._open.get(name)
        if found is not None and now_ms >= found.until_ms:
            self.used(found)
            return None
        return found

    def _tried(self, found: Invitation, right: bool) -> Invitation | None:
        if right:
            return found
        found.wrong += 1
        if found.wrong >= TRIES:
            self.used(found)
        return None
