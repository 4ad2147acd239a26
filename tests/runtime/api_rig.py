"""The HTTP endpoints over the database of a world, without sockets."""

from __future__ import annotations

import gc
import random
import uuid
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import trio
from attrs import frozen

from crdt.hlc import UTC_ZONE
from node.config.sections import Config
from node.config.upkeep import BackupSection, DiskSection, RetentionSection
from node.core.core import Core
from node.core.ports import Draws, Instant, Surroundings
from node.core.start import begin, note_config
from node.rights import EVERYTHING, Visitor, find
from node.runtime.api.about import About
from node.runtime.api.doctor import Doctor
from node.runtime.api.joining import Joining, Reached
from node.runtime.api.routes import Api
from node.runtime.api.tokens import Tokens
from node.runtime.archiving import Archiver
from node.runtime.backups import Backups
from node.runtime.disk import TrioDisk
from node.runtime.disk_space import DiskSpace
from node.runtime.net.http import Request
from node.runtime.reads import PeopleReads
from node.runtime.retention import Retention
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.harness import World


ADMIN = Visitor(EVERYTHING, "root")


@frozen
class Served:
    api: Api
    core: Core
    disk: TrioDisk
    people: PeopleReads
    tokens: Tokens


@contextmanager
def nothing_collected() -> Iterator[None]:
    """What other tests left is not collected in a thread that reads: y-py's documents may go only where they came."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@asynccontextmanager
async def served(world: World) -> AsyncIterator[Served]:
    """world: closed, as its database is opened here."""
    async with trio.open_nursery() as nursery:
        store = Store.open(world.directory, None, lambda: uuid.uuid4().hex)
        disk, dice = TrioDisk(nursery, store, Reader(store.path)), random.Random(1)
        people = PeopleReads(Reader(store.path), disk.faults)
        draws = Draws(lambda: uuid.uuid4().hex, lambda: dice.randrange(1, 2**32))
        around = Surroundings(disk, disk, lambda: Instant(world.wall_ms, 0), draws)
        note_config(store, Config())
        core = begin(store.boot(), Config(), around, epoch=store.epoch, writer=draws.writer())
        tokens = Tokens(())
        reached = Reached(None, [(False, "127.0.0.1:8001")])
        joining = Joining(core=core, disk=disk, store=store, tokens=tokens, config=Config(), reached=reached)
        archiver = Archiver(core=core, store=store, disk=disk)
        doctor = Doctor(
            core=core,
            diallers=(),
            people=people,
            directory=world.directory,
            tokens=tokens,
            config=Config(),
            backups=Backups(core=core, database=store.path, settings=BackupSection(), sign=trio.lowlevel.checkpoint),
            retention=Retention(
                core=core,
                archiver=archiver,
                settings=RetentionSection(keep_days=30),
                where=UTC_ZONE,
            ),
            space=DiskSpace(directory=world.directory, settings=DiskSection()),
        )
        about = About(doctor=doctor, config=Config(), addresses=["ws://127.0.0.1:8001"], started_ms=world.wall_ms)
        api = Api(
            core=core,
            disk=disk,
            people=people,
            store=store,
            doctor=doctor,
            archiver=archiver,
            tokens=tokens,
            joining=joining,
            about=about,
        )
        try:
            with nothing_collected():
                yield Served(api, core, disk, people, tokens)
        finally:
            with trio.CancelScope(shield=True):
                await people.stop()
                await disk.stop()
            nursery.cancel_scope.cancel()


def request(path: str, query: dict[str, Any] | None = None) -> Request:
    """As the table of endpoints has it: a GET, or a POST where something is done."""
    target = quote(path, safe="/%")
    endpoints, _ = find(target)
    return Request(endpoints[0].method if endpoints else "GET", target, path, query or {}, {}, "127.0.0.1")
