"""The documented operations on one entity as plans: CREATE and UPDATE, DELETE, and the resolution of a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.core.entities.field_writes import Authorship, FieldWriter, Plan
from node.errors import EntityNotFound
from strategies.paths import DELETED_AT, SETTLEMENT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crdt.records import FieldRecord
    from node.core.entities.entity import Entity, Seen
    from strategies.conflict import Conflict

RESERVED = frozenset({"version", "deleted_at"})
"""Names in an operation's `data` that are no fields: the count of versions, and what DELETE writes."""


class Planner:
    """Plans one operation of one author on one entity.

    seen: which of the entity's records the author had seen. version: the documented one, or None.
    jump: by how much a documented version may run ahead of the entity's.
    """

    def __init__(self, entity: Entity, author: Authorship, seen: Seen, version: int | None, jump: int) -> None:
        self.entity = entity
        self.seen = seen
        self._fields = FieldWriter(entity, author, seen, version, jump)

    # ------------------------------------------------------------------ the documented operations

    def write(self, data: Mapping[str, object], *, create: bool) -> Plan:
        """CREATE or UPDATE. Raises EntityNotFound for an UPDATE whose author had seen the entity deleted."""
        entity = self.entity
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        deletions = entity.document.siblings(DELETED_AT)
        self._fields.create = create
        if deletions and not entity.view.alive and all(map(self.seen, deletions)):
            if not create:
                raise EntityNotFound(
                    f"{entity.key[0]} {entity.key[1]} was deleted at {entity.view.deleted_at}",
                    "$.operation.entity_id",
                )
            self._fields.afresh = True
            records = [record for record in entity.document.records() if record.path[:1] != (SETTLEMENT,)]
            self._fields.remove(record for record in records if self.seen(record))
        if entity.policy.strategy.whole_entity:
            base = {} if create else entity.view.fields
            self._fields.register(WHOLE, {**base, **fields})
        else:
            self._fields.write(fields)
        return self._fields.plan(fields)

    def delete(self, data: Mapping[str, object], at: str) -> Plan:
        """DELETE: one record that names the live operations its author had seen; other fields are written too.

        at: ISO 8601 time of the deletion, where `data` names none.
        """
        document = self.entity.document
        given = data.get("deleted_at")
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        whole = self.entity.policy.strategy.whole_entity
        saw = {r.operation for r in document.records() if r.path != DELETED_AT and self.seen(r)}
        if whole and fields:
            self._fields.register(WHOLE, {**self.entity.view.fields, **fields})
        elif not whole:
            self._fields.write(fields)
        self._fields.remove(record for record in document.siblings(DELETED_AT) if self.seen(record))
        self._fields.add(DELETED_AT, {"at": given if isinstance(given, str) else at, "saw": sorted(saw)}, ())
        return self._fields.plan([*fields, "deleted_at"])

    # ------------------------------------------------------------------ resolution

    def resolve(self, conflict: Conflict, side: str, resolved: Mapping[str, object] | None, at: str) -> Plan:
        """conflict_resolution: supersedes exactly the operations the conflict names; `resolved` wins over `side`."""
        operations = set(conflict.operations)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        extra = {k: v for k, v in (resolved or {}).items() if k not in RESERVED}
        if conflict.path == DELETED_AT:
            return self._resolve_deletion(conflict, operations, side, resolved, extra, at)
        doomed = [r for r in self.entity.document.siblings(conflict.path) if r.operation in operations]
        self._fields.remove(doomed)
        if conflict.path == WHOLE:
            base = _as_object(chosen)
            self._fields.add(WHOLE, {**base, **extra}, doomed)
            return self._fields.plan([*base, *extra])
        policy = self.entity.policy
        names = policy.kinds.names(conflict.path)
        given = {name: extra.pop(name) for name in names if name in extra}
        kind = policy.kinds.at(conflict.path)
        decided = kind.decided(self.entity.document, policy, conflict.path, chosen, given)
        self._fields.add(conflict.path, decided, doomed)
        self._fields.write(extra)
        return self._fields.plan([*names, *extra])

    def _resolve_deletion(
        self,
        conflict: Conflict,
        operations: set[str],
        side: str,
        resolved: Mapping[str, object] | None,
        extra: dict[str, object],
        at: str,
    ) -> Plan:
        document = self.entity.document
        doomed = [r for r in document.siblings(DELETED_AT) if r.operation in operations]
        self._fields.remove(doomed)
        deletion = next((r for r in conflict.candidates if r.path == DELETED_AT), None)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        kept = resolved is not None and "deleted_at" not in resolved and bool(extra)
        if chosen.path == DELETED_AT and deletion is not None and not kept:
            saw = {r.operation for r in document.records() if r.operation in operations or self.seen(r)}
            earlier = _as_object(deletion)
            given = (resolved or {}).get("deleted_at", earlier.get("at"))
            stated = given if isinstance(given, str) else at
            self._fields.add(DELETED_AT, {"at": stated, "saw": sorted(saw - {deletion.operation})}, doomed)
            return self._fields.plan(["deleted_at"])
        if self.entity.policy.strategy.whole_entity:
            if extra:
                self._fields.register(WHOLE, {**self.entity.view.fields, **extra})
        else:
            self._fields.write(extra)
        return self._fields.plan(list(extra))


def _as_object(record: FieldRecord) -> dict[str, object]:
    """The value of a whole entity or of a deletion, which is an object."""
    return record.value if isinstance(record.value, dict) else {}
