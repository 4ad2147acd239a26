"""What monitors are told about the terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.conformance.expect import given, has, holds, integer, number, seconds, that
from node.conformance.rule import rule

if TYPE_CHECKING:
    from typing import Any

    from node.conformance.expect import Message
    from node.conformance.scene import Scene
    from node.conformance.terminal import Terminal

STATUS = "Status dos Terminais: Terminal Status Update"
METRICS = "Monitoramento e Métricas: Performance Metrics"
FIGURES = (
    "websocket_latency",
    "sync_operations_per_second",
    "cache_hit_rate",
    "memory_usage_mb",
    "active_connections",
    "queue_size",
    "last_sync",
)


def _listed(message: Message, name: str) -> dict[str, Any] | None:
    terminals = message.get("terminals")
    if message.get("type") != "terminal_status_update" or not isinstance(terminals, dict):
        return None
    found = terminals.get(name)
    return found if isinstance(found, dict) else None


async def told(scene: Scene, monitor: Terminal, terminal: Terminal) -> Message:
    """A status update in which the terminal is online: an earlier one may know it from before. Raises Broken."""

    def online(message: Message) -> bool:
        return (_listed(message, terminal.name) or {}).get("status") == "online"

    found = await monitor.wait(online, scene.slow)
    return given(found, f"terminal_status_update with {terminal.name} online")


@rule("monitors.status", STATUS, "A monitor is told of the terminals, with every documented field.")
async def status(scene: Scene) -> None:
    monitor, terminal = await scene.terminals("monitor", "pos")
    message = await told(scene, monitor, terminal)
    has(message, "terminals", "total_online", "timestamp")
    seconds(message["timestamp"], "timestamp")
    entry = message["terminals"][terminal.name]
    has(entry, "type", "status", "connected_at", "last_ping")
    holds(entry, type="pos", status="online")
    seconds(entry["connected_at"], "connected_at")


@rule("monitors.types", STATUS, "Every terminal is shown with its own type.")
async def types(scene: Scene) -> None:
    monitor, *others = await scene.terminals("monitor", "pos", "kds", "waiter")
    for terminal in others:
        message = await told(scene, monitor, terminal)
        holds(message["terminals"][terminal.name], type=terminal.kind)


@rule("monitors.who_was_there_before", STATUS, "A monitor is told also of terminals that were connected before it.")
async def who_was_there_before(scene: Scene) -> None:
    terminal, monitor = await scene.terminals("pos", "monitor")
    holds((await told(scene, monitor, terminal))["terminals"][terminal.name], status="online")


@rule("monitors.total_online", STATUS, "total_online is the number of terminals that are online.")
async def total_online(scene: Scene) -> None:
    monitor, terminal = await scene.terminals("monitor", "pos")
    message = await told(scene, monitor, terminal)
    online = sum(entry.get("status") == "online" for entry in message["terminals"].values())
    total = integer(message["total_online"], "total_online")
    that(total in (online, online - 1), f"{online}, the monitor counted or not", total)


@rule("monitors.gone", STATUS, "A terminal that left is no longer shown as online.")
async def gone(scene: Scene) -> None:
    monitor, terminal = await scene.terminals("monitor", "pos")
    await told(scene, monitor, terminal)
    heard = len(monitor.heard)
    await terminal.leave()

    def left(message: Message) -> bool:
        if message.get("type") != "terminal_status_update":
            return False
        return (_listed(message, terminal.name) or {}).get("status") != "online"

    that(await monitor.wait(left, scene.slow, heard), f"{terminal.name} not online", "still online")


@rule("monitors.last_ping", STATUS, "last_ping follows the terminal's pings.")
async def last_ping(scene: Scene) -> None:
    monitor, terminal = await scene.terminals("monitor", "pos")
    first = (await told(scene, monitor, terminal))["terminals"][terminal.name].get("last_ping")
    heard = len(monitor.heard)
    await scene.alive(terminal)

    def later(message: Message) -> bool:
        entry = _listed(message, terminal.name)
        at = entry and entry.get("last_ping")
        return at is not None and (first is None or seconds(at, "last_ping") > seconds(first, "last_ping"))

    that(await monitor.wait(later, scene.slow, heard), f"a last_ping after {first}", "none")


@rule("monitors.metrics", METRICS, "A monitor gets performance_metrics of a terminal, with every documented field.")
async def metrics(scene: Scene) -> None:
    monitor, terminal = await scene.terminals("monitor", "pos")
    await scene.alive(terminal)
    await scene.created(terminal, "orders")

    def of_terminal(message: Message) -> bool:
        return message.get("type") == "performance_metrics" and message.get("terminal_id") == terminal.name

    message = given(await monitor.wait(of_terminal, scene.slow), f"performance_metrics of {terminal.name}")
    has(message, "terminal_id", "metrics", "timestamp")
    seconds(message["timestamp"], "timestamp")
    figures = message["metrics"]
    has(figures, *FIGURES)
    for name in FIGURES[:-1]:
        number(figures[name], name)
    if figures["last_sync"] is not None:
        seconds(figures["last_sync"], "last_sync")


@rule("monitors.only_monitors", STATUS, "Status, metrics and audit go to monitors, not to other terminals.")
async def only_monitors(scene: Scene) -> None:
    terminal, monitor = await scene.terminals("pos", "monitor")
    other = await scene.terminal("kds")
    await told(scene, monitor, other)
    await scene.created(other, "orders")
    await scene.settled("orders", other, terminal)
    wrong = {message.get("type") for message in terminal.heard} & {"terminal_status_update", "performance_metrics"}
    that(not wrong, "neither of them to a pos terminal", wrong)
