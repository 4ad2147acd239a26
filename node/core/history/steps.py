"""One row of the log as a step in an entity's life: who did it, when by which clock, and what it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from crdt.classes import frozen
from crdt.hlc import iso, millis
from crdt.json_values import equal
from node.core.history.clock_words import clock_word
from node.core.log.messages import user_of
from storage.records import LogRow
from strategies.kinds.kind import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOTHING: Mapping[str, object] = {}

Part = Callable[[object], object]
"""What of a field's value is looked at; of ABSENT that is ABSENT."""


def whole(value: object) -> object:
    return value


@frozen(eq=False)
class OpenedRow:
    """A row taken apart once, for however many entities it wrote.

    raw: the operation as its author sent it. written: what it wrote, before and after: what was shown of that. Of a
    BULK_UPDATE these are by entity.
    """

    row: LogRow
    raw: Mapping[str, object]
    written: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    arrived_at: str

    @classmethod
    def of(cls, row: LogRow) -> OpenedRow:
        """Raises ValueError or KeyError for what this node would not have written."""
        raw = orjson.loads(row.operation) if row.operation else {}
        data = raw.get("data") or {}
        changes = orjson.loads(row.changes) if row.changes else {}
        if raw.get("operation") == "BULK_UPDATE":
            data = {item["entity_id"]: item["data"] for item in data["updates"]}
        arrived_at = changes.get("arrived_at") or iso(millis(row.accepted))
        return cls(row, raw, data, changes.get("before", NOTHING), changes.get("after", NOTHING), arrived_at)

    def step(self, entity_id: str) -> Step:
        """What it did to one entity."""
        parts = (self.written, self.before, self.after)
        if self.raw.get("operation") == "BULK_UPDATE":
            parts = tuple(part.get(entity_id, NOTHING) for part in parts)
        return Step(self.row, self.raw, *parts, self.arrived_at)


@frozen(eq=False)
class Step:
    """What one row did to one entity.

    raw: the operation as its author sent it. written: the fields that it names there, with their values.
    before, after: what was shown of the fields that it touched; a field that is not there was not shown.
    """

    row: LogRow
    raw: Mapping[str, object]
    written: Mapping[str, object]
    before: Mapping[str, object]
    after: Mapping[str, object]
    arrived_at: str

    @classmethod
    def of(cls, row: LogRow, entity_id: str) -> Step:
        """Raises ValueError or KeyError for what this node would not have written."""
        return OpenedRow.of(row).step(entity_id)

    @property
    def name(self) -> str:
        """Of the operation."""
        return self.row.name

    def changed(self, part: Part = whole) -> Iterator[str]:
        """The fields that were shown otherwise afterwards, as far as `part` looks at them."""
        for name in dict.fromkeys((*self.before, *self.after)):
            if not equal(part(self.before.get(name, ABSENT)), part(self.after.get(name, ABSENT))):
                yield name

    def author(self) -> dict[str, object]:
        """Who did it, where and when: by the clock that counts, and by the terminal's own where that was off.

        Of an entity that came whole from another node (a `state`) nobody is known.
        """
        row = self.row
        clock = clock_word(row.stamp, self.raw.get("timestamp"))
        known = row.kind != "state"
        return {
            "operation_id": row.operation_id,
            "terminal_id": row.terminal_id if known else None,
            **(user_of(row, self.raw) if known else {"user_id": None}),
            "node": row.origin,
            "timestamp": iso(millis(row.stamp)),
            "terminal_timestamp": self.raw.get("timestamp"),
            "clock": None if clock is None else clock.report(),
            "accepted_at": iso(millis(row.accepted)),
            "arrived_at": self.arrived_at,
            "seq": row.seq,
        }


def last_changes(steps: Iterable[Step], names: Iterable[str], part: Part = whole) -> dict[str, Step]:
    """By field, the latest of some steps that changed it. steps: the latest first; read as far as is needed."""
    wanted, found = set(names), dict[str, Step]()
    for step in steps:
        for name in wanted.intersection(step.changed(part)):
            wanted.discard(name)
            found[name] = step
        if not wanted:
            break
    return found
