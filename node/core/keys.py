"""Sets of 64-bit keys that only grow: what was there at the start packed, 8 bytes each, what came since beside it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from attrs import define, field


@define(eq=False)
class KeySet:
    """base: sorted. A key that was discarded (it turned out not to be on disk) stays discarded until added again."""

    base: Sequence[int] = ()
    _recent: set[int] = field(factory=set)
    _gone: set[int] = field(factory=set)

    def __contains__(self, key: int) -> bool:
        if key in self._recent:
            return True
        place = bisect_left(self.base, key)
        return place < len(self.base) and self.base[place] == key and key not in self._gone

    def __len__(self) -> int:
        return len(self.base) + len(self._recent) - len(self._gone)

    def __iter__(self) -> Iterator[int]:
        yield from (key for key in self.base if key not in self._gone)
        yield from self._recent

    def add(self, key: int) -> None:
        if key not in self:
            self._recent.add(key)

    def discard(self, key: int) -> None:
        if key in self._recent:
            self._recent.discard(key)
        elif key in self:
            self._gone.add(key)
