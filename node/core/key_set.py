"""Sets of 64-bit keys, packed: 8 bytes each. A key lies in one of 256 sorted buckets, by its highest byte."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BUCKETS = 256


def bucket_of(key: int) -> int:
    return (key >> 56) & 0xFF


class KeySet:
    """Signed 64-bit keys. keys: in any order, each once."""

    def __init__(self, keys: Iterable[int] = ()) -> None:
        self._buckets = [array("q") for _ in range(BUCKETS)]
        appends = [bucket.append for bucket in self._buckets]
        for key in keys:
            appends[(key >> 56) & 0xFF](key)
        for number, bucket in enumerate(self._buckets):  # one at a time: a list of all would take five times the room
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
        """Whether it is new."""
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
