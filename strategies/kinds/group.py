"""`groups`: fields that are one register together, as total and discount. Declared by `groups`, not as a kind.

The register is at ("@group", "total+discount") and holds an object of its fields. The whole entity of
`manual_resolution` is such an object too, at ().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.json_values import equal
from strategies.kinds.kind import ABSENT, Rule
from strategies.kinds.register import Register, winner
from strategies.paths import GROUP, group_names, group_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import Ordering, Write

TOGETHER = Rule(
    "group",
    "Vale junto com outros campos, como um só.",
    "It is one value together with other fields.",
)


class Group(Register):
    """A field of a group. names: the group's fields, in the declared order."""

    name = "group"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.path = group_path(names)

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        """A field that was written before it joined the group is shown from its own register."""
        shared = winner(document, policy, self.path)
        if shared is not None and isinstance(shared.value, dict) and field in shared.value:
            return shared.value[field]
        return super().show(document, policy, field)

    def shows_from(self, document: Document, policy: Ordering, path: Path, field: str) -> bool:
        if path[:1] != (GROUP,) and path != (field,):
            return True
        shared = winner(document, policy, self.path)
        grouped = shared is not None and (self.said(shared, field) is not ABSENT or not document.siblings((field,)))
        return path == self.path and grouped if path[:1] == (GROUP,) else not grouped

    def plan(self, write: Write, field: str, value: object) -> None:
        write.join(self.path, field, value)

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        return {**_fields(chosen), **resolved}

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        named = isinstance(value, dict) and field in value and equal(value[field], said)
        return self.may_replace(field, path) and named

    def may_replace(self, field: str, path: Path) -> bool:
        return path[:1] == (GROUP,) and field in group_names(path)

    def side(self, record: FieldRecord) -> dict[str, object]:
        return _fields(record)

    def said(self, record: FieldRecord, field: str) -> object:
        return record.value.get(field, ABSENT) if isinstance(record.value, dict) else ABSENT

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        """All fields come back: they are one value."""
        return _fields(record)


def _fields(record: FieldRecord) -> dict[str, object]:
    return dict(record.value) if isinstance(record.value, dict) else {}
