"""Several nodes of one measurement, read over HTTP: their links, whether they agree, and where they do not."""

from __future__ import annotations

import http.client
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich import box
from rich.table import Table

from bench.rig.node_process import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

POLL_S = 0.02
TYPES = ("orders", "products", "customers", "cashier_operations")


class OverdueError(Exception):
    """What was waited for did not happen in time."""


class FleetNode(NodeProcess):
    """A node and a kept-alive HTTP connection to it."""

    def __init__(self, folder: Path, name: str, *flags: str, checkout: Path | None = None) -> None:
        super().__init__(folder, name, *flags, checkout=checkout)
        self._http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def stop(self) -> None:
        self._http.close()
        super().stop()

    def get(self, path: str) -> bytes:
        """The body; asked twice, because the node may have ended the connection that was kept."""
        try:
            return self._asked(path)
        except (OSError, http.client.HTTPException):
            self._http.close()
            return self._asked(path)

    def _asked(self, path: str) -> bytes:
        self._http.request("GET", path)
        answer = self._http.getresponse()
        body = answer.read()
        if answer.status != 200 and not (answer.status == 404 and b"4007" in body):
            raise RuntimeError(f"{self.name} {path}: {answer.status} {body[:300]!r}")
        return body

    def links(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.get("/api/v1/links"))
        return found

    def up(self) -> list[dict[str, Any]]:
        return [link for link in self.links()["links"] if link["state"] == "up"]

    def level(self, links: int) -> bool:
        """Whether that many links are up and nothing is under way on them."""
        found = self.up()
        return len(found) >= links and all(link["lag"] == 0 and link["behind"] == 0 for link in found)

    def entity(self, key: tuple[str, str]) -> dict[str, Any]:
        """One entity as shown, without its lock, which is the node's own; empty where there is none."""
        return _shown(orjson.loads(self.get(f"/api/v1/entities/{key[0]}/{key[1]}")))

    def entities(self, entity_type: str) -> dict[str, dict[str, Any]]:
        rows = orjson.loads(self.get(f"/api/v1/entities/{entity_type}?deleted=1"))["entities"]
        return {row["entity_id"]: _shown(row) for row in rows}

    def versions(self) -> dict[str, int]:
        return {name: row["version"] for name, row in self.entities("orders").items()}

    def audit_ids(self) -> Iterator[str]:
        """The operation id of every audit entry."""
        after: int | None = 0
        while after is not None:
            page = orjson.loads(self.get(f"/api/v1/audit?after={after}&limit=1000"))
            yield from (entry["operation_id"] for entry in page["entries"])
            after = page["next"]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("lock", None)
    return row if "entity_id" in row else {}


def until(condition: Callable[[], bool], what: str, limit_s: float, poll_s: float = POLL_S) -> float:
    """Ask every `poll_s`; returns when (perf_counter, seconds) it was seen to hold. Raises OverdueError."""
    end = time.perf_counter() + limit_s
    while not condition():
        if time.perf_counter() > end:
            raise OverdueError(f"{what}: not within {limit_s:.0f} s")
        time.sleep(poll_s)
    return time.perf_counter()


def difference(nodes: Sequence[FleetNode], types: Sequence[str] = TYPES) -> str | None:
    """Where the nodes' entities are not equal, None where all are."""
    first, *others = nodes
    for entity_type in types:
        expected = first.entities(entity_type)
        for other in others:
            found = other.entities(entity_type)
            if found == expected:
                continue
            keys = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
            key = min(keys)
            return (
                f"{len(keys)} {entity_type} differ, {key}: {first.name} {_brief(expected.get(key))}, "
                f"{other.name} {_brief(found.get(key))}"
            )
    return None


def _brief(row: dict[str, Any] | None) -> str:
    return "has none" if row is None else orjson.dumps(row).decode()[:400]


def agreement(
    nodes: Sequence[FleetNode],
    marks: Sequence[tuple[str, str]],
    limit_s: float = 120,
    watch: Callable[[], None] = lambda: None,
) -> float:
    """When all nodes, the hub first, came to hold the same. Raises OverdueError with what differs.

    marks: the entities written last, looked at before everything is compared. watch: called at each poll.
    """
    hub, *others = nodes
    end = time.perf_counter() + limit_s

    def settled() -> bool:
        watch()
        if not (hub.level(len(others)) and all(node.level(1) for node in others)):
            return False
        return all(node.entity(mark) == hub.entity(mark) for mark in marks for node in others)

    while True:
        try:
            at = until(settled, "links level", max(0.0, end - time.perf_counter()))
        except OverdueError as error:
            shown = "; ".join(_standing(node) for node in nodes)
            raise OverdueError(f"{error}; {shown}; {difference(nodes)}") from None
        differs = difference(nodes) or parked(nodes)
        if differs is None:
            return at
        if time.perf_counter() > end:
            raise OverdueError(f"links level, but {differs}")
        time.sleep(0.5)


def parked(nodes: Sequence[FleetNode]) -> str | None:
    """Whether operations wait in a quarantine: such work was not done."""
    found = {node.name: node.links()["quarantine"] for node in nodes}
    return f"operations are parked: {found}" if any(any(counts.values()) for counts in found.values()) else None


def failed(error: OverdueError) -> list[str]:
    """What stands in the table instead of figures; the details go to stderr."""
    click.echo(str(error), err=True)
    return ["did not agree"]


def _standing(node: FleetNode) -> str:
    found = node.links()
    links = [f"{k['peer']} {k['state']} lag {k.get('lag')} behind {k.get('behind')}" for k in found["links"]]
    return f"{node.name}: {', '.join(links)}, quarantine {found['quarantine']}"


def stop_all(nodes: Sequence[FleetNode]) -> None:
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(FleetNode.stop, nodes))


def order_ids(name: str, count: int) -> list[str]:
    return [f"o-{name}-{number:05d}" for number in range(count)]


def complaints(folder: Path) -> list[str]:
    """Lines of the nodes' logs that should not be there."""
    found = []
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text().splitlines()
        found += [f"{log.stem}: {line}" for line in lines if "Traceback" in line or " ERROR " in line]
        found += [f"{log.stem}: {lines[-1]}"] if any("Traceback" in line for line in lines) else []
    return found


def new_table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.MARKDOWN)
    for name in columns:
        table.add_column(name, justify="left" if name == columns[0] else "right")
    return table


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder for the nodes of one part; what their logs should not hold is shown at the end."""
    with tempfile.TemporaryDirectory(prefix="comanda-links-") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            for line in complaints(folder):
                click.echo(f"in the log of {line}", err=True)
