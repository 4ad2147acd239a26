"""Invitations: the one-time codes that are open at a node. No sockets and no clock.

    open --right proof--> used, gone
         --LIVES_MS--> gone

Wrong tries end no code: else whoever reaches the hub could end the manager's. They cost their own network its turn:
after TRIES it has to wait. That alone bounds a guesser with few addresses; what bounds one with any number of them is
that a code has 50 secret bits and lives ten minutes. A node that did nothing but answer, 20,000 times a second, would
be asked 600 * 20,000 = 12 million times within the life of a code. One of 2**50 codes is found so with a probability
of one in ninety million.
"""

from __future__ import annotations

import hmac
import ipaddress

from attrs import field

from crdt.classes import define
from node.core.latest import keep_latest, put_latest
from node.wire.pairing import NEWCOMER, name_of, proves

LIVES_MS = 600_000
"""How long a code can be used."""

TRIES, TRIES_MS = 5, 60_000
"""So many wrong tries within this time are taken of one network."""

NETWORKS = 4_096
"""Networks of wrong tries that are remembered, the latest."""

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


@define(eq=False)
class Tries:
    """The wrong tries of each network. By network: how many, and when the first of them was."""

    _wrong: dict[str, tuple[int, int]] = field(factory=dict)

    def wait_ms(self, address: str, now_ms: int) -> int:
        """How long nothing is taken from this address; 0 where it has its turn."""
        count, since_ms = self._wrong.get(network(address), (0, now_ms))
        return max(0, since_ms + TRIES_MS - now_ms) if count >= TRIES else 0

    def failed(self, address: str, now_ms: int) -> None:
        """A wrong try came from there."""
        name = network(address)
        count, since_ms = self._wrong.get(name, (0, now_ms))
        if now_ms >= since_ms + TRIES_MS:
            count, since_ms = 0, now_ms
        put_latest(self._wrong, name, (count + 1, since_ms), NETWORKS)


def network(address: str) -> str:
    """What one machine can take addresses of at will: of IPv6 the /64, of IPv4 the address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, 64), strict=False))


@define(eq=False)
class Invitations:
    """The codes that are open, by name."""

    _open: dict[str, Invitation] = field(factory=dict)

    def names(self) -> set[str]:
        return set(self._open)

    def awaited(self, now_ms: int) -> bool:
        """Whether a code is open."""
        return any(now_ms < invitation.until_ms for invitation in self._open.values())

    def put(self, invitation: Invitation) -> None:
        self._open[name_of(invitation.code)] = invitation
        keep_latest(self._open, MOST)

    def proved(
        self, name: str, given: str, certificate: str, nonce: str, said: str, *, now_ms: int
    ) -> Invitation | None:
        """The invitation whose code a newcomer has proved to know; it stays open until it is `used`."""
        found = self._live(name, now_ms)
        right = found is not None and proves(given, found.key, NEWCOMER, certificate, nonce, said)
        return found if right else None

    def told(self, code: str, *, now_ms: int) -> Invitation | None:
        """The same of one who tells the code itself, as a browser does over a connection that it trusts."""
        found = self._live(name_of(code), now_ms)
        right = found is not None and hmac.compare_digest(code.encode(), found.code.encode())
        return found if right else None

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
