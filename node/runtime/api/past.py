"""What HTTP says of the past, rebuilt from the log in a thread of its own, one answer at a time.

GET /api/v1/explain/{type}/{id}/{field}[?limit=]   or /api/v1/explain/{type}?entity_id=&field=
                                                   what it shows, why, and all it ever was
GET /api/v1/entities/{type}[/{id}]?at=TIME|seq=N[&after=&limit=&deleted=1]   what was shown then
"""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import orjson
import trio
from attrs import field

from crdt.classes import define
from crdt.hlc import time_asked
from node.core.history.as_of import Moment, entity_then, shown
from node.core.history.explain import explain
from node.core.history.rebuild import HistoryError
from node.errors import EntityNotFound
from node.runtime.net.http import JsonArray, Response, error_response, json_response
from storage.answers import PAGE_BYTES
from storage.records import UPDATE_KINDS
from storage.sqlite.database import Interrupted, StorageError, Unstorable
from storage.sqlite.history_reader import HistoryReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from node.core.core import Core
    from node.runtime.net.http import Request
    from storage.records import EntityRow, Key
    from strategies.policy import EntityPolicy

T = TypeVar("T")

PAGE = 1_000
"""Entities of a page, or superseded values of an explanation, where `limit` is not given, and the most it may be."""

TURN = 100
"""Entities rebuilt before another answer gets its turn."""


@define(eq=False)
class Page:
    """Entities as they were. unknown: ids of those of which the log does not tell. following: where to go on."""

    found: list[dict[str, object]] = field(factory=list)
    unknown: list[str] = field(factory=list)
    following: str | None = None


class Wrong(Exception):
    """A request that asks for what cannot be answered. answer: what it gets instead."""

    def __init__(self, status: int, error: str, **extra: object) -> None:
        super().__init__(error)
        self.answer = error_response(status, error, **extra)


def asks_past(request: Request) -> bool:
    return "at" in request.query or "seq" in request.query


class Past:
    """Answers about what was."""

    def __init__(self, core: Core, database: Path) -> None:
        self._core = core
        self._database = database
        self._turns = trio.CapacityLimiter(1)
        self._engine = core.replica.residents.engine

    async def in_thread(self, call: Callable[..., T], *arguments: object) -> T | Response:
        """`call` with a reader of its own; an error's answer where the log or the disk has one.

        Where nobody waits for it any more, the reader is interrupted.
        """
        given_up = threading.Event()
        readers: list[HistoryReader] = []
        work = partial(self._read, readers, given_up, call, *arguments)
        try:
            return await trio.to_thread.run_sync(work, limiter=self._turns, abandon_on_cancel=True)
        except trio.Cancelled:
            given_up.set()
            for reader in readers:
                reader.reader.queries.interrupt()
            raise

    def _read(
        self, readers: list[HistoryReader], given_up: threading.Event, call: Callable[..., T], *arguments: object
    ) -> T | Response:
        """In the thread. Documents belong to it: none leaves, not even in the frames of an exception.

        readers: gets the one that reads. given_up: nobody waits for the answer.
        """
        try:
            with closing(HistoryReader(self._database)) as history:
                readers.append(history)
                if given_up.is_set():
                    raise Interrupted("nobody waits for this any more")
                return call(history, *arguments)
        except Unstorable:
            return error_response(400, "nothing here is named or numbered so")
        except (HistoryError, StorageError) as error:
            said = str(error)
        return error_response(503, f"{said}; see `comanda verify`")

    def _policy(self, entity_type: str) -> EntityPolicy:
        policy = self._core.replica.registry.get(entity_type)
        if policy is None:
            raise Wrong(404, f"unknown entity type {entity_type[:128]!r}", code=EntityNotFound.code)
        return policy

    # ------------------------------------------------------------------ one field

    async def explain(self, request: Request, words: Sequence[str], terminal_id: str | None) -> Response:
        """words: type, id (which may hold slashes) and field; the latter two may stand in the query.

        terminal_id: whose token the request carries; it has seen the values then. Who reads without one is no
        terminal: a person at a page, or anybody in another's name.
        """
        entity_id, name = "/".join(words[1:-1]), words[-1]
        if len(words) < 3:
            entity_id, name = request.first("entity_id") or "", request.first("field") or ""
        if not entity_id or not name:
            return error_response(404, "explain/{entity_type}/{entity_id}/{field}")
        key = (words[0], entity_id)
        try:
            policy, limit = self._policy(key[0]), _number(request, "limit", PAGE, PAGE)
        except Wrong as wrong:
            return wrong.answer
        found = await self.in_thread(self._explain, key, name, policy, limit, self._core.replica.log.committed)
        if isinstance(found, Response):
            return found
        answer, seq = found
        if terminal_id is not None:
            self._core.replica.knowledge.has_read(terminal_id, key, seq)
        return json_response(answer)

    def _explain(
        self, history: HistoryReader, key: Key, name: str, policy: EntityPolicy, limit: int, committed: int
    ) -> tuple[dict[str, object], int] | Response:
        with history.moment():
            rows = (row for row in history.entity_rows(key, (*UPDATE_KINDS, "refused")) if row.seq <= committed)
            base = history.entity_base(key)
            found = explain(rows, key, policy, name, self._engine, base)
        if found is None:
            return error_response(404, f"no {key[0]} {key[1][:128]!r}", code=EntityNotFound.code)
        return found.report(limit), found.seq

    # ------------------------------------------------------------------ entities then

    async def entities(self, request: Request, entity_type: str, entity_id: str | None) -> Response:
        """entity_id: where one entity is asked for. `unknown` are those of which the log does not tell:
        that time comes before what is archived, or before a state whose operations are not all here."""
        try:
            policy, moment = self._policy(entity_type), self._moment(request)
            limit = _number(request, "limit", PAGE, PAGE, least=1)
        except Wrong as wrong:
            return wrong.answer
        begins = await self.in_thread(_begins)
        if isinstance(begins, Response):
            return begins
        if moment.seq is not None and moment.seq < begins - 1:
            return error_response(410, f"the log begins at row {begins}; what was before is archived", begins=begins)
        if entity_id is not None:
            return await self.in_thread(self._entity, (entity_type, entity_id), policy, moment)
        deleted, after = request.wants("deleted"), request.first("after")
        if request.first("limit") is None and after is None:
            return Response(200, self._all(policy, moment, deleted))
        page = await self.in_thread(self._page, policy, moment, deleted, after or "", limit)
        if isinstance(page, Response):
            return page
        said = {**_head(policy, moment), "entities": page.found, "unknown": page.unknown, "next": page.following}
        return json_response(said)

    def _moment(self, request: Request) -> Moment:
        at, seq = request.first("at"), request.first("seq")
        if at is not None and seq is not None:
            raise Wrong(400, "either at or seq")
        if at is None:
            return Moment(_number(request, "seq", 0, self._core.replica.log.committed), None)
        try:
            return Moment(None, *time_asked(at, self._core.limits.codec.where))
        except (ValueError, OverflowError):
            raise Wrong(400, f"at is no ISO 8601 time: {at[:80]!r}") from None

    async def _all(self, policy: EntityPolicy, moment: Moment, deleted: bool) -> AsyncIterator[bytes]:
        """Every entity of a type, rebuilt and sent a turn at a time."""
        yield orjson.dumps(_head(policy, moment))[:-1] + b',"entities":['
        after: str | None = ""
        array, unknown = JsonArray(), list[str]()
        while after is not None:
            page = await self.in_thread(self._page, policy, moment, deleted, after, TURN)
            if isinstance(page, Response):
                raise StorageError(f"{self._database}: the log cannot be read")  # the answer has begun
            after, unknown = page.following, unknown + page.unknown
            yield array.page(map(orjson.dumps, page.found))
        yield b'],"unknown":' + orjson.dumps(unknown) + b',"next":null}'

    def _entity(self, history: HistoryReader, key: Key, policy: EntityPolicy, moment: Moment) -> Response:
        row = history.reader.entity(*key)
        entity = None if row is None else entity_then(history, row, policy, moment, self._engine)
        if entity is None and row is not None:
            return error_response(410, f"the log does not tell of {key[0]} {key[1][:128]!r} as of then")
        if entity is None or not entity.document.headers:
            return error_response(404, f"no {key[0]} {key[1][:128]!r} then", code=EntityNotFound.code)
        return json_response({**shown(entity), "as_of": moment.report()})

    def _page(
        self, history: HistoryReader, policy: EntityPolicy, moment: Moment, deleted: bool, after: str, limit: int
    ) -> Page:
        """Up to `limit` entities that were there then, and about PAGE_BYTES."""
        page, size = Page(), 0
        for row in _entities(history, policy.entity_type, after):
            entity = entity_then(history, row, policy, moment, self._engine)
            if entity is None:
                page.unknown.append(row.entity_id)
            elif entity.document.headers and (deleted or entity.view.alive):
                page.found.append(shown(entity))
                size += len(row.view)
            if size > PAGE_BYTES or len(page.found) + len(page.unknown) == limit:
                page.following = row.entity_id
                break
        return page


def _begins(history: HistoryReader) -> int:
    """The first row of the log."""
    return history.reader.anchor().seq + 1


def _entities(history: HistoryReader, entity_type: str, after: str) -> Iterator[EntityRow]:
    """All of a type, dead ones too: they may have been alive then."""
    while page := history.reader.entities(entity_type, after, TURN, deleted=True):
        yield from page
        after = page[-1].entity_id


def _head(policy: EntityPolicy, moment: Moment) -> dict[str, object]:
    return {"entity_type": policy.entity_type, "as_of": moment.report()}


def _number(request: Request, name: str, default: int, most: int, *, least: int = 0) -> int:
    """Raises Wrong."""
    text = request.first(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise Wrong(400, f"{name} is no number from {least} to {most}")
    return int(text)
