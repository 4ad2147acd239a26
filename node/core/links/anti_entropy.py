"""Anti-entropy: two nodes that are caught up compare which operations they hold and exchange what is missing.

    digest          roots by entity type          -> differing types
    digest_buckets  256 buckets of each of those  -> differing buckets
    digest_buckets  256 parts of those with many keys -> differing parts
    digest_keys     the keys in those buckets, parts  -> what each side lacks
    digest_want     keys the sender lacks         -> the operations, as ordinary data_sync

Where both hold the same, they compare what came of it (contents.py).

Under traffic some operations are always on their way. They would make roots differ, and all keys of their buckets
would be told for nothing. So a comparison that comes by the clock leaves out what was accepted in the last
SETTLED_MS, unless nothing came since the one before. `until` is the time before which what counts was accepted; it
travels with each message, as both sides must leave out the same. What one of them no longer has in memory it does not
leave out: keys are told then as without this.

If the row of an operation is archived, its entities are sent instead as they are, with the keys of the operations
they are made of. Parked operations count as held in a comparison, or the peer would resend them each minute. A retry
of the quarantine asks for them by key (`ask_again`).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from node.core.digests import BUCKETS, PARTS, Compared, bucket_of, part_of
from node.core.links import contents
from node.core.ports import Unreadable
from node.wire.links import digests as wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from node.core.links.host import Peer
    from node.wire.links.digests import BucketKeys, Buckets, Roots

logger = logging.getLogger("comanda.link")

COMPARE_INTERVAL_MS = 60_000
"""How often two nodes that are caught up compare what they hold (`Link.tick`)."""

SETTLED_MS = 30_000
"""What was accepted longer ago should have come. Two nodes are behind each other for longer only after an outage, and
then they are not caught up."""

KEYS_PER_MESSAGE = 50_000
PARTED = 1_024
"""Keys of a bucket above which its parts are compared first: what is missing costs then, and not what is held."""

PARTED_AT_ONCE = 16
"""Buckets whose parts are told in one message, and in one turn."""

PLACES = 2_000
"""Keys looked up in the log at once."""


def begin(link: Peer, until: int | None) -> None:
    """Tell the other side the roots. It answers with the types that differ."""
    link.asked.compares()
    link.reply(wire.roots(_compared(link, until).roots(), until))


def _compared(link: Peer, until: int | None) -> Compared:
    held = link.host.node.replica.held
    return Compared(held.digests, held.accepted_since(until) if until is not None else {})


def receive(link: Peer, message: Mapping[str, Any]) -> None:
    """Take a message of a comparison. Raises InvalidMessage."""
    if message["type"] == "digest" and link.host.filling() not in (None, link):
        link.compare_owed = True  # later, when the history that another link sends is here
        return
    match message["type"]:
        case "digest":
            _roots(link, wire.read_roots(message))
        case "digest_buckets":
            _buckets(link, wire.read_buckets(message))
        case "digest_keys":
            _keys(link, wire.read_keys(message))
        case "digest_want":
            _send(link, wire.read_want(message))


def _roots(link: Peer, theirs: Roots) -> None:
    link.asked.compares()
    compared = _compared(link, theirs.until)
    differing = compared.differing(theirs.by_type)
    if not differing and theirs.until is None:
        link.level()
    of_each = {entity_type: compared.buckets(entity_type) for entity_type in differing}
    link.reply(wire.buckets(of_each, compared.digests.count, theirs.until))


def _buckets(link: Peer, theirs: Buckets) -> None:
    if not (theirs.by_type or theirs.parts):
        if theirs.until is None:
            link.level()
        contents.begin(link)
        return
    compared = _compared(link, theirs.until)
    for entity_type, their_buckets in theirs.by_type.items():
        mine = compared.buckets(entity_type)
        differing = [number for number, bucket in enumerate(their_buckets) if f"{mine[number]:x}" != bucket]
        large = [number for number in differing if compared.size(entity_type, number) > PARTED]
        if large:
            _tell_parts(link, entity_type, large, compared, theirs.until)
        _tell_keys(link, entity_type, sorted(set(differing) - set(large)), compared, theirs.until)
    for entity_type, by_bucket in theirs.parts.items():
        differing = []
        for bucket, their_parts in by_bucket.items():
            numbered = enumerate(compared.parts(entity_type, bucket), BUCKETS + bucket * PARTS)
            pairs = zip(numbered, their_parts, strict=True)
            differing += [number for (number, part), their_part in pairs if f"{part:x}" != their_part]
        _tell_keys(link, entity_type, differing, compared, theirs.until)


def _tell_parts(link: Peer, entity_type: str, buckets: Sequence[int], compared: Compared, until: int | None) -> None:
    """Tell the parts of large buckets, a few in a turn."""
    rest = buckets[PARTED_AT_ONCE:]
    parts = {bucket: compared.parts(entity_type, bucket) for bucket in buckets[:PARTED_AT_ONCE]}
    link.reply(wire.parts(entity_type, parts, compared.digests.count, until))
    if rest and link.state != "closed":
        link.host.node.around.timer.call_later(0, partial(_tell_parts, link, entity_type, rest, compared, until))


def _tell_keys(link: Peer, entity_type: str, numbers: Sequence[int], compared: Compared, until: int | None) -> None:
    """Tell the keys of some buckets and parts of buckets."""
    quarantine = link.host.node.replica.quarantine
    parked: dict[int, list[int]] = {}
    for key in quarantine.link_keys(entity_type):
        parked.setdefault(bucket_of(key), []).append(key)
        parked.setdefault(part_of(key), []).append(key)
    link.asked.told(entity_type, numbers)
    told: dict[int, list[int]] = {}
    size = 0
    for number, keys in compared.keys_in(entity_type, numbers):
        told[number] = keys + parked.get(number, [])
        size += len(told[number])
        if size >= KEYS_PER_MESSAGE:
            link.reply(wire.keys(entity_type, told, until))
            told, size = {}, 0
    if told:
        link.reply(wire.keys(entity_type, told, until))


def _keys(link: Peer, theirs: BucketKeys) -> None:
    """The other side's keys of some buckets: ask for what is missing here, send what is missing there."""
    replica, compared = link.host.node.replica, _compared(link, theirs.until)
    lacking = sorted(
        key
        for key in theirs.keys - replica.quarantine.link_keys(theirs.entity_type)
        if not compared.digests.holds(theirs.entity_type, key)
    )
    link.asked.keys.update(lacking)
    _ask(link, lacking)
    mine = {key for _, keys in compared.keys_in(theirs.entity_type, theirs.buckets) for key in keys}
    _send(link, sorted(mine - theirs.keys))


def ask_again(link: Peer, keys: Sequence[int]) -> None:
    """Ask the other side for operations that came damaged, as far as it holds them."""
    link.asked.again = frozenset(keys)
    _ask(link, keys)


def _ask(link: Peer, keys: Sequence[int]) -> None:
    for first in range(0, len(keys), KEYS_PER_MESSAGE):
        link.reply(wire.want(keys[first : first + KEYS_PER_MESSAGE]))


def _send(link: Peer, keys: Sequence[int]) -> None:
    """Send these operations, in log order. Their rows are looked up in parts, so that other reads get their turn."""
    found: list[tuple[int, int]] = []
    coming = link.host.node.replica.held.uncommitted(link.host.node.replica.log.committed)

    def look_up(first: int) -> None:
        if first < len(keys):
            link.host.node.disk.places(keys[first : first + PLACES], lambda part: link.guarded(take, part, first))
        else:
            link.delivery.feed.want(link.delivery, (key for _, key in sorted(found)))
            _send_archived(link, set(keys) - {key for _, key in found} - coming)

    def take(part: Sequence[tuple[int, int]] | Unreadable, first: int) -> None:
        if isinstance(part, Unreadable):
            logger.warning(
                "a comparison with %(peer)s breaks off: %(reason)s", {"peer": link.peer_id, "reason": part.reason}
            )
            link.compare_owed = True
            return
        found.extend(part)
        if link.state != "closed":
            look_up(first + PLACES)

    look_up(0)


def _send_archived(link: Peer, keys: set[int]) -> None:
    """Send the entities of these operations, whose rows are not in the log."""
    by_type: dict[str, set[int]] = {}
    for key in keys:
        entity_type = link.host.node.replica.held.digests.type_of(key)
        if entity_type is not None:
            by_type.setdefault(entity_type, set()).add(key)
    for entity_type, of_type in by_type.items():
        link.delivery.feed.lacks(link.delivery, entity_type, of_type)
