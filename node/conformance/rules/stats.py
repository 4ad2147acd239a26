"""The documented HTTP endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import has, number, that
from node.conformance.rule import rule
from node.conformance.subject import STATS
from node.conformance.terminal import TYPES

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.scene import Scene

HEADING = "Endpoints de Monitoramento: GET /api/v1/websocket/stats"
NUMBERS = ("total_connections", "message_throughput", "average_latency", "conflict_rate", "uptime_seconds")


async def stats(scene: Scene) -> dict[str, Any]:
    """Raises Broken, Refused."""
    scene.note(f"GET {STATS}")
    answer = await scene.subject.get(STATS)
    scene.note(f"HTTP {answer.status_code} {answer.text[:300]}")
    that(answer.status_code == 200, "HTTP 200", f"HTTP {answer.status_code}")
    try:
        found = answer.json()
    except ValueError:
        found = None
    that(isinstance(found, dict), "a JSON object", answer.text[:200])
    return dict(found)


@rule(
    "stats.fields", HEADING, "It has every documented field, each a number; connections_by_type has the four types."
)
async def fields(scene: Scene) -> None:
    await scene.terminal()
    found = await stats(scene)
    has(found, *NUMBERS, "connections_by_type")
    for name in NUMBERS:
        that(number(found[name], name) >= 0, f"{name}: not negative", found[name])
    has(found["connections_by_type"], *TYPES)


@rule("stats.json", HEADING, "It says that it is JSON.")
async def json(scene: Scene) -> None:
    answer = await scene.subject.get(STATS)
    kind = answer.headers.get("content-type", "")
    that(kind.startswith("application/json"), "application/json", kind or "no Content-Type")


@rule("stats.counts", HEADING, "The connections are counted, in all and by type.")
async def counts(scene: Scene) -> None:
    before = await stats(scene)
    await scene.terminals("pos", "pos", "kds")

    async def grown() -> bool:
        now = await stats(scene)
        by_type = {kind: now["connections_by_type"][kind] - before["connections_by_type"][kind] for kind in TYPES}
        total = now["total_connections"] - before["total_connections"]
        return total == 3 and by_type == {"pos": 2, "kds": 1, "waiter": 0, "monitor": 0}

    that(await scene.poll(grown), f"three more than {before}, two of them pos, one kds", await stats(scene))


@rule("stats.sum", HEADING, "The counts by type add up to the total.")
async def sums(scene: Scene) -> None:
    await scene.terminals("pos", "kds", "waiter", "monitor")
    found = await stats(scene)
    total = sum(found["connections_by_type"].values())
    that(total == found["total_connections"], f"a total of {total}", found)


@rule("stats.gone", HEADING, "A terminal whose connection broke is no longer counted.")
async def gone(scene: Scene) -> None:
    terminal = await scene.terminal()
    before = (await stats(scene))["total_connections"]
    await terminal.drop()

    async def less() -> bool:
        return bool((await stats(scene))["total_connections"] < before)

    that(await scene.poll(less), f"fewer than {before} connections", await stats(scene))


@rule("stats.uptime", HEADING, "uptime_seconds grows.")
async def uptime(scene: Scene) -> None:
    before = (await stats(scene))["uptime_seconds"]

    async def later() -> bool:
        return bool((await stats(scene))["uptime_seconds"] > before)

    that(await scene.poll(later), f"more than {before}", await stats(scene))


@rule("stats.conflict_rate", HEADING, "conflict_rate is a share: between 0 and 1.")
async def conflict_rate(scene: Scene) -> None:
    rate = (await stats(scene))["conflict_rate"]
    that(0 <= number(rate, "conflict_rate") <= 1, "a share between 0 and 1", rate)


@rule("stats.other_path", HEADING, "Another path under it is not found.")
async def other_path(scene: Scene) -> None:
    answer = await scene.subject.get("/no/such/path")
    that(answer.status_code == 404, "HTTP 404", f"HTTP {answer.status_code}")
