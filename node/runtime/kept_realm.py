"""A store's realm at head office: a folder while nobody is there, and a whole node while somebody is.

folder --somebody comes who has a token of that realm--> open --nobody there for [time] realm_rest_s--> folder
"""

from __future__ import annotations

import logging
import uuid
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import evolve, field

from crdt.classes import define
from node.config.sections import Config
from node.control import NAME as CONTROL
from node.core.admission import Arrivals
from node.core.start import REALM
from node.errors import ConfigError
from node.runtime.api.tokens import Tokens
from node.runtime.endpoint import methods_at
from node.runtime.net.control_listener import open_control
from node.runtime.net.http import generator
from node.runtime.net.listener import Listener
from node.runtime.realm import Holdings, House, Realm, listener_limits, now
from node.runtime.storage_thread import Pools
from node.runtime.store_told import Told, of_core, of_database
from node.wire.close_codes import GOING_AWAY
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader
from storage.sqlite.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from node.core.core import Core
    from node.runtime.dialler import Dialler
    from node.runtime.net.control_listener import Control
    from node.runtime.net.http import Request, Response
    from node.runtime.net.listener import Acceptance, Refusal
    from node.runtime.net.websocket import Connection
    from storage.records import TokenRow

logger = logging.getLogger("comanda.realms")

COMMANDS = 16
"""Connections to one realm's control socket at one time."""

AGAIN_S = 10.0
"""How long one that could not be opened is left alone, whoever asks."""

LOOK_S = 1.0
"""Between two looks whether one is used, or a sixtieth of what it may rest: head office has hundreds."""


class NotOpened(Exception):
    """A realm cannot be opened at the moment; the text says why."""


def _ended() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


@define(eq=False, kw_only=True)
class Kept:
    """One of them.

    nursery: in which it runs. open_to_all: whether it takes everybody while it has no tokens.
    users: how many are connected or ask. wrong: why it could not be opened, or has ended.
    """

    config: Config
    house: House
    pools: Pools
    nursery: trio.Nursery
    open_to_all: bool
    realm: Realm | None = field(default=None, init=False)
    users: int = field(default=0, init=False)
    wrong: str | None = field(default=None, init=False)
    _told: Told | None = field(default=None, init=False)
    """As of when it was opened or closed."""
    _left_s: float = field(default=0.0, init=False)
    """When the last user left."""
    _wrong_s: float = field(default=0.0, init=False)
    _turn: trio.Lock = field(factory=trio.Lock, init=False)
    """Whose turn it is to open it."""
    _ended: trio.Event = field(factory=_ended, init=False)
    """Set while nothing of it is open."""

    @property
    def name(self) -> str:
        return self.config.node.realm

    @property
    def folder(self) -> Path:
        return Path(self.config.node.data)

    def report(self) -> dict[str, object]:
        """For `GET /api/v1/realms`."""
        told = self._told or Told()
        if self.realm is not None:
            told = of_core(self.realm.core, told)
        return {"realm": self.name, "open": self.realm is not None, "wrong": self.wrong, **told.report()}

    def look(self) -> None:
        """On a thread: what is stored of it, unless it is known. A database that cannot be read says nothing."""
        if self._told is None:
            with suppress(StorageError):
                self._told = of_database(self.folder / DATABASE)

    # ------------------------------------------------------------------ the listeners' handler

    async def http(self, request: Request) -> Response:
        """Raises NotOpened."""
        realm = await self._enter()
        try:
            response = await realm.endpoint.http(request)
        finally:
            self._leave()
        if isinstance(response.body, bytes):
            return response
        return evolve(response, body=self._while_used(response.body))

    async def _while_used(self, body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """A long answer; the realm is used from its first piece to its end. To a HEAD no piece is asked for."""
        self.users += 1
        try:
            async with aclosing(generator(body)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            self._leave()

    def methods(self, path: str) -> tuple[str, ...]:
        return methods_at(path)

    async def accepts(self, request: Request) -> Acceptance | Refusal:
        """Raises NotOpened."""
        realm = await self._enter()
        try:
            return await realm.endpoint.accepts(request)
        finally:
            self._leave()

    async def websocket(self, request: Request, connection: Connection) -> None:
        """Raises NotOpened."""
        realm = await self._enter()
        try:
            await realm.endpoint.websocket(request, connection)
        finally:
            self._leave()

    async def knows(self, token: str | None) -> bool:
        """Whether who shows this token may be let in so far. Raises NotOpened."""
        if self.realm is not None:
            return True  # it asks for the token itself
        try:
            rows = await trio.to_thread.run_sync(_stored_tokens, self.folder / DATABASE)
        except StorageError as error:
            self._failed(str(error))
            raise NotOpened(str(error)) from error
        if not rows:
            return self.open_to_all
        return Tokens(rows).find(token, now().wall_ms) is not None

    # ------------------------------------------------------------------ one of several processes

    async def take_tokens(self, rows: Iterable[TokenRow]) -> list[TokenRow]:
        """Store tokens that another process made, or revoked; all of them then. Raises StorageError."""
        async with self._turn:
            if self.realm is None:
                await self._ended.wait()
                return await trio.to_thread.run_sync(_stored_with, self.folder, list(rows))
            running = self.realm
            if changed := _changed(running.tokens.rows, rows):
                await running.disk.write(running.store.put_tokens, changed)
                running.tokens.put(changed)
            return running.tokens.rows

    async def run_beside(self, dialler: Callable[[Core], Dialler], openings: trio.Semaphore) -> None:
        """Dial another node for as long as the realm is open, and keep it open. Raises NotOpened, ConfigError.

        openings: how many are opened at one time.
        """
        async with openings:
            realm = await self._enter()
        try:
            run = dialler(realm.core).run
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                await self._ended.wait()
                nursery.cancel_scope.cancel()
        finally:
            self._leave()

    # ------------------------------------------------------------------ opening and closing

    async def _enter(self) -> Realm:
        """The realm, which stays open until `_leave`. Raises NotOpened."""
        self.users += 1  # from now on, so that it does not rest before it is used
        try:
            async with self._turn:
                if self.realm is None:
                    await self._open()
                assert self.realm is not None
                return self.realm
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        self.users -= 1
        self._left_s = trio.current_time()

    async def _open(self) -> None:
        if self.wrong is not None and trio.current_time() - self._wrong_s < AGAIN_S:
            raise NotOpened(self.wrong)
        with trio.CancelScope(shield=True):  # whoever asked may be gone, and others wait for it
            await self._ended.wait()
            try:
                await self.nursery.start(self._run)
            except (NotOpened, StorageError, ConfigError, OSError) as error:
                self._failed(str(error))
                raise NotOpened(str(error)) from error
        self.wrong = None

    def _failed(self, why: str) -> None:
        if self.wrong != why:
            logger.error("the store %(realm)s is not open: %(reason)s", {"realm": self.name, "reason": why})
        self.wrong, self._wrong_s = why, trio.current_time()

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        """From its opening to its end. A fault ends this realm, and no other."""
        held = await trio.to_thread.run_sync(self._holdings)
        try:
            control = await open_control(self.folder)
        except BaseException:
            held.close()
            raise
        self._ended, realm, begun = trio.Event(), None, False
        store, reader = held.store, held.reader
        try:
            async with trio.open_nursery() as nursery:
                realm = Realm(held, self.house, nursery, self.pools)
                del held  # the keys of all operations, a second time
                try:
                    self._begin(realm, control, nursery)
                    begun = True
                    task_status.started()
                    await self._until_unused(realm)
                finally:
                    self._told = of_core(realm.core, self._told or Told())
                    self.realm = None
                    (self.folder / CONTROL).unlink(missing_ok=True)
                    realm.endpoint.close_all(GOING_AWAY, "this store is closed here")
                    with trio.CancelScope(shield=True):
                        await realm.stop()
                nursery.cancel_scope.cancel()
        except Exception as error:
            if realm is None:
                reader.close()
                store.close()
            if not begun:
                raise NotOpened(f"it cannot begin: {_cause(error)!r}") from error
            logger.exception("the store %(realm)s ended", {"realm": self.name})
            self._failed(f"it ended: {_cause(error)!r}")
        finally:
            control.listener.socket.close()
            self._ended.set()

    def _holdings(self) -> Holdings:
        """On a thread: a long log takes seconds to read. Raises StorageError, ConfigError or OSError."""
        held = Holdings.open(self.config)
        self.look()
        if not held.tokens.required and not self.open_to_all:
            held.close()
            raise ConfigError(f"there are no tokens for it: `comanda token add --data {self.folder}`")
        return held

    def _begin(self, realm: Realm, control: Control, nursery: trio.Nursery) -> None:
        """It serves whoever comes from now on."""
        statistics = realm.core.statistics
        commands = Listener(
            handler=self,
            limits=listener_limits(realm.config.limits),
            arrivals=Arrivals(most=COMMANDS, most_per_address=COMMANDS, statistics=statistics),
            secret=control.secret,
        )
        nursery.start_soon(commands.serve, [control.listener])
        realm.start()
        self.realm, self._left_s = realm, trio.current_time()
        logger.info("the store %(realm)s is open", {"realm": self.name})

    async def _until_unused(self, realm: Realm) -> None:
        """Until nobody has used it for a while, and no newcomer is awaited."""
        rest_s = realm.config.time.realm_rest_s
        while self.users or realm.joining.awaits() or trio.current_time() - self._left_s < rest_s:  # noqa: ASYNC110 (it goes on being unused)
            await trio.sleep(max(min(rest_s, LOOK_S), rest_s / 60))
        logger.info("the store %(realm)s rests", {"realm": self.name})


def _cause(error: Exception) -> Exception:
    """The first fault of those that ended a nursery."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def new_realm(folder: Path, site: str) -> None:
    """A store's folder, with nothing in it yet. Raises StorageError."""
    with closing(Store.open(folder, None, lambda: uuid.uuid4().hex)) as store:
        store.set_meta({REALM: site})


def _changed(known: Iterable[TokenRow], rows: Iterable[TokenRow]) -> list[TokenRow]:
    """Those that are new here, or revoked elsewhere."""
    there = {row.token_hash: row for row in known}
    found = []
    for row in rows:
        here = there.get(row.token_hash)
        if here is None:
            found.append(row)
        elif here.revoked_at is None and row.revoked_at is not None:
            found.append(evolve(here, revoked_at=row.revoked_at))
    return found


def _stored_with(folder: Path, rows: list[TokenRow]) -> list[TokenRow]:
    """All tokens of a realm that is not open, with these. Raises StorageError."""
    known = _stored_tokens(folder / DATABASE)
    if changed := _changed(known, rows):
        with closing(Store.open(folder, None, lambda: uuid.uuid4().hex)) as store:
            store.put_tokens(changed)
        known = _stored_tokens(folder / DATABASE)
    return known


def _stored_tokens(database: Path) -> list[TokenRow]:
    """Of a realm that is not open. Raises StorageError."""
    with closing(Reader(database)) as reader:
        return reader.tokens()
