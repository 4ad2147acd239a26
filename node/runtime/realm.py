"""One realm in this process: its data directory, its core, and all that serves it but for the network's addresses.

A realm is a store. Nothing that one holds is reached from another one: each has a data directory, a core, tokens, a
key, copies and archives of its own.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import trio
from attrs import field

from crdt.classes import define, frozen
from node.config.sections import Config, LimitsSection
from node.core.ports import Draws, Instant, Signatures, Surroundings
from node.core.schedule import Schedule, schedule
from node.core.start import begin, go_on, note_config, note_key, note_realm
from node.runtime.api.about import About
from node.runtime.api.doctor import Doctor
from node.runtime.api.joining import Joining, Reached
from node.runtime.api.origins import Origins, own_origins
from node.runtime.api.publications import Publications
from node.runtime.api.routes import Api
from node.runtime.api.tokens import Tokens, open_page, open_rights
from node.runtime.archiving import Archiver, last_made_ms
from node.runtime.backups import Backups
from node.runtime.dialler import Dialler
from node.runtime.disk import TrioDisk
from node.runtime.disk_space import DiskSpace
from node.runtime.endpoint import Endpoint
from node.runtime.identity import take_up
from node.runtime.keys import signatures
from node.runtime.link_watch import LOOK_S, look
from node.runtime.net.listener import ListenerLimits
from node.runtime.progress import log_first_sync, show_first_sync
from node.runtime.reads import PeopleReads
from node.runtime.retention import Retention
from node.runtime.storage_thread import Pools, StorageThread
from node.runtime.turns import REST_S, Turns
from storage import system
from storage.records import ArchiveRow, Boot
from storage.sqlite.database import StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

logger = logging.getLogger("comanda")

TOKENS_WATCHED_S = 0.25
"""How often it is looked whether somebody is connected whose token is worth nothing any more."""

KEPT_REST_S = 1.0
"""How seldom a realm that is kept looks at its clock while nothing happens: hundreds may be beside it."""

USES_STORED_S = 60.0
"""How often it is stored when each token was last shown."""


def now() -> Instant:
    """The one place the core's time comes from."""
    return Instant(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


class Lately:
    """The time when sockets were last looked at; now, where each is read by a task of its own."""

    def __init__(self) -> None:
        self._at = now()

    def look(self) -> None:
        self._at = now()

    def __call__(self) -> Instant:
        return self._at if system.LINUX else now()


def random_writer() -> int:
    """A Yjs client id, 1 .. 2**32 - 1."""
    return secrets.randbelow(2**32 - 1) + 1


DRAWS = Draws(lambda: uuid.uuid4().hex, random_writer)


@frozen(eq=False)
class Holdings:
    """What a data directory holds: its database, open, and who the node is in it. Nothing runs yet.

    boot: the latest state. writer: of this start. archives: of history that is not in the database any more.
    """

    config: Config
    store: Store
    reader: Reader
    boot: Boot
    key: Signatures
    writer: int
    tokens: Tokens
    archives: list[ArchiveRow]

    @classmethod
    def open(cls, config: Config) -> Holdings:
        """Raises StorageError, ConfigError or OSError."""
        directory = Path(config.node.data)
        store = Store.open(directory, config.node.id, lambda: uuid.uuid4().hex)
        reader = Reader(store.path)
        try:
            boot = store.boot()
            key = signatures(directory)
            note_realm(store, boot, config)
            writer = take_up(store, boot, DRAWS, now().wall_ms)
            note_key(store, boot, key)
            note_config(store, config)
            by_type = {kind: permissions.rights for kind, permissions in config.permissions().items()}
            open_to = open_rights(loopback=config.this_machine_only)
            tokens = Tokens(reader.tokens(), by_type, open_to, open_page(config))
            return cls(config, store, reader, boot, key, writer, tokens, reader.archives())
        except BaseException:
            reader.close()
            store.close()
            raise

    def close(self) -> None:
        """Nothing was begun with it."""
        self.reader.close()
        self.store.close()


@frozen
class House:
    """What the realms of a process have in common.

    reached: where it listens. space: of the disk. stores: what is said of those that are kept beside its own.
    """

    reached: Reached
    space: DiskSpace
    stores: Callable[[], Awaitable[dict[str, object]]] | None = None
    lately: Lately = field(factory=Lately)

    @property
    def urls(self) -> list[str]:
        return [f"{'wss' if tls else 'ws'}://{address}" for tls, address in self.reached.bound]


class Realm:
    """One that runs, in a nursery that is its own.

    pools: whose threads it uses, where it is one of many that are kept; the process's own has threads of its own.
    """

    def __init__(self, held: Holdings, house: House, nursery: trio.Nursery, pools: Pools | None = None) -> None:
        config, store, tokens = held.config, held.store, held.tokens
        self.config, self.store, self.tokens, self._nursery = config, store, tokens, nursery
        self.name, self._kept = config.node.realm, pools is not None
        lane = StorageThread if pools is None else pools.lane
        self._turns = Turns(KEPT_REST_S if self._kept else REST_S)
        disk = self.disk = TrioDisk(nursery, store, held.reader, lane, self._turns.stir)
        self._around = Surroundings(disk, disk, now, DRAWS, held.key, version("comanda"), house.lately)
        core = self.core = begin(held.boot, config, self._around, epoch=store.epoch, writer=held.writer)
        self.diallers = self._dialled()
        origins = Origins(
            own_origins(house.reached.bound, config.http.origins), config.this_machine_only and not tokens.required
        )
        people = self._people = PeopleReads(Reader(store.path), disk.faults, lane)
        self.joining = Joining(core=core, disk=disk, store=store, tokens=tokens, config=config, reached=house.reached)
        self._backups = Backups(
            core=core, database=store.path, settings=config.backup, sign=partial(disk.write, store.sign_rest)
        )
        archiver = Archiver(core=core, store=store, disk=disk, last_ms=last_made_ms(held.archives))
        where = config.time.where()
        self._retention = Retention(core=core, archiver=archiver, settings=config.retention, where=where)
        doctor = Doctor(
            core=core,
            diallers=self.diallers,
            people=people,
            directory=store.directory,
            tokens=tokens,
            config=config,
            backups=self._backups,
            retention=self._retention,
            space=house.space,
        )
        api = Api(
            core=core,
            disk=disk,
            people=people,
            store=store,
            doctor=doctor,
            archiver=archiver,
            tokens=tokens,
            joining=self.joining,
            about=About(
                doctor=doctor,
                config=config,
                addresses=house.urls,
                started_ms=now().wall_ms,
                stores=None if self._kept else house.stores,
            ),
            publications=self._publications(house),
        )
        self.endpoint = Endpoint(
            core=core, api=api, tokens=tokens, config=config, origins=origins, stir=self._turns.stir
        )

    def _publications(self, house: House) -> Publications | None:
        if self._kept or house.stores is None:
            return None
        return Publications(core=self.core, data=self.store.directory, nursery=self._nursery, stores=house.stores)

    def _dialled(self) -> list[Dialler]:
        links, attempts = self.config.links, itertools.count(1)
        return [
            Dialler(core=self.core, url=url, role=role, settings=links, attempts=attempts, own=self.config.tls)
            for url, role in links.dialled()
        ]

    def start(self) -> None:
        """Begin its tasks."""
        begins = self._nursery.start_soon
        begins(self.disk.run, self.core, self._recover)
        if self.config.backup.every_h:
            begins(self._backups.run)
        if self.config.retention.keep_days:
            begins(self._retention.run)
        begins(self._in_turns)
        if self._kept:
            return
        begins(show_first_sync, self.core)
        for dialler in self.diallers:
            begins(dialler.run)

    async def stop(self) -> None:
        """Store what is known, and close the database. Its connections have ended."""
        self.joining.end()
        self.core.replica.in_turns.finish()
        self.core.store_cursors()
        await self.disk.commit_pending(self.core)
        await self._store_used()
        await self._people.stop()
        await self.disk.stop()
        residents = self.core.replica.residents
        residents.drop_all(residents.writer)  # y-py's documents go on the thread where they came, and on no other

    # ------------------------------------------------------------------ tasks

    def _recover(self) -> None:
        boot = self.store.boot()
        writer = go_on(self.core, boot, self.config, self._around)
        logger.warning(
            "the disk takes writes again; going on from row %(row)d under writer %(writer)d",
            {"row": boot.head, "writer": writer},
        )

    async def _store_used(self) -> None:
        with suppress(StorageError):  # the disk's own watch says it
            if used := self.tokens.take_used():
                await self.disk.write(self.store.put_tokens, used)

    def _schedule(self) -> Schedule:
        times = self.config.time
        return schedule(
            self.core,
            _Upkeep(self._nursery, self.disk, self.endpoint),
            now_ms=trio.current_time() * 1000,
            status_ms=times.status_interval_s * 1000,
            metrics_ms=times.metrics_interval_s * 1000,
        )

    def _unanswered(self) -> bool:
        """Whether a terminal has rows of which it is not known that they arrived."""
        return any(session.delivery.window.under_way for session in self.core.sessions.online.values())

    async def _in_turns(self) -> None:
        """All that is done by the clock, in one task."""
        table, filled = self._schedule(), not self._kept  # of the process's own realm `show_first_sync` says it
        watched_s = looked_s = stored_s = trio.current_time()
        while True:
            await self._turns.next(table.turn_ms / 1000, self._unanswered)
            now_s = trio.current_time()
            table.step(now_s * 1000)
            if now_s - watched_s >= TOKENS_WATCHED_S:
                watched_s = now_s
                self.endpoint.end_untrusted()
            if now_s - looked_s < LOOK_S:
                continue
            looked_s = now_s
            self.core.replica.faults.guard("watching the links", lambda: look(self.core, self.diallers))
            sync = self.core.links.first_sync
            if sync is not None and sync.phase == "over" and not filled:
                filled = True
                log_first_sync(sync, self.name)
            if now_s - stored_s >= USES_STORED_S:
                stored_s = now_s
                self._nursery.start_soon(self._store_used)  # a disk that waits does not stop the clock


@define(eq=False)
class _Upkeep:
    """What the schedule asks of this process. What waits for the disk runs beside it, each once at a time."""

    nursery: trio.Nursery
    disk: TrioDisk
    endpoint: Endpoint
    _running: set[str] = field(factory=set)

    def read_again(self) -> None:
        if self.disk.faults.said is not None:
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
