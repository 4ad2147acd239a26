"""What this node has asked another one for, so that entities may come whole.

A whole entity brings what no operation in the log says, so it is taken only as the answer to one of these:

    everything   this node was empty, and said so in its claim
    upto         the rows after its positions, up to the other log's end at that moment: some may be archived there
    again        operations that came damaged
    keys         operations that a comparison found missing here
    compared     buckets, and parts of buckets, whose keys this node told in a comparison: the other side sends what
                 is missing in them

The last two are of this comparison and of the one before: either side may begin one while an answer is on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define
from node.core.digests import bucket_of, part_of
from node.core.log.entries import NO_POSITION
from storage.packed import link_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from node.wire.links.positions import Claim
    from node.wire.links.states import RemoteState
    from strategies.policy import Registry


@define(eq=False)
class Asked:
    """The requests of one link that are under way."""

    everything: bool = False
    upto: int = NO_POSITION
    again: frozenset[int] = frozenset()
    keys: set[int] = field(factory=set)
    compared: set[tuple[str, int]] = field(factory=set)
    _before: tuple[set[int], set[tuple[str, int]]] = field(factory=lambda: (set(), set()), init=False)

    def claimed(self, claim: Claim, head: int) -> None:
        """This node told how much it holds of the other log. head: the end of that log."""
        self.everything = claim.empty
        self.upto = head if claim.epoch is not None else NO_POSITION

    def compares(self) -> None:
        """Another comparison begins."""
        self._before, self.keys, self.compared = (self.keys, self.compared), set(), set()

    def told(self, entity_type: str, buckets: Iterable[int]) -> None:
        """The other side is told the keys of these buckets, and parts of buckets."""
        self.compared.update((entity_type, bucket) for bucket in buckets)

    def takes(self, state: RemoteState, positions: Sequence[int], registry: Registry) -> frozenset[int] | None:
        """The archived operations that may be taken with a whole entity; None where that was not asked for.

        positions: how far the other log is held.
        """
        policy, entity_type = registry.get(state.key[0]), state.key[0]
        if policy is None:
            return None
        named = frozenset(link_keys(state.archived)) if state.archived else frozenset()
        if self.everything or positions[policy.priority_class] < self.upto:
            return named
        found = {key for key in named if key in self.again or self._compared(entity_type, key)}
        return frozenset(found) if found else None

    def _compared(self, entity_type: str, key: int) -> bool:
        places = {(entity_type, number) for number in (bucket_of(key), part_of(key))}
        both = ((self.keys, self.compared), self._before)
        return any(key in keys or not places.isdisjoint(compared) for keys, compared in both)
