"""The demo's nodes: processes of their own, what they say over HTTP, and how two of them are compared."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import httpx
import orjson
import trio

from crdt.classes import frozen
from node.runtime.terminal import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from node.runtime.terminal import Terminal

TYPES = ("orders", "products", "customers", "cashier_operations")

START_S = 120.0
"""How long a node may take until it prints its address. One that dies says so at once; a slow machine takes long."""

Key = tuple[str, str]
"""Entity type and id."""


class DemoFailed(click.ClickException):
    """Something is not as it must be, or did not come to be in time."""

    several_lines = True


def must(condition: bool, what: str, seen: object) -> None:
    """Raises DemoFailed with what was seen instead."""
    if not condition:
        raise DemoFailed(f"{what}: {seen}")


@frozen
class Snapshot:
    """What one node shows, as far as nodes must agree on it: who holds a lock now is not part of that.

    entities: with versions and open conflicts, dead ones too. conflicts: the open ones by id. operations: how often
    each operation id stands in the audit; a node's own refusals, which concern nobody else, are left out.
    """

    entities: Mapping[Key, Mapping[str, Any]]
    conflicts: Mapping[str, Mapping[str, Any]]
    operations: Counter[str]

    def differs_from(self, other: Snapshot) -> list[str]:
        """What reads otherwise on the other node, by name."""
        wrong = []
        for what in ("entities", "conflicts", "operations"):
            mine, theirs = getattr(self, what), getattr(other, what)
            keys = sorted({*mine, *theirs})
            wrong += [f"{what} {key}" for key in keys if _text(mine.get(key)) != _text(theirs.get(key))]
        return wrong

    def differs_from_screen(self, terminal: Terminal) -> list[str]:
        """Entities that a terminal shows otherwise: the version aside, which its own copy guesses."""
        node = {key: entity["data"] for key, entity in self.entities.items() if not entity["deleted"]}
        screen = terminal.screen
        return [f"{t} {i}" for t, i in sorted({*node, *screen}) if _shown(node, (t, i)) != _shown(screen, (t, i))]


def agreed(conflict: Mapping[str, Any]) -> dict[str, Any]:
    """A conflict without what a node tells of its own log: when things came there, and what stood before."""
    kept = ("terminal_id", "operation_id", "data")
    sides = [{name: side[name] for name in kept} for side in conflict["candidates"]]
    return {**{name: conflict[name] for name in conflict if name not in ("before", "holds")}, "candidates": sides}


def _shown(entities: Mapping[Key, Mapping[str, Any]], key: Key) -> bytes:
    entity = entities.get(key)
    return _text(None if entity is None else {name: value for name, value in entity.items() if name != "version"})


def _text(value: object) -> bytes:
    """As JSON, where 1, 1.0 and true are different values."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class DemoNode:
    """`python -m node serve` on a port of its own, which it keeps when it is started again."""

    def __init__(self, name: str, folder: Path, client: httpx.AsyncClient, upstream: DemoNode | None) -> None:
        self.name, self.upstream = name, upstream
        self.port = 0
        self._data, self._log = folder / name, folder / f"{name}.log"
        self._client = client
        self._process: subprocess.Popen[str] | None = None

    # ------------------------------------------------------------------ the process

    async def start(self) -> None:
        """Until it has printed its address. Raises DemoFailed."""
        command = [sys.executable, "-m", "node", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--data", str(self._data), "--id", self.name]
        command += ["--upstream", self.upstream.url] if self.upstream is not None else []
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: ASYNC220
        self._process = process
        assert process.stdout is not None
        line = ""
        with trio.move_on_after(START_S):
            line = await trio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise DemoFailed(f"{self.name} did not start: {line.strip()}")
        self.port = int(found.group(1))

    def logged(self) -> str:
        """The end of what it wrote to its log; nothing on a good evening."""
        return self._log.read_text()[-2_000:] if self._log.exists() else ""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL, as a power cut to the process; nothing when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    async def stop(self) -> None:
        """SIGTERM. Raises DemoFailed where that is no clean stop."""
        assert self._process is not None
        self._process.terminate()
        status = None
        with trio.move_on_after(PATIENCE_S):
            status = await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        if status != 0:
            raise DemoFailed(f"{self.name}: SIGTERM: {status}")

    # ------------------------------------------------------------------ what it says

    async def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Raises DemoFailed where the node does not answer."""
        try:
            answer = await self._client.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=parameters)
            body: dict[str, Any] = answer.raise_for_status().json()
        except httpx.HTTPError as error:
            raise DemoFailed(f"{self.name}: {path}: {error!r}") from error
        return body

    async def lock(self, entity_type: str, entity_id: str) -> dict[str, Any] | None:
        """The running lease on an entity, as this node knows it."""
        lease: dict[str, Any] | None = (await self.get(f"entities/{entity_type}/{entity_id}"))["lock"]
        return lease

    async def links_up(self) -> int:
        links = (await self.get("links"))["links"]
        return sum(link["state"] == "up" for link in links)

    async def snapshot(self) -> Snapshot:
        entities = {}
        for entity_type in TYPES:
            for entity in (await self.get(f"entities/{entity_type}", deleted="1"))["entities"]:
                del entity["lock"]
                entities[entity_type, entity["entity_id"]] = entity
        conflicts = (await self.get("conflicts", state="open"))["conflicts"]
        audit = await self.get("audit")
        assert audit["next"] is None, "the demo's log is one page of the audit"
        operations = Counter(entry["operation_id"] for entry in audit["entries"] if "refused" not in entry)
        return Snapshot(entities, {conflict["id"]: agreed(conflict) for conflict in conflicts}, operations)
