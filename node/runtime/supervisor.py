"""What systemd is told of a node: that it is ready, that its event loop turns, that it stops.

The protocol is a datagram for each state (sd_notify(3), sd_watchdog_enabled(3)). Where nobody listens
nothing is said.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import trio

from crdt.classes import frozen
from storage.system import unix_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("comanda")

READY = "READY=1"
ALIVE = "WATCHDOG=1"
STOPPING = "STOPPING=1"

FED_IN_A_PERIOD = 3
"""How often the watchdog is fed in the time after which it bites."""


@frozen
class Supervisor:
    """address: of the notify socket, as sockets take it. watchdog_s: after such a silence the node is restarted."""

    address: bytes | None = None
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Supervisor:
        """What the environment says to the process `pid`. A variable that makes no sense is none."""
        said = environment.get("NOTIFY_SOCKET", "")
        if not said.startswith(("/", "@")):
            return cls()
        address = os.fsencode(said)
        if said.startswith("@"):
            address = b"\0" + address[1:]
        period_us = _number(environment.get("WATCHDOG_USEC", ""))
        meant = environment.get("WATCHDOG_PID", "")
        watched = period_us and (not meant or _number(meant) == pid)
        return cls(address, period_us / 1_000_000 if watched else None)

    def tell(self, state: str) -> None:
        """Say it without waiting. What cannot be said is logged."""
        if self.address is None:
            return
        try:
            with unix_socket(socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), self.address)
        except OSError as error:
            logger.warning("systemd was not told %(state)s: %(reason)s", {"state": state, "reason": error})

    async def feed(self) -> None:
        """Feed the watchdog for as long as the event loop turns; where there is none, return."""
        if self.address is None or self.watchdog_s is None:
            return
        while True:
            self.tell(ALIVE)
            await trio.sleep(self.watchdog_s / FED_IN_A_PERIOD)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
