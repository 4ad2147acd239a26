"""What every strategy shares: how siblings of one register are ordered, and what a deletion saw.

A strategy is a stateless object; policy.py maps the documented names to the four of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crdt.records import FieldRecord, Path

DELETED_AT: Path = ("deleted_at",)
"""The register a DELETE writes. Its value is {"at": ISO 8601 text, "saw": [operation ids]}."""

NO_WRITES = (DELETED_AT, ("@settled",))
"""First steps of records that change nothing a deletion could contest."""

WHOLE: Path = ()
"""The register of an entity type whose whole state is one value."""

SETTLED = "settled"
OPEN = "open"


class Strategy(Protocol):
    """How one entity type resolves conflicts (protocol document, "Estratégias de Resolução de Conflitos").

    whole_entity: the register is the whole entity instead of each field. conflict_type, conflict_state: how
    concurrent siblings are reported. freezes: an open conflict refuses further writes.
    """

    name: str
    whole_entity: bool
    conflict_type: str
    conflict_state: str
    freezes: bool

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
    """Last write wins: latest HLC, then terminal id, then operation id (design section 6)."""
    return (record.stamp, record.terminal, record.operation)


def by_rank(record: FieldRecord) -> tuple[int, int, str, str]:
    """First-written wins: lowest rank; where two sides superseded one record, the one accepted first."""
    return (record.rank, record.accepted, record.terminal, record.operation)


def distinct(
    siblings: Sequence[FieldRecord], text: Callable[[FieldRecord], bytes] = lambda record: record.canonical()
) -> bool:
    """Whether the siblings hold more than one value (equal values, or one operation twice, are agreement)."""
    first = siblings[0]
    one, value = (first.operation, first.terminal), text(first)
    return any((s.operation, s.terminal) != one and text(s) != value for s in siblings[1:])


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
        and record.operation not in known
        and record.operation != deletion.operation
        and not (record.terminal == deletion.terminal and record.stamp <= deletion.stamp)
    ]
