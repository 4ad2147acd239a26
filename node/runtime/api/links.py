"""What HTTP and `comanda status` show of links and of parked operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import asdict

from crdt.engine import running
from crdt.hlc import iso
from node.core.terminal_clocks import SHOWN
from node.runtime.net.http import JsonArray
from storage.answers import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from node.core.core import Core
    from node.core.links.link import Link
    from node.runtime.dialler import Dialler
    from storage.records import ParkedRow


def links_and_away(
    core: Core, diallers: Sequence[Dialler]
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The links that are configured or there; and the other nodes that were ever linked."""
    dialled = [_dialled(core, dialler) for dialler in diallers]
    here = {entry["peer"] for entry in dialled}
    accepted = [
        _entry(core, link) for link in core.links.by_node.values() if not link.dialled and link.peer_id not in here
    ]
    known = {entry["peer"] for entry in (*dialled, *accepted)}
    away = [
        {
            "peer": row.node_id,
            "state": "away",
            "received": list(row.positions),
            **_waits(core, row.node_id),
            "last_seen": iso(row.last_seen_ms),
            "last_error": core.links.outages.ended.get(row.node_id),
        }
        for row in core.links.peers.values()
        if row.node_id not in known
    ]
    return [*dialled, *accepted], away


def links_report(core: Core, diallers: Sequence[Dialler]) -> dict[str, object]:
    """`GET /api/v1/links`."""
    links, away = links_and_away(core, diallers)
    states = [row.state for row in core.replica.quarantine]
    return {
        "node_id": core.node_id,
        "version": core.around.version,
        "epoch": core.links.epoch,
        "head": core.replica.log.committed,
        "authority": core.links.authority(),
        "links": links,
        "away": away,
        "quarantine": {
            "bad": states.count("bad"),
            "waiting": states.count("waiting"),
            "by_node": core.replica.quarantine.by_peer(),
        },
        "conflicts_open": sum(map(len, core.replica.conflicts.open.values())),
        "first_sync": core.links.first_sync.report() if core.links.first_sync is not None else None,
        "engine": running(core.replica.residents.engine),
        "twins": core.links.twins,
        "shared_terminals": {name: list(devices) for name, devices in core.sessions.devices.shared.items()},
        "clocks": dict(list(core.replica.terminal_clocks.wrong(core.clock()).items())[:SHOWN]),
        "contradictions": core.replica.contradictions,
        **core.replica.keyring.report(),
        "too_large": [{"what": what, "bytes": size} for what, size in core.log.too_large.items()],
        "head_alarms": core.links.heads.alarms,
    }


def _dialled(core: Core, dialler: Dialler) -> dict[str, object]:
    dialling = dialler.dialling
    link = core.links.by_node.get(dialling.peer) if dialling.accepted else dialling.link
    entry: dict[str, object] = {"peer": dialling.peer or None, "role": dialler.role, **_waits(core, dialling.peer)}
    if link is not None and link.hello is not None:
        entry = _entry(core, link)
    outage = core.links.outages.links.get(dialler.url)
    if outage is not None and not outage.up:
        entry["since"] = iso(outage.since.wall_ms)
    return {**entry, "url": dialler.url, "state": dialling.state, "last_error": dialler.last_error}


def _waits(core: Core, node_id: str) -> dict[str, object]:
    """What waits for a node that is not linked, as far as it was ever met."""
    follower = core.cursors.nodes.get(node_id)
    if follower is None:
        return {"confirmed": None, "lag": None}
    lag = core.replica.log.committed - max(min(follower.positions), 0)  # -1 where it has no row of a class
    return {"confirmed": list(follower.positions), "lag": lag}


def _entry(core: Core, link: Link) -> dict[str, object]:
    window = link.delivery.window
    head = core.replica.log.committed
    up = link.state == "up"
    return {
        "peer": link.peer_id,
        "url": link.url,
        "role": link.role,
        "version": link.hello.version if link.hello is not None else "",
        "state": link.state,
        "since": iso(link.since_ms),
        "sent": list(window.sent),
        "confirmed": list(window.positions),
        "received": list(link.peer_log.positions),
        "lag": max(head - min(window.positions), 0) if up else None,
        "behind": max(link.peer_log.behind, 0),
        "under_way": window.under_way,
        "offset_ms": link.clock.offset_ms,
        "rtt_ms": link.clock.rtt_ms,
        "operations_in": link.operations_in,
        "refused": link.refused,
        "kept_out": asdict(link.kept_out) if link.kept_out is not None else None,
        "paused": link.paused,
        "speaks_for": core.replica.origins.speaks_for(link.peer_id),
        "bytes_in": link.connection.bytes_in,
        "bytes_out": link.connection.bytes_out,
    }


async def quarantine_report(core: Core) -> AsyncIterator[bytes]:
    """`GET /api/v1/quarantine`: what a linked node sent and this one cannot apply, about PAGE_BYTES in a turn."""
    yield b'{"quarantine":['
    array, size, part = JsonArray(), 0, list[bytes]()
    for row in core.replica.quarantine:
        part.append(orjson.dumps(_parked(row)))
        size += len(part[-1])
        if size > PAGE_BYTES:
            yield array.page(part)
            size, part = 0, []
    yield array.page(part) + b'],"let_go":%d}' % core.replica.quarantine.let_go


def _parked(row: ParkedRow) -> dict[str, object]:
    return {
        "id": row.id,
        "state": row.state,
        "reason": row.reason,
        "from": row.via.partition(":")[0],
        "terminal_id": row.terminal_id,
        "operation_id": row.operation_id,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id or None,
        "at": iso(row.at_ms),
        "message": orjson.loads(row.body),
    }
