"""A policy as stored text, as far as it decides what an entity shows.

The node keeps the texts of its latest configurations, so that `comanda verify` can tell an entity that was stored
under an earlier configuration from one that is broken.
"""

from __future__ import annotations

import json

from attrs import asdict

from strategies.kinds.kind import FieldKind
from strategies.policy import PRIORITIES, EntityPolicy, PolicyError, policy

MOST_RECORDED = 16
"""How many of the latest configurations of an entity type are kept."""


def policy_text(of: EntityPolicy) -> str:
    """The text of a policy. Two policies that show the same have the same text.

    Not in it: `lower`, which decides who may write, and whatever does not concern fields.
    """
    declared = of.kinds.declared
    fields = {name: asdict(kind, filter=lambda a, _: a.name != "lower") for name, kind in declared.items()}
    groups = sorted(of.kinds.groups)
    return json.dumps({"strategy": of.strategy.name, "fields": fields, "groups": groups}, sort_keys=True)


def policy_of(entity_type: str, text: str) -> EntityPolicy | None:
    """The policy of a stored text; None where the text is damaged, or names what this version does not know."""
    try:
        stored = json.loads(text)
        return policy(
            entity_type,
            priority=PRIORITIES[0],
            requires_lock=False,
            conflict_resolution=stored["strategy"],
            fields={name: FieldKind(kind["kind"], tuple(kind["ranks"])) for name, kind in stored["fields"].items()},
            groups=stored["groups"],
        )
    except (ValueError, TypeError, KeyError, AttributeError, PolicyError):
        return None
