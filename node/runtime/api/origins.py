"""Which web pages may talk to this node: a browser lets any page send to 127.0.0.1, and says whose page it is."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from node.runtime.net.http import Request


@frozen
class Origins:
    """known: origins of the node's own page and of configured ones. open_to_this_machine: the node listens on
    loopback and asks for no token, so that what a browser on this machine may do is all that protects it."""

    known: frozenset[str]
    open_to_this_machine: bool

    def objection(self, request: Request) -> str | None:
        """Why what a page asks is refused; None for the node's own pages and for what is no browser."""
        origin = request.headers.get("origin")
        if origin is None and _for_another_page(request.headers):
            return (
                "a page of another origin may not load this: it reads with fetch, and is named under [http] origins"
            )
        if origin is None or origin in self.known:
            return None
        if origin.partition("://")[2] == request.headers.get("host", "") and not self.stranger(request):
            return None
        return f"a page of {origin[:200]} may not connect or read; name it under [http] origins"

    def shared_with(self, request: Request) -> tuple[tuple[str, str], ...]:
        """The headers that let a known page of another origin read an answer (CORS)."""
        origin = request.headers.get("origin")
        if origin is None or origin not in self.known:
            return (("Vary", "Origin"),) if self.known else ()
        return (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))

    def stranger(self, request: Request) -> str | None:
        """The name by which a node that is open to this machine is asked, where it is not its own; else None.

        The owner of a name may let it mean 127.0.0.1 once his page is loaded (DNS rebinding): to the browser the node
        then is that page's own server, and lets it read everything.
        """
        host = request.headers.get("host", "")
        if not self.open_to_this_machine or host in {origin.partition("://")[2] for origin in self.known}:
            return None
        return None if _fixed(host) else host[:200] or "nameless"


def own_origins(bound: Iterable[tuple[bool, str]], configured: Iterable[str]) -> frozenset[str]:
    """Of the node's own page, by the addresses it listens on, and those in the configuration.

    bound: whether it speaks TLS there, and `host:port`.
    """
    return frozenset(f"{'https' if tls else 'http'}://{address}" for tls, address in bound) | frozenset(configured)


def _for_another_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser loads this into a page of another origin, as a picture or a script: it then sends no Origin.

    Nothing is shown to that page, but how long it takes, and the node works for it. A link that a person follows is
    none of that: what comes is a document of its own (Fetch Metadata, W3C).
    """
    return (
        headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-dest") != "document"
    )


def _fixed(host: str) -> bool:
    """Whether a Host cannot be made to mean something else: an address, or localhost."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
