"""What two nodes say while they compare which operations they hold (node/core/links/anti_entropy.py).

Roots and buckets are XORs of link keys, 64 bits each. A link key names one operation on every node
(`storage.records.link_key`). Keys travel as base64 of little-endian signed 64-bit integers.

What counts are the operations that were accepted before `until`, in Unix milliseconds, or all where it is None. All
messages of a comparison name the same.
"""

from __future__ import annotations

import binascii
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from crdt.classes import frozen
from node.errors import InvalidMessage
from node.wire.json_text import is_count, is_number

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPES = ("digest", "digest_buckets", "digest_keys", "digest_want")

BUCKETS = 256
"""Buckets of one entity type, by eight bits of the link key."""

PARTS = 256
"""Parts of one bucket, by the next eight bits. They are numbered on from the buckets, in order."""

MOST_OPERATIONS = 2**53
MOST_UNTIL_MS = 2**53
MOST_TYPES = 10_000
"""Entity types in one `digest`."""


@frozen
class Buckets:
    """The `digest_buckets` of a node.

    by_type: entity type -> its buckets in hex. count: operations it holds.
    parts: entity type -> a bucket -> its parts in hex.
    """

    by_type: Mapping[str, Sequence[str]]
    count: int
    parts: Mapping[str, Mapping[int, Sequence[str]]]
    until: int | None


@frozen
class BucketKeys:
    """A `digest_keys`: all link keys that a node holds in these buckets, or parts of buckets, of one entity type."""

    entity_type: str
    buckets: Sequence[int]
    keys: frozenset[int]
    until: int | None


@frozen
class Roots:
    """A `digest`. by_type: entity type -> root. A root is only compared."""

    by_type: Mapping[str, Any]
    until: int | None


def roots(by_type: Mapping[str, str], until: int | None) -> bytes:
    """`digest`: the root of every entity type, in hex. It begins a comparison."""
    return orjson.dumps({"type": "digest", "types": by_type, "until": until})


def buckets(by_type: Mapping[str, Sequence[int]], count: int, until: int | None) -> bytes:
    """`digest_buckets`, the answer to `digest`: the buckets of each type whose root differs."""
    in_hex = {entity_type: _in_hex(each) for entity_type, each in by_type.items()}
    return orjson.dumps({"type": "digest_buckets", "buckets": in_hex, "count": count, "until": until})


def parts(entity_type: str, by_bucket: Mapping[int, Sequence[int]], count: int, until: int | None) -> bytes:
    """`digest_buckets`, the answer to another one: the parts of large buckets that differ, in the place of their
    keys."""
    in_hex = {str(bucket): _in_hex(each) for bucket, each in by_bucket.items()}
    told = {"type": "digest_buckets", "buckets": {}, "parts": {entity_type: in_hex}, "count": count, "until": until}
    return orjson.dumps(told)


def _in_hex(digests: Sequence[int]) -> list[str]:
    return [f"{digest:x}" for digest in digests]


def keys(entity_type: str, by_bucket: Mapping[int, Iterable[int]], until: int | None) -> bytes:
    """`digest_keys`, the answer to `digest_buckets`: the keys of each bucket, or part, that differs."""
    packed = {str(bucket): _pack(each) for bucket, each in by_bucket.items()}
    return orjson.dumps({"type": "digest_keys", "entity_type": entity_type, "buckets": packed, "until": until})


def want(link_keys: Iterable[int]) -> bytes:
    """`digest_want`: send these operations, as far as you hold them."""
    return orjson.dumps({"type": "digest_want", "keys": _pack(link_keys)})


def read_roots(message: Mapping[str, Any]) -> Roots:
    """Raises InvalidMessage."""
    by_type = message.get("types")
    if not isinstance(by_type, dict) or len(by_type) > MOST_TYPES:
        raise InvalidMessage("expected roots by entity type", "$.types")
    return Roots(by_type, _until(message))


def read_buckets(message: Mapping[str, Any]) -> Buckets:
    """Raises InvalidMessage. A single bucket or part is not checked: it is only compared."""
    by_type, count, parts = message.get("buckets"), message.get("count"), message.get("parts", {})
    if not isinstance(by_type, dict) or not is_count(count, MOST_OPERATIONS):
        raise InvalidMessage("expected buckets by entity type", "$.buckets")
    if not all(isinstance(theirs, list) and len(theirs) == BUCKETS for theirs in by_type.values()):
        raise InvalidMessage(f"expected {BUCKETS} buckets", "$.buckets")
    if not isinstance(parts, dict):
        raise InvalidMessage("expected parts by entity type", "$.parts")
    by_part = {entity_type: _parts(each) for entity_type, each in parts.items()}
    return Buckets(by_type, count, by_part, _until(message))


def _until(message: Mapping[str, Any]) -> int | None:
    until = message.get("until")
    if until is not None and not is_count(until, MOST_UNTIL_MS):
        raise InvalidMessage("expected Unix milliseconds or null", "$.until")
    return until


def _parts(by_bucket: object) -> dict[int, Sequence[str]]:
    if not isinstance(by_bucket, dict):
        raise InvalidMessage("expected parts by bucket", "$.parts")
    for name, parts in by_bucket.items():
        if not (is_number(name) and int(name) < BUCKETS and isinstance(parts, list) and len(parts) == PARTS):
            raise InvalidMessage(f"expected {PARTS} parts of a bucket", "$.parts")
    return {int(name): parts for name, parts in by_bucket.items()}


def read_keys(message: Mapping[str, Any]) -> BucketKeys:
    """Raises InvalidMessage."""
    entity_type, by_bucket = message.get("entity_type"), message.get("buckets")
    if not isinstance(entity_type, str) or not isinstance(by_bucket, dict):
        raise InvalidMessage("expected keys by bucket", "$.buckets")
    if not all(is_number(name) and int(name) < BUCKETS + BUCKETS * PARTS for name in by_bucket):
        raise InvalidMessage("no such bucket", "$.buckets")
    held = frozenset(key for packed in by_bucket.values() for key in _unpack(packed, "$.buckets"))
    return BucketKeys(entity_type, [int(name) for name in by_bucket], held, _until(message))


def read_want(message: Mapping[str, Any]) -> Sequence[int]:
    """Link keys. Raises InvalidMessage."""
    return _unpack(message.get("keys"), "$.keys")


def _pack(link_keys: Iterable[int]) -> str:
    return b64encode(array("q", link_keys).tobytes()).decode()


def _unpack(packed: object, where: str) -> array[int]:
    found = array("q")
    try:
        found.frombytes(b64decode(packed if isinstance(packed, str) else "?", validate=True))
    except (ValueError, binascii.Error):
        raise InvalidMessage("expected packed keys", where) from None
    return found
