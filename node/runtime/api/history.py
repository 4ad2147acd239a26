"""What HTTP answers of an entity's life, from the log and from the archives of what was before.

GET /api/v1/history/{type}/{id}[?after=&limit=&archives=1]   or /api/v1/history/{type}?entity_id=
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from node.core.history.steps import Step
from node.core.history.time_line import time_line
from node.errors import EntityNotFound
from node.runtime.api.conflicts import detailed
from node.runtime.api.opened_rows import OpenedRows
from node.runtime.net.http import Response, error_response, json_response
from storage.answers import PAGE_BYTES
from storage.audit.archive_file import rows_about
from storage.records import UPDATE_KINDS
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from node.runtime.api.asked import Asked
    from node.runtime.api.past import Past
    from storage.records import ArchiveRow, Key, LogRow
    from storage.sqlite.history_reader import HistoryReader
    from strategies.policy import Registry

STEPS = 200
"""Steps of a page where `limit` is not given, and the most it may be."""

CONFLICTS = 200
"""Conflicts of one entity that are looked through, at most."""

KINDS = (*UPDATE_KINDS, "refused")


class History:
    """Answers about the lives of entities, rebuilt in the thread of `past`."""

    def __init__(self, past: Past, registry: Registry) -> None:
        self._past, self._registry = past, registry

    async def answer(self, asked: Asked) -> Response:
        entity_type, entity_id = asked.parts[0], "/".join(asked.parts[1:]) or asked.first("entity_id") or ""
        if self._registry.get(entity_type) is None:
            return error_response(404, f"unknown entity type {entity_type[:128]!r}", code=EntityNotFound.code)
        after, limit = asked.number("after", 0), asked.number("limit", STEPS, least=1, most=STEPS)
        if isinstance(after, Response):
            return after
        if isinstance(limit, Response):
            return limit
        archives = asked.request.wants("archives")
        key = (entity_type, entity_id)
        found = await self._past.in_thread(_page, self._registry, key, after, limit, archives)
        return found if isinstance(found, Response) else json_response(found)


def _page(
    history: HistoryReader, registry: Registry, key: Key, after: int, limit: int, archives: bool
) -> dict[str, object] | Response:
    reader, unread = history.reader, list[str]()
    with history.moment():
        page = reader.audit(*key, after=after, limit=limit, kinds=KINDS, most_bytes=PAGE_BYTES)
        if not page and after == 0 and reader.entity(*key) is None:
            return error_response(404, f"no {key[0]} {key[1][:128]!r}", code=EntityNotFound.code)
        base, files = history.entity_base(key), reader.archives() if archives else []
        conflicts = detailed(reader, reader.conflicts_of(key, CONFLICTS), {}, registry, OpenedRows(reader))
    found = _archived(files, key, after, reader.queries.check, unread)
    old, cut = ([], False) if base is None else _first(found, limit)
    rows = old if cut else [*old, *page][:limit]
    return {
        "entity_type": key[0],
        "entity_id": key[1],
        "steps": time_line((Step.of(row, key[1]) for row in rows), conflicts),
        "next": rows[-1].seq if cut or page.more or len(old) + len(page) > limit else None,
        "archived": None if base is None else base.seq,
        "unread": unread,
    }


def _first(rows: Iterator[LogRow], limit: int) -> tuple[list[LogRow], bool]:
    """Up to `limit` of them and about PAGE_BYTES, and whether that cut them."""
    found: list[LogRow] = []
    size = 0
    for row in rows:
        found.append(row)
        size += row.size
        if len(found) == limit or size > PAGE_BYTES:
            return found, True
    return found, False


def _archived(
    files: Iterable[ArchiveRow], key: Key, after: int, check: Callable[[], None], unread: list[str]
) -> Iterator[LogRow]:
    """An entity's rows after `after` that are archived, each file from its beginning. check: raises where nobody
    waits for them any more. unread: gets the files that cannot be read."""
    for archive in files:
        if archive.last <= after:
            continue
        try:
            for row in rows_about(Path(archive.file), key, check):
                if row.seq > after and row.kind in KINDS:
                    yield row
        except StorageError as error:
            check()
            unread.append(f"{Path(archive.file).name}: {error}"[:300])
