"""GET /api/v1/waiting/{type}[?entity_id=]: the entities of which operations wait for other nodes, and for which.

Staff see at an order whether everybody has it. How many rows of the whole log wait is in `GET /api/v1/links`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crdt.classes import frozen
from node.errors import EntityNotFound
from node.runtime.net.http import Response, error_response, json_response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from node.core.core import Core
    from node.runtime.api.asked import Asked
    from node.runtime.reads import PeopleReads
    from storage.answers import Unsent

LOOKED = 20_000
"""The latest rows of the log that are looked through."""

MOST = 5_000
"""Entities of one answer, those that were written last."""


@frozen
class Receiver:
    """Another node. log: "node:epoch", as `LogRow.via` names it. positions: what it confirmed of each class."""

    node_id: str
    log: str
    positions: Sequence[int]

    def lacks(self, row: Unsent) -> bool:
        return row.seq > self.positions[row.priority] and row.via != self.log


class Waiting:
    """Answers about what waits."""

    def __init__(self, core: Core, people: PeopleReads) -> None:
        self._core = core
        self._reader, self._read = people.reader, people.read

    async def answer(self, asked: Asked) -> Response:
        entity_type, core = asked.parts[0], self._core
        if core.replica.registry.get(entity_type) is None:
            return error_response(404, f"unknown entity type {entity_type[:128]!r}", code=EntityNotFound.code)
        receivers, head = [*receivers_of(core)], core.replica.log.committed
        least = min((min(one.positions) for one in receivers), default=head)
        begin = max(least, head - LOOKED, 0)
        rows: Iterable[Unsent] = ()
        if begin < head:
            rows = await self._read(self._reader.unsent, entity_type, asked.first("entity_id"), begin)
        found = [{"entity_id": name, "nodes": nodes} for name, nodes in waiting(rows, receivers).items()][:MOST]
        return json_response({"entity_type": entity_type, "after": begin, "seq": head, "entities": found})


def receivers_of(core: Core) -> Iterable[Receiver]:
    """The other nodes that were ever met, each with what it has confirmed of this node's log."""
    links, followers = core.links, core.cursors.nodes
    for node_id in {**links.peers, **links.by_node}:
        link, peer, follower = links.by_node.get(node_id), links.peers.get(node_id), followers.get(node_id)
        if link is not None and link.state == "up":
            yield Receiver(node_id, link.delivery.feed.peer, link.delivery.window.positions)
        elif follower is not None:
            yield Receiver(node_id, f"{node_id}:{peer.epoch if peer else ''}", follower.positions)


def waiting(rows: Iterable[Unsent], receivers: Sequence[Receiver]) -> Mapping[str, Mapping[str, int]]:
    """By entity, how many rows each node lacks, where it lacks any. rows: the latest first, as what is found."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        lacking = [one.node_id for one in receivers if one.lacks(row)]
        if lacking:
            for entity_id in row.entity_ids:
                found[entity_id].update(lacking)
    return found
