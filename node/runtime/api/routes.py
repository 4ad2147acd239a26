"""The HTTP endpoints: the documented stats, and reading. Writing goes over the documented messages only.

GET /api/v1/websocket/stats                      documented
GET /api/v1/entities/{type}[?after=&limit=&deleted=1]    all of a type, or a page of it
GET /api/v1/entities/{type}/{id}   or /api/v1/entities/{type}?entity_id=
GET /api/v1/entities/...?at=|seq=   /api/v1/explain/{type}/{id}/{field}     see past.py
GET /api/v1/conflicts[?state=open|settled|closed]
GET /api/v1/audit[?entity_type=&entity_id=&terminal_id=&since=&until=&after=&limit=]
GET /api/v1/refused                              writes that were refused and kept
GET /api/v1/policies                             the entity types, in the words of node/wire/protocol.md
GET /api/v1/links                                linked nodes: state, lag, cursors
GET /api/v1/quarantine                           linked nodes' operations that cannot be applied
POST /api/v1/quarantine/retry                    try them again
POST /api/v1/quarantine/drop?id=                 keep only the name of one of them
GET /api/v1/heads?node=                          what a node's log ended with, as it signed it
GET /api/v1/keys                                 whose public key is whose, by fingerprint
POST /api/v1/keys/trust|forget?node=&fingerprint=  take a key of a node, or take it no longer
POST /api/v1/backup                              a consistent copy into the data directory's backups/
GET /api/v1/archives                             where the log begins, and the archives of what was before
POST /api/v1/archive?until=TIME|SEQ[&force=1]    old history into the data directory's archives/
GET /healthz  /readyz  /metrics  /
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
import trio

from crdt.hlc import iso, pack, time_asked
from node.core import monitors
from node.core.log.messages import audit_entry
from node.errors import EntityNotFound
from node.runtime.api.archiving import Archiver, Busy
from node.runtime.api.links import links_report, quarantine_report
from node.runtime.api.metrics import exposition
from node.runtime.api.page import page
from node.runtime.api.past import Past, asks_past
from node.runtime.net.http import (
    JsonArray,
    Request,
    Response,
    error_response,
    json_response,
)
from node.wire.json_text import is_number
from node.wire.links.heads import head_fields
from storage.answers import PAGE_BYTES
from storage.audit.archiving import Until
from storage.sqlite.backup import back_up
from storage.sqlite.database import StorageError, Unstorable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from node.core.core import Core
    from node.runtime.dialler import Dialler
    from node.runtime.disk import TrioDisk
    from node.runtime.reads import PeopleReads
    from storage.answers import Page
    from storage.records import ConflictRow, EntityRow, LogRow
    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store

ACTIONS = (
    "/api/v1/quarantine/retry",
    "/api/v1/quarantine/drop",
    "/api/v1/keys/trust",
    "/api/v1/keys/forget",
    "/api/v1/backup",
    "/api/v1/archive",
)
"""What an administrator asks of the node; no data is written over HTTP."""

LOOKED_THROUGH = 20_000
LOOKING_S = 2.0
"""Rows of the audit that are looked through at once, and how long, before it answers with what it found."""

PAGE = 1_000
"""Rows of a page where `limit` is not given, and the most it may be. They are read and sent PAGE_BYTES at a time."""

LAST = "\U0010ffff"
"""After every id of a conflict."""


class Api:
    """Answers GET requests from committed state."""

    def __init__(
        self, *, core: Core, disk: TrioDisk, people: PeopleReads, store: Store, diallers: Sequence[Dialler]
    ) -> None:
        self._core = core
        self._store = store
        self._diallers = diallers
        self._reader, self._read = people.reader, people.read
        self._where = core.limits.codec.where
        self._past = Past(core, store.path)
        self._archiver = Archiver(core=core, store=store, disk=disk)
        self._copying = trio.CapacityLimiter(1)

    async def answer(self, request: Request, terminal_id: str | None) -> Response:
        """terminal_id: whose token the request carries, where it carries one."""
        try:
            return await self._answer(request, terminal_id)
        except Unstorable:
            return error_response(400, "nothing here is named or numbered so")
        except (StorageError, orjson.JSONDecodeError) as error:  # the latter: of damaged bytes
            return error_response(503, f"this cannot be read from the node's database: {error}")

    async def _answer(self, request: Request, terminal_id: str | None) -> Response:
        words = request.words
        if words[-1] == "" and words[2:3] not in (["entities"], ["explain"]):  # of an id it may be a part
            words.pop()
        match words:
            case ["api", "v1", "websocket", "stats"]:
                return json_response(monitors.stats(self._core))
            case ["api", "v1", "explain", *rest]:
                return await self._past.explain(request, rest, terminal_id)
            case ["api", "v1", "entities", entity_type, *rest]:
                entity_id = "/".join(rest) or request.first("entity_id") or None
                if asks_past(request):
                    return await self._past.entities(request, entity_type, entity_id)
                if entity_id is None:
                    return await self._entities(request, entity_type)
                return await self._entity(entity_type, entity_id, terminal_id)
            case ["api", "v1", "conflicts"]:
                return await self._conflicts(request)
            case ["api", "v1", "audit"]:
                return await self._audit(request, ("operation", "refused"))
            case ["api", "v1", "refused"]:
                return await self._audit(request, ("refused",))
            case ["api", "v1", "policies"]:
                return json_response({"policies": [p.documented() for p in self._core.replica.registry.all()]})
            case ["api", "v1", "links"]:
                return json_response(links_report(self._core, self._diallers))
            case ["api", "v1", "quarantine"]:
                return Response(200, quarantine_report(self._core))
            case ["api", "v1", "quarantine", "retry"]:
                return self._retry()
            case ["api", "v1", "quarantine", "drop"]:
                return self._drop(request)
            case ["api", "v1", "heads"]:
                node_id = request.first("node") or self._core.node_id
                heads = await self._read(self._reader.heads, node_id)
                return json_response({"node_id": self._core.node_id, "heads": list(map(head_fields, heads))})
            case ["api", "v1", "keys"]:
                return json_response(self._core.replica.keyring.report())
            case ["api", "v1", "keys", ("trust" | "forget") as what]:
                return self._decide_key(request, what)
            case ["api", "v1", "backup"]:
                return await self._backup()
            case ["api", "v1", "archive"]:
                return await self._archive(request)
            case ["api", "v1", "archives"]:
                return json_response(await self._read(_archives, self._reader))
            case ["healthz"]:
                return json_response({"status": "ok"})
            case ["readyz"]:
                return self._ready()
            case ["metrics"]:
                return Response(200, exposition(self._core), "text/plain; version=0.0.4; charset=utf-8")
            case []:
                return page()
        return error_response(404, f"nothing at {request.path[:200]}")

    def _ready(self) -> Response:
        core = self._core
        if core.trouble is None:
            return json_response({"status": "ready", "node_id": core.node_id, "head": core.replica.log.committed})
        error, reason = core.trouble
        return error_response(503, error, reason=reason)

    # ------------------------------------------------------------------ what an administrator asks

    def _retry(self) -> Response:
        """Every parked operation, also the bad ones: the node may have learned the entity type meanwhile."""
        retried = self._core.retry_quarantine()
        return json_response({"retried": retried, "left": len(self._core.replica.quarantine)})

    def _drop(self, request: Request) -> Response:
        """One parked operation is not wanted: `id` is its number."""
        number = request.first("id") or ""
        if not is_number(number) or not self._core.drop_parked(int(number)):
            return error_response(404, f"the quarantine has no operation {number}")
        return json_response({"dropped": int(number), "left": len(self._core.replica.quarantine)})

    def _decide_key(self, request: Request, what: str) -> Response:
        """`node` has the key of this `fingerprint`, or has it no longer."""
        node, said = request.first("node") or "", request.first("fingerprint") or ""
        if not self._core.decide_key(what, node, said):
            return error_response(404, f"{node[:128]} has no key {said[:64]} to {what}")
        return json_response(self._core.replica.keyring.report())

    async def _backup(self) -> Response:
        folder = self._store.directory / "backups"
        name = f"comanda-{self._core.replica.log.committed}-{self._core.clock().wall_ms}.db"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            head = await trio.to_thread.run_sync(back_up, self._store.path, folder / name, limiter=self._copying)
        except (StorageError, OSError) as error:
            return error_response(503, str(error))
        return json_response({"backup": f"backups/{name}", "head": head})

    async def _archive(self, request: Request) -> Response:
        try:
            until = Until.read(request.first("until") or "", self._where)
        except (ValueError, OverflowError):
            return error_response(400, "until is an ISO 8601 time or a row of the log")
        force = request.first("force") in ("1", "true")
        try:
            said = {} if until.assumed_zone is None else {"assumed_zone": until.assumed_zone}
            return json_response({**await self._archiver.archive(until, force=force), **said})
        except Busy as error:
            return error_response(409, str(error))
        except (StorageError, OSError) as error:
            return error_response(503, str(error))

    # ------------------------------------------------------------------ entities

    async def _entities(self, request: Request, entity_type: str) -> Response:
        if self._core.replica.registry.get(entity_type) is None:
            return error_response(404, f"unknown entity type {entity_type[:128]!r}", code=EntityNotFound.code)
        deleted = request.first("deleted") in ("1", "true")
        after = request.first("after")
        if request.first("limit") is None and after is None:
            first = await self._read(self._reader.entities, entity_type, None, PAGE, deleted, PAGE_BYTES)
            return Response(200, self._all(entity_type, deleted, first))
        limit = _number(request, "limit", PAGE, least=1, most=PAGE)
        if isinstance(limit, Response):
            return limit
        rows = await self._read(self._reader.entities, entity_type, after, limit, deleted, PAGE_BYTES)
        following = rows[-1].entity_id if rows.more else None
        return json_response(
            {"entity_type": entity_type, "entities": [self._shown(row) for row in rows], "next": following}
        )

    async def _all(self, entity_type: str, deleted: bool, rows: Page[EntityRow]) -> AsyncIterator[bytes]:
        """Every entity of a type, read and sent a page at a time. rows: the first page, so that an answer that cannot
        be read is not begun."""
        yield b'{"entity_type":' + orjson.dumps(entity_type) + b',"entities":['
        array = JsonArray()
        while rows:
            yield array.page(orjson.dumps(self._shown(row)) for row in rows)
            if not rows.more:
                break
            after = rows[-1].entity_id
            rows = await self._read(self._reader.entities, entity_type, after, PAGE, deleted, PAGE_BYTES)
        yield b'],"next":null}'

    async def _entity(self, entity_type: str, entity_id: str, terminal_id: str | None) -> Response:
        core = self._core
        committed = core.replica.log.committed
        row = await self._read(self._reader.entity, entity_type, entity_id)
        if row is None:
            return error_response(404, f"no {entity_type[:128]} {entity_id[:128]!r}", code=EntityNotFound.code)
        if terminal_id is not None:
            core.replica.knowledge.has_read(terminal_id, (entity_type, entity_id), min(committed, row.seq))
        return json_response(self._shown(row))

    def _shown(self, row: EntityRow) -> dict[str, object]:
        core = self._core
        key = (row.entity_type, row.entity_id)
        lease = core.replica.locks.holder(key, core.clock())
        return {
            "entity_type": row.entity_type,
            "entity_id": row.entity_id,
            "version": row.version,
            "deleted": row.deleted,
            "data": orjson.loads(row.view),
            "conflicts": sorted(core.replica.conflicts.open.get(key, ())),
            "lock": None
            if lease is None
            else {
                "lock_id": lease.lock_id,
                "locked_by": lease.terminal,
                "expires_at": iso(lease.expires_ms),
                "scope": lease.scope,
            },
        }

    # ------------------------------------------------------------------ conflicts, audit

    async def _conflicts(self, request: Request) -> Response:
        state = request.first("state")
        if state not in (None, "open", "settled", "closed"):
            return error_response(400, "state is open, settled or closed")
        after = _number(request, "after", -1, least=-1)
        limit = _number(request, "limit", PAGE, least=1, most=PAGE)
        if isinstance(after, Response):
            return after
        if isinstance(limit, Response):
            return limit
        read = partial(self._read, self._reader.conflicts, state)
        first = await read(after, limit, LAST, PAGE_BYTES)
        return Response(200, self._all_conflicts(first, read, limit))

    async def _all_conflicts(
        self, rows: Page[ConflictRow], read: Callable[..., Awaitable[Page[ConflictRow]]], left: int
    ) -> AsyncIterator[bytes]:
        """rows: the first page."""
        yield b'{"conflicts":['
        array = JsonArray()
        while rows:
            yield array.page(orjson.dumps(_conflict(row)) for row in rows)
            left -= len(rows)
            if not rows.more or not left:
                break
            rows = await read(rows[-1].seq, left, rows[-1].conflict_id, PAGE_BYTES)
        yield b"]}"

    async def _audit(self, request: Request, kinds: tuple[str, ...]) -> Response:
        after = _number(request, "after", 0)
        limit = _number(request, "limit", PAGE, least=1, most=PAGE)
        if isinstance(after, Response):
            return after
        if isinstance(limit, Response):
            return limit
        times: list[int | None] = []
        said: dict[str, object] = {}
        for name in ("since", "until"):
            text = request.first(name)
            try:
                ms, assumed = (0, None) if text is None else time_asked(text, self._where)
            except (ValueError, OverflowError):
                return error_response(400, f"{name} is not an ISO 8601 time: {quote(text or '')[:80]}")
            times.append(None if text is None else pack(ms))
            said |= {} if assumed is None else {"assumed_zone": assumed}
        filters = [request.first(name) for name in ("entity_type", "entity_id", "terminal_id")]
        found = self._look_through([*filters, *times], after, limit, kinds)
        return Response(200, self._all_entries(await anext(found), found, said))

    async def _all_entries(
        self,
        first: tuple[Sequence[LogRow], int | None],
        found: AsyncIterator[tuple[Sequence[LogRow], int | None]],
        said: Mapping[str, object],
    ) -> AsyncIterator[bytes]:
        """first: the first page, so that an answer that cannot be read is not begun. said: what else it says."""
        yield b'{"entries":['
        array, (rows, following) = JsonArray(), first
        yield array.page(orjson.dumps(_entry(row)) for row in rows)
        async for part in found:
            rows, following = part
            yield array.page(orjson.dumps(_entry(row)) for row in rows)
        rest = {"next": following, "log_begins": self._store.anchor.seq + 1, **said}
        yield b"]," + orjson.dumps(rest)[1:]

    async def _look_through(
        self, filters: Sequence[object], after: int, limit: int, kinds: tuple[str, ...]
    ) -> AsyncIterator[tuple[Sequence[LogRow], int | None]]:
        """Pages of rows of the audit, each with the row after which to go on, None at the end.

        Where no index finds them, it looks through LOOKED_THROUGH rows at a time, so that other readers get their
        turn, and ends after LOOKING_S of it.
        """
        head, looked_s, upto = self._core.replica.log.committed, 0.0, after
        indexed = filters[1] is not None or kinds == ("refused",)
        while True:
            if after >= upto:
                upto = head if indexed else min(after + LOOKED_THROUGH, head)
            begun = trio.current_time()
            rows = await self._read(self._reader.audit, *filters, after, limit, kinds, upto, PAGE_BYTES)
            looked_s += trio.current_time() - begun
            limit -= len(rows)
            if not limit or rows.more:
                after = rows[-1].seq
            elif upto >= head:
                yield rows, None
                return
            else:
                after = upto
            yield rows, after
            if not limit or (looked_s > LOOKING_S and not rows.more):
                return


def _entry(row: LogRow) -> dict[str, object]:
    entry = audit_entry(row)
    if row.kind == "refused":
        entry["refused"] = orjson.loads(row.operation)
    return entry


def _archives(reader: Reader) -> dict[str, object]:
    found = [
        {"first": a.first, "last": a.last, "file": a.file, "bytes": a.bytes, "hash": a.hash.hex(), "at": a.made_at}
        for a in reader.archives()
    ]
    return {"log_begins": reader.anchor().seq + 1, "archives": found}


def _conflict(row: ConflictRow) -> dict[str, object]:
    body: dict[str, object] = orjson.loads(row.body)
    body["state"] = row.state
    if row.closed_by is not None:
        body["closed_by"] = row.closed_by
        body["outcome"] = orjson.loads(row.outcome) if row.outcome else None
    return body


def _number(request: Request, name: str, default: int, *, least: int = 0, most: int = 2**62) -> int | Response:
    text = request.first(name)
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        return error_response(400, f"{name} is not a number")
    if not least <= number <= most:
        return error_response(400, f"{name} is not between {least} and {most}")
    return number
