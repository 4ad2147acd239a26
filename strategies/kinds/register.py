"""`register`: one value, and what every field is that is not declared otherwise.

The other kinds are subclasses that say where they differ from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.json_values import equal
from strategies.kinds.kind import ABSENT, UNDECLARED, FieldKind, Rule
from strategies.paths import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.kinds.kind import After, Ordering, Write


class Register:
    """A Kind (kind.py): the register at (field,)."""

    name = "register"
    counts = False
    remembers = False
    carried = False
    rule: Rule | None = None
    order: Rule | None = None

    def __init__(self, declared: FieldKind = UNDECLARED) -> None:
        self.declared = declared

    def problem(self, field: str) -> str | None:
        if self.declared.ranks or self.declared.final:
            return f"`ranks` and `final` of {field!r} are of a progress, not of a {self.name}"
        return None

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord] | None:
        return None

    def compared(self, record: FieldRecord, document: Document) -> object:
        return record.value

    def show(self, document: Document, policy: Ordering, field: str) -> object:
        shown = winner(document, policy, (field,))
        return ABSENT if shown is None else shown.value

    def shows_from(self, document: Document, policy: Ordering, path: Path, field: str) -> bool:
        return path[:1] != (GROUP,)

    def plan(self, write: Write, field: str, value: object) -> None:
        write.register((field,), value)

    def keeps(self, record: FieldRecord, terminal_type: str, value: object) -> bool:
        return False

    def final(self, value: object) -> bool:
        return False

    def unnamed(self, write: Write, field: str) -> None:
        return None

    def decided(self, write: Write, path: Path, chosen: FieldRecord, resolved: Mapping[str, object]) -> object:
        return resolved.get(path[0], chosen.value)

    def misfit(self, value: object) -> str | None:
        return None

    def may_leave(self, field: str, said: object, path: Path, value: object, *, begins: bool) -> bool:
        return path == (field,) and equal(value, said)

    def may_replace(self, field: str, path: Path) -> bool:
        return path == (field,)

    def may_move(self, path: Path, said: object, amount: Decimal) -> bool:
        return False

    def side(self, record: FieldRecord) -> dict[str, object]:
        return {record.path[0]: record.value}

    def said(self, record: FieldRecord, field: str) -> object:
        return record.value

    def restored(self, record: FieldRecord, field: str, shown: object) -> dict[str, object]:
        return {field: record.value}

    def remembered(self, field: str, after: After, last: object) -> tuple[object, object] | None:
        return None

    def removed(self, record: FieldRecord, document: Document, before: object) -> object:
        return ABSENT


def winner(document: Document, policy: Ordering, path: Path) -> FieldRecord | None:
    """The shown record of a register; None where nobody has written it."""
    siblings = document.fields.get(path)
    if siblings is None:
        return None
    return siblings[0] if len(siblings) == 1 else policy.ordered(path, siblings)[0]
