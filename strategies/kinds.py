"""Field kinds: what a field is beside a plain register (design section 6). Declared per entity type.

register     one value (the default)
counter      an opening value and everything added and taken since, on whatever side of an outage
keyed_list   a list of objects with `id`: each element its own register
progress     a ranked status: of concurrent values the most advanced is shown
group        fields that are one register together
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from strategies.registers import by_time

if TYPE_CHECKING:
    from crdt.records import FieldRecord, Path

REGISTER = "register"
COUNTER = "counter"
KEYED_LIST = "keyed_list"
PROGRESS = "progress"
KINDS = (REGISTER, COUNTER, KEYED_LIST, PROGRESS)

GROUP = "@group"
"""First step of a group's path; the second names its fields."""

SETTLEMENT = "@settled"
"""First step of a record that takes back what one operation counted under a second writer."""

COUNTED: Path = ("@counted",)
"""The register that every movement of a counter writes, so that a deletion that had not seen it is noticed."""


@frozen
class FieldKind:
    """One field's kind. ranks: of `progress`, the least advanced first. lower: terminal types that may go back."""

    kind: str = REGISTER
    ranks: tuple[str, ...] = ()
    lower: tuple[str, ...] = ("pos",)

    def rank(self, value: object) -> int:
        """How advanced a status is; what is not ranked is below all."""
        return self.ranks.index(value) if isinstance(value, str) and value in self.ranks else -1


PLAIN = FieldKind()


@frozen
class FieldKinds:
    """The kinds of one entity type's fields. groups: fields that are one register together."""

    kinds: Mapping[str, FieldKind] = field(factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()

    def of(self, name: str) -> FieldKind:
        return self.kinds.get(name, PLAIN)

    def group_of(self, name: str) -> tuple[str, ...] | None:
        return next((group for group in self.groups if name in group), None)

    def counters(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind.kind == COUNTER]

    def names(self, path: Path) -> Sequence[str]:
        """The top-level fields that a register shows in."""
        if not path or path == COUNTED:
            return ()
        if path[0] == GROUP:
            return path[1].split("+")
        if path[0] == SETTLEMENT:
            return self.counters()
        return (path[0],)

    def by_progress(self, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord] | None:
        """Siblings of a ranked status, the most advanced first; None where the strategy orders them."""
        kind = self.of(path[0]) if len(path) == 1 else PLAIN
        if kind.kind != PROGRESS:
            return None
        return sorted(siblings, key=lambda record: (kind.rank(record.value), by_time(record)), reverse=True)


def group_path(group: Sequence[str]) -> Path:
    return (GROUP, "+".join(group))
