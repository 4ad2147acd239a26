"""Entity type -> policy: priority, lock, strategy, audit ("Entidades Sincronizáveis" of the protocol document).

The four documented types are built in; the configuration adds types or changes these with the same words.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field, frozen

from strategies.kinds import COUNTER, KEYED_LIST, KINDS, PROGRESS, REGISTER, FieldKind, FieldKinds
from strategies.last_write_wins import LastWriteWins
from strategies.manual_resolution import ManualResolution
from strategies.merge_changes import MergeChanges
from strategies.merge_non_conflicting import MergeNonConflicting
from strategies.registers import Strategy

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

    def ordered(self, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        """The siblings of one register, the shown one first."""
        by_progress = self.kinds.by_progress(path, siblings)
        return self.strategy.ordered(siblings) if by_progress is None else by_progress

    @property
    def priority_class(self) -> int:
        return PRIORITIES.index(self.priority)

    def documented(self) -> dict[str, object]:
        """The policy in the protocol document's shape."""
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
    kinds = FieldKinds(dict(fields or {}), tuple(tuple(group) for group in groups))
    problem = _problem(kinds, strategy)
    if problem is not None:
        raise PolicyError(f"{entity_type}: {problem}")
    return EntityPolicy(entity_type, priority, requires_lock, strategy, audit_required, kinds)


def _problem(kinds: FieldKinds, strategy: Strategy) -> str | None:
    """What is wrong with the kinds of an entity type's fields, if anything is."""
    for name, kind in kinds.kinds.items():
        if kind.kind not in KINDS:
            return f"field kind {kind.kind!r} of {name!r} is none of {', '.join(KINDS)}"
        if kind.kind == PROGRESS and (not kind.ranks or len(set(kind.ranks)) != len(kind.ranks)):
            return f"{name!r} is a progress and needs `ranks`, each once, the least advanced first"
        if kind.kind != PROGRESS and kind.ranks:
            return f"`ranks` of {name!r} are of a progress, not of a {kind.kind}"
    if strategy.whole_entity and (kinds.groups or any(k.kind != REGISTER for k in kinds.kinds.values())):
        return f"under {strategy.name} the whole entity is one value; its fields have no kinds"
    grouped = [name for group in kinds.groups for name in group]
    if len(set(grouped)) != len(grouped) or any(len(group) < 2 for group in kinds.groups):
        return "a group names at least two fields, each in one group"
    for name in grouped:
        if kinds.of(name).kind != REGISTER or "+" in name:
            return f"{name!r} of a group is a plain field, and has no + in its name"
    return None


DOCUMENTED = (
    policy(
        "orders",
        priority="high",
        requires_lock=True,
        conflict_resolution="last_write_wins",
        fields={"items": FieldKind(KEYED_LIST)},
    ),
    policy(
        "products",
        priority="medium",
        requires_lock=False,
        conflict_resolution="merge_changes",
        fields={"stock": FieldKind(COUNTER)},
    ),
    policy("customers", priority="medium", requires_lock=False, conflict_resolution="merge_non_conflicting"),
    policy("cashier_operations", priority="critical", requires_lock=True, conflict_resolution="manual_resolution"),
)
"""The protocol document's table. `items` and `stock` merge by their kind, which the document leaves open."""


class Registry:
    """All entity types a node knows."""

    def __init__(self, extra: Iterable[EntityPolicy] = ()) -> None:
        self._policies = {p.entity_type: p for p in (*DOCUMENTED, *extra)}

    def get(self, entity_type: str) -> EntityPolicy | None:
        return self._policies.get(entity_type)

    def all(self) -> tuple[EntityPolicy, ...]:
        return tuple(self._policies.values())

    def counters(self) -> dict[str, list[str]]:
        """The fields that are counters, by entity type."""
        return {p.entity_type: names for p in self.all() if (names := p.kinds.counters())}

    def of_class(self, priority_class: int) -> tuple[str, ...]:
        """Entity types of one priority class, in a fixed order."""
        return tuple(sorted(p.entity_type for p in self.all() if p.priority_class == priority_class))
