"""Every value that was ever written to a field, each once, with its author and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crdt.classes import define
from crdt.hlc import COUNTER_BITS, iso, millis
from crdt.json_values import canonical
from crdt.records import FieldRecord
from node.core.history.field_records import Act, Trail
from strategies.explain import restored, said_of, shown_of, shows_from
from strategies.kinds.kind import ABSENT
from strategies.paths import COUNTED, is_movement

if TYPE_CHECKING:
    from node.core.entities.entity import Entity

SHOWN, CANDIDATE, UNUSED, MOVED, SUPERSEDED = "shown", "candidate", "unused", "moved", "superseded"
STATES = (SHOWN, CANDIDATE, UNUSED, MOVED, SUPERSEDED)
"""What became of a value.

unused: it is live, but since a change of the configuration the field is shown from elsewhere.
moved: a movement of a counter. It counts whatever is written after it.
"""


@define(eq=False)
class Writing:
    """One value that somebody wrote, and what became of it.

    An operation that came under two writers is one writing.

    data: what an operation has to write to bring the value back.
    act: the operation that wrote it; None if the log does not have it.
    """

    record: FieldRecord
    value: object
    state: str
    data: Mapping[str, object]
    act: Act | None
    superseded_by: list[Act]

    def report(self, name: str) -> dict[str, object]:
        record, act = self.record, self.act
        return {
            "operation_id": record.operation,
            "state": self.state,
            "value": None if self.value is ABSENT else self.value,
            "absent": self.value is ABSENT,
            "data": self.data,
            "named": None if act is None else name in act.data,
            "path": list(record.path),
            "terminal_id": record.terminal,
            "user_id": act and act.user_id,
            "origin": act and act.origin,
            "via": act and act.via,
            "signed": act and act.signed,
            "timestamp": act and act.timestamp,
            "effective_timestamp": iso(millis(record.stamp)),
            "accepted_at": iso(millis(record.accepted)),
            "clock": None if act is None or act.clock is None else act.clock.report(),
            "assumed": None if act is None else act.assumption(),
            "stamp": _parts(record.stamp),
            "accepted": _parts(record.accepted),
            "version": record.version,
            "lock_status": act and act.lock_status,
            "resolves": act and act.resolves,
            "reason": act and act.reason,
            "seq": act and act.seq,
            "superseded_by": [killer.brief() for killer in self.superseded_by],
        }


def _parts(stamp: int) -> tuple[int, int]:
    """An HLC as milliseconds and counter. JavaScript cannot hold it exactly as one number."""
    return millis(stamp), stamp & (2**COUNTER_BITS - 1)


def writings_of(trail: Trail, entity: Entity) -> list[Writing]:
    """Every value of the trail's field: shown, then candidates, then superseded; of each the latest first."""
    document, killers = entity.document, trail.killers()
    shown = {record.id for path in document.fields for record in shown_of(entity.view, path, document.siblings(path))}
    found: dict[tuple[object, ...], Writing] = {}
    for identity, record in sorted(trail.records.items()):
        live = document.record(*identity) is not None
        value = said_of(record, trail.name, entity.policy)
        if value is ABSENT and (not live or is_movement(record.path)):
            continue
        state = SHOWN if identity in shown else CANDIDATE if live else SUPERSEDED
        if live and not shows_from(entity.view, document, record.path, trail.name):
            state = UNUSED
        if is_movement(record.path):
            if record.path != COUNTED and record.id not in {r.id for r in document.siblings(record.path)[:1]}:
                continue  # several nodes settled it, and it counts once
            state = MOVED
        data = restored(record, trail.name, entity.view)
        writing = Writing(record, value, state, data, trail.acts.get(identity), killers.get(identity, []))
        same: tuple[object, ...] = (record.name, record.path, None if value is ABSENT else canonical(value))
        if state == MOVED:
            same = identity  # under two writers it moved twice, until one of them was settled
        other = found.get(same)
        found[same] = writing if other is None else _together(other, writing)
    return sorted(found.values(), key=lambda w: (STATES.index(w.state), -w.record.accepted, w.record.operation))


def _together(one: Writing, other: Writing) -> Writing:
    """One writing of two records of one operation. It is live while one of them is."""
    if STATES.index(other.state) < STATES.index(one.state):
        one, other = other, one
    if one.state == SUPERSEDED:
        acts = {act.name: act for act in (*one.superseded_by, *other.superseded_by)}
        one.superseded_by = list(acts.values())
    if one.act is None:
        one.act = other.act
    return one
