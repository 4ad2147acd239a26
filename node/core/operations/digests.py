"""Which operations this node holds, by entity type: for "do I have it", and for comparing two nodes.

A digest is the XOR of the link keys of a type's operations; per type there are 256 buckets by a key's highest byte.
Two nodes compare roots, then the buckets of types that differ, then the keys of buckets that differ.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import TYPE_CHECKING

from attrs import define, field

from node.core.key_set import BUCKETS, KeySet, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_WORD = 2**64 - 1


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
        """From keys in any order, as the store reads them at a start."""
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
