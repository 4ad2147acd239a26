"""`terminal_status_update` and `performance_metrics`: what monitors are shown, all of it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.hlc import iso
from node.wire import outgoing
from node.wire.frames import Batch, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.core import Core
    from node.core.sessions.session import Session


OUTBOX_HIGH = 1_000_000
"""Bytes queued on a monitor's connection above which it is not told."""

OFFLINE_SHOWN = 200
"""Most disconnected terminals listed in a status update, the latest seen first."""


def terminal_status(core: Core) -> bytes:
    """Connected terminals, and those that were here before ("Terminal Status Update")."""
    now = core.clock()
    terminals = {**core.links.neighbours.terminals(), **own_terminals(core)}
    online = sum(isinstance(t, dict) and t.get("status") == "online" for t in terminals.values())
    gone = [row for row in core.cursors.terminals.values() if row.terminal_id not in core.sessions.online]
    gone.sort(key=lambda row: (-row.last_seen_ms, row.terminal_id))
    for row in gone[:OFFLINE_SHOWN]:
        if row.terminal_id in terminals:
            continue  # it moved to another node
        terminals[row.terminal_id] = {
            "type": row.terminal_type,
            "status": "offline",
            "connected_at": None,
            "last_ping": iso(row.last_seen_ms),
        }
    return outgoing.terminal_status_update(terminals, online, iso(now.wall_ms))


def own_terminals(core: Core) -> dict[str, object]:
    """Terminals connected to this node."""
    return {terminal_id: _online(session) for terminal_id, session in core.sessions.online.items()}


def _online(session: Session) -> dict[str, object]:
    activity = session.activity
    entry: dict[str, object] = {
        "type": session.identity.terminal_type,
        "status": "online",
        "connected_at": iso(activity.connected_ms),
        "last_ping": iso(activity.last_ping_ms),
    }
    performance = dict(activity.performance)
    if activity.latency_ms is not None:
        performance.setdefault("response_time", round(activity.latency_ms, 3))
    if activity.messages:
        performance.setdefault("error_rate", round(activity.errors / activity.messages, 6))
    if performance:
        entry["performance"] = performance
    return entry


def performance(core: Core, memory_mb: float) -> list[bytes]:
    """One message a connected terminal ("Performance Metrics").

    memory_usage_mb and cache_hit_rate are the terminal's own where its pings report them, else the node's.
    """
    now = core.clock()
    counts = core.replica.counts
    looked_up = counts.cache_hits + counts.cache_misses
    hit_rate = counts.cache_hits / looked_up if looked_up else 1.0
    messages = []
    for terminal_id, session in core.sessions.online.items():
        activity = session.activity
        reported = activity.performance
        seconds = max((now.wall_ms - activity.connected_ms) / 1000, 1.0)
        metrics = {
            "websocket_latency": round(activity.latency_ms, 3) if activity.latency_ms is not None else 0,
            "sync_operations_per_second": round(activity.operations / seconds, 3),
            "cache_hit_rate": reported.get("cache_hit_rate", round(hit_rate, 4)),
            "memory_usage_mb": reported.get("memory_usage", round(memory_mb, 1)),
            "active_connections": len(core.sessions.online),
            "queue_size": session.delivery.window.under_way,
            "last_sync": iso(activity.last_sync_ms) if activity.last_sync_ms is not None else None,
        }
        messages.append(outgoing.performance_metrics(terminal_id, metrics, iso(now.wall_ms)))
    return messages


def stats(core: Core) -> dict[str, object]:
    """`GET /api/v1/websocket/stats`, exactly the documented fields."""
    now = core.clock()
    by_type = dict.fromkeys(core.permissions, 0)
    for session in core.sessions.online.values():
        by_type[session.identity.terminal_type] += 1
    counts = core.replica.counts
    statistics = core.statistics
    return {
        "total_connections": len(core.sessions.online),
        "connections_by_type": by_type,
        "message_throughput": round(statistics.messages.per_second(now.mono_ms), 1),
        "average_latency": round(statistics.confirmation.average(), 3),
        "conflict_rate": round(counts.conflicts / counts.operations, 6) if counts.operations else 0.0,
        "uptime_seconds": round((now.mono_ms - statistics.started_ms) / 1000, 3),
    }


def tell(core: Core, messages: Iterable[bytes]) -> None:
    """Status and metrics, to every monitor. They are no log rows: the newest replaces the older."""
    monitors = core.sessions.monitors()
    if not monitors:
        return
    batch = Batch([Outgoing(message) for message in messages])
    for session in monitors:
        if session.connection.outbox_bytes < OUTBOX_HIGH:
            session.connection.send(batch)
