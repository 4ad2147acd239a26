"""How the address of a socket is written: `192.0.2.1:8001`, `[2001:db8::1]:8001`, `hub.local:8001`."""

from __future__ import annotations


def written(host: str, port: int) -> str:
    """host: a name, or an IP address without brackets."""
    return f"{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    """The host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def host_of(address: str) -> str:
    """The host of an address as it is `written`, brackets and all."""
    return address.rpartition(":")[0]
