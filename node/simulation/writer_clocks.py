"""A writer's clock names one record for ever: no other operation may use it, on any node, whatever was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from storage.records import LogRow

WriterClock = tuple[str, str, int, int]
"""(entity type, entity id, writer, clock)."""


@define(eq=False)
class WriterClocks:
    """What every clock was used for: operation id and update, as stored anywhere; and as lost with a commit that
    failed, as long as the process lives that gave the clock out."""

    _stored: dict[WriterClock, tuple[str, str]] = field(factory=dict)
    _lost: dict[str, dict[WriterClock, tuple[str, str]]] = field(factory=dict)

    def stored(self, node: str, rows: Iterable[LogRow]) -> Iterator[str]:
        """What is wrong with rows that a node has stored."""
        lost = self._lost.get(node, {})
        for clock, use in _uses(rows):
            other = self._stored.setdefault(clock, use)
            if other == use:
                other = lost.get(clock, use)
            if other != use:
                entity_type, entity_id, writer, number = clock
                used = f"clock {number} of writer {writer} in {entity_type} {entity_id} is used"
                yield f"{used} for {other[0]} and for {use[0]}"

    def lost(self, node: str, rows: Iterable[LogRow]) -> None:
        """A commit with these rows failed."""
        self._lost.setdefault(node, {}).update(_uses(rows))

    def started(self, node: str) -> None:
        """A new process, which never knew of them."""
        self._lost.pop(node, None)


def _uses(rows: Iterable[LogRow]) -> Iterator[tuple[WriterClock, tuple[str, str]]]:
    for row in (row for row in rows if row.kind == "operation"):
        for entity_type, entity_id, update, _, (writer, first, end), *_ in orjson.loads(row.updates):
            for clock in range(first, end):
                yield (entity_type, entity_id, writer, clock), (row.operation_id, update)
