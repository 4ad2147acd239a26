"""What HTTP answers of conflicts: each with who wrote what, what it holds up, and how it was decided.

GET /api/v1/conflicts[?state=open|settled|closed|decided&since=&after=&limit=]
GET /api/v1/conflicts/{conflict_id}
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from crdt.hlc import iso, time_asked
from node.core.history.conflict_details import (
    MOST_REFUSED,
    REPLACED,
    Findings,
    details,
    first_of,
    names_in,
    reference_field,
    uses,
)
from node.core.history.since import last_before, time_of
from node.errors import EntityNotFound
from node.runtime.api.asked import PAGE
from node.runtime.api.opened_rows import OpenedRows
from node.runtime.net.http import JsonArray, Response, error_response, json_response
from storage.answers import EVERYTHING, PAGE_BYTES
from strategies.strategy import OPEN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from node.core.core import Core
    from node.rights import Rights
    from node.runtime.api.asked import Asked
    from node.runtime.reads import PeopleReads
    from storage.answers import Page
    from storage.records import ConflictRow, Key
    from storage.sqlite.reader import Reader
    from strategies.policy import EntityPolicy, Registry

AT_ONCE = 20
"""Conflicts whose details are read in one turn of the reading thread."""

RECENT_ROWS = 5_000
RECENT_BYTES = 16_384
"""Those that use what is in conflict are looked for among the entities of the latest rows that are not too large."""

MOST_USERS = 20
"""Users that are named of one entity."""

NEIGHBOURS = 32
"""Rows looked at for one that says when it came here."""

LAST = "\U0010ffff"
"""After every id of a conflict."""

DECIDED = "decided"
STATES = (OPEN, "settled", "closed", DECIDED)


class Conflicts:
    """Answers about conflicts."""

    def __init__(self, core: Core, people: PeopleReads) -> None:
        self._core = core
        self._reader, self._read = people.reader, people.read

    async def one(self, asked: Asked) -> Response:
        name = asked.parts[0]
        row = (await self._read(self._reader.fetch, [], [], [name])).conflicts.get(name)
        rights = asked.visitor.rights
        rows = [row] if row is not None and rights.may("read", row.entity_type) else []
        for found in await self._detailed(rows, await self._users(rows, rights), OpenedRows(self._reader)):
            return json_response(found)
        return error_response(404, f"no conflict {name[:128]!r}", code=EntityNotFound.code)

    async def all(self, asked: Asked) -> Response:
        state, since = asked.first("state"), asked.first("since")
        if state not in (None, *STATES) or (since is not None and state != DECIDED):
            return error_response(400, f"state is {', '.join(STATES)}; since goes with {DECIDED}")
        limit = asked.number("limit", PAGE, least=1, most=PAGE)
        if isinstance(limit, Response):
            return limit
        after, said, from_ms = asked.first("after"), dict[str, object](), 0
        try:
            place = _place(after) if after is not None else (EVERYTHING, "") if state == DECIDED else (-1, LAST)
            if since is not None:
                from_ms, assumed = time_asked(since, self._core.limits.codec.where)
                said |= {} if assumed is None else {"assumed_zone": assumed}
        except (ValueError, OverflowError):
            return error_response(400, "after is the `next` of an answer, since an ISO 8601 time")
        page = partial(self._read, self._reader.decided)
        if state != DECIDED:
            page = partial(self._read, self._reader.conflicts, state)
        first = await page(place[0], limit, place[1], PAGE_BYTES)
        begin = 0 if since is None else await self._read(_row_before, self._reader, from_ms, self._head)
        wanted = partial(_is_wanted, since=None if since is None else iso(from_ms), decided=state == DECIDED)
        opened = OpenedRows(self._reader)
        shown = partial(self._shown, wanted=wanted, begin=begin, rights=asked.visitor.rights, opened=opened)
        return Response(200, _pieces(first, page, shown, limit, said, begin))

    @property
    def _head(self) -> int:
        return self._core.replica.log.committed

    async def _shown(
        self,
        rows: Sequence[ConflictRow],
        *,
        wanted: Callable[[Mapping[str, Any]], bool],
        begin: int,
        rights: Rights,
        opened: OpenedRows,
    ) -> AsyncIterator[Sequence[object]]:
        """Those that may be read and are wanted, some at a time."""
        rows = [row for row in rows if row.seq > begin and rights.may("read", row.entity_type)]
        users = await self._users(rows, rights)
        for first in range(0, len(rows), AT_ONCE):
            found = await self._detailed(rows[first : first + AT_ONCE], users, opened)
            yield [one for one in found if wanted(one)]

    async def _detailed(
        self, rows: Sequence[ConflictRow], users: Mapping[Key, list[dict[str, object]]], opened: OpenedRows
    ) -> list[dict[str, Any]]:
        return await self._read(detailed, self._reader, rows, users, self._core.replica.registry, opened)

    async def _users(self, rows: Sequence[ConflictRow], rights: Rights) -> Mapping[Key, list[dict[str, object]]]:
        keys = {(row.entity_type, row.entity_id) for row in rows if row.state == OPEN}
        if not keys:
            return {}
        policies = {p.entity_type: p for p in self._core.replica.registry.all() if rights.may("read", p.entity_type)}
        return await self._read(_users, self._reader, keys, self._head, policies)


async def _pieces(
    rows: Page[ConflictRow],
    page: Callable[..., Awaitable[Page[ConflictRow]]],
    shown: Callable[[Sequence[ConflictRow]], AsyncIterator[Sequence[object]]],
    left: int,
    said: Mapping[str, object],
    begin: int,
) -> AsyncIterator[bytes]:
    """rows: the first page, so that an answer that cannot be read is not begun. page: reads the next. left: how many
    are looked through. begin: the row up to which none is wanted; the latest come first then."""
    yield b'{"conflicts":['
    array, following = JsonArray(), None
    while rows:
        async for part in shown(rows):
            yield array.page(map(orjson.dumps, part))
        last = rows[-1]
        left -= len(rows)
        following = f"{last.seq},{last.conflict_id}" if rows.more and last.seq > begin else None
        if following is None or not left:
            break
        rows = await page(last.seq, left, last.conflict_id, PAGE_BYTES)
        following = None
    yield b"]," + orjson.dumps({"next": following, **said})[1:]


def _place(text: str) -> tuple[int, str]:
    """Where a list goes on: a row, and perhaps a conflict of it. Raises ValueError."""
    seq, _, conflict_id = text.partition(",")
    return int(seq), conflict_id or LAST


def _is_wanted(found: Mapping[str, Any], *, since: str | None, decided: bool) -> bool:
    """Whether a conflict was decided, where that is asked for, and since then. One that grew is not decided."""
    if not decided:
        return True
    how = found["decided"]
    return how["how"] != REPLACED and (since is None or (how["at"] or "") >= since)


# ---------------------------------------------------------------------- on the reading thread


def _row_before(reader: Reader, ms: int, head: int) -> int:
    """The last row that came before a time."""

    def time_at(seq: int) -> int | None:
        return time_of(reader.rows(None, seq - 1, min(head, seq + NEIGHBOURS), NEIGHBOURS))

    return last_before(ms, reader.anchor().seq + 1, head, time_at)


def detailed(
    reader: Reader,
    rows: Sequence[ConflictRow],
    users: Mapping[Key, list[dict[str, object]]],
    registry: Registry,
    opened: OpenedRows,
) -> list[dict[str, object]]:
    operations = opened.named(name for row in rows for name in names_in(row))
    found = []
    for row in rows:
        policy = registry.get(row.entity_type)
        if policy is None:
            continue  # its type is not configured any more
        key = (row.entity_type, row.entity_id)
        steps = {name: operations[name].step(row.entity_id) for name in names_in(row) if name in operations}
        first, refused = first_of(row, steps), 0
        if row.state == OPEN:
            refused = len(reader.audit(*key, after=row.seq, limit=MOST_REFUSED, kinds=("refused",)))
        earlier = () if first is None else opened.earlier(key, first.row.seq)
        findings = Findings(steps=steps, earlier=earlier, refused=refused, users=users.get(key, ()))
        found.append(details(row, policy, findings))
    return found


def _users(
    reader: Reader, keys: set[Key], head: int, policies: Mapping[str, EntityPolicy]
) -> dict[Key, list[dict[str, object]]]:
    """The entities that name these, of those that were written lately. policies: of the types that may be named."""
    fields = {entity_type: reference_field(entity_type) for entity_type, _ in keys}
    wanted = {t: {entity_id for of, entity_id in keys if of == t} for t in fields}
    found: dict[Key, list[dict[str, object]]] = {}
    for (entity_type, entity_id), view in reader.written_since(max(head - RECENT_ROWS, 0), RECENT_BYTES):
        policy, shown = policies.get(entity_type), orjson.loads(view)
        for used_type, ids in wanted.items():
            if policy is None or used_type == entity_type:
                continue
            for used in uses(shown, policy, fields[used_type], ids):
                users = found.setdefault((used_type, used), [])
                if len(users) < MOST_USERS:
                    users.append({"entity_type": entity_type, "entity_id": entity_id})
    return found
