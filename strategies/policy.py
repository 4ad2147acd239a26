"""Entity type -> policy: priority, lock, strategy, audit, field kinds.

The four documented types are built in (node/wire/protocol.md, "Entity types and strategies"). The configuration adds
types or changes these with the same words.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import frozen
from strategies.kinds.kind import FieldKind
from strategies.kinds.kinds import KINDS, FieldKinds
from strategies.last_write_wins import LastWriteWins
from strategies.manual_resolution import ManualResolution
from strategies.merge_changes import MergeChanges
from strategies.merge_non_conflicting import MergeNonConflicting
from strategies.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crdt.records import FieldRecord, Path

PRIORITIES = ("critical", "high", "medium", "low")
"""The documented priorities; a priority class is a place in this tuple, and positions are one number per class."""

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {s.name: s for s in (LastWriteWins(), MergeChanges(), MergeNonConflicting(), ManualResolution())}
)


class PolicyError(ValueError):
    """A policy that names something that does not exist."""


@frozen
class EntityPolicy:
    """How one entity type behaves."""

    entity_type: str
    priority: str
    requires_lock: bool
    strategy: Strategy
    audit_required: bool = True
    kinds: FieldKinds = field(factory=FieldKinds)
    priority_class: int = field(init=False, eq=False, repr=False)
    """The place of `priority` in PRIORITIES."""

    shares: bool = field(init=False, eq=False, repr=False)
    """Whether fields share a register: all of them, or those of a group."""

    @shares.default
    def _shares(self) -> bool:
        return self.strategy.whole_entity or bool(self.kinds.groups)

    @priority_class.default
    def _place(self) -> int:
        return PRIORITIES.index(self.priority)

    def ordered(self, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        """The siblings of one register, the shown one first."""
        if len(siblings) == 1:
            return list(siblings)
        by_kind = self.kinds.at(path).ordered(siblings) if len(path) in (1, 3) else None
        return self.strategy.ordered(siblings) if by_kind is None else by_kind

    def misfit(self, records: Iterable[FieldRecord]) -> str | None:
        """What is wrong with the values of records that another node wrote, if anything is."""
        declared = self.kinds.by_name
        for record in records if declared else ():
            kind = declared.get(record.path[0]) if len(record.path) == 1 else None
            problem = None if kind is None else kind.misfit(record.value)
            if problem is not None:
                return f"{record.path[0]} of {record.operation}: {problem}"
        return None

    def documented(self) -> dict[str, object]:
        """The policy in the documented words, as the configuration takes them."""
        return {
            "entity_type": self.entity_type,
            "priority": self.priority,
            "requires_lock": self.requires_lock,
            "conflict_resolution": self.strategy.name,
            "audit_required": self.audit_required,
        }


def policy(
    entity_type: str,
    *,
    priority: str,
    requires_lock: bool,
    conflict_resolution: str,
    audit_required: bool = True,
    fields: Mapping[str, FieldKind] | None = None,
    groups: Sequence[Sequence[str]] = (),
) -> EntityPolicy:
    """A checked policy. Raises PolicyError naming what is unknown."""
    if priority not in PRIORITIES:
        raise PolicyError(f"{entity_type}: priority {priority!r} is none of {', '.join(PRIORITIES)}")
    if conflict_resolution not in STRATEGIES:
        raise PolicyError(
            f"{entity_type}: conflict_resolution {conflict_resolution!r} is none of {', '.join(STRATEGIES)}"
        )
    strategy = STRATEGIES[conflict_resolution]
    for name, declared in (fields or {}).items():
        if declared.kind not in KINDS:
            raise PolicyError(
                f"{entity_type}: field kind {declared.kind!r} of {name!r} is none of {', '.join(KINDS)}"
            )
    kinds = FieldKinds(dict(fields or {}), tuple(tuple(group) for group in groups))
    if strategy.whole_entity and not kinds.plain:
        raise PolicyError(
            f"{entity_type}: under {strategy.name} the whole entity is one value; its fields have no kinds"
        )
    problem = kinds.problem()
    if problem is not None:
        raise PolicyError(f"{entity_type}: {problem}")
    return EntityPolicy(entity_type, priority, requires_lock, strategy, audit_required, kinds)


DOCUMENTED = (
    policy(
        "orders",
        priority="high",
        requires_lock=True,
        conflict_resolution="last_write_wins",
        fields={"items": FieldKind("keyed_list"), "payments": FieldKind("keyed_list")},
    ),
    policy(
        "products",
        priority="medium",
        requires_lock=False,
        conflict_resolution="merge_changes",
        fields={"stock": FieldKind("counter")},
    ),
    policy("customers", priority="medium", requires_lock=False, conflict_resolution="merge_non_conflicting"),
    policy("cashier_operations", priority="critical", requires_lock=True, conflict_resolution="manual_resolution"),
)
"""The documented entity types, with the kinds of their fields that are no plain register."""


class Registry:
    """All entity types a node knows."""

    def __init__(self, extra: Iterable[EntityPolicy] = ()) -> None:
        self.by_type = {p.entity_type: p for p in (*DOCUMENTED, *extra)}

    def get(self, entity_type: str) -> EntityPolicy | None:
        return self.by_type.get(entity_type)

    def all(self) -> tuple[EntityPolicy, ...]:
        return tuple(self.by_type.values())

    def counters(self) -> dict[str, list[str]]:
        """The fields that are counters, by entity type."""
        return {p.entity_type: names for p in self.all() if (names := p.kinds.counting)}

    def of_class(self, priority_class: int) -> tuple[str, ...]:
        """Entity types of one priority class, in a fixed order."""
        return tuple(sorted(p.entity_type for p in self.all() if p.priority_class == priority_class))
