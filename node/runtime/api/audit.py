"""What HTTP answers of the audit: the rows of the log, from the first on or from the latest back.

GET /api/v1/audit[?entity_type=&entity_id=&terminal_id=&user_id=&since=&until=&after=&limit=]
GET /api/v1/audit?newest=1[&before=...]          the same, the latest first
GET /api/v1/refused...                           only writes that were refused and kept
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson
import trio

from crdt.hlc import pack, time_asked
from node.core.log.messages import audit_entry, why_refused
from node.core.log.rows import ACT
from node.runtime.api.asked import AT_ONCE, PAGE
from node.runtime.net.http import JsonArray, Response, error_response
from storage.answers import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

    from node.core.core import Core
    from node.rights import Rights
    from node.runtime.api.asked import Asked
    from node.runtime.reads import PeopleReads
    from storage.answers import Page
    from storage.records import LogRow
    from storage.sqlite.store import Store

    AuditPage = Callable[..., Awaitable[tuple[Page[LogRow], bytes]]]
    """A page of `Reader.audit` and its JSON text. Called with the row after which it begins, how many, and its last
    row at most; what else is asked stands."""

    Entries = tuple[bytes, int | None]
    """Entries as JSON, and the row after (or before) which to go on, None at the end."""

LOOKED_THROUGH = 20_000
LOOKING_S = 2.0
"""Rows of the audit that are looked through at once, and how long, before it answers with what it found."""


class Audit:
    """Answers about what was done at this node, and by whom."""

    def __init__(self, core: Core, people: PeopleReads, store: Store) -> None:
        self._core, self._store = core, store
        self._people = people

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
        named = ("entity_type", "entity_id", "terminal_id", "user_id")
        filters: dict[str, Any] = {name: request.first(name) for name in named}
        said: dict[str, object] = {}
        for name in ("since", "until"):
            text = request.first(name)
            try:
                ms, assumed = (0, None) if text is None else time_asked(text, self._core.limits.codec.where)
            except (ValueError, OverflowError):
                return error_response(400, f"{name} is not an ISO 8601 time: {quote(text or '')[:80]}")
            filters[name] = None if text is None else pack(ms)
            said |= {} if assumed is None else {"assumed_zone": assumed}
        indexed = filters["entity_id"] is not None or kinds == ("refused",)
        query = partial(self._people.reader.audit, **filters, kinds=kinds)
        if request.wants("newest"):
            head = self._core.replica.log.committed
            before = asked.number("before", head + 1)
            if isinstance(before, Response):
                return before
            upto = min(before - 1, head)
            page = self._page(partial(query, newest=True), rights)
            found = self._look_back(page, upto, limit, indexed=indexed)
        else:
            found = self._look_through(self._page(query, rights), after, limit, indexed=indexed)
        return Response(200, self._all_entries(await anext(found), found, said))

    def _page(self, query: Callable[..., Page[LogRow]], rights: Rights) -> AuditPage:
        """The pages of one answer, of what may be read."""
        array = JsonArray()

        def encode(rows: Iterable[LogRow]) -> bytes:
            return array.page(_entries(rows, rights))

        def read(after: int, limit: int, upto: int) -> Page[LogRow]:
            return query(after=after, limit=min(limit, AT_ONCE), upto=upto, most_bytes=PAGE_BYTES)

        return partial(self._people.page, encode, read)

    async def _all_entries(
        self, first: Entries, found: AsyncIterator[Entries], said: Mapping[str, object]
    ) -> AsyncIterator[bytes]:
        """first: the first page, so that an answer that cannot be read is not begun. said: what else it says."""
        yield b'{"entries":['
        text, following = first
        yield text
        async for part in found:
            text, following = part
            yield text
        rest = {"next": following, "log_begins": self._store.anchor.seq + 1, **said}
        yield b"]," + orjson.dumps(rest)[1:]

    async def _look_through(
        self, page: AuditPage, after: int, limit: int, *, indexed: bool
    ) -> AsyncIterator[Entries]:
        """The audit from row `after` on.

        Where no index finds them, it looks through LOOKED_THROUGH rows at a time, so that other readers get their
        turn, and ends after LOOKING_S of it.
        """
        head, looked_s, upto = self._core.replica.log.committed, 0.0, after
        while True:
            if after >= upto:
                upto = head if indexed else min(after + LOOKED_THROUGH, head)
            begun = trio.current_time()
            rows, text = await page(after, limit, upto)
            looked_s += trio.current_time() - begun
            limit -= len(rows)
            if not limit or rows.more:
                after = rows[-1].seq
            elif upto >= head:
                yield text, None
                return
            else:
                after = upto
            yield text, after
            if not limit or (looked_s > LOOKING_S and not rows.more):
                return

    async def _look_back(self, page: AuditPage, upto: int, limit: int, *, indexed: bool) -> AsyncIterator[Entries]:
        """As `_look_through`, from row `upto` back to the beginning, each page with the row before which to go on."""
        looked_s, begins = 0.0, self._store.anchor.seq
        while True:
            after = begins if indexed else max(upto - LOOKED_THROUGH, begins)
            begun = trio.current_time()
            rows, text = await page(after, limit, upto)
            looked_s += trio.current_time() - begun
            limit -= len(rows)
            if not limit or rows.more:
                upto = rows[-1].seq - 1
            elif after <= begins:
                yield text, None
                return
            else:
                upto = after
            yield text, upto + 1
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
