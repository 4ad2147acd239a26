"""One operation under two writers: a terminal sent it to two nodes, or to a node that was restored since.

The copies are one value: where both are live nothing is to be done. But somebody may have replaced the one that he
had seen, at a node that had only that one. Then the other ones go too, for he had seen the operation. And what an
operation counted counts once: the smallest writer's copy stands. What the others counted is taken back by a record
that counts once, however many nodes write it.

A node that comes to hold another copy commits the repair, and every node would make the same one. A repair removes
nothing but copies of an operation that somebody replaced. So whatever order operations and repairs come in, no
register loses a value that nobody has replaced.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson

from crdt import hlc
from crdt.classes import frozen
from crdt.decimals import Total, decimal_of, total_of
from crdt.records import FieldRecord, Path, parse_record
from crdt.update_format import decode_update
from node.core.operations.record import housekeep
from strategies.paths import SETTLEMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.entities.entity import Entity
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from storage.records import LogRow


@frozen
class Copy:
    """What one copy of an operation did to an entity. records: those it wrote, live or not."""

    writer: int
    records: Sequence[FieldRecord]
    counted: Mapping[str, Total]

    @property
    def taken_back(self) -> dict[str, Total]:
        """What undoes what it counted."""
        return {field: total_of(-decimal_of(total)) for field, total in self.counted.items()}


def repair(replica: Replica, entity: Entity, rows: Sequence[LogRow], now: Instant) -> None:
    """Write the repair of an entity, if it needs one. rows: the copies of one operation that this node holds.

    Of an archived copy may be unknown what it did, and under which writer. Another node knows it.
    """
    copies = copies_of(entity, rows)
    name, document = rows[0].name, entity.document
    doomed = outlived(entity, copies)
    settled: list[tuple[Path, object]] = []
    for copy in sorted(copies, key=lambda copy: copy.writer)[1:]:
        path = (SETTLEMENT, f"{name}:{copy.writer}")
        if copy.counted and not document.siblings(path):
            settled.append((path, copy.taken_back))
    if not doomed and not settled:
        return
    operation = {
        # The row that it becomes here: the writer's clock counts in each document by itself.
        "id": f"repair,{document.writer}-{replica.log.head + 1}",
        "entity_type": entity.key[0],
        "entity_id": entity.key[1],
        "operation": "UPDATE",
        "data": {},
        "timestamp": hlc.iso(now.wall_ms),
        "terminal_id": replica.settings.node_id,
        "repairs": name,
    }
    housekeep(replica, entity, operation, doomed, settled, now)


def copies_of(entity: Entity, rows: Iterable[LogRow]) -> list[Copy]:
    """What rows did to the entity, as far as that is known."""
    return [copy for row in rows if (copy := _copy_of(entity, row)) is not None]


def _copy_of(entity: Entity, row: LogRow) -> Copy | None:
    """What a row did to the entity; None if it did not touch it, or that is unknown."""
    entries: Iterable[list[object]] = orjson.loads(row.updates) if row.updates else ()
    for entry in entries:
        match entry:
            case [entity_type, entity_id, str(update), _, [int(writer), *_], *counts] if (
                entity_type,
                entity_id,
            ) == entity.key:
                counted = counts[0] if counts and isinstance(counts[0], dict) else {}
                return Copy(writer, _records(update), counted)
    return None


def _records(update: str) -> list[FieldRecord]:
    if not update:
        return []  # of an archived copy only what it counted is left
    inserts = decode_update(b64decode(update)).inserts
    records = (parse_record(insert.client, insert.clock, insert.text) for insert in inserts)
    return [record for record in records if isinstance(record, FieldRecord)]


def outlived(entity: Entity, copies: Sequence[Copy]) -> list[FieldRecord]:
    """The live records of the copies whose like, in the same register under another writer, was replaced."""
    live = entity.document.by_id
    replaced = {record.path for copy in copies for record in copy.records if record.id not in live}
    return [r for copy in copies for r in copy.records if r.id in live and r.path in replaced]
