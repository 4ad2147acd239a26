"""The interface of a strategy and what all strategies share: orders of siblings, and what a deletion had not seen.

A strategy is a stateless object; policy.py maps the documented names to the four of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crdt.json_values import equal
from strategies.paths import DELETED_AT, SETTLEMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crdt.records import FieldRecord

NO_WRITES = (DELETED_AT, (SETTLEMENT,))
"""First steps of records that change nothing a deletion could contest."""

SETTLED = "settled"
OPEN = "open"


class Strategy(Protocol):
    """How one entity type resolves conflicts.

    whole_entity: the register is the whole entity instead of each field.
    conflict_type: the documented type of a conflict between siblings.
    conflict_state: OPEN where somebody has to decide it, SETTLED where this rule has.
    freezes: an open conflict refuses further writes.
    first_written: siblings are ordered by rank (`by_rank`).
    """

    name: str
    whole_entity: bool
    conflict_type: str
    conflict_state: str
    freezes: bool
    first_written: bool

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        """The siblings of one register, the shown one first."""
        ...

    def superseded(
        self, siblings: Sequence[FieldRecord], seen: Sequence[FieldRecord], terminal: str
    ) -> list[FieldRecord]:
        """Which of the siblings an ordinary write by `terminal`, who has seen `seen`, replaces."""
        ...

    def survives(self, deletions: Sequence[FieldRecord], unseen: Sequence[FieldRecord]) -> bool:
        """Whether an entity with these live deletions and writes they had not seen is alive."""
        ...


def by_time(record: FieldRecord) -> tuple[int, str, str]:
    """Last write wins: latest HLC, then terminal id, then operation id, so that every node picks the same one."""
    return (record.stamp, record.terminal, record.operation)


def by_rank(record: FieldRecord) -> tuple[int, int, str, str]:
    """First-written wins: lowest rank; where two sides superseded one record, the one accepted first, until somebody
    replaces that."""
    return (record.rank, record.accepted, record.terminal, record.operation)


def distinct(
    siblings: Sequence[FieldRecord], said: Callable[[FieldRecord], object] = lambda record: record.value
) -> bool:
    """Whether the siblings hold more than one value.

    Copies of one operation under several writers hold equal values, unless its author gave its id to two contents.
    """
    value = said(siblings[0])
    return not all(equal(said(sibling), value) for sibling in siblings[1:])


def unseen_by(deletion: FieldRecord, records: Iterable[FieldRecord]) -> list[FieldRecord]:
    """Live records that a deletion's author had not seen.

    Its own terminal's earlier writes always count as seen, also on a node that got them after the deletion.
    """
    value = deletion.value
    saw = value.get("saw", ()) if isinstance(value, dict) else ()
    known = set(saw) if isinstance(saw, list) else set()
    return [
        record
        for record in records
        if record.path[:1] not in NO_WRITES
        and record.name not in known
        and record.name != deletion.name
        and not (record.terminal == deletion.terminal and record.stamp <= deletion.stamp)
    ]
