"""Anti-entropy: two level nodes compare which operations they hold and exchange what is missing.

    digest          roots by entity type          -> differing types
    digest_buckets  256 buckets of each of those  -> differing buckets
    digest_keys     the keys in those buckets     -> what each side lacks
    digest_want     keys the sender lacks         -> the operations, as ordinary data_sync

Of an operation whose row is archived the entities are sent instead, as they are, with the keys of what they are made
of. What is parked here counts as held, so that nobody sends all of it again and again; who retries it asks for it.
"""

from __future__ import annotations

import binascii
import logging
from array import array
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import orjson

from node.core.key_set import BUCKETS, bucket_of
from node.core.ports import Unreadable
from node.errors import InvalidMessage
from node.wire.json_text import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from node.core.links.link import Link

logger = logging.getLogger("comanda.link")

TYPES = ("digest", "digest_buckets", "digest_keys", "digest_want")
KEYS_PER_MESSAGE = 50_000
PLACES = 2_000
"""Keys looked up in the log at once."""


def begin(link: Link) -> None:
    link.reply(orjson.dumps({"type": "digest", "types": link.core.replica.held.digests.roots()}))


def receive(link: Link, message: Mapping[str, Any]) -> None:
    """Raises InvalidMessage."""
    if message["type"] == "digest" and link.core.filling() not in (None, link):
        link.compare_owed = True  # once the history that another one is sending is here
        return
    match message["type"]:
        case "digest":
            _roots(link, message)
        case "digest_buckets":
            _buckets(link, message)
        case "digest_keys":
            _keys(link, message)
        case "digest_want":
            _send(link, _unpack(message.get("keys"), "$.keys"))


def _roots(link: Link, message: Mapping[str, Any]) -> None:
    roots = message.get("types")
    if not isinstance(roots, dict) or len(roots) > 10_000:
        raise InvalidMessage("expected roots by entity type", "$.types")
    digests = link.core.replica.held.digests
    buckets = {t: [f"{b:x}" for b in digests.buckets(t)] for t in digests.differing(roots)}
    link.reply(orjson.dumps({"type": "digest_buckets", "buckets": buckets, "count": digests.count}))


def _buckets(link: Link, message: Mapping[str, Any]) -> None:
    by_type, count = message.get("buckets"), message.get("count")
    if not isinstance(by_type, dict) or type(count) is not int:
        raise InvalidMessage("expected buckets by entity type", "$.buckets")
    link.told_operations(count)
    digests, quarantine = link.core.replica.held.digests, link.core.replica.quarantine
    for entity_type, theirs in by_type.items():
        if not isinstance(theirs, list) or len(theirs) != BUCKETS:
            raise InvalidMessage(f"expected {BUCKETS} buckets", "$.buckets")
        mine = digests.buckets(entity_type)
        differing = [n for n, text in enumerate(theirs) if f"{mine[n]:x}" != text]
        part: dict[str, str] = {}
        size = 0
        parked: dict[int, list[int]] = {}
        for key in quarantine.link_keys(entity_type):
            parked.setdefault(bucket_of(key), []).append(key)
        for bucket, keys in digests.keys_in(entity_type, differing):
            keys += parked.get(bucket, ())
            part[str(bucket)] = _pack(keys)
            size += len(keys)
            if size >= KEYS_PER_MESSAGE:
                _tell_keys(link, entity_type, part)
                part, size = {}, 0
        if part:
            _tell_keys(link, entity_type, part)


def _tell_keys(link: Link, entity_type: str, buckets: Mapping[str, str]) -> None:
    link.reply(orjson.dumps({"type": "digest_keys", "entity_type": entity_type, "buckets": buckets}))


def _keys(link: Link, message: Mapping[str, Any]) -> None:
    """The other side's keys of some buckets: ask for what is missing here, send what is missing there."""
    entity_type, by_bucket = message.get("entity_type"), message.get("buckets")
    if not isinstance(entity_type, str) or not isinstance(by_bucket, dict):
        raise InvalidMessage("expected keys by bucket", "$.buckets")
    theirs: set[int] = set()
    buckets: list[int] = []
    for name, text in by_bucket.items():
        if not is_number(name) or int(name) >= BUCKETS:
            raise InvalidMessage("no such bucket", "$.buckets")
        buckets.append(int(name))
        theirs.update(_unpack(text, "$.buckets"))
    replica = link.core.replica
    mine = {key for _, keys in replica.held.digests.keys_in(entity_type, buckets) for key in keys}
    ask(link, sorted(theirs - mine - replica.quarantine.link_keys(entity_type)))
    _send(link, sorted(mine - theirs))


def ask(link: Link, keys: Sequence[int]) -> None:
    """Have the other side send these operations, as far as it holds them."""
    for first in range(0, len(keys), KEYS_PER_MESSAGE):
        link.reply(orjson.dumps({"type": "digest_want", "keys": _pack(keys[first : first + KEYS_PER_MESSAGE])}))


def _send(link: Link, keys: Sequence[int]) -> None:
    """Have these operations sent, in log order. Their places are looked up a part at a time: others read too."""
    found: list[tuple[int, int]] = []
    coming = link.core.replica.held.uncommitted(link.core.replica.log.committed)

    def look_up(first: int) -> None:
        if first < len(keys):
            link.core.disk.places(keys[first : first + PLACES], lambda part: arrived(part, first))
        else:
            link.delivery.want(key for _, key in sorted(found))
            _send_archived(link, set(keys) - {key for _, key in found} - coming)

    def arrived(part: Sequence[tuple[int, int]] | Unreadable, first: int) -> None:
        if isinstance(part, Unreadable):
            logger.warning("a comparison with %s breaks off: %s", link.peer_id, part.reason)
            link.compare_owed = True
            return
        found.extend(part)
        if link.state != "closed":
            look_up(first + PLACES)

    look_up(0)


def _send_archived(link: Link, keys: set[int]) -> None:
    """Have the entities sent that these operations, which are not in the log, are part of."""
    by_type: dict[str, set[int]] = {}
    for key in keys:
        entity_type = link.core.replica.held.digests.type_of(key)
        if entity_type is not None:
            by_type.setdefault(entity_type, set()).add(key)
    for entity_type, of_type in by_type.items():
        link.delivery.lacks(entity_type, of_type)


def _pack(keys: Iterable[int]) -> str:
    return b64encode(array("q", keys).tobytes()).decode()


def _unpack(text: object, where: str) -> array[int]:
    keys = array("q")
    try:
        keys.frombytes(b64decode(text if isinstance(text, str) else "?", validate=True))
    except (ValueError, binascii.Error):
        raise InvalidMessage("expected packed keys", where) from None
    return keys
