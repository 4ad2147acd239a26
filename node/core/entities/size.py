"""How large an entity may be. A write that makes it larger than that is refused.

Only what terminals of this node write is held against it. Operations of other nodes are applied whatever comes of it,
or two nodes with the same operations would differ. So an entity can be larger all the same, when two nodes that could
not reach each other each accepted what fitted. Writes that make it smaller are accepted then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.errors import EntityTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.records import FieldRecord, NewField
    from node.core.entities.entity import Entity
    from node.core.entities.writes import Plan

RECORD_BYTES = 56
"""What a record counts for besides its path and value: who wrote it, and when."""

GROWS = 5
"""How much longer a JSON value is at most than the text it was read from: `1e15` becomes `1000000000000000.0`."""


def check_size(entity: Entity, plan: Plan, text: int, most: int, place: str) -> None:
    """Raise EntityTooLarge where a plan makes an entity larger, and larger than `most` bytes.

    text: characters of the message that the plan was made from. Mostly they are so few that nothing is measured.
    place: where in the message the fields are.
    """
    if entity.document_bytes + GROWS * text + RECORD_BYTES * len(plan.fields) <= most:
        return
    gone = _bytes(plan.supersede)
    before = _bytes(entity.document.records()) + RECORD_BYTES * len(entity.document.counters)
    after = before - gone + _bytes(plan.fields)
    if after > max(most, before):
        what = f"{entity.key[0]} {entity.key[1]} would have {after} bytes; an entity has at most {most}"
        raise EntityTooLarge(what, place, entity_id=entity.key[1])


def _bytes(records: Iterable[FieldRecord | NewField]) -> int:
    return sum(len(orjson.dumps((record.path, record.value))) + RECORD_BYTES for record in records)
