"""The whole node put together: the only file that knows everything."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import secrets
import signal
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from node.control import NAME as CONTROL
from node.core.admission import Arrivals
from node.core.ports import Draws, Instant, Surroundings
from node.core.schedule import schedule
from node.core.start import begin, go_on, note_config, note_key
from node.runtime.api.about import About
from node.runtime.api.doctor import Doctor
from node.runtime.api.joining import Joining, Reached
from node.runtime.api.origins import Origins, own_origins
from node.runtime.api.routes import Api
from node.runtime.api.tokens import Tokens, open_page, open_rights
from node.runtime.archiving import Archiver, last_made_ms
from node.runtime.backups import Backups
from node.runtime.certificates import Certificate
from node.runtime.dialler import Dialler
from node.runtime.disk import TrioDisk
from node.runtime.disk_space import DiskSpace
from node.runtime.endpoint import Endpoint
from node.runtime.identity import take_up
from node.runtime.keys import signatures
from node.runtime.link_watch import watch_links
from node.runtime.listeners import Listeners
from node.runtime.net.control_listener import open_control
from node.runtime.net.listener import Listener, ListenerLimits
from node.runtime.net.proxies import Proxies
from node.runtime.progress import show_first_sync
from node.runtime.reads import PeopleReads
from node.runtime.retention import Retention
from node.runtime.supervisor import READY, STOPPING, Supervisor
from storage import system
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from node.config.sections import Config, LimitsSection
    from node.core.core import Core

logger = logging.getLogger("comanda")

COMMANDS = 64
"""Connections to the control socket at one time. They do not count among those of the network."""

TOKENS_WATCHED_S = 0.25
"""How often it is looked whether somebody is connected whose token is worth nothing any more."""

USES_STORED_TURNS = 240
"""After so many of those looks it is stored when each token was last shown."""

OTHER_DESCRIPTORS = 256
"""Files, links and what is being refused, besides [limits] connections."""

SWITCH_INTERVAL_S = 0.0005
"""Longest turn of a thread in Python, so that a rebuild in a thread does not hold up a confirmation."""


def now() -> Instant:
    """The one place the core's time comes from."""
    return Instant(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


def random_writer() -> int:
    """A Yjs client id, 1 .. 2**32 - 1."""
    return secrets.randbelow(2**32 - 1) + 1


def allow_descriptors(wanted: int) -> None:
    """Let this process open so many files and sockets, as far as the system lets it."""
    most = system.allow_descriptors(wanted)
    if most < wanted:
        logger.warning("the system allows %d files and sockets; for [limits] connections it takes %d", most, wanted)


async def _obey(signals: Sequence[signal.Signals], scope: trio.CancelScope, certificate: Certificate | None) -> None:
    with trio.open_signal_receiver(*signals, *system.RELOAD) as received:
        async for number in received:
            if number in system.RELOAD:
                if certificate is not None:
                    certificate.reload()
                continue
            logger.info("stopping on %s", signal.Signals(number).name)
            scope.cancel()


@define
class Started:
    """A node that is listening. urls: its ws:// and wss:// addresses."""

    node_id: str
    urls: list[str]
    open: bool
    """Whether it takes terminals without a token."""


class Node:
    """One node: its data directory, its core, its listener."""

    def __init__(self, config: Config) -> None:
        self.config = config.check()

    async def run(self, started: Callable[[Started], None], signals: Sequence[signal.Signals] = ()) -> None:
        """Serve until cancelled, or one of `signals`, then stop cleanly.

        Raises StorageError, ConfigError or OSError when it cannot start.
        """
        config = self.config
        supervisor = Supervisor.of(os.environ, os.getpid())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        allow_descriptors(config.limits.connections + OTHER_DESCRIPTORS)
        directory = Path(config.node.data)
        store = Store.open(directory, config.node.id, lambda: uuid.uuid4().hex)
        reader = Reader(store.path)
        try:
            boot = store.boot()
            draws = Draws(lambda: uuid.uuid4().hex, random_writer)
            key = signatures(directory)
            writer = take_up(store, boot, draws, now().wall_ms)
            note_key(store, boot, key)
            note_config(store, config)
            archives = reader.archives()
            by_type = {kind: permissions.rights for kind, permissions in config.permissions().items()}
            open_to = open_rights(loopback=config.this_machine_only)
            tokens = Tokens(reader.tokens(), by_type, open_to, open_page(config))
            proxies = Proxies(config.http.proxies)
            certificate = None if config.tls.certificate is None else Certificate(config.tls)
            listeners = await Listeners.open(config, open_to_all=not tokens.required)
            control = await open_control(directory)
        except BaseException:
            reader.close()
            store.close()
            raise
        async with trio.open_nursery() as nursery:
            disk = TrioDisk(nursery, store, reader)
            around = Surroundings(disk, disk, now, draws, key)
            core = begin(boot, config, around, epoch=store.epoch, writer=writer)
            del boot  # the keys of all operations, a second time
            diallers = self._diallers(core)
            origins = Origins(
                own_origins(listeners.bound(), config.http.origins), config.this_machine_only and not tokens.required
            )
            people = PeopleReads(Reader(store.path), disk.faults)
            reached = Reached(certificate, listeners.bound())
            joining = Joining(core=core, disk=disk, store=store, tokens=tokens, config=config, reached=reached)
            backups = Backups(core=core, database=store.path, settings=config.backup)
            archiver = Archiver(core=core, store=store, disk=disk, last_ms=last_made_ms(archives))
            retention = Retention(core=core, archiver=archiver, settings=config.retention, where=config.time.where())
            space = DiskSpace(directory=directory, settings=config.disk)
            doctor = Doctor(
                core=core,
                diallers=diallers,
                people=people,
                directory=directory,
                tokens=tokens,
                tls=config.tls,
                backups=backups,
                retention=retention,
                space=space,
            )
            urls = [f"{'wss' if tls else 'ws'}://{address}" for tls, address in listeners.bound()]
            api = Api(
                core=core,
                disk=disk,
                people=people,
                store=store,
                doctor=doctor,
                archiver=archiver,
                tokens=tokens,
                joining=joining,
                about=About(doctor=doctor, config=config, addresses=urls, started_ms=now().wall_ms),
            )
            endpoint = Endpoint(core=core, api=api, tokens=tokens, config=config, origins=origins)
            arrivals = Arrivals(
                most=config.limits.connections,
                most_per_address=config.limits.connections_per_address,
                statistics=core.statistics,
                shared=proxies.named,
            )
            listener = Listener(
                handler=endpoint,
                limits=listener_limits(config.limits),
                arrivals=arrivals,
                certificate=certificate,
                proxies=proxies,
            )
            commands = Listener(
                handler=endpoint,
                limits=listener_limits(config.limits),
                arrivals=Arrivals(most=COMMANDS, most_per_address=COMMANDS, statistics=core.statistics),
                secret=control.secret,
            )
            nursery.start_soon(disk.run, core, lambda: self._recover(core, store, around))
            nursery.start_soon(self._on_time, core, _Upkeep(nursery, disk, endpoint))
            nursery.start_soon(show_first_sync, core)
            nursery.start_soon(watch_links, core, diallers)
            nursery.start_soon(space.run)
            if config.backup.every_h:
                nursery.start_soon(backups.run)
            if config.retention.keep_days:
                nursery.start_soon(retention.run)
            nursery.start_soon(self._watch_tokens, endpoint, tokens, disk, store)
            for dialler in diallers:
                nursery.start_soon(dialler.run)
            if certificate is not None:
                nursery.start_soon(certificate.watch)
            if signals:
                nursery.start_soon(_obey, signals, nursery.cancel_scope, certificate)
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            started(Started(store.node_id, urls, not tokens.required))
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
                    core.store_cursors()
                    await disk.commit_pending(core)
                    await self._store_used(tokens, disk, store)
                    await people.stop()
                    await disk.stop()
                nursery.cancel_scope.cancel()

    # ------------------------------------------------------------------ putting together

    def _diallers(self, core: Core) -> list[Dialler]:
        links, attempts = self.config.links, itertools.count(1)
        return [
            Dialler(core=core, url=url, role=role, settings=links, attempts=attempts, own=self.config.tls)
            for url, role in links.dialled()
        ]

    def _recover(self, core: Core, store: Store, around: Surroundings) -> None:
        boot = store.boot()
        writer = go_on(core, boot, self.config, around)
        logger.warning("the disk takes writes again; going on from row %d under writer %d", boot.head, writer)

    async def _watch_tokens(self, endpoint: Endpoint, tokens: Tokens, disk: TrioDisk, store: Store) -> None:
        for turn in itertools.count(1):
            await trio.sleep(TOKENS_WATCHED_S)
            endpoint.end_untrusted()
            if turn % USES_STORED_TURNS == 0:
                await self._store_used(tokens, disk, store)

    async def _store_used(self, tokens: Tokens, disk: TrioDisk, store: Store) -> None:
        with suppress(StorageError):  # the disk's own watch says it
            if used := tokens.take_used():
                await disk.write(store.put_tokens, used)

    async def _on_time(self, core: Core, upkeep: _Upkeep) -> None:
        times = self.config.time
        table = schedule(
            core,
            upkeep,
            now_ms=trio.current_time() * 1000,
            status_ms=times.status_interval_s * 1000,
            metrics_ms=times.metrics_interval_s * 1000,
        )
        while True:
            await trio.sleep(table.turn_ms / 1000)
            table.step(trio.current_time() * 1000)


@define(eq=False)
class _Upkeep:
    """What the schedule asks of this process. What waits for the disk runs beside it, each once at a time."""

    nursery: trio.Nursery
    disk: TrioDisk
    endpoint: Endpoint
    _running: set[str] = field(factory=set)

    def read_again(self) -> None:
        self._start("read again", self.disk.read_again)

    def heartbeat(self) -> None:
        self.endpoint.heartbeat()

    def memory_mb(self) -> float:
        return system.memory_bytes() / 1_048_576

    def database_bytes(self) -> int:
        return self.disk.database_bytes()

    def checkpoint(self) -> None:
        self._start("checkpoint", self.disk.checkpoint)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if name not in self._running:
            self._running.add(name)
            self.nursery.start_soon(self._run, name, work)

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self._running.discard(name)


def listener_limits(limits: LimitsSection) -> ListenerLimits:
    """The bounds on one connection that the configuration sets."""
    return ListenerLimits(message_bytes=limits.message_bytes, outbox_bytes=limits.outbox_bytes)


async def serve(config: Config, started: Callable[[Started], None]) -> None:
    """Run a node until SIGTERM or SIGINT. Raises StorageError, ConfigError or OSError when it cannot start."""
    await Node(config).run(started, signals=(signal.SIGTERM, signal.SIGINT))
