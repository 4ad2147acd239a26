"""What head office tells of one store: whether it has everything, when it was last here, what waits to be decided."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from crdt import hlc
from crdt.classes import frozen
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from node.core.core import Core

LAST_OPERATION = "SELECT accepted FROM log WHERE kind = 'operation' ORDER BY seq DESC LIMIT 1"


@frozen(kw_only=True)
class Told:
    """head: of the realm's log here. conflicts: open ones. linked: the store's nodes that are.

    lag: rows that the store lacks; None where none of its nodes was ever here. behind: rows that are lacking here, as
    far as is known. seen_ms: when a node of it last was here. operation_ms: when the last that arrived was accepted.
    """

    head: int = 0
    conflicts: int = 0
    linked: tuple[str, ...] = ()
    lag: int | None = None
    behind: int = 0
    seen_ms: int | None = None
    operation_ms: int | None = None

    def report(self) -> dict[str, object]:
        """For `GET /api/v1/realms`."""
        return {
            "head": self.head,
            "conflicts": self.conflicts,
            "linked": list(self.linked),
            "lag": self.lag,
            "behind": self.behind,
            "last_seen": _iso(self.seen_ms),
            "last_operation": _iso(self.operation_ms),
        }


def _iso(at_ms: int | None) -> str | None:
    return None if at_ms is None else hlc.iso(at_ms)


def of_core(core: Core, before: Told) -> Told:
    """Of a store that is open. before: what was stored of it."""
    links = [link for link in core.links.by_node.values() if link.state == "up"]
    followers = core.cursors.nodes.values()
    confirmed = [link.delivery.window.positions for link in links] or [row.positions for row in followers]
    head, recent = core.replica.log.committed, core.replica.held.recent
    seen = (row.last_seen_ms for row in followers)
    latest = next(reversed(recent.values()), None)
    return Told(
        head=head,
        conflicts=sum(map(len, core.replica.conflicts.open.values())),
        linked=tuple(sorted(link.peer_id for link in links)),
        lag=min((head - max(min(positions), 0) for positions in confirmed), default=None),
        behind=max((link.peer_log.behind for link in links), default=0),
        seen_ms=core.clock().wall_ms if links else max(seen, default=before.seen_ms),
        operation_ms=before.operation_ms if latest is None else hlc.millis(latest[-1].accepted),
    )


def of_database(database: Path) -> Told:
    """Of a store that nobody has open. Raises StorageError."""
    with closing(Reader(database)) as reader:
        head, _ = reader.head()
        followers, conflicts = reader.followers(), len(reader.conflicts("open"))
        accepted = reader.queries.ask(LAST_OPERATION)
    return Told(
        head=head,
        conflicts=conflicts,
        lag=min((head - max(min(row.positions), 0) for row in followers), default=None),
        seen_ms=max((row.last_seen_ms for row in followers), default=None),
        operation_ms=hlc.millis(accepted[0]["accepted"]) if accepted else None,
    )
