"""Of a policy what decides what an entity shows, as text that is kept: so that what was stored under an earlier
configuration can be told from what is broken."""

from __future__ import annotations

import json

from attrs import asdict

from strategies.kinds import FieldKind
from strategies.policy import PRIORITIES, EntityPolicy, PolicyError, policy

MOST_RECORDED = 16
"""Configurations of an entity type that are remembered, the latest."""


def recorded(of: EntityPolicy) -> str:
    """The same text for policies that show the same."""
    fields = {name: asdict(kind, filter=lambda a, _: a.name != "lower") for name, kind in of.kinds.kinds.items()}
    groups = sorted(of.kinds.groups)
    return json.dumps({"strategy": of.strategy.name, "fields": fields, "groups": groups}, sort_keys=True)


def policy_of(entity_type: str, text: str) -> EntityPolicy | None:
    """A recorded policy; None where it cannot be read, or says what this version does not know."""
    try:
        said = json.loads(text)
        return policy(
            entity_type,
            priority=PRIORITIES[0],
            requires_lock=False,
            conflict_resolution=said["strategy"],
            fields={name: FieldKind(kind["kind"], tuple(kind["ranks"])) for name, kind in said["fields"].items()},
            groups=said["groups"],
        )
    except (ValueError, TypeError, KeyError, AttributeError, PolicyError):
        return None
