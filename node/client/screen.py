"""The screen: what a terminal shows. Pure.

Of each entity it holds what was shown before the oldest unanswered write of its own, and everything since in the
order in which it came: own writes where they were made, rows where they arrived. The node reckons with exactly this
order, and sends what is needed for it to end right. So a confirmation changes nothing here, and a refusal takes its
own step out, as if it had not been made.

What is shown has the unanswered writes over rows that came since. Where such a row was decided before the write, the
write is shown all the same, as it will be; where after, the answer that is on its way says so.
"""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import define, field

from node.client.values import Fields, Key, Message, Operation, writes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

NOT_FIELDS = ("version", "deleted_at")
"""Members of `data` that are no fields of the entity."""

DOCUMENTED_COUNTERS: Mapping[str, Collection[str]] = {"products": ("stock",)}
"""Entity type -> its fields that are counters where nothing else is configured."""


@define(eq=False)
class _Step:
    """kind: CREATE, UPDATE or DELETE. own: the unanswered operation that it is of, if it is not the node's."""

    kind: str
    data: Fields
    own: str | None


@define(eq=False)
class _Entity:
    """before: None where it is not there."""

    before: Fields | None = None
    steps: list[_Step] = field(factory=list)


class Screen:
    """counters: entity type -> fields in which `{"$inc": n}` is a movement and `{"$set": n}` a count."""

    def __init__(self, counters: Mapping[str, Collection[str]] = DOCUMENTED_COUNTERS) -> None:
        self._counters = counters
        self._entities: dict[str, dict[str, _Entity]] = {}

    # ------------------------------------------------------------------ changes

    def wrote(self, operation: Operation) -> None:
        """This terminal made an operation."""
        for key, kind, data in operation.writes:
            self._at(key).steps.append(_Step(kind, _fields(data), operation.id))

    def row(self, operation: Message) -> tuple[str, ...]:
        """The node sent an operation; the ids of the entities that it changes."""
        writes = writes_of(operation)
        for key, kind, data in writes:
            self._take(key, _Step(kind, _fields(data), None))
        return tuple(dict.fromkeys(key[1] for key, _, _ in writes))

    def settled(self, operation: Operation) -> None:
        """An own operation was taken by the node."""
        for key in {key for key, _, _ in operation.writes}:
            entity = self._at(key)
            for step in entity.steps:
                if step.own == operation.id:
                    step.own = None
            self._trim(key, entity)

    def undone(self, operation: Operation) -> None:
        """An own operation was refused."""
        for key in {key for key, _, _ in operation.writes}:
            entity = self._at(key)
            entity.steps = [step for step in entity.steps if step.own != operation.id]
            self._trim(key, entity)

    def replaced(self, key: Key, fields: Fields | None) -> None:
        """The node said what an entity shows now, own unanswered writes aside. fields: None where it is not there."""
        step = _Step("DELETE", {}, None) if fields is None else _Step("CREATE", _fields(fields), None)
        entity = self._at(key)
        entity.before, entity.steps = None, [step, *(s for s in entity.steps if s.own is not None)]
        self._trim(key, entity)

    def begin_anew(self, unanswered: Collection[Operation]) -> None:
        """Nothing is known any more but what this terminal wrote itself."""
        self._entities.clear()
        for operation in unanswered:
            self.wrote(operation)

    def _at(self, key: Key) -> _Entity:
        return self._entities.setdefault(key[0], {}).setdefault(key[1], _Entity())

    def _take(self, key: Key, step: _Step) -> None:
        entity = self._at(key)
        entity.steps.append(step)
        self._trim(key, entity)

    def _trim(self, key: Key, entity: _Entity) -> None:
        """Carry out what stands before the oldest unanswered write."""
        done = 0
        for step in entity.steps:
            if step.own is not None:
                break
            entity.before = self._after(key[0], entity.before, step)
            done += 1
        del entity.steps[:done]
        if entity.before is None and not entity.steps:
            del self._entities[key[0]][key[1]]

    # ------------------------------------------------------------------ looking

    def entities(self, entity_type: str) -> dict[str, Fields]:
        """What is shown of a type, by id; the caller's own copy."""
        found = {i: self._shown(entity_type, e) for i, e in self._entities.get(entity_type, {}).items()}
        return {entity_id: deepcopy(fields) for entity_id, fields in found.items() if fields is not None}

    def entity(self, entity_type: str, entity_id: str) -> Fields | None:
        entity = self._entities.get(entity_type, {}).get(entity_id)
        return None if entity is None else deepcopy(self._shown(entity_type, entity))

    def __iter__(self) -> Iterator[str]:
        """The entity types of which there is something."""
        return iter([entity_type for entity_type, entities in self._entities.items() if entities])

    def _shown(self, entity_type: str, entity: _Entity) -> Fields | None:
        fields, covered = entity.before, False
        for step in entity.steps:
            fields = self._after(entity_type, fields, step)
            covered |= step.own is None
        if covered:
            for step in entity.steps:
                if step.own is not None:
                    fields = self._laid_over(entity_type, fields, step)
        return fields

    def _laid_over(self, entity_type: str, fields: Fields | None, step: _Step) -> Fields | None:
        """An own write over rows that came since. Of a movement the rows may tell already, so it is not added."""
        if step.kind == "DELETE":
            return None
        if fields is None and step.kind == "UPDATE":
            return None
        counters = self._counters.get(entity_type, ())
        plain = {n: v for n, v in step.data.items() if not (n in counters and isinstance(v, dict) and "$inc" in v)}
        return self._after(entity_type, fields or {}, _Step("UPDATE", plain, step.own))

    def _after(self, entity_type: str, fields: Fields | None, step: _Step) -> Fields | None:
        """An entity's fields after one step, always another object."""
        if step.kind == "DELETE":
            return None
        after = {} if fields is None or step.kind == "CREATE" else dict(fields)
        counters = self._counters.get(entity_type, ())
        for name, value in step.data.items():
            counted = name in counters and isinstance(value, dict)
            after[name] = _counted((fields or {}).get(name), value) if counted else value
        return after


def _fields(data: Mapping[str, object]) -> Fields:
    return {name: value for name, value in data.items() if name not in NOT_FIELDS}


def _counted(before: object, said: Mapping[str, object]) -> object:
    """A counter after the movement `{"$inc": n}` or the count `{"$set": n}`; what is no number moves from 0."""
    match [*said.items()]:
        case [("$inc", int() | float() as step)] if not isinstance(step, bool):
            start = before if isinstance(before, int | float) and not isinstance(before, bool) else 0
            total = Decimal(str(start)) + Decimal(str(step))
            return int(total) if total == total.to_integral_value() else float(total)
        case [("$set", int() | float() as count)] if not isinstance(count, bool):
            return count
    return said
