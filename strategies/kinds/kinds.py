"""The table of field kinds, and the kinds of one entity type's fields."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import frozen
from strategies.kinds.counter import Counter
from strategies.kinds.group import Group
from strategies.kinds.keyed_list import KeyedList
from strategies.kinds.kind import FieldKind, Kind
from strategies.kinds.progress import Progress
from strategies.kinds.register import Register
from strategies.paths import COUNTED, GROUP, SETTLEMENT, group_names, is_element

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crdt.records import Path

KINDS: Mapping[str, Callable[[FieldKind], Kind]] = MappingProxyType(
    {kind.name: kind for kind in (Register, Counter, KeyedList, Progress)}
)
"""The configuration's word -> what makes the kind of a declared field."""

PLAIN = Register()
_COUNTER = Counter()
LISTS = KeyedList()
"""The kind of elements whose field is declared to be no list."""
_GROUP = Group(())


def kind_at(path: Path) -> Kind:
    """The kind whose register a path is, by its shape alone: the record may be older than the configuration."""
    if len(path) == 1:
        return _COUNTER if path == COUNTED else PLAIN
    if not path or path[0] == GROUP:
        return _GROUP  # a whole entity is one group of all its fields
    return _COUNTER if path[0] == SETTLEMENT else LISTS


EVERY: tuple[Kind, ...] = (PLAIN, _COUNTER, LISTS, _GROUP)
"""One of each way of writing a field."""


@frozen
class FieldKinds:
    """The kinds of one entity type's fields. declared: of those that are no plain register.

    groups: fields that are one register together. Raises KeyError for a word that is not in KINDS.
    """

    declared: Mapping[str, FieldKind] = field(factory=dict)
    groups: tuple[tuple[str, ...], ...] = ()
    by_name: dict[str, Kind] = field(init=False, eq=False, repr=False)
    """The fields that are no plain register, and what each is."""
    counting: list[str] = field(init=False, eq=False, repr=False)
    """The fields whose movements are counted."""
    settling: list[str] = field(init=False, eq=False, repr=False)
    """The fields in which a movement shows: those, and the lists whose lines have counters."""
    remembering: list[tuple[str, Kind]] = field(init=False, eq=False, repr=False)
    """The fields of which something is remembered of each row, in the declared order."""
    finals: list[str] = field(init=False, eq=False, repr=False)
    """The fields with values that keep their entity from deletion."""

    @by_name.default
    def _made(self) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {name: KINDS[declared.kind](declared) for name, declared in self.declared.items()}
        for names in self.groups:
            kinds.update(dict.fromkeys(names, Group(names)))
        return kinds

    @counting.default
    def _counting(self) -> list[str]:
        return [name for name, kind in self.by_name.items() if kind.counts]

    @settling.default
    def _settling(self) -> list[str]:
        lists = [name for name, kind in self.by_name.items() if isinstance(kind, KeyedList) and kind.counted]
        return [*self.counting, *lists]

    @remembering.default
    def _remembering(self) -> list[tuple[str, Kind]]:
        return [(name, kind) for name, kind in self.by_name.items() if kind.remembers]

    @finals.default
    def _finals(self) -> list[str]:
        return [name for name, declared in self.declared.items() if declared.final]

    def of(self, name: str) -> Kind:
        """The kind of a top-level field."""
        return self.by_name.get(name, PLAIN)

    def at(self, path: Path) -> Kind:
        """The kind whose register a path is, with the declaration of its field where the register is the field's."""
        if path == COUNTED or (len(path) != 1 and not is_element(path)):
            return kind_at(path)
        kind = self.of(path[0])
        if len(path) > 1:
            return kind if isinstance(kind, KeyedList) else LISTS
        return PLAIN if isinstance(kind, Group) else kind  # written before its field joined the group

    def names(self, path: Path) -> Sequence[str]:
        """The top-level fields that a register shows in."""
        if len(path) == 1:
            return () if path == COUNTED else path
        if not path:
            return ()
        if path[0] == GROUP:
            return group_names(path)
        return self.settling if path[0] == SETTLEMENT else path[:1]

    def ever(self, name: str) -> Sequence[Kind]:
        """What a field is declared to be, then what it may have been: operations outlive a configuration."""
        kind = self.by_name.get(name)
        return EVERY if kind is None else (kind, *EVERY)

    @property
    def grouped(self) -> list[str]:
        """The fields that are one register together with others."""
        return [name for names in self.groups for name in names]

    @property
    def plain(self) -> bool:
        """Whether every field is a plain register."""
        return not self.groups and all(declared.kind == PLAIN.name for declared in self.declared.values())

    def problem(self) -> str | None:
        """What is wrong with the declarations, if anything is."""
        for name, declared in self.declared.items():
            problem = KINDS[declared.kind](declared).problem(name)
            if problem is not None:
                return problem
        grouped = self.grouped
        if len(set(grouped)) != len(grouped) or any(len(names) < 2 for names in self.groups):
            return "a group names at least two fields, each in one group"
        for name in grouped:
            if "+" in name or (name in self.declared and self.declared[name].kind != PLAIN.name):
                return f"{name!r} of a group is a plain field, and has no + in its name"
        return None
