"""Publishing from head office's page: the same as `comanda publish`, one list at a time, while the node serves.

POST /api/v1/publish/list?file=     a list, as the body: kept, and what was recognised of it
POST /api/v1/publish/look           what it would change in which stores; the answer names the publication
POST /api/v1/publish/send           send a publication that was looked at, or what stores lack of an earlier one
POST /api/v1/publish/stop           end what is being done; what stores have they keep
GET /api/v1/publications                 the latest, and what is being done
GET /api/v1/publications/{publication}   one of them: who has it and who not yet

What reads lists and asks stores is imported when it is first asked for: few nodes are head office.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
import trio

from node.rights import OF_TYPE, Need
from node.runtime.api.asked import refused
from node.runtime.net.http import Response, error_response, json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from node.core.core import Core
    from node.lists.listed import Listed
    from node.runtime.api.asked import Asked
    from node.runtime.publishing.office import Office, Work

logger = logging.getLogger("comanda.publishing")

USER = 256
"""Most characters of a person's name."""

BUSY = "outra publicação está em curso / another one is being looked at or sent"
NO_STORES = "no stores are kept here"
UNKNOWN = "no such publication"


class Publications:
    """data: head office's data directory. stores: what is said of its stores."""

    def __init__(
        self, *, core: Core, data: Path, nursery: trio.Nursery, stores: Callable[[], Awaitable[dict[str, Any]]]
    ) -> None:
        self._core, self._data, self._nursery, self._stores = core, data, nursery, stores
        self._work: Work | None = None
        self._asked: Office | None = None
        self._turn = trio.Lock()

    def _office(self) -> Office:
        """To be asked on a thread."""
        if self._asked is None:
            from node.runtime.publishing.office import Office

            self._asked = Office(self._data)
        return self._asked

    # ------------------------------------------------------------------ what is told

    async def all(self, asked: Asked) -> Response:
        found = await trio.to_thread.run_sync(lambda: self._office().publications())
        work = self._work
        return json_response({"publications": found, "work": None if work is None else work.report()})

    async def one(self, asked: Asked) -> Response:
        work = self._work
        said = await trio.to_thread.run_sync(lambda: self._office().publication(asked.parts[0], work))
        return error_response(404, UNKNOWN) if said is None else json_response(said)

    # ------------------------------------------------------------------ what is done

    async def take(self, asked: Asked) -> Response:
        """A list is taken, and nothing is done with it."""
        name, content = asked.first("file") or "", asked.request.body
        return await _said(lambda: self._office().take(content, name))

    async def look(self, asked: Asked) -> Response:
        said = _object(asked)
        if said is None:
            return error_response(400, "a JSON object")
        try:
            listed = await trio.to_thread.run_sync(lambda: self._office().wished(said))
        except _wrong() as error:
            return error_response(400, str(error))
        return await self._begin(asked, said, "look", listed, None)

    async def send(self, asked: Asked) -> Response:
        """Of what was looked at, its stores; of an earlier one, those of `sites`, or those that lack it."""
        said, last = _object(asked), self._work
        name = str((said or {}).get("publication", ""))
        if said is None or not name:
            return error_response(400, "a JSON object with publication")
        if last is not None and last.looks and last.record.id == name and not last.running:
            return await self._begin(asked, said, "send", last.listed, last.sites)
        try:
            found = await trio.to_thread.run_sync(lambda: self._office().again(name))
        except _wrong() as error:
            return error_response(400, str(error))
        if found is None:
            return error_response(404, UNKNOWN)
        return await self._begin(asked, said, "send", *found)

    async def _begin(
        self, asked: Asked, said: dict[str, Any], what: str, listed: Listed, otherwise: list[str] | None
    ) -> Response:
        """otherwise: the stores where none are named; all where it is None."""
        if denied := refused(Need("write", OF_TYPE), [listed.options.entity_type], asked.visitor.rights):
            return denied
        wanted, stores = said.get("sites"), await self._stores()
        kept = [str(row["realm"]) for row in (*stores["realms"], *stores.get("elsewhere", ()))]
        sites = wanted if isinstance(wanted, list) else kept if otherwise is None else otherwise
        if unknown := [one for one in sites if one not in kept]:
            return error_response(400, f"não é guardada aqui / is not kept here: {str(unknown[0])[:128]}")
        if not sites:
            return error_response(400, NO_STORES)
        user = str(said.get("user") or asked.visitor.name)[:USER]
        offices = [self._core.node_id, *stores.get("offices", ())]
        async with self._turn:
            if self._work is not None and self._work.running:
                return error_response(409, BUSY)
            work = await trio.to_thread.run_sync(lambda: self._office().work(what, listed, sites, user, offices))
            self._work = work
        if what == "send":
            details = {"publication": work.record.id, "file": listed.options.name, "stores": len(sites)}
            self._core.note_act(asked.visitor.terminal_id or "", user or None, "publish", details)
        self._nursery.start_soon(self._run, work)
        return json_response({"publication": work.record.id})

    async def _run(self, work: Work) -> None:
        try:
            await trio.to_thread.run_sync(self._office().carry_out, work, abandon_on_cancel=True)
        except Exception as error:
            logger.exception("publishing %(publication)s failed", {"publication": work.record.id})
            work.wrong = f"{error!r}"
        finally:
            work.running, work.halted = False, True

    def stop(self, asked: Asked) -> Response:
        work = self._work
        if work is not None:
            work.halted = True
        return json_response({"stopped": work is not None and work.running})


def _wrong() -> tuple[type[Exception], ...]:
    """What is wrong with a list that somebody sent."""
    from node.lists.columns import Misfit
    from node.lists.reading import Unreadable

    return Misfit, Unreadable, OSError


async def _said(make: Callable[[], dict[str, object]]) -> Response:
    try:
        return json_response(await trio.to_thread.run_sync(make))
    except _wrong() as error:
        return error_response(400, str(error))


def _object(asked: Asked) -> dict[str, Any] | None:
    try:
        said = orjson.loads(asked.request.body)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None
