"""[links]: which nodes this one dials, how it recognises them, and what it takes from a linked node."""

from __future__ import annotations

import re

from attrs import evolve, field

from crdt.classes import frozen
from node.addresses import node_address
from node.config.addresses import address_of
from node.errors import ConfigError

FINGERPRINT = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


def node_url(url: str, setting: str) -> str:
    """Another node's address as `ws://host:port` or `wss://host:port`. setting: who names it. Raises ConfigError."""
    return address_of(setting, url, node_address).ws


@frozen
class LinkAddress:
    """[links.at."wss://host:port"]: one node that is dialled, and how it is recognised.

    token: what this node shows to that node only.
    ca: PEM file of the authorities that vouch for its certificate, in the place of the system's.
    certificates: SHA-256 fingerprints of its certificate, any of which will do; no authority is asked then.
    node_key: fingerprint of its signing key (`comanda keys list`).
    own_certificate, own_key: PEM files of what is shown to it, where it asks for a certificate; without them those of
        [tls].
    """

    token: str | None = None
    ca: str | None = None
    certificates: list[str] = field(factory=list)
    node_key: str | None = None
    own_certificate: str | None = None
    own_key: str | None = None

    def pins(self) -> list[str]:
        """The fingerprints in lower-case hex. Raises ConfigError."""
        found = [written.replace(":", "").lower() for written in self.certificates]
        for pin, written in zip(found, self.certificates, strict=True):
            if FINGERPRINT.match(pin) is None:
                raise ConfigError(f"[links.at] {written[:128]!r} is no SHA-256 fingerprint: 64 hexadecimal digits")
        return found


@frozen
class LinksSection:
    """[links]: other nodes.

    upstream: URL of the node above in the tree, which grants locks.
    peers: URLs of nodes side by side.
    office: URL of head office, which keeps a copy of this store's realm; from the store's hub only. It is a node side
        by side, so that locks stay in the store.
    token: what this node shows to the one node that it dials; with several, each has its own, under `at`.
    at: by URL, how a node is recognised, and the token for it.
    window_rows: sent on one link and not confirmed by the other node.
    minute_frames, minute_bytes: what one linked node may send within a minute. One that sends more is not read until
        the minute is over. The defaults are several times what a large store's busiest link costs.
    minute_tables, minute_questions, minute_visits, minute_heads: likewise lists of who sits where, questions about
        terminals, what terminals knew, and lists of signed heads.
    backoff_ms, backoff_max_ms: first and longest wait before dialling again.
    connect_timeout_ms: for one attempt; the answer may take twice as long after each failure, up to 30 s.
    ping_s: between two pings on a link.
    silence_s: a link on which nothing was heard for so long is closed and dialled again.
    far_ms: the round trip from which the other node is far.
    far_ping_s: between two pings on a link to a far node. Its silence lasts as much longer as two pings do.
    linger_ms: how long rows wait for others on a link to a far node.
    paused_s: wait before dialling a node again that refused this one (its id, its token, nodes at all).
    may_speak_for: linked node -> the nodes whose operations it may pass on, "*" for all. A node that is not named may
        pass on those that it says.
    """

    upstream: str | None = None
    peers: list[str] = field(factory=list)
    office: str | None = None
    token: str | None = None
    window_rows: int = 2_048
    minute_frames: int = 600_000
    minute_bytes: int = 4_294_967_296
    minute_tables: int = 1_200
    minute_questions: int = 6_000
    minute_visits: int = 300_000
    minute_heads: int = 600
    backoff_ms: int = 50
    backoff_max_ms: int = 800
    connect_timeout_ms: int = 1_000
    ping_s: float = 1.0
    silence_s: float = 5.0
    far_ms: int = 30
    far_ping_s: float = 15.0
    linger_ms: int = 50
    paused_s: float = 15.0
    may_speak_for: dict[str, list[str]] = field(factory=dict)
    at: dict[str, LinkAddress] = field(factory=dict)

    def dialled(self) -> list[tuple[str, str]]:
        """The nodes to dial, each once: URL, and what it is to this node. Raises ConfigError."""
        above = [] if self.upstream is None else [(node_url(self.upstream, "[links] upstream"), "upstream")]
        beside = [node_url(url, "[links] peers") for url in self.peers]
        if self.office is not None:
            beside.append(node_url(self.office, "[links] office"))
        return above + [(url, "peer") for url in dict.fromkeys(beside)]

    def named(self) -> dict[str, LinkAddress]:
        """What `at` says, by the address as a node is dialled at it. Raises ConfigError."""
        found = {node_url(at, "[links.at]"): address for at, address in self.at.items()}
        if len(found) < len(self.at):
            raise ConfigError("[links.at] names a node twice: ws and http are one address, as wss and https are")
        return found

    def address(self, url: str) -> LinkAddress:
        """How the node at a URL is recognised, and its token. Raises ConfigError."""
        found = self.named().get(url, LinkAddress())
        return found if found.token is not None else evolve(found, token=self.token)

    def check(self) -> None:
        """Raises ConfigError."""
        dialled = self.dialled()
        if len({url for url, _ in dialled}) < len(dialled):
            raise ConfigError(f"[links] {self.upstream} is the upstream; it cannot be a peer too")
        named = self.named()
        for address in named.values():
            if address.pins() and address.ca is not None:
                raise ConfigError("[links.at] a node is recognised by ca or by certificates, not by both")
            if address.own_key is not None and address.own_certificate is None:
                raise ConfigError("[links.at] own_certificate is missing")
        shared = [url for url, _ in dialled if url not in named or named[url].token is None]
        if self.token is not None and len(dialled) > 1 and shared:
            raise ConfigError(
                "[links] token would be shown to several nodes, and each could use it at the others; give each its "
                f'own as [links.at."{shared[0]}"] token'
            )
