"""Sets of 64-bit keys, packed, and digests of them for comparing two nodes.

A key set takes 8 bytes a key. A key lies in one of 256 sorted buckets, by its highest byte.

A digest is the XOR of the link keys of an entity type's operations, and there is one for each bucket. Two nodes
compare roots, then the buckets of types that differ, then the keys of buckets that differ.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from functools import reduce
from itertools import islice
from operator import le, xor
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BUCKETS = 256

_WORD = 2**64 - 1


def bucket_of(key: int) -> int:
    return (key >> 56) & 0xFF


def _cut(keys: array[int], number: int) -> array[int]:
    """One bucket of keys that are in order."""
    low = (number - BUCKETS if number >= BUCKETS // 2 else number) << 56
    return keys[bisect_left(keys, low) : bisect_left(keys, low + (1 << 56))]


class KeySet:
    """Signed 64-bit keys. keys: in any order, each once."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        if isinstance(keys, array) and all(map(le, keys, islice(keys, 1, None))):
            self._buckets = [_cut(keys, number) for number in range(BUCKETS)]
            return
        self._buckets = [array("q") for _ in range(BUCKETS)]
        appends = [bucket.append for bucket in self._buckets]
        for key in keys:
            appends[(key >> 56) & 0xFF](key)
        for number, bucket in enumerate(
            self._buckets
        ):  # one at a time: a list of all keys would take five times the memory
            self._buckets[number] = array("q", sorted(bucket))

    def __contains__(self, key: int) -> bool:
        bucket = self._buckets[(key >> 56) & 0xFF]
        place = bisect_left(bucket, key)
        return place < len(bucket) and bucket[place] == key

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __iter__(self) -> Iterator[int]:
        for bucket in self._buckets:
            yield from bucket

    def bucket(self, number: int) -> array[int]:
        """The keys of one bucket, sorted."""
        return self._buckets[number]

    def add(self, key: int) -> bool:
        """Returns whether the key is new."""
        bucket = self._buckets[(key >> 56) & 0xFF]
        place = bisect_left(bucket, key)
        if place < len(bucket) and bucket[place] == key:
            return False
        bucket.insert(place, key)
        return True

    def discard(self, key: int) -> None:
        bucket = self._buckets[(key >> 56) & 0xFF]
        place = bisect_left(bucket, key)
        if place < len(bucket) and bucket[place] == key:
            del bucket[place]


@define(eq=False)
class TypeDigest:
    """One entity type's operations. buckets: XOR of the keys in each."""

    keys: KeySet = field(factory=KeySet)
    buckets: list[int] = field(factory=lambda: [0] * BUCKETS)

    def flip(self, key: int) -> None:
        self.buckets[bucket_of(key)] ^= key & _WORD

    @property
    def root(self) -> int:
        total = 0
        for bucket in self.buckets:
            total ^= bucket
        return total


@define(eq=False)
class Digests:
    """All operations of a node. `types`: entity type -> its digest."""

    types: dict[str, TypeDigest] = field(factory=dict)

    @classmethod
    def of(cls, link_keys: Mapping[str, Sequence[int]]) -> Digests:
        """From the stored link keys of each entity type, in any order."""
        digests = cls()
        for entity_type, keys in link_keys.items():
            digest = digests.types[entity_type] = TypeDigest(KeySet(keys))
            digest.buckets = [reduce(xor, digest.keys.bucket(b), 0) & _WORD for b in range(BUCKETS)]
        return digests

    @property
    def empty(self) -> bool:
        return not any(len(digest.keys) for digest in self.types.values())

    @property
    def count(self) -> int:
        """How many operations there are."""
        return sum(len(digest.keys) for digest in self.types.values())

    def holds(self, entity_type: str, key: int) -> bool:
        digest = self.types.get(entity_type)
        return digest is not None and key in digest.keys

    def add(self, entity_type: str, key: int) -> None:
        digest = self.types.get(entity_type)
        if digest is None:
            digest = self.types[entity_type] = TypeDigest()
        if digest.keys.add(key):
            digest.flip(key)

    def discard(self, entity_type: str, key: int) -> None:
        digest = self.types.get(entity_type)
        if digest is not None and key in digest.keys:
            digest.keys.discard(key)
            digest.flip(key)

    def roots(self) -> dict[str, str]:
        return {t: f"{len(d.keys)}:{d.root:016x}" for t, d in self.types.items() if len(d.keys)}

    def differing(self, roots: Mapping[str, str]) -> list[str]:
        """Entity types whose operations are not those of `roots`."""
        mine = self.roots()
        return sorted(t for t in mine.keys() | roots.keys() if mine.get(t) != roots.get(t))

    def buckets(self, entity_type: str) -> list[int]:
        digest = self.types.get(entity_type)
        return digest.buckets if digest is not None else [0] * BUCKETS

    def keys_in(self, entity_type: str, buckets: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """The keys of some buckets, each bucket once, in order."""
        digest = self.types.get(entity_type)
        for bucket in sorted(set(buckets)):
            yield bucket, list(digest.keys.bucket(bucket)) if digest is not None else []

    def type_of(self, key: int) -> str | None:
        """The entity type of an operation that is held."""
        return next((t for t, digest in self.types.items() if key in digest.keys), None)
