"""One operation under two writers: a terminal sent it to two nodes, or to a node that was restored since.

The first node that holds both copies commits a repair, and every node would make the same one. The smaller writer's
copy of each record stays, unless one of the copies was superseded: then none stays. What the larger writer's copy
counted is taken back by a record that counts once, however many nodes write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from crdt.decimals import decimal_of, total_of
from node.core.operations.record import housekeep
from storage.records import key64
from strategies.paths import SETTLEMENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crdt.decimals import Total
    from crdt.records import FieldRecord, Path
    from node.core.entities.entity import Entity
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from storage.records import LogRow


def repair(replica: Replica, entity: Entity, first: LogRow, second: LogRow, now: Instant) -> None:
    """Write the repair of an entity, if it needs one. first, second: the rows of one operation under two writers."""
    if "repairs" in orjson.loads(second.operation):
        return  # every node's own repair has the same id
    doomed = _doubled(entity, second)
    writer, counted = max(_counted(entity, first), _counted(entity, second), key=lambda found: found[0])
    path = (SETTLEMENT, f"{second.operation_id}:{writer}")
    # What an archived copy counted, and under which writer, may be unknown here. Another node knows it.
    settles = bool(counted and first.updates) and not entity.document.siblings(path)
    if not doomed and not settles:
        return
    operation = {
        "id": f"repair-{key64(*entity.key, second.operation_id):016x}-{writer}",
        "entity_type": entity.key[0],
        "entity_id": entity.key[1],
        "operation": "UPDATE",
        "data": {},
        "timestamp": hlc.iso(now.wall_ms),
        "terminal_id": replica.settings.node_id,
        "repairs": second.operation_id,
    }
    taken_back = {name: total_of(-decimal_of(total)) for name, total in counted.items()}
    housekeep(replica, entity, operation, doomed, [(path, taken_back)] if settles else [], now)


def _doubled(entity: Entity, row: LogRow) -> list[FieldRecord]:
    copies: dict[Path, list[FieldRecord]] = {}
    for record in entity.document.records():
        if record.operation == row.operation_id and record.terminal == row.terminal_id:
            copies.setdefault(record.path, []).append(record)
    doomed: list[FieldRecord] = []
    for path, records in copies.items():
        keep = min(records, key=lambda r: r.writer) if len(records) > 1 else None
        # One copy is left beside records of others: somebody who had seen the other copy superseded it.
        outlived = len(entity.document.siblings(path)) > 1
        doomed += [r for r in records if r is not keep and (keep is not None or outlived)]
    return doomed


def _counted(entity: Entity, row: LogRow) -> tuple[int, Mapping[str, Total]]:
    """The writer of an operation's update of this entity, and what it counted."""
    entries: Sequence[list[object]] = orjson.loads(row.updates) if row.updates else ()
    for entry in entries:
        match entry:
            case [entity_type, entity_id, _, _, [int(writer), *_], *counts] if (entity_type, entity_id) == entity.key:
                return writer, counts[0] if counts and isinstance(counts[0], dict) else {}
    return 0, {}
