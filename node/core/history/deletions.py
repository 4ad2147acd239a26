"""Who deleted an entity, and over what: what its live deletions had not seen, and what it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.hlc import iso, millis
from strategies.explain import restored, said_of
from strategies.guard import deleter
from strategies.kinds.kinds import kind_at
from strategies.paths import DELETED_AT, WHOLE

if TYPE_CHECKING:
    from crdt.records import FieldRecord
    from node.core.entities.entity import Entity
    from node.core.history.field_records import Trail


def deletion_of(entity: Entity, trail: Trail) -> dict[str, object] | None:
    """The deletions of an entity that stand, whether they count or not; None where none does.

    by: who deleted, the latest first. over: the operations that they had not seen, with what brings each back.
    entity: what the entity held, if it is deleted.
    """
    document, view = entity.document, entity.view
    deletions = sorted(document.siblings(DELETED_AT), key=lambda r: -r.accepted)
    if not deletions:
        return None
    conflict = view.conflicts.get(DELETED_AT)
    contested = [] if conflict is None else [r for r in conflict.candidates if r.path != DELETED_AT]
    return {
        "at": view.deleted_at,
        "counts": not view.alive,
        "by": [_deleter(record, entity, trail) for record in deletions],
        "over": _operations(entity, contested),
        "entity": None if view.alive else dict(view.fields),
    }


def _deleter(record: FieldRecord, entity: Entity, trail: Trail) -> dict[str, object]:
    act = trail.deleters.get(record.id)
    return {
        "operation_id": record.operation,
        "terminal_id": record.terminal,
        "terminal_type": deleter(record) or None,
        "user_id": act and act.user_id,
        "origin": act and act.origin,
        "deleted_at": said_of(record, DELETED_AT[0], entity.policy),
        "timestamp": act and act.timestamp,
        "accepted_at": iso(millis(record.accepted)),
    }


def _operations(entity: Entity, records: list[FieldRecord]) -> list[dict[str, object]]:
    """The operations that wrote these records, the latest first, each with all that it wrote of them."""
    found: dict[tuple[str, str], dict[str, object]] = {}
    for record in sorted(records, key=lambda r: -r.accepted):
        known = found.setdefault(
            (record.terminal, record.operation),
            {
                "operation_id": record.operation,
                "terminal_id": record.terminal,
                "accepted_at": iso(millis(record.accepted)),
                "data": {},
            },
        )
        data = known["data"]
        assert isinstance(data, dict)
        for name in _names(entity, record):
            data.update(restored(record, name, entity.view))
    return list(found.values())


def _names(entity: Entity, record: FieldRecord) -> list[str]:
    if record.path == WHOLE:
        return list(kind_at(WHOLE).side(record))
    return list(entity.policy.kinds.names(record.path))
