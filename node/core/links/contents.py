"""Two nodes that hold the same operations compare what came of them, a part after each comparison.

    contents            hashes of the next entities of a type -> which of them the other side holds otherwise
    contents_compared   these

What an entity holds follows from its operations. So a difference says that one of the two was damaged or is not what
its log gives. It is an alarm on both sides, and nothing is taken over: `comanda verify` tells which is the right one.
Only what is durable is compared, and only while both sides hold the same operations of the type. An entity that came
whole may be ahead of the operations that came with it, so a part that differs is compared again the next time first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from node.core.ports import Unreadable
from node.printable import printable
from node.wire.links import contents as wire
from node.wire.links.contents import Contents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from node.core.links.host import Peer
    from storage.answers import Page
    from storage.records import EntityRow

OTHERWISE = "otherwise, by the same operations"
"""How an alarm ends."""

PARTS_AT_ONCE = 8
"""Parts after one comparison. So 10,000 entities are compared within 40 minutes."""

PART_BYTES = 2**18
"""Bytes of the entities of a part, which is looked at in one turn."""

ANSWER_BYTES = 2 * PART_BYTES
"""The same of whoever answers: what holds the same may be stored in more bytes."""


def begin(link: Peer) -> None:
    """Both sides hold the same operations."""
    link.contents.left, link.contents.asked = PARTS_AT_ONCE, None
    _ask(link)


def receive(link: Peer, message: Mapping[str, Any]) -> None:
    """Take a message of a comparison. Raises InvalidMessage."""
    if message["type"] == "contents":
        theirs = wire.read_contents(message)
        _read(link, theirs.entity_type, theirs.after, ANSWER_BYTES, partial(_compare, link, theirs))
        return
    differing, walk = wire.read_compared(message), link.contents
    asked = walk.asked
    if asked is None:
        return
    if differing is None:
        walk.asked = None  # later: there are rows under way
        return
    differing = [one for one in differing if asked.within(one)]
    again = walk.differs(asked.entity_type, differing, asked=True)
    _alarm(link, asked.entity_type, again)
    if len(again) < len(differing):
        walk.asked = None
        return
    walk.over(asked)
    _ask(link)


def _ask(link: Peer) -> None:
    walk, digests = link.contents, link.host.node.replica.held.digests
    if not walk.left or link.state == "closed":
        return
    walk.left -= 1
    entity_type = walk.next_type(sorted(digests.roots()))
    if entity_type is not None:
        _read(link, entity_type, walk.after, PART_BYTES, partial(_tell, link))


def _tell(link: Peer, found: Contents | None) -> None:
    if found is not None:
        link.contents.asked = found
        link.reply(wire.contents(found))


def _compare(link: Peer, theirs: Contents, mine: Contents | None) -> None:
    if mine is None or mine.root != theirs.root:
        link.reply(wire.compared(None))
        return
    differing = mine.differing(theirs)
    _alarm(link, theirs.entity_type, link.contents.differs(theirs.entity_type, differing, asked=False))
    link.reply(wire.compared(differing))


def _alarm(link: Peer, entity_type: str, entity_ids: Sequence[str]) -> None:
    for entity_id in entity_ids:
        what = f"{link.peer_id} holds {printable(f'{entity_type} {entity_id}')} {OTHERWISE}"
        link.host.node.replica.contradicted("entity", what)


def _read(link: Peer, entity_type: str, after: str, most_bytes: int, done: Callable[[Contents | None], None]) -> None:
    """Read a part of what this node holds. It is None where something came meanwhile, or cannot be read."""
    node = link.host.node
    log, digests = node.replica.log, node.replica.held.digests
    root = digests.roots().get(entity_type, "")
    durable = log.head == log.committed

    def take(rows: Page[EntityRow] | Unreadable) -> None:
        if link.state == "closed":
            return
        same = log.head == log.committed and digests.roots().get(entity_type, "") == root
        done(None if isinstance(rows, Unreadable) or not (durable and same) else hashed(rows))

    def hashed(rows: Page[EntityRow]) -> Contents:
        hashes = {row.entity_id: link.host.hashes.of(row.snapshot) for row in rows}
        return Contents(entity_type, root, after, not rows.more, hashes)

    node.disk.contents(entity_type, after, wire.ENTITIES, most_bytes, partial(link.guarded, take))
