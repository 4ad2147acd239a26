"""What HTTP answers of the audit: the rows of the log, from the first on or from the latest back.

GET /api/v1/audit[?entity_type=&entity_id=&terminal_id=&user_id=&since=&until=&after=&limit=]
GET /api/v1/audit?newest=1[&before=...]          the same, the latest first
GET /api/v1/refused...                           only writes that were refused and kept
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
import trio

from crdt.hlc import pack, time_asked
from node.core.log.messages import audit_entry, why_refused
from node.core.log.rows import ACT
from node.runtime.api.asked import PAGE
from node.runtime.net.http import JsonArray, Response, error_response
from storage.answers import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from node.core.core import Core
    from node.rights import Rights
    from node.runtime.api.asked import Asked
    from node.runtime.reads import PeopleReads
    from storage.answers import Page
    from storage.records import LogRow
    from storage.sqlite.store import Store

    AuditQuery = Callable[..., Page[LogRow]]
    """`Reader.audit` with some of what is asked."""

LOOKED_THROUGH = 20_000
LOOKING_S = 2.0
"""Rows of the audit that are looked through at once, and how long, before it answers with what it found."""


class Audit:
    """Answers about what was done at this node, and by whom."""

    def __init__(self, core: Core, people: PeopleReads, store: Store) -> None:
        self._core, self._store = core, store
        self._reader, self._read = people.reader, people.read

    async def all(self, asked: Asked) -> Response:
        return await self._answer(asked, ("operation", "refused", ACT))

    async def refused(self, asked: Asked) -> Response:
        return await self._answer(asked, ("refused",))

    async def _answer(self, asked: Asked, kinds: tuple[str, ...]) -> Response:
        request, rights = asked.request, asked.visitor.rights
        after = asked.number("after", 0)
        limit = asked.number("limit", PAGE, least=1, most=PAGE)
        if isinstance(after, Response):
            return after
        if isinstance(limit, Response):
            return limit
        times: list[int | None] = []
        said: dict[str, object] = {}
        for name in ("since", "until"):
            text = request.first(name)
            try:
                ms, assumed = (0, None) if text is None else time_asked(text, self._core.limits.codec.where)
            except (ValueError, OverflowError):
                return error_response(400, f"{name} is not an ISO 8601 time: {quote(text or '')[:80]}")
            times.append(None if text is None else pack(ms))
            said |= {} if assumed is None else {"assumed_zone": assumed}
        filters = [*[request.first(name) for name in ("entity_type", "entity_id", "terminal_id")], *times]
        query = partial(self._reader.audit, user_id=request.first("user_id"))
        if request.wants("newest"):
            head = self._core.replica.log.committed
            before = asked.number("before", head + 1)
            if isinstance(before, Response):
                return before
            upto = min(before - 1, head)
            found = self._look_back(partial(query, newest=True), filters, upto, limit, kinds)
        else:
            found = self._look_through(query, filters, after, limit, kinds)
        return Response(200, self._all_entries(await anext(found), found, said, rights))

    async def _all_entries(
        self,
        first: tuple[Sequence[LogRow], int | None],
        found: AsyncIterator[tuple[Sequence[LogRow], int | None]],
        said: Mapping[str, object],
        rights: Rights,
    ) -> AsyncIterator[bytes]:
        """first: the first page, so that an answer that cannot be read is not begun. said: what else it says."""
        yield b'{"entries":['
        array, (rows, following) = JsonArray(), first
        yield array.page(_entries(rows, rights))
        async for part in found:
            rows, following = part
            yield array.page(_entries(rows, rights))
        rest = {"next": following, "log_begins": self._store.anchor.seq + 1, **said}
        yield b"]," + orjson.dumps(rest)[1:]

    async def _look_through(
        self, query: AuditQuery, filters: Sequence[object], after: int, limit: int, kinds: tuple[str, ...]
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
            rows = await self._read(query, *filters, after, limit, kinds, upto, PAGE_BYTES)
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

    async def _look_back(
        self, query: AuditQuery, filters: Sequence[object], upto: int, limit: int, kinds: tuple[str, ...]
    ) -> AsyncIterator[tuple[Sequence[LogRow], int | None]]:
        """As `_look_through`, from row `upto` back to the beginning, each page with the row before which to go on."""
        looked_s, begins = 0.0, self._store.anchor.seq
        indexed = filters[1] is not None or kinds == ("refused",)
        while True:
            after = begins if indexed else max(upto - LOOKED_THROUGH, begins)
            begun = trio.current_time()
            rows = await self._read(query, *filters, after, limit, kinds, upto, PAGE_BYTES)
            looked_s += trio.current_time() - begun
            limit -= len(rows)
            if not limit or rows.more:
                upto = rows[-1].seq - 1
            elif after <= begins:
                yield rows, None
                return
            else:
                upto = after
            yield rows, upto + 1
            if not limit or (looked_s > LOOKING_S and not rows.more):
                return


def _entries(rows: Iterable[LogRow], rights: Rights) -> Iterator[bytes]:
    """Those of entity types that may be read, and what administrators did."""
    return (orjson.dumps(_entry(r)) for r in rows if r.kind == ACT or rights.may("read", r.entity_type))


def _entry(row: LogRow) -> dict[str, object]:
    entry = audit_entry(row)
    if row.kind == "refused":
        entry["refused"], entry["why"] = orjson.loads(row.operation), why_refused(row)
    elif row.status in ("conflict", "lost") and row.operation:  # what it wrote is not, or not yet, what is shown
        entry["written"] = orjson.loads(row.operation).get("data")
    return entry
