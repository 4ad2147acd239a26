"""A node's process: what its realms run in, and the addresses where it listens."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from crdt.classes import define
from node.config.links import node_url
from node.control import NAME as CONTROL
from node.core.admission import Arrivals
from node.hubs.engines import engine_at
from node.runtime import collector
from node.runtime.api.joining import Reached
from node.runtime.certificates import Certificate
from node.runtime.disk_space import DiskSpace
from node.runtime.hubs import PATIENCE, Hubs
from node.runtime.listeners import Listeners
from node.runtime.net.control_listener import open_control
from node.runtime.net.listener import Listener
from node.runtime.net.proxies import Proxies
from node.runtime.realm import Holdings, House, Realm, listener_limits
from node.runtime.realms import Realms
from node.runtime.router import Router
from node.runtime.supervisor import READY, STOPPING, Supervisor
from storage import system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from node.config.sections import Config

logger = logging.getLogger("comanda")

COMMANDS = 64
"""Connections to the control socket at one time. They do not count among those of the network."""

OTHER_DESCRIPTORS = 256
"""Files, links and what is being refused, besides [limits] connections."""

STORE_DESCRIPTORS = 12
"""Of a realm that is kept, while it is open: three connections to its database, a lock, a control socket."""

SWITCH_INTERVAL_S = 0.0005
"""Longest turn of a thread in Python, so that a rebuild in a thread does not hold up a confirmation."""


def allow_descriptors(wanted: int) -> None:
    """Let this process open so many files and sockets, as far as the system lets it."""
    most = system.allow_descriptors(wanted)
    if most < wanted:
        logger.warning(
            "the system allows %(most)d files and sockets; for [limits] connections it takes %(wanted)d",
            {"most": most, "wanted": wanted},
        )


async def _obey(signals: Sequence[signal.Signals], scope: trio.CancelScope, certificate: Certificate | None) -> None:
    with trio.open_signal_receiver(*signals, *system.RELOAD) as received:
        async for number in received:
            if number in system.RELOAD:
                if certificate is not None:
                    certificate.reload()
                continue
            logger.info("stopping on %(signal)s", {"signal": signal.Signals(number).name})
            scope.cancel()


@define
class Started:
    """A node that is listening. urls: its ws:// and wss:// addresses."""

    node_id: str
    urls: list[str]
    open: bool
    """Whether it takes terminals without a token."""


class Node:
    """One node: its realm, and where it listens."""

    def __init__(self, config: Config) -> None:
        self.config = config.check()

    def _allow(self, stores: int) -> None:
        """Let the process keep so many stores beside its own realm, as far as the system lets it."""
        wanted = self.config.limits.connections + OTHER_DESCRIPTORS + stores * STORE_DESCRIPTORS
        allow_descriptors(wanted)

    def _hubs(self, nursery: trio.Nursery, realms: Realms, house: House) -> Hubs | None:
        """Of a head office of several processes. Raises ConfigError or OSError."""
        settings = self.config.hubs
        if settings.database is None:
            return None
        hubs = Hubs(
            nursery=nursery,
            realms=realms,
            config=self.config,
            node_id=realms.node_id,
            address=node_url(settings.address or house.reached.url(), "[hubs] address"),
            engine=engine_at(settings.database, PATIENCE * settings.lease_s),
        )
        realms.shared = lambda name: {"owner": hubs.owner(name)}
        realms.others = lambda: {"elsewhere": hubs.elsewhere(), "offices": hubs.offices()}
        return hubs

    async def run(self, started: Callable[[Started], None], signals: Sequence[signal.Signals] = ()) -> None:
        """Serve until cancelled, or one of `signals`, then stop cleanly.

        Raises StorageError, ConfigError or OSError when it cannot start.
        """
        config = self.config
        supervisor = Supervisor.of(os.environ, os.getpid())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        if config.small:
            system.give_memory_back()
        self._allow(0)
        directory = Path(config.node.data)
        held = Holdings.open(config)
        try:
            proxies = Proxies(config.http.proxies)
            certificate = None if config.tls.certificate is None else Certificate(config.tls)
            listeners = await Listeners.open(config, open_to_all=not held.tokens.required)
            control = await open_control(directory)
        except BaseException:
            held.close()
            raise
        async with trio.open_nursery() as nursery:
            space = DiskSpace(directory=directory, settings=config.disk)
            house = House(Reached(certificate, listeners.bound()), space, lambda: realms.report())
            realms = Realms(
                nursery=nursery, config=config, node_id=held.store.node_id, house=house, allow=self._allow
            )
            realm = Realm(held, house, nursery)
            del held  # the keys of all operations, a second time
            hubs = self._hubs(nursery, realms, house)
            router = Router(realm, realms, hubs)
            arrivals = Arrivals(
                most=config.limits.connections,
                most_per_address=config.limits.connections_per_address,
                statistics=realm.core.statistics,
                shared=proxies.named,
            )
            listener = Listener(
                handler=router,
                limits=listener_limits(config.limits),
                arrivals=arrivals,
                certificate=certificate,
                proxies=proxies,
                looks=house.lately.look,
                way=router.way,
                user_of=router.user_of,
                body_bytes=router.body_bytes,
            )
            commands = Listener(
                handler=router,
                limits=listener_limits(config.limits),
                arrivals=Arrivals(most=COMMANDS, most_per_address=COMMANDS, statistics=realm.core.statistics),
                secret=control.secret,
                way=router.command_way,
                body_bytes=router.body_bytes,
                looks=house.lately.look,
            )
            realm.start()
            if hubs is not None:
                nursery.start_soon(hubs.run)
            nursery.start_soon(space.run)
            if certificate is not None:
                nursery.start_soon(certificate.watch)
            if signals:
                nursery.start_soon(_obey, signals, nursery.cancel_scope, certificate)
            collector.serve(small=config.small)
            started(Started(realm.store.node_id, house.urls, not realm.tokens.required))
            supervisor.tell(READY)
            nursery.start_soon(supervisor.feed)
            try:
                async with trio.open_nursery() as served:
                    served.start_soon(commands.serve, [control.listener])
                    await listener.serve(listeners.clear, listeners.tls)
            finally:
                supervisor.tell(STOPPING)
                (directory / CONTROL).unlink(missing_ok=True)
                with trio.CancelScope(shield=True):
                    if hubs is not None:
                        await hubs.stop()
                    await realm.stop()
                nursery.cancel_scope.cancel()


async def serve(config: Config, started: Callable[[Started], None]) -> None:
    """Run a node until SIGTERM or SIGINT. Raises StorageError, ConfigError or OSError when it cannot start."""
    await Node(config).run(started, signals=(signal.SIGTERM, signal.SIGINT))
