"""Sets of 64-bit keys, packed, and digests of them for comparing two nodes.

A key set takes 8 bytes a key.

A digest is the XOR of the link keys of an entity type's operations. A type has 256 buckets, by the highest byte of a
key, and each bucket 256 parts, by the next one. Two nodes compare roots, then the buckets of types that differ, of
large buckets the parts, and then the keys of what differs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import chain, islice
from operator import le, xor
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUCKETS = 256

PARTS = 256
"""Parts of a bucket."""

MOST_KEYS = 1_024
"""Most keys of a block. Half of them fill one that is read from the disk."""

LEAST_KEY = -(2**63)

_WORD = 2**64 - 1


def bucket_of(key: int) -> int:
    return (key >> 56) & 0xFF


def part_of(key: int) -> int:
    """The number of a key's part. Numbers below BUCKETS are those of whole buckets."""
    return BUCKETS + ((key >> 48) & 0xFFFF)


def _range(number: int) -> tuple[int, int]:
    """The lowest key of a bucket or part, and the lowest after it. Keys are signed: the upper half comes first."""
    prefix, count, bits = (number, BUCKETS, 56) if number < BUCKETS else (number - BUCKETS, BUCKETS * PARTS, 48)
    low = (prefix - count if prefix >= count // 2 else prefix) << bits
    return low, low + (1 << bits)


class KeySet:
    """Signed 64-bit keys, in order, in blocks of at most MOST_KEYS: one is added in the time of a block, however many
    there are. keys: in any order, each once.
    """

    def __init__(self, keys: Iterable[int] = ()) -> None:
        ordered = keys if isinstance(keys, array) and all(map(le, keys, islice(keys, 1, None))) else _sorted(keys)
        half = MOST_KEYS // 2
        self._blocks = [ordered[first : first + half] for first in range(0, len(ordered), half)] or [array("q")]
        self._firsts = array("q", [LEAST_KEY, *(block[0] for block in self._blocks[1:])])
        """Of each block, what none of its keys is below. All keys of the block before are."""
        self._count = len(ordered)

    def __contains__(self, key: int) -> bool:
        if not self._count:  # as of archived operations, on most nodes
            return False
        block = self._blocks[bisect_right(self._firsts, key) - 1]
        place = bisect_left(block, key)
        return place < len(block) and block[place] == key

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._blocks)

    def bucket(self, number: int) -> array[int]:
        """The keys of one bucket, or of one part, sorted."""
        low, high = _range(number)
        found = array("q")
        for place in range(bisect_right(self._firsts, low) - 1, len(self._blocks)):
            block = self._blocks[place]
            if place and self._firsts[place] >= high:
                break
            found += block[bisect_left(block, low) : bisect_left(block, high)]
        return found

    def add(self, key: int) -> bool:
        """Returns whether the key is new."""
        number = bisect_right(self._firsts, key) - 1
        block = self._blocks[number]
        place = bisect_left(block, key)
        if place < len(block) and block[place] == key:
            return False
        block.insert(place, key)
        self._count += 1
        if len(block) > MOST_KEYS:
            half = len(block) // 2
            self._blocks[number : number + 1] = [block[:half], block[half:]]
            self._firsts.insert(number + 1, block[half])
        return True

    def discard(self, key: int) -> None:
        number = bisect_right(self._firsts, key) - 1
        block = self._blocks[number]
        place = bisect_left(block, key)
        if place < len(block) and block[place] == key:
            del block[place]
            self._count -= 1
            if not block and number:
                del self._blocks[number], self._firsts[number]


def _sorted(keys: Iterable[int]) -> array[int]:
    """A part at a time: a list of all of them would take five times the memory."""
    parts = [array("q") for _ in range(BUCKETS)]
    appends = [part.append for part in parts]
    for key in keys:
        appends[(key >> 56) + BUCKETS // 2](key)
    found = array("q")
    for part in parts:
        found.extend(sorted(part))
    return found


@define(eq=False)
class TypeDigest:
    """One entity type's operations. buckets: XOR of the keys in each. root: of all."""

    keys: KeySet = field(factory=KeySet)
    buckets: list[int] = field(factory=lambda: [0] * BUCKETS)
    root: int = 0

    def flip(self, key: int) -> None:
        word = key & _WORD
        self.buckets[bucket_of(key)] ^= word
        self.root ^= word


@define(eq=False)
class Digests:
    """All operations of a node. `types`: entity type -> its digest."""

    types: dict[str, TypeDigest] = field(factory=dict)

    @classmethod
    def of(cls, link_keys: Mapping[str, Sequence[int]]) -> Digests:
        """From the stored link keys of each entity type, in any order."""
        digests = cls()
        for entity_type, keys in link_keys.items():
            held = KeySet(keys)
            buckets = [reduce(xor, held.bucket(b), 0) & _WORD for b in range(BUCKETS)]
            digests.types[entity_type] = TypeDigest(held, buckets, reduce(xor, buckets))
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
        """Of each entity type how many operations there are, and the XOR of their link keys."""
        return Compared(self).roots()

    def type_of(self, key: int) -> str | None:
        """The entity type of an operation that is held."""
        return next((t for t, digest in self.types.items() if key in digest.keys), None)


@define(eq=False)
class Compared:
    """The operations that two nodes compare: all, or all but some.

    left_out: entity type -> link keys that do not count. Those that are not held do not count anyway.
    """

    digests: Digests
    left_out: Mapping[str, Iterable[int]] = field(factory=dict)

    def roots(self) -> dict[str, str]:
        """Entity type -> how many operations, and the XOR of their link keys."""
        found: dict[str, str] = {}
        for entity_type, digest in self.digests.types.items():
            left_out = self._left_out(entity_type)
            count = len(digest.keys) - len(left_out)
            if count:
                found[entity_type] = f"{count}:{reduce(xor, (key & _WORD for key in left_out), digest.root):016x}"
        return found

    def differing(self, roots: Mapping[str, str]) -> list[str]:
        """Entity types whose operations are not those of `roots`."""
        mine = self.roots()
        return sorted(t for t in mine.keys() | roots.keys() if mine.get(t) != roots.get(t))

    def buckets(self, entity_type: str) -> list[int]:
        """The XOR of the keys in each bucket."""
        digest = self.digests.types.get(entity_type)
        found = list(digest.buckets) if digest is not None else [0] * BUCKETS
        for key in self._left_out(entity_type):
            found[bucket_of(key)] ^= key & _WORD
        return found

    def size(self, entity_type: str, bucket: int) -> int:
        """About how many keys a bucket has: those that are left out count."""
        digest = self.digests.types.get(entity_type)
        return len(digest.keys.bucket(bucket)) if digest is not None else 0

    def parts(self, entity_type: str, bucket: int) -> list[int]:
        """The XOR of the keys in each part of a bucket."""
        digest = self.digests.types.get(entity_type)
        if digest is None:
            return [0] * PARTS
        keys, first = digest.keys.bucket(bucket), BUCKETS + bucket * PARTS
        ends = [bisect_left(keys, _range(first + part)[1]) for part in range(PARTS)]
        begins = [0, *ends[:-1]]
        found = [reduce(xor, keys[a:b], 0) & _WORD for a, b in zip(begins, ends, strict=True)]
        for key in self._left_out(entity_type):
            if bucket_of(key) == bucket:
                found[part_of(key) - first] ^= key & _WORD
        return found

    def keys_in(self, entity_type: str, buckets: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        """The keys of some buckets or parts, each once, in order."""
        digest, left_out = self.digests.types.get(entity_type), self._left_out(entity_type)
        for bucket in sorted(set(buckets)):
            keys = digest.keys.bucket(bucket) if digest is not None else ()
            yield bucket, [key for key in keys if key not in left_out]

    def _left_out(self, entity_type: str) -> set[int]:
        return {key for key in self.left_out.get(entity_type, ()) if self.digests.holds(entity_type, key)}
