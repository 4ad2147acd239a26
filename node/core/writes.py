"""What an operation does to one entity's document: which records it supersedes, which it adds.

Pure planning: nothing is changed here. `Plan` is then carried out in one document transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from attrs import define, frozen

from crdt.document import CANONICAL, FieldRecord, NewField, Path
from node.errors import EntityNotFound
from strategies.registers import DELETED_AT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from node.core.entity import Entity, Seen
    from strategies.conflict import Conflict

RESERVED = frozenset({"version", "deleted_at"})
"""Names in an operation's `data` that are no fields: the count of versions, and what DELETE writes."""


@frozen
class Stamp:
    """Who writes, with which clocks. stamp: HLC of the documented timestamp; accepted: HLC of this node."""

    terminal: str
    operation: str
    stamp: int
    accepted: int


@define(eq=False)
class Plan:
    """One document transaction. named: top-level fields the operation names."""

    supersede: tuple[FieldRecord, ...]
    fields: tuple[NewField, ...]
    increment: int
    named: tuple[str, ...]


def increment(current: int, version: int | None, jump: int) -> int:
    """How much the writer's share grows: one, or what a documented version runs ahead by, at most `jump`."""
    if version is None or version <= current:
        return 1
    return min(version - current, jump)


class Planner:
    """Plans the operations of one author on one entity."""

    def __init__(self, entity: Entity, stamp: Stamp, seen: Seen, version: int | None, jump: int) -> None:
        self.entity = entity
        self.stamp = stamp
        self.seen = seen
        self.increment = increment(entity.document.version, version, jump)
        self.version = entity.document.version + self.increment
        self._supersede: dict[tuple[int, int], FieldRecord] = {}
        self._fields: list[NewField] = []

    # ------------------------------------------------------------------ the documented operations

    def write(self, data: Mapping[str, object], *, create: bool) -> Plan:
        """CREATE or UPDATE. Raises EntityNotFound for an UPDATE whose author had seen the entity deleted."""
        entity = self.entity
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        deletions = entity.document.siblings(DELETED_AT)
        afresh = False
        if deletions and not entity.view.alive and all(map(self.seen, deletions)):
            if not create:
                raise EntityNotFound(
                    f"{entity.key[0]} {entity.key[1]} was deleted at {entity.view.deleted_at}",
                    "$.operation.entity_id",
                )
            afresh = True
            self._replace(record for record in list(entity.document.records()) if self.seen(record))
        if entity.policy.strategy.whole_entity:
            base = {} if create else entity.view.fields
            self._register(WHOLE, {**base, **fields}, afresh=afresh)
        else:
            for name, value in fields.items():
                self._register((name,), value, afresh=afresh)
        return self._plan(fields)

    def delete(self, data: Mapping[str, object], at: str) -> Plan:
        """DELETE: one record that names the live operations its author had seen; other fields are written too."""
        document = self.entity.document
        given = data.get("deleted_at")
        fields = {name: value for name, value in data.items() if name not in RESERVED}
        whole = self.entity.policy.strategy.whole_entity
        saw = {r.operation for r in document.records() if r.path != DELETED_AT and self.seen(r)}
        if whole and fields:
            self._register(WHOLE, {**self.entity.view.fields, **fields})
        elif not whole:
            for name, value in fields.items():
                self._register((name,), value)
        self._replace(record for record in document.siblings(DELETED_AT) if self.seen(record))
        self._add(DELETED_AT, {"at": given if isinstance(given, str) else at, "saw": sorted(saw)}, ())
        return self._plan([*fields, "deleted_at"])

    # ------------------------------------------------------------------ resolution

    def resolve(self, conflict: Conflict, side: str, resolved: Mapping[str, object] | None, at: str) -> Plan:
        """conflict_resolution: supersedes exactly the operations the conflict names; `resolved` wins over `side`."""
        operations = set(conflict.operations)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        extra = {k: v for k, v in (resolved or {}).items() if k not in RESERVED}
        if conflict.path == DELETED_AT:
            return self._resolve_deletion(conflict, operations, side, resolved, extra, at)
        doomed = [r for r in self.entity.document.siblings(conflict.path) if r.operation in operations]
        self._replace(doomed)
        if conflict.path == WHOLE:
            base = _as_object(chosen.value)
            self._add(WHOLE, {**base, **extra}, doomed)
            return self._plan([*base, *extra])
        name = conflict.path[0]
        self._add(conflict.path, extra.pop(name, chosen.value), doomed)
        for other, value in extra.items():
            self._register((other,), value)
        return self._plan([name, *extra])

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
        self._replace(doomed)
        deletion = next((r for r in conflict.candidates if r.path == DELETED_AT), None)
        chosen = conflict.challenger if side == "accept_remote" else conflict.shown
        kept = resolved is not None and "deleted_at" not in resolved and bool(extra)
        if chosen.path == DELETED_AT and deletion is not None and not kept:
            saw = {r.operation for r in document.records() if r.operation in operations or self.seen(r)}
            earlier = _as_object(deletion.value)
            given = (resolved or {}).get("deleted_at", earlier.get("at"))
            stated = given if isinstance(given, str) else at
            self._add(DELETED_AT, {"at": stated, "saw": sorted(saw - {deletion.operation})}, doomed)
            return self._plan(["deleted_at"])
        if self.entity.policy.strategy.whole_entity:
            if extra:
                self._register(WHOLE, {**self.entity.view.fields, **extra})
        else:
            for name, value in extra.items():
                self._register((name,), value)
        return self._plan(list(extra))

    # ------------------------------------------------------------------ parts

    def _register(self, path: Path, value: object, *, afresh: bool = False) -> None:
        """One write to one register. Writing again what its author saw there is no write, so a client that
        sends the whole entity each time contests only what it changed."""
        strategy = self.entity.policy.strategy
        siblings = self.entity.document.siblings(path)
        seen = [record for record in siblings if self.seen(record)]
        if seen and not afresh:
            known = strategy.ordered(seen)[0]
            if known.canonical() == orjson.dumps(value, option=CANONICAL):
                return
        doomed = strategy.superseded(siblings, seen, self.stamp.terminal)
        self._replace(doomed)
        self._add(path, value, doomed)

    def _replace(self, records: Iterable[FieldRecord]) -> None:
        for record in records:
            self._supersede[record.id] = record

    def _add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        stamp = self.stamp
        rank = min((record.rank for record in superseded), default=stamp.accepted)
        self._fields.append(
            NewField(
                path,
                value,
                stamp.stamp,
                stamp.terminal,
                stamp.operation,
                self.version,
                stamp.accepted,
                min(rank, stamp.accepted),
            )
        )

    def _plan(self, named: Iterable[str]) -> Plan:
        names = tuple(dict.fromkeys(named))
        return Plan(tuple(self._supersede.values()), tuple(self._fields), self.increment, names)


def _as_object(value: object) -> dict[str, object]:
    """A record's value where it is an object by construction (a whole entity, a deletion)."""
    return value if isinstance(value, dict) else {}
