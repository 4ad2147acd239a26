"""Who asks, where a proxy stands before the node: the addresses of RFC 7239, and of X-Forwarded-For."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SIGNS = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""Headers that a proxy adds, and nobody else."""

_FOR = re.compile(r"(?:^|[;,])\s*for\s*=\s*(\"[^\"]*\"|[^;,\s]*)", re.IGNORECASE)


def came_through(headers: Mapping[str, str]) -> bool:
    """Whether a proxy has passed on the request."""
    return any(name in headers for name in SIGNS)


class Proxies:
    """The proxies that are named under [http]: what they say of a client is believed."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        """named: addresses and networks. Raises ConfigError."""
        try:
            self._networks = [ipaddress.ip_network(name) for name in named]
        except ValueError as error:
            raise ConfigError(f"[http] proxies: {error}") from error

    def named(self, address: str) -> bool:
        """Whether a proxy of this address is believed."""
        if not self._networks:
            return False
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None) or found
        return any(mapped in network for network in self._networks)

    def client(self, headers: Mapping[str, str], address: str) -> str | None:
        """The address that a request comes from: what the named proxies say, back to the first that is not one.

        address: who sent it. What stands before an unnamed one is what anybody may have written. None where both
        headers are there and differ: a proxy writes one of them and passes on the other as the client wrote it.
        """
        found = [
            self._back(said, address)
            for name, said in (
                ("forwarded", [value.strip('"') for value in _FOR.findall(headers.get("forwarded", ""))]),
                ("x-forwarded-for", headers.get("x-forwarded-for", "").split(",")),
            )
            if name in headers
        ]
        return next(iter(found), address) if len(set(found)) < 2 else None

    def _back(self, said: Sequence[str], address: str) -> str:
        for value in reversed(said):
            if not self.named(address):
                break
            found = _address(value.strip())
            if found is None:
                break
            address = found
        return address


def _address(value: str) -> str | None:
    """`192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`, without its port; None for another."""
    if value.startswith("["):
        value = value[1:].partition("]")[0]
    elif value.count(":") == 1:
        value = value.partition(":")[0]
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return None
