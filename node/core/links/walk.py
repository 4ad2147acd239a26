"""How far one link has compared what entities hold (contents.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import define
from node.wire.links.contents import Contents

if TYPE_CHECKING:
    from collections.abc import Sequence


@define(eq=False)
class Walk:
    """How far one link has compared. entity_type, after: the last entity that both hold alike, or were told of.

    left: parts that may still be asked about after this comparison. asked: what the other side was told last.
    doubts: what differed in the last part, by who asked about it (whether this side did), type and id.
    """

    entity_type: str = ""
    after: str = ""
    left: int = 0
    asked: Contents | None = None
    doubts: frozenset[tuple[bool, str, str]] = frozenset()

    def next_type(self, types: Sequence[str]) -> str | None:
        """The entity type to go on with; None behind the last. types: in order."""
        found = next((one for one in types if one >= self.entity_type), None)
        if found != self.entity_type:
            self.entity_type, self.after = found or "", ""
        return found

    def differs(self, entity_type: str, differing: Sequence[str], *, asked: bool) -> list[str]:
        """Note which entities of a part differ. Returns those that did so already when it was compared before."""
        found = {one: (asked, entity_type, one) for one in differing}
        again = [one for one, doubt in found.items() if doubt in self.doubts]
        self.doubts = frozenset([*found.values(), *(doubt for doubt in self.doubts if doubt[0] != asked)])
        return again

    def over(self, part: Contents) -> None:
        """A part was compared."""
        self.asked = None
        self.after = max(part.hashes, default=part.after)
        if part.last:
            self.entity_type, self.after = part.entity_type + "\0", ""
