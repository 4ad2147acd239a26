"""The HTTP endpoints: the documented stats, and reading. Writing goes over the documented messages only.

GET /api/v1/websocket/stats                      documented
GET /api/v1/entities/{type}[?after=&limit=&deleted=1]    all of a type, or a page of it
GET /api/v1/entities/{type}/{id}   or /api/v1/entities/{type}?entity_id=
GET /api/v1/entities/...?at=|seq=   /api/v1/explain/{type}/{id}/{field}     see past.py
GET /api/v1/conflicts...   /api/v1/history...    see conflicts.py, history.py
GET /api/v1/locks                                who holds which lock, until when
GET /api/v1/waiting/{type}...                    see waiting.py
GET /api/v1/audit...   /api/v1/refused...        see audit.py
GET /api/v1/policies                             the entity types, in the words of node/wire/protocol.md
GET /api/v1/whoami[?type=]                       who asks, and what he may do here
GET /api/v1/links                                linked nodes: state, lag, cursors
GET /api/v1/performance[?hours=]                 figures of the last hours, a point each quarter of a minute
GET /api/v1/terminals[?after=&limit=]            every terminal: where it is, its clock, what waits for it
GET /api/v1/doctor                               what is wrong, and what to do about it
GET /api/v1/quarantine                           linked nodes' operations that cannot be applied
POST /api/v1/quarantine/retry                    try them again
POST /api/v1/quarantine/drop?id=                 keep only the name of one of them
GET /api/v1/heads?node=                          what a node's log ended with, as it signed it
GET /api/v1/keys                                 whose public key is whose, by fingerprint
POST /api/v1/keys/trust|forget?node=&fingerprint=  take a key of a node, or take it no longer
GET /api/v1/node                                 version, addresses, disk, configuration in force
GET /api/v1/realms                               the stores that head office keeps: open or not, linked nodes;
                                                 of several processes: which others keep, and who is there
GET /api/v1/publications...   POST /api/v1/publish/...   see publications.py
GET /api/v1/chain                                whether the audit chain is whole, as far as it was walked
GET /api/v1/backups                              the copies in the data directory
POST /api/v1/backup                              a consistent copy into the data directory's backups/
GET /api/v1/archives                             where the log begins, and the archives of what was before
POST /api/v1/archive?until=TIME|SEQ[&force=1]    old history into the data directory's archives/
GET /api/v1/tokens                               the tokens, without showing them
POST /api/v1/tokens/add?terminal_id=&type=[&label=&expires=&write=&resolve=&read=&operate=]   make one
POST /api/v1/tokens/revoke|rotate?terminal_id=   end a terminal's tokens; put a new one in their place
POST /api/v1/pair   POST /api/v1/join             see joining.py
GET /asyncapi.json  /schemas.json  /openapi.json   see described.py
GET /healthz  /readyz  /metrics
GET /   /ui/...   /client/...                      the page, and the JavaScript client

node/rights.py has the table of paths, methods and the right that each needs.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from crdt.hlc import iso
from node.core import figures, monitors
from node.errors import EntityNotFound, InvalidTerminalType
from node.rights import METRICS, find, named
from node.runtime.api.acts import Acts
from node.runtime.api.asked import AT_ONCE, PAGE, Asked
from node.runtime.api.audit import Audit
from node.runtime.api.conflicts import Conflicts
from node.runtime.api.described import described
from node.runtime.api.history import History
from node.runtime.api.links import links_report, quarantine_report
from node.runtime.api.page import page, page_file
from node.runtime.api.past import Past, asks_past
from node.runtime.api.publications import NO_STORES, Publications
from node.runtime.api.tokens import PAGE_TYPE
from node.runtime.api.waiting import Waiting
from node.runtime.disk_space import WORDS
from node.runtime.net.http import (
    JsonArray,
    Request,
    Response,
    error_response,
    json_response,
)
from node.wire.links.heads import head_fields
from storage.answers import PAGE_BYTES
from storage.sqlite.database import StorageError, Unstorable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from node.core.core import Core
    from node.core.locks.lease import Lease
    from node.rights import Visitor
    from node.runtime.api.about import About
    from node.runtime.api.doctor import Doctor
    from node.runtime.api.joining import Joining
    from node.runtime.api.tokens import Tokens
    from node.runtime.archiving import Archiver
    from node.runtime.disk import TrioDisk
    from node.runtime.reads import PeopleReads
    from storage.answers import Page
    from storage.records import EntityRow
    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store


class Api:
    """Answers GET requests from committed state."""

    def __init__(
        self,
        *,
        core: Core,
        disk: TrioDisk,
        people: PeopleReads,
        store: Store,
        doctor: Doctor,
        archiver: Archiver,
        tokens: Tokens,
        joining: Joining,
        about: About,
        publications: Publications | None = None,
    ) -> None:
        """publications: of what may be head office."""
        self._core = core
        self._store = store
        self._doctor = doctor
        self._people, self._reader, self._read = people, people.reader, people.read
        self._past = Past(core, store.path)
        self._history = History(self._past, core.replica.registry)
        self._conflicts = Conflicts(core, people)
        self._waiting = Waiting(core, people)
        self._audit = Audit(core, people, store)
        self._joining, self._about, self._publications = joining, about, publications
        self._tokens = tokens
        self._acts = Acts(core=core, disk=disk, store=store, tokens=tokens, archiver=archiver)

    async def answer(self, request: Request, visitor: Visitor) -> Response:
        """visitor: who has the right to ask this."""
        try:
            return await self._answer(request, visitor)
        except Unstorable:
            return error_response(400, "nothing here is named or numbered so")
        except (StorageError, orjson.JSONDecodeError) as error:  # the latter: of damaged bytes
            return error_response(503, f"this cannot be read from the node's database: {error}")

    async def _answer(self, request: Request, visitor: Visitor) -> Response:
        endpoints, parts = find(request.raw_path)
        if not endpoints:
            return error_response(404, f"nothing at {request.path[:200]}")
        if request.method not in endpoints[0].methods:
            return error_response(405, f"{request.method} is not answered here")
        answer = self._answers[endpoints[0].path](Asked(request, parts, visitor))
        return answer if isinstance(answer, Response) else await answer

    @cached_property
    def _answers(self) -> Mapping[str, Callable[[Asked], Response | Awaitable[Response]]]:
        """What answers at each path of `node.rights.HTTP`."""
        core, acts = self._core, self._acts
        return {
            "/": lambda asked: page(),
            "/ui/{page_file...}": lambda asked: page_file("ui", asked.parts),
            "/client/{client_file...}": lambda asked: page_file("client", asked.parts),
            "/asyncapi.json": lambda asked: described("asyncapi"),
            "/schemas.json": lambda asked: described("schemas"),
            "/openapi.json": lambda asked: described("openapi"),
            "/api/v1/join": lambda asked: self._joining.join(asked),
            "/api/v1/pair": lambda asked: self._joining.pair(asked),
            "/healthz": lambda asked: json_response({"status": "ok"}),
            "/readyz": self._ready,
            "/metrics": self._metrics,
            "/api/v1/websocket/stats": lambda asked: json_response(monitors.stats(core)),
            "/api/v1/policies": lambda asked: json_response(
                {"policies": [{**p.documented(), "counters": p.kinds.counting} for p in core.replica.registry.all()]}
            ),
            "/api/v1/whoami": self._whoami,
            "/api/v1/conflicts": self._conflicts.all,
            "/api/v1/conflicts/{conflict_id}": self._conflicts.one,
            "/api/v1/locks": self._locks,
            "/api/v1/waiting/{entity_type}": self._waiting.answer,
            "/api/v1/entities/{entity_type}": self._entities,
            "/api/v1/entities/{entity_type}/{entity_id...}": self._entity,
            "/api/v1/history/{entity_type}": self._history.answer,
            "/api/v1/history/{entity_type}/{entity_id...}": self._history.answer,
            "/api/v1/explain/{entity_type}": self._explain,
            "/api/v1/explain/{entity_type}/{entity_id_and_field...}": self._explain,
            "/api/v1/audit": self._audit.all,
            "/api/v1/refused": self._audit.refused,
            "/api/v1/heads": self._heads,
            "/api/v1/archives": self._archives,
            "/api/v1/links": lambda asked: json_response(links_report(core, self._doctor.diallers)),
            "/api/v1/performance": self._performance,
            "/api/v1/terminals": self._terminals,
            "/api/v1/doctor": self._examine,
            "/api/v1/keys": lambda asked: json_response(core.replica.keyring.report()),
            "/api/v1/keys/trust": lambda asked: acts.decide_key(asked, "trust"),
            "/api/v1/keys/forget": lambda asked: acts.decide_key(asked, "forget"),
            "/api/v1/quarantine": lambda asked: Response(200, quarantine_report(core)),
            "/api/v1/quarantine/retry": acts.retry,
            "/api/v1/quarantine/drop": acts.drop,
            "/api/v1/node": lambda asked: self._about.node(),
            "/api/v1/realms": lambda asked: self._about.realms(),
            "/api/v1/publications": self._publishing(Publications.all),
            "/api/v1/publications/{publication}": self._publishing(Publications.one),
            "/api/v1/publish/list": self._publishing(Publications.take),
            "/api/v1/publish/look": self._publishing(Publications.look),
            "/api/v1/publish/send": self._publishing(Publications.send),
            "/api/v1/publish/stop": self._publishing(Publications.stop),
            "/api/v1/chain": lambda asked: self._about.chained(),
            "/api/v1/backups": lambda asked: self._about.copies(),
            "/api/v1/backup": acts.backup,
            "/api/v1/archive": acts.archive,
            "/api/v1/tokens": acts.tokens,
            "/api/v1/tokens/add": acts.add,
            "/api/v1/tokens/revoke": acts.revoke,
            "/api/v1/tokens/rotate": acts.rotate,
        }

    def _publishing(
        self, answer: Callable[[Publications, Asked], Response | Awaitable[Response]]
    ) -> Callable[[Asked], Response | Awaitable[Response]]:
        """What answers where stores are kept. A store publishes nothing."""
        publications = self._publications
        if publications is None:
            return lambda asked: error_response(404, NO_STORES)
        return partial(answer, publications)

    def _whoami(self, asked: Asked) -> Response:
        """Whose token this is and what it may do. Without one, what a terminal of `type` may, which connects here."""
        core, visitor = self._core, asked.visitor
        kind = visitor.terminal_type or asked.first("type") or PAGE_TYPE
        if visitor.terminal_type is None and kind not in core.permissions:
            return error_response(400, f"no terminal type {kind[:128]!r}", code=InvalidTerminalType.code)
        types = [policy.entity_type for policy in core.replica.registry.all()]
        may = named(visitor.rights, types)
        if visitor.terminal_type is None:  # over HTTP only reading and operating is done
            connected = self._tokens.rights_without(kind) or core.permissions[kind].rights
            may |= {verb: over for verb, over in named(connected, types).items() if verb in ("write", "resolve")}
        return json_response(
            {
                "node_id": core.node_id,
                "terminal_id": visitor.terminal_id,
                "type": kind,
                "needs_token": self._tokens.required,
                "rights": may,
            }
        )

    def _metrics(self, asked: Asked) -> Response:
        from node.runtime.api.metrics import exposition  # with a library that few nodes are asked for

        return Response(200, exposition(self._core, self._doctor), "text/plain; version=0.0.4; charset=utf-8")

    def _ready(self, asked: Asked) -> Response:
        """Who may not read the figures is told only whether."""
        core, told, space = self._core, asked.visitor.rights.may("read", METRICS), self._doctor.space
        trouble = core.trouble
        if trouble is None and space.full is not None:
            trouble = ("the node works, but its disk is nearly full", space.full)
        if trouble is None:
            down = [*core.links.outages.down()] if asked.request.wants("links") else []
            if down:
                return error_response(503, "links are down", links=down) if told else error_response(503, "not ready")
            more = {"node_id": core.node_id, "head": core.replica.log.committed} if told else {}
            if told and space.level:
                more |= {"disk": WORDS[space.level], "free_bytes": space.free_bytes}
            return json_response({"status": "ready", **more})
        error, reason = trouble
        return error_response(503, error, reason=reason) if told else error_response(503, "not ready")

    def _performance(self, asked: Asked) -> Response:
        hours = asked.number("hours", figures.HOURS, least=1, most=figures.HOURS)
        if isinstance(hours, Response):
            return hours
        since_ms = self._core.clock().wall_ms - hours * 3_600_000
        report = {"every_ms": figures.POINT_MS, "points": self._core.figures.report(since_ms)}
        return json_response({**report, "outages": self._core.links.outages.report(since_ms)})

    def _terminals(self, asked: Asked) -> Response:
        limit = asked.number("limit", PAGE, least=1, most=PAGE)
        if isinstance(limit, Response):
            return limit
        return json_response(monitors.every_terminal(self._core, asked.first("after"), limit))

    async def _examine(self, asked: Asked) -> Response:
        return json_response(await self._doctor.examine())

    async def _heads(self, asked: Asked) -> Response:
        node_id = asked.first("node") or self._core.node_id
        heads = await self._read(self._reader.heads, node_id)
        return json_response({"node_id": self._core.node_id, "heads": list(map(head_fields, heads))})

    async def _archives(self, asked: Asked) -> Response:
        return json_response(await self._read(_archives, self._reader, self._about.directory))

    async def _explain(self, asked: Asked) -> Response:
        return await self._past.explain(asked.request, asked.parts, asked.reader)

    # ------------------------------------------------------------------ entities

    async def _entities(self, asked: Asked) -> Response:
        """All of a type, or a page of it; or the one that the query names."""
        entity_type, request = asked.parts[0], asked.request
        entity_id = request.first("entity_id")
        if entity_id:
            return await self._one(asked, entity_type, entity_id)
        if asks_past(request):
            return await self._past.entities(request, entity_type, None)
        if self._core.replica.registry.get(entity_type) is None:
            return error_response(404, f"unknown entity type {entity_type[:128]!r}", code=EntityNotFound.code)
        deleted = request.wants("deleted")
        after = request.first("after")
        if request.first("limit") is None and after is None:
            array = JsonArray()
            first = await self._page_of(array, entity_type, None, AT_ONCE, deleted)
            return Response(200, self._all(entity_type, deleted, array, first))
        limit = asked.number("limit", PAGE, least=1, most=PAGE)
        if isinstance(limit, Response):
            return limit
        committed = self._core.replica.log.committed
        following, shown = await self._page_of(JsonArray(), entity_type, after, limit, deleted)
        said = orjson.dumps({"next": following, "seq": committed})
        return Response(200, b"".join((_begun(entity_type), shown, b"],", said[1:])))

    async def _page_of(
        self, array: JsonArray, entity_type: str, after: str | None, limit: int, deleted: bool
    ) -> tuple[str | None, bytes]:
        """A page of a type's entities: the id after which the next one begins, None at the end, and its JSON text."""

        def encode(rows: Page[EntityRow]) -> bytes:
            return array.page(orjson.dumps(self._shown(row)) for row in rows)

        rows, text = await self._people.page(
            encode, self._reader.entities, entity_type, after, limit, deleted, PAGE_BYTES
        )
        return rows[-1].entity_id if rows.more else None, text

    async def _all(
        self, entity_type: str, deleted: bool, array: JsonArray, page: tuple[str | None, bytes]
    ) -> AsyncIterator[bytes]:
        """Every entity of a type, read and sent a page at a time. page: the first, so that an answer that cannot be
        read is not begun."""
        yield _begun(entity_type)
        following, text = page
        yield text
        while following is not None:
            following, text = await self._page_of(array, entity_type, following, AT_ONCE, deleted)
            yield text
        yield b'],"next":null}'

    async def _entity(self, asked: Asked) -> Response:
        """Of the path everything after the type is the id, which may hold slashes."""
        return await self._one(asked, asked.parts[0], "/".join(asked.parts[1:]))

    async def _one(self, asked: Asked, entity_type: str, entity_id: str) -> Response:
        if asks_past(asked.request):
            return await self._past.entities(asked.request, entity_type, entity_id)
        core, terminal_id = self._core, asked.reader
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
            "lock": None if lease is None else _lock(lease),
        }

    def _locks(self, asked: Asked) -> Response:
        """Of the entity types that may be read. `user_id`: who sits at the terminal, where it is connected here."""
        core, locks = self._core, list[dict[str, object]]()
        for lease in core.replica.locks.all(core.clock()):
            if asked.visitor.rights.may("read", lease.key[0]):
                session = core.sessions.online.get(lease.terminal)
                names = {"entity_type": lease.key[0], "entity_id": lease.key[1]}
                locks.append({**names, **_lock(lease), "user_id": session and session.identity.user_id})
        return json_response({"locks": locks})


def _lock(lease: Lease) -> dict[str, object]:
    return {
        "lock_id": lease.lock_id,
        "locked_by": lease.terminal,
        "expires_at": iso(lease.expires_ms),
        "scope": lease.scope,
    }


def _begun(entity_type: str) -> bytes:
    """How a list of entities begins."""
    return b'{"entity_type":' + orjson.dumps(entity_type) + b',"entities":['


def _archives(reader: Reader, directory: Path) -> dict[str, object]:
    found = [
        {
            "first": a.first,
            "last": a.last,
            "file": _within(directory, a.file),
            "bytes": a.bytes,
            "hash": a.hash.hex(),
            "at": a.made_at,
        }
        for a in reader.archives()
    ]
    return {"log_begins": reader.anchor().seq + 1, "archives": found}


def _within(directory: Path, file: str) -> str:
    """A file of the data directory as it is named there, any other by its whole path."""
    path = Path(file)
    return path.relative_to(directory).as_posix() if path.is_relative_to(directory) else file
