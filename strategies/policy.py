"""Entity type -> policy: priority, lock, strategy, audit ("Entidades Sincronizáveis" of the protocol document).

The four documented types are built in; the configuration adds types or changes these with the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from attrs import field, frozen

from strategies.last_write_wins import LastWriteWins
from strategies.manual_resolution import ManualResolution
from strategies.merge_changes import MergeChanges
from strategies.merge_non_conflicting import MergeNonConflicting
from strategies.registers import Strategy

PRIORITIES = ("critical", "high", "medium", "low")
"""The documented priorities; a priority class is a place in this tuple, and positions are one number per class."""

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {s.name: s for s in (LastWriteWins(), MergeChanges(), MergeNonConflicting(), ManualResolution())}
)

FIELD_KINDS = ("register", "counter", "keyed_list", "progress")
"""Field kinds of design section 6. Only `register` is implemented so far; the others are refused by name."""


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
    fields: Mapping[str, str] = field(factory=dict)

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
    fields: Mapping[str, str] | None = None,
) -> EntityPolicy:
    """A checked policy. Raises PolicyError naming what is unknown."""
    if priority not in PRIORITIES:
        raise PolicyError(f"{entity_type}: priority {priority!r} is none of {', '.join(PRIORITIES)}")
    if conflict_resolution not in STRATEGIES:
        raise PolicyError(
            f"{entity_type}: conflict_resolution {conflict_resolution!r} is none of {', '.join(STRATEGIES)}"
        )
    for name, kind in (fields or {}).items():
        if kind != "register":
            raise PolicyError(
                f"{entity_type}: field kind {kind!r} of {name!r} is "
                + ("not available yet" if kind in FIELD_KINDS else f"none of {', '.join(FIELD_KINDS)}")
            )
    return EntityPolicy(
        entity_type,
        priority,
        requires_lock,
        STRATEGIES[conflict_resolution],
        audit_required,
        dict(fields or {}),
    )


DOCUMENTED = (
    policy("orders", priority="high", requires_lock=True, conflict_resolution="last_write_wins"),
    policy("products", priority="medium", requires_lock=False, conflict_resolution="merge_changes"),
    policy("customers", priority="medium", requires_lock=False, conflict_resolution="merge_non_conflicting"),
    policy("cashier_operations", priority="critical", requires_lock=True, conflict_resolution="manual_resolution"),
)
"""The protocol document's table."""


class Registry:
    """All entity types a node knows."""

    def __init__(self, extra: Iterable[EntityPolicy] = ()) -> None:
        self._policies = {p.entity_type: p for p in (*DOCUMENTED, *extra)}

    def get(self, entity_type: str) -> EntityPolicy | None:
        return self._policies.get(entity_type)

    def all(self) -> tuple[EntityPolicy, ...]:
        return tuple(self._policies.values())

    def of_class(self, priority_class: int) -> tuple[str, ...]:
        """Entity types of one priority class, in a fixed order."""
        return tuple(sorted(p.entity_type for p in self.all() if p.priority_class == priority_class))
