"""What a conflict is, its id, and what the documented messages say of it.

A conflict is a register with more than one value, or a deletion that had not seen a write. Everything in it
derives from the records alone, so every node that holds them raises the same conflict, with the same id, once.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import frozen
from crdt.hlc import iso, millis
from crdt.json_values import equal
from crdt.records import FieldRecord, Path
from strategies.kinds.kinds import FieldKinds
from strategies.paths import DELETED_AT
from strategies.strategy import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crdt.document import Document


DELETE_CONFLICT = "delete_conflict"
VERSION_CONFLICT = "version_conflict"


def conflict_id(entity_type: str, entity_id: str, path: Path, operations: Sequence[str]) -> str:
    """The same on every node: a hash of the entity, the register and its sibling operations.

    operations: their names (crdt.records.name_of), sorted.
    """
    text = orjson.dumps([entity_type, entity_id, path, operations])
    return "conflict-" + blake2b(text, digest_size=10).hexdigest()


@frozen
class Conflict:
    """Concurrent siblings of one register, or a deletion and the writes it had not seen.

    candidates: the shown record first, then the challengers.
    operations: the names of the operations that collided, sorted.
    """

    id: str
    type: str
    state: str
    entity_type: str
    entity_id: str
    path: Path
    candidates: tuple[FieldRecord, ...]
    operations: tuple[str, ...]
    prevailing: frozenset[str]
    """Operations whose value is shown."""
    kinds: FieldKinds = field(eq=False, repr=False)
    """Of the entity type's fields."""

    @property
    def shown(self) -> FieldRecord:
        return self.candidates[0]

    @property
    def challenger(self) -> FieldRecord:
        return self.candidates[1]

    @property
    def created_at(self) -> str:
        """When the youngest candidate was accepted: the moment the conflict came to be."""
        return iso(max(millis(record.accepted) for record in self.candidates))

    def authors(self) -> tuple[str, ...]:
        return tuple(sorted({record.terminal for record in self.candidates}))

    def losers(self) -> tuple[str, ...]:
        """Terminals whose value is not shown."""
        return tuple(sorted({r.terminal for r in self.candidates if r.name not in self.prevailing}))

    def body(self) -> dict[str, object]:
        """The `conflict` object of a `sync_conflict` (node/wire/protocol.md, "`sync_conflict`")."""
        sides = [
            candidate(r.name, iso(millis(r.stamp)), iso(millis(r.accepted)), self.side(r)) for r in self.candidates
        ]
        local, remote = self.side(self.shown), self.side(self.challenger)
        entity = (self.entity_type, self.entity_id)
        return body(self.id, self.type, self.state, entity, self.path, local, remote, self.created_at, sides)

    def side(self, record: FieldRecord) -> dict[str, object]:
        """One candidate as `local_data` and `remote_data` show it: its fields and its version."""
        if record.path == DELETED_AT:
            value = record.value
            return {"deleted_at": value.get("at") if isinstance(value, dict) else None, "version": record.version}
        return {**self.kinds.at(record.path).side(record), "version": record.version}


def body(
    id: str,
    type: str,
    state: str,
    entity: tuple[str, str],
    path: Path,
    local: Mapping[str, object],
    remote: Mapping[str, object],
    at: str,
    sides: Sequence[Mapping[str, object]],
) -> dict[str, object]:
    """The `conflict` object of a `sync_conflict`.

    entity: its type and id. local, remote: what is shown and what is not, with their versions.
    at: when it came to be, ISO 8601. sides: each as `candidate` gives it.
    """
    return {
        "id": id,
        "type": type,
        "entity_type": entity[0],
        "entity_id": entity[1],
        "local_data": local,
        "remote_data": remote,
        "local_version": local["version"],
        "remote_version": remote["version"],
        "created_at": at,
        "path": list(path),
        "state": state,
        "candidates": sides,
    }


def candidate(name: str, at: str, accepted_at: str, data: Mapping[str, object]) -> dict[str, object]:
    """One side of a conflict. name: of its operation. at, accepted_at: when it was written and accepted, ISO 8601."""
    terminal_id, _, operation_id = name.partition("/")
    return {
        "operation_id": operation_id,
        "terminal_id": terminal_id,
        "timestamp": at,
        "accepted_at": accepted_at,
        "data": data,
    }


def sibling_conflict(
    entity_type: str,
    entity_id: str,
    path: Path,
    ordered: Sequence[FieldRecord],
    document: Document,
    kinds: FieldKinds,
    *,
    type: str,
    state: str,
) -> Conflict:
    """The conflict of a register whose siblings, shown first, hold different values."""
    operations = tuple(sorted({record.name for record in ordered}))
    kind = kinds.at(path)
    shown = kind.compared(ordered[0], document)
    prevailing = frozenset(record.name for record in ordered if equal(kind.compared(record, document), shown))
    return Conflict(
        conflict_id(entity_type, entity_id, path, operations),
        type,
        state,
        entity_type,
        entity_id,
        path,
        _once(ordered),
        operations,
        prevailing,
        kinds,
    )


def _once(ordered: Sequence[FieldRecord]) -> tuple[FieldRecord, ...]:
    """Copies of one operation under several writers that say the same are one candidate."""
    found: list[FieldRecord] = []
    for record in ordered:
        if not any(record.name == one.name and equal(record.value, one.value) for one in found):
            found.append(record)
    return tuple(found)


def deletion_conflict(
    entity_type: str,
    entity_id: str,
    deletions: Sequence[FieldRecord],
    unseen: Iterable[FieldRecord],
    kinds: FieldKinds,
    *,
    alive: bool,
    state: str,
    overruled: int = 0,
) -> Conflict:
    """A deletion against writes it had not seen: an open `delete_conflict`, or settled by the strategy's rule.

    The prevailing side comes first.
    overruled: how many of the writes, the first ones, overrule the deletion (guard.py). They stay in front.
    """
    found = tuple(unseen)
    writes = [*_latest_first(found[:overruled]), *_latest_first(found[overruled:])]
    deleters = sorted(deletions, key=lambda r: (-r.accepted, r.terminal, r.operation))
    first, second = (writes, deleters) if alive else (deleters, writes)
    candidates = (first[0], *second, *first[1:])
    operations = tuple(sorted({record.name for record in candidates}))
    return Conflict(
        conflict_id(entity_type, entity_id, DELETED_AT, operations),
        DELETE_CONFLICT if state == OPEN else VERSION_CONFLICT,
        state,
        entity_type,
        entity_id,
        DELETED_AT,
        candidates,
        operations,
        frozenset(record.name for record in first),
        kinds,
    )


def _latest_first(writes: Iterable[FieldRecord]) -> list[FieldRecord]:
    return sorted(writes, key=lambda r: (-r.accepted, r.terminal, r.operation, r.path))
