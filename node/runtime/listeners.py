"""The addresses of the network where a node listens, and whether it may."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from crdt.classes import define
from node.config.sections import is_loopback
from node.errors import ConfigError
from node.runtime.net.addresses import written
from node.runtime.net.listener import open_listeners

if TYPE_CHECKING:
    from node.config.sections import Config, Listen

logger = logging.getLogger("comanda")


@define
class Listeners:
    """Where a node listens, in clear and with TLS."""

    clear: list[trio.SocketListener]
    tls: list[trio.SocketListener]

    @classmethod
    async def open(cls, config: Config, *, open_to_all: bool) -> Listeners:
        """Bind all addresses of the configuration, or none. open_to_all: nobody needs a token.

        Raises ConfigError where others could read or write, and OSError.
        """
        listeners = cls([], [])
        try:
            for one in config.addresses():
                if not is_loopback(one.host) and not config.node.insecure:
                    _check_network(one, open_to_all=open_to_all)
                some = listeners.tls if one.tls else listeners.clear
                some += await open_listeners(one.host, one.port)
        except BaseException:
            await listeners.close()
            raise
        return listeners

    async def close(self) -> None:
        for listener in (*self.clear, *self.tls):
            await trio.aclose_forcefully(listener)

    def bound(self) -> list[tuple[bool, str]]:
        """Of each, whether it speaks TLS, and its `host:port`."""
        return [(tls, _address(one)) for some, tls in ((self.clear, False), (self.tls, True)) for one in some]


def _check_network(one: Listen, *, open_to_all: bool) -> None:
    """Raise ConfigError for an address that would be open to a network; warn of one without TLS."""
    if open_to_all:
        raise ConfigError(
            f"{one.host} is not a loopback address and there are no tokens: add one with "
            "`comanda token add`, or run with --insecure"
        )
    if not one.tls:
        logger.warning(
            "%(address)s is served without TLS: who listens on that network reads the tokens", {"address": one.host}
        )


def _address(listener: trio.SocketListener) -> str:
    host, port, *_ = listener.socket.getsockname()
    return written(host, port)
