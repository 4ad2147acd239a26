"""The document's expected figures. They are meant for a node on this machine or beside it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import trio

from node.conformance.expect import iso, that
from node.conformance.rule import Kind, Need, rule

if TYPE_CHECKING:
    from node.conformance.scene import Scene

HEADING = "Performance: Métricas Esperadas"
OPERATIONS = 2_000


def _said(times: list[float]) -> str:
    ordered = sorted(times)
    return f"median {statistics.median(ordered):.2f} ms, p99 {ordered[int(len(ordered) * 0.99) - 1]:.2f} ms"


@rule("figures.latency", HEADING, "The median ping is answered in less than 10 ms.", kind=Kind.FIGURE)
async def latency(scene: Scene) -> str:
    terminal, times = await scene.terminal(), []
    for _ in range(100):
        began = trio.current_time()
        await scene.alive(terminal)
        times.append((trio.current_time() - began) * 1_000)
    that(statistics.median(times) < 10, "a median below 10 ms", _said(times))
    return _said(times)


@rule(
    "figures.propagation",
    HEADING,
    "The median operation reaches another terminal in less than 50 ms.",
    kind=Kind.FIGURE,
)
async def propagation(scene: Scene) -> str:
    author, watcher = await scene.terminals("pos", "kds")
    times = []
    for _ in range(50):
        entity_id, operation_id = scene.name("order"), scene.name("op")
        whole = author.operation(operation_id, "orders", entity_id, "CREATE", {"id": entity_id}, version=1)
        whole["requires_lock"] = False
        began = trio.current_time()
        await author.send({"type": "data_sync", "operation": whole})
        await scene.until(lambda wanted=operation_id: watcher.delivered[wanted])  # type: ignore[misc]
        times.append((trio.current_time() - began) * 1_000)
    that(statistics.median(times) < 50, "a median below 50 ms", _said(times))
    return _said(times)


@rule(
    "figures.throughput",
    HEADING,
    "One terminal gets 1,000 operations a second through.",
    kind=Kind.FIGURE,
    needs=(Need.LONG,),
)
async def throughput(scene: Scene) -> str:
    author, watcher = await scene.terminals("pos", "kds")
    probe = await scene.stored(author, "products", scene.name("product"), "CREATE", {"n": -1}, version=1)
    watcher.confirming = False
    if probe.answer is not None:  # answers to the author are enough, and nobody else need read
        await watcher.leave()
    ids = []
    operations = []
    for number in range(OPERATIONS):
        ids.append(scene.name("op"))
        entity_id, at = scene.name("product"), iso(time.time())
        data = {"n": number}
        operation = author.operation(ids[-1], "products", entity_id, "CREATE", data, version=1, timestamp=at)
        operations.append(operation)
    began = trio.current_time()
    for operation in operations:
        await author.send({"type": "data_sync", "operation": operation})
    await scene.until(lambda: ids[-1] in author.answers or watcher.delivered[ids[-1]], 30.0)
    took = trio.current_time() - began
    done = sum(operation_id in author.answers or watcher.delivered[operation_id] > 0 for operation_id in ids)
    that(done == len(ids) and done / took >= 1_000, "1,000 operations/s", f"{done} in {took:.2f} s")
    return f"{done / took:.0f} operations/s"
