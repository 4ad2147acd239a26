"""A field explained from the log: what is shown and why, and every value ever written to it, each with its author."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from crdt.classes import frozen
from node.core.entities.entity import Entity
from node.core.history.deletions import deletion_of
from node.core.history.field_records import Act, Trail
from node.core.history.rebuild import from_operations
from node.core.history.values import (
    MOVED,
    SUPERSEDED,
    Writing,
    writings_of,
)
from strategies.conflict import Conflict
from strategies.explain import Reason, conflicts_of, reason
from strategies.kinds.kind import ABSENT
from strategies.strategy import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crdt.records import FieldRecord
    from storage.answers import Base
    from storage.records import Key, LogRow
    from strategies.policy import EntityPolicy


ANSWER_BYTES = 4 * 1024 * 1024
"""About how many bytes of superseded values one explanation lists."""


@frozen
class Explanation:
    """One field of one entity.

    value: what the view shows, ABSENT where it shows none.
    deletion: who deleted the entity and over what, while a deletion stands (deletions.py).
    writings: the shown ones, then candidates, then superseded ones; of each the latest accepted first.
    seq: the last row of the entity that the log has.
    archived: the last of its rows that are not in the log any more.
    """

    entity: Entity
    name: str
    value: object
    reason: Reason
    conflicts: Sequence[Conflict]
    deletion: dict[str, object] | None
    writings: Sequence[Writing]
    refused: Sequence[Act]
    seq: int
    archived: int | None

    def report(self, most: int) -> dict[str, object]:
        """As HTTP answers. most: how many superseded values are listed, the latest first; ANSWER_BYTES of them."""
        entity = self.entity
        live = [w for w in self.writings if w.state not in (MOVED, SUPERSEDED)]
        superseded = [w for w in self.writings if w.state in (MOVED, SUPERSEDED)]
        return {
            "entity_type": entity.key[0],
            "entity_id": entity.key[1],
            "field": self.name,
            "version": entity.document.version,
            "deleted": not entity.view.alive,
            "value": None if self.value is ABSENT else self.value,
            "absent": self.value is ABSENT,
            "rule": {
                "strategy": entity.policy.strategy.name,
                "why": self.reason.codes,
                "pt": self.reason.pt,
                "en": self.reason.en,
            },
            "deletion": self.deletion,
            "conflicts": [_named(conflict, entity.policy) for conflict in self.conflicts],
            "candidates": [writing.report(self.name) for writing in live],
            "superseded": _within(writing.report(self.name) for writing in superseded[:most]),
            "superseded_total": len(superseded),
            "refused": [self._refused(act) for act in self.refused],
            "seq": self.seq,
            "archived": self.archived,
        }

    def _refused(self, act: Act) -> dict[str, object]:
        whole = self.entity.policy.strategy.whole_entity
        value = act.data[self.name]
        data = act.data if whole else {self.name: value}
        told = act.assumption()
        return {**act.brief(), "timestamp": act.timestamp, "value": value, "data": data, "assumed": told}


def _names(record: FieldRecord) -> dict[str, str]:
    return {"terminal_id": record.terminal, "operation_id": record.operation}


def _named(conflict: Conflict, policy: EntityPolicy) -> dict[str, object]:
    """A conflict with the operations of its two sides: those that a resolution by `local` or `remote` accepts."""
    return {
        "id": conflict.id,
        "type": conflict.type,
        "state": conflict.state,
        "path": list(conflict.path),
        "operations": [_names(record) for record in conflict.candidates],
        "local": _names(conflict.shown),
        "remote": _names(conflict.challenger),
        "freezes": conflict.state == OPEN and policy.strategy.freezes,
    }


def explain(
    rows: Iterable[LogRow], key: Key, policy: EntityPolicy, name: str, engine: str, base: Base | None = None
) -> Explanation | None:
    """Explain a field. None where nobody has written the entity. Raises HistoryError.

    rows: all rows of the entity, refused ones too.
    """
    trail = Trail(key, name)
    if base is not None:
        trail.begin(base)
    rebuilt = from_operations(trail.follow(rows), key, policy, engine, base)
    if not rebuilt.exists:
        return None
    entity = rebuilt.entity()
    view, document = entity.view, entity.document
    return Explanation(
        entity,
        name,
        entity.shown().get(name, ABSENT),
        reason(view, document, name, trail.decided),
        conflicts_of(view, name),
        deletion_of(entity, trail),
        writings_of(trail, entity),
        sorted(trail.refused.values(), key=lambda act: -act.accepted),
        trail.last_seq,
        base.seq if base is not None else None,
    )


def _within(reports: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """The first of them, of about ANSWER_BYTES."""
    found: list[dict[str, object]] = []
    size = 0
    for report in reports:
        found.append(report)
        size += len(orjson.dumps(report))
        if size > ANSWER_BYTES:
            break
    return found
