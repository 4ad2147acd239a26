"""A write that notes what a kind plans: the `Write` of strategies/kinds/kind.py without an entity or an author."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import Factory, define

from crdt.document import Document
from crdt.records import Path
from strategies.kinds.kind import Count
from strategies.policy import EntityPolicy
from tests.strategies.rig import document_of, of

if TYPE_CHECKING:
    from crdt.records import FieldRecord


@define
class Known:
    """The list that an author last knew. later: keys that came after it. removed: what went since, by key."""

    later: frozenset[str] = frozenset()
    removed: Mapping[str, object] = Factory(dict)

    def holds(self, key: str, seq: int) -> bool:
        return key not in self.later

    def had_line(self, key: str) -> bool:
        return False

    def became(self, key: str, seq: int) -> bool:
        return False

    def had(self, key: str, name: str, value: object) -> bool:
        return False

    def carries_over(self, key: str, element: object) -> bool:
        return self.removed.get(key) == element


@define(eq=False)
class Planned:
    """registers, added: what was written, by path. superseded: the operations whose records were replaced."""

    document: Document = Factory(document_of)
    policy: EntityPolicy = Factory(of)
    terminal_type: str = "pos"
    create: bool = False
    afresh: bool = False
    unseen: frozenset[str] = frozenset()
    known: Count | None = None
    stranger: bool = False
    elements: Known = Factory(Known)
    counts: dict[str, Decimal] = Factory(dict)
    minds: dict[str, Count] = Factory(dict)
    registers: dict[Path, object] = Factory(dict)
    added: dict[Path, object] = Factory(dict)
    joined: dict[Path, dict[str, object]] = Factory(dict)
    superseded: list[str] = Factory(list)

    def seen(self, record: FieldRecord) -> bool:
        return record.operation not in self.unseen

    def seq_of(self, record: FieldRecord) -> int:
        return record.stamp

    def known_count(self, field: str) -> Count | None:
        return self.known

    def known_list(self, field: str) -> Known:
        return self.elements

    def register(
        self, path: Path, value: object, *, replaces: Callable[[FieldRecord], bool] = lambda record: True
    ) -> None:
        self.registers[path] = value
        self.supersede(path, replaces)

    def supersede(
        self, path: Path, replaces: Callable[[FieldRecord], bool] = lambda record: True
    ) -> list[FieldRecord]:
        doomed = [r for r in self.document.siblings(path) if self.seen(r) and replaces(r)]
        self.superseded += [record.operation for record in doomed]
        return doomed

    def add(self, path: Path, value: object, superseded: Sequence[FieldRecord]) -> None:
        self.added[path] = value

    def join(self, path: Path, field: str, value: object) -> None:
        self.joined.setdefault(path, {})[field] = value
