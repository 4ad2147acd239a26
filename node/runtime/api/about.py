"""What a node is: version, addresses, settings in force, the copies it has, and whether its audit chain is whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import trio
from attrs import field

from crdt.classes import define
from crdt.hlc import iso
from node.config.sections import Config
from node.config.sources import Settings
from node.core.core import Core
from node.runtime.api.doctor import Doctor
from node.runtime.disk_space import disk_of
from node.runtime.net.http import Response, json_response
from node.runtime.reads import PeopleReads
from storage.audit.chain_walk import Part, verify_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 10_000
"""Rows of the chain that one question walks along: more would hold up what others read."""


@define(eq=False)
class Chain:
    """A walk along the audit chain that goes on with each question, and from the head on with what came since."""

    core: Core
    people: PeopleReads
    found: Part = field(default=Part(None, whole=False), init=False)
    at_ms: int | None = field(default=None, init=False)
    turn: trio.Lock = field(factory=trio.Lock, init=False)

    async def report(self) -> dict[str, object]:
        """How far the chain is known to be whole. Raises StorageError."""
        async with self.turn:
            self.found = await self.people.read(verify_part, self.people.reader, self.found.upto, ROWS)
            if self.found.whole:
                self.at_ms = self.core.clock().wall_ms
        upto, wrong = self.found.upto, self.found.wrong
        return {
            "head": self.core.replica.log.committed,
            "checked": upto.seq if upto is not None else 0,
            "whole": self.found.whole,
            "whole_at": None if self.at_ms is None else iso(self.at_ms),
            "wrong": None if wrong is None else {"seq": wrong.seq, "what": wrong.what},
        }


@define(eq=False, kw_only=True)
class About:
    """What `GET /api/v1/node`, `/backups`, `/chain` and `/realms` answer.

    addresses: where it listens. started_ms: since when, Unix milliseconds. stores: what is said of the realms that it
    keeps beside its own.
    """

    doctor: Doctor
    config: Config
    addresses: Sequence[str]
    started_ms: int
    stores: Callable[[], Awaitable[dict[str, object]]] | None = None
    chain: Chain = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chain = Chain(self.doctor.core, self.doctor.people)

    @property
    def _database(self) -> Path:
        return self.doctor.backups.database

    @property
    def directory(self) -> Path:
        """The data directory, as a path that begins at the root and follows no link."""
        return self._database.parent.resolve()

    def _settings(self) -> list[dict[str, Any]]:
        rows = Settings(self.config, None, {}).rows()
        return [{"key": row["key"], "value": row["value"]} for row in rows]

    async def node(self) -> Response:
        """Version, addresses, disk and configuration; secrets are masked."""
        return json_response(
            {
                "node_id": self.doctor.core.node_id,
                "version": self.doctor.core.around.version,
                "engine": self.config.node.engine,
                "started_at": iso(self.started_ms),
                "addresses": [*self.addresses],
                "directory": str(self._database.parent.absolute()),
                "database_bytes": await trio.to_thread.run_sync(_bytes, self._database),
                "disk": disk_of(self._database.parent),
                "settings": self._settings(),
            }
        )

    async def copies(self) -> Response:
        """The copies in the backup folder, the newest first."""
        folders = {self._database.parent / "backups", self.doctor.backups.folder}
        found = await trio.to_thread.run_sync(lambda: [one for folder in folders for one in _copies(folder)])
        return json_response({"backups": sorted(found, key=lambda one: str(one["at"]), reverse=True)})

    async def realms(self) -> Response:
        """The stores that are kept here, as head office."""
        found: dict[str, object] = {"realms": []} if self.stores is None else await self.stores()
        return json_response({"node_id": self.doctor.core.node_id, **found})

    async def chained(self) -> Response:
        return json_response(await self.chain.report())


def _bytes(path: Path) -> int:
    """Of the database with its write-ahead log; 0 where that cannot be said."""
    try:
        return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*") if not one.name.endswith("-shm"))
    except OSError:
        return 0


def _copies(folder: Path) -> Iterator[dict[str, object]]:
    try:
        names = [path for path in folder.iterdir() if path.suffix == ".db" and not path.name.startswith(".")]
        stats = [(path, path.stat()) for path in names]
    except OSError:
        return  # that no copy can be put there is a finding of `GET /api/v1/doctor`
    for path, stat in stats:
        yield {"file": f"{folder.name}/{path.name}", "bytes": stat.st_size, "at": iso(int(stat.st_mtime * 1000))}
