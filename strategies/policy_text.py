"""A policy as stored text, as far as it decides what an entity shows.

The node keeps the texts of its latest configurations, so that `comanda verify` can tell an entity that was stored
under an earlier configuration from one that is broken.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import asdict

from strategies.kinds.kind import UNDECLARED, FieldKind
from strategies.policy import PRIORITIES, EntityPolicy, PolicyError, policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_RECORDED = 16
"""How many of the latest configurations of an entity type are kept."""


def policy_text(of: EntityPolicy) -> str:
    """The text of a policy. Two policies that show the same have the same text.

    Not in it: whatever does not concern fields, and `lower` where it only decides who may write. Where a field has
    final values, it also decides which deletions count.
    """
    fields = {name: _text(kind) for name, kind in of.kinds.declared.items()}
    groups = sorted(of.kinds.groups)
    return json.dumps({"strategy": of.strategy.name, "fields": fields, "groups": groups}, sort_keys=True)


def _text(kind: FieldKind) -> dict[str, object]:
    text = asdict(kind, recurse=False)
    if not text["final"]:
        del text["lower"], text["final"]
    text["fields"] = {name: _text(of) for name, of in kind.fields.items()}
    if kind.key == UNDECLARED.key:
        del text["key"]
    if not text["fields"]:
        del text["fields"]
    return text


def policy_of(entity_type: str, text: str) -> EntityPolicy | None:
    """The policy of a stored text; None where the text is damaged, or names what this version does not know."""
    try:
        stored = json.loads(text)
        return policy(
            entity_type,
            priority=PRIORITIES[0],
            requires_lock=False,
            conflict_resolution=stored["strategy"],
            fields={name: _field_kind(**kind) for name, kind in stored["fields"].items()},
            groups=stored["groups"],
        )
    except (ValueError, TypeError, KeyError, AttributeError, PolicyError):
        return None


def _field_kind(
    kind: str,
    ranks: list[str],
    lower: list[str] | None = None,
    final: Sequence[str] = (),
    key: str = UNDECLARED.key,
    fields: Mapping[str, dict[str, Any]] | None = None,
) -> FieldKind:
    lower = list(UNDECLARED.lower) if lower is None else lower
    of_lines = {name: _field_kind(**of) for name, of in (fields or {}).items()}
    return FieldKind(kind, tuple(ranks), tuple(lower), tuple(final), key, of_lines)
