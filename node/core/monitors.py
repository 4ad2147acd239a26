"""`terminal_status_update` and `performance_metrics`: what monitors are shown, all of it measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.hlc import iso
from node.wire import outgoing
from node.wire.frames import Batch, Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.core.core import Core
    from node.core.sessions.session import Session


OUTBOX_HIGH = 1_000_000
"""Bytes queued on a monitor's connection above which it is not told."""

OFFLINE_SHOWN = 200
"""Most disconnected terminals listed in a status update, the latest seen first."""


def terminal_status(core: Core) -> bytes:
    """Connected terminals, and those that were here before (node/wire/protocol.md, "terminal_status_update")."""
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


def every_terminal(core: Core, after: str | None, limit: int) -> dict[str, object]:
    """`GET /api/v1/terminals`: a page of all that this node knows, by id (node/wire/protocol.md, "HTTP")."""
    elsewhere, own = core.links.neighbours.terminals(), own_terminals(core)
    known = core.cursors.terminals
    names = [name for name in sorted({*elsewhere, *own, *known}) if after is None or name > after]
    page = names[:limit]
    return {
        "node_id": core.node_id,
        "terminals": [_known(core, name, own.get(name) or elsewhere.get(name)) for name in page],
        "next": page[-1] if len(names) > limit else None,
    }


def _known(core: Core, name: str, entry: object) -> dict[str, object]:
    """entry: as `terminal_status_update` shows one that is connected somewhere."""
    cursor, session, now = core.cursors.terminals.get(name), core.sessions.online.get(name), core.clock()
    found: dict[str, object] = {"terminal_id": name, "status": "offline", "node": core.node_id}
    found |= dict(entry) if isinstance(entry, dict) else {}
    positions = None
    if cursor is not None:
        found.setdefault("type", cursor.terminal_type)
        found |= {"user_id": cursor.user_id, "last_seen": iso(cursor.last_seen_ms)}
        positions = cursor.positions
    if session is not None:
        positions = session.delivery.window.positions
        found |= {"user_id": session.identity.user_id, "last_seen": iso(now.wall_ms)}
    behind_ms = core.replica.terminal_clocks.measured_ms(name, now)
    found["clock_skew_ms"] = None if behind_ms is None else -behind_ms
    found["waiting"] = None if positions is None else _waiting(core, positions)
    return found


def _waiting(core: Core, positions: Sequence[int]) -> int:
    """How many rows of the log a receiver has not confirmed, at most: of each class from its position on."""
    heads = core.log.class_heads
    behind = [at for at, head in zip(positions, heads, strict=True) if head > max(at, 0)]
    return core.replica.log.committed - max(min(behind), 0) if behind else 0


def performance(core: Core, memory_mb: float) -> list[bytes]:
    """One message a connected terminal (node/wire/protocol.md, "performance_metrics").

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
    """Send status and metrics to every monitor.

    They are not rows of the log: each message replaces the one before.
    """
    monitors = core.sessions.monitors()
    if not monitors:
        return
    batch = Batch([Outgoing(message) for message in messages])
    for session in monitors:
        if session.connection.outbox_bytes < OUTBOX_HIGH:
            session.connection.send(batch)
