"""Entities as of a moment: a place in this node's log, or a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from crdt.hlc import iso
from node.core.entities.entity import Entity
from node.core.history.rebuild import at_seq, at_time

if TYPE_CHECKING:
    from storage.records import EntityRow
    from storage.sqlite.history_reader import HistoryReader
    from strategies.policy import EntityPolicy


@frozen
class Moment:
    """A place in the log, or a time. seq: a row of the log. ms: Unix milliseconds, where `seq` is None.

    assumed_zone: where that time was read, if it names no offset.
    """

    seq: int | None
    ms: int | None
    assumed_zone: str | None = None

    def report(self) -> dict[str, object]:
        if self.ms is None:
            return {"seq": self.seq}
        return {"at": iso(self.ms), **({"assumed_zone": self.assumed_zone} if self.assumed_zone else {})}


def entity_then(
    history: HistoryReader, row: EntityRow, policy: EntityPolicy, moment: Moment, engine: str
) -> Entity | None:
    """An entity as it was at a moment. None where the log does not tell. row: the entity as it is now.

    An entity that nobody had written yet comes as an empty document. Raises HistoryError and StorageError.
    """
    key, seq = (row.entity_type, row.entity_id), moment.seq or 0
    if moment.ms is None and row.seq <= seq:  # not written since
        return Entity.load(key, policy, row, writer=1, engine=engine)
    with history.moment():
        base = history.entity_base(key)
        if moment.ms is not None:
            then = at_time(history.entity_rows(key), moment.ms, key, policy, engine, base)
            return None if then is None else then.entity()
        if base is not None and base.seq > seq:  # archived meanwhile
            return None
        return at_seq(history.entity_rows(key), seq, key, policy, engine, base).entity()


def shown(entity: Entity) -> dict[str, object]:
    """As `GET /api/v1/entities` answers, without the lock: the log does not tell it."""
    return {
        "entity_type": entity.key[0],
        "entity_id": entity.key[1],
        "version": entity.document.version,
        "deleted": not entity.view.alive,
        "data": entity.shown(),
        "conflicts": sorted(c.id for c in entity.view.conflicts.values() if c.state == "open"),
    }
