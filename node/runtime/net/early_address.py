"""Listening on an address that the machine does not have yet.

A machine starts without its cable, or before its router gives it an address. The terminal beside the node works
meanwhile, and the network's own finds the node as soon as the address is there.
"""

from __future__ import annotations

import trio
from trio import socket

from storage.system import LINUX

IP_FREEBIND = 15
"""Of Linux, in <bits/in.h>, for IPv6 as well. Python names it from 3.12 on only."""

BACKLOG = 4096


async def open_early(host: str, port: int) -> list[trio.SocketListener]:
    """Bind all the same. Raises OSError, where the system cannot do so as well."""
    if not LINUX:
        raise OSError(f"{host} is no address of this machine")
    listeners: list[trio.SocketListener] = []
    try:
        found = await socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            one = socket.socket(family, kind, protocol)
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                one.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
                await one.bind(address)
                one.listen(BACKLOG)
            except BaseException:
                one.close()
                raise
            listeners.append(trio.SocketListener(one))
    except BaseException:
        for listener in listeners:
            listener.socket.close()
        raise
    return listeners
