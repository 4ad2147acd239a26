"""Which operations this node holds, by entity type: for "do I have it", and for comparing two nodes.

A digest is the XOR of the link keys of a type's operations; per type there are 256 buckets by a key's highest byte.
Two nodes compare roots, then the buckets of types that differ, then the keys of buckets that differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from node.core.keys import KeySet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BUCKETS = 256
_WORD = 2**64 - 1


def bucket_of(key: int) -> int:
    return (key >> 56) & 0xFF


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
        """From sorted keys, as the store reads them at a start."""
        digests = cls()
        for entity_type, keys in link_keys.items():
            digest = digests.types[entity_type] = TypeDigest(KeySet(keys))
            for key in keys:
                digest.flip(key)
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
        if key not in digest.keys:
            digest.keys.add(key)
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
        wanted = set(buckets)
        found: dict[int, list[int]] = {bucket: [] for bucket in sorted(wanted)}
        digest = self.types.get(entity_type)
        for key in digest.keys if digest is not None else ():
            bucket = bucket_of(key)
            if bucket in wanted:
                found[bucket].append(key)
        yield from found.items()
