"""`progress`: a ranked status. Of concurrent values the most advanced is shown: a late kitchen unpays no order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies.kinds.kind import Rule
from strategies.kinds.register import Register
from strategies.strategy import by_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crdt.records import FieldRecord
    from strategies.kinds.kind import Write


class Progress(Register):
    """A register whose siblings are ordered by the declared `ranks`, then by time."""

    name = "progress"
    order = Rule(
        "most_advanced",
        "De {n} escritas concorrentes aparece a mais avançada: um estado não volta atrás sozinho.",
        "Of {n} concurrent writes the most advanced is shown: a status does not go back by itself.",
    )

    def problem(self, field: str) -> str | None:
        ranks = self.declared.ranks
        if not ranks or len(set(ranks)) != len(ranks):
            return f"{field!r} is a progress and needs `ranks`, each once, the least advanced first"
        if not set(self.declared.final) <= set(ranks):
            return f"`final` of {field!r} names what is none of its ranks"
        return None

    def rank(self, value: object) -> int:
        """How advanced a status is; what is not ranked is below all."""
        ranks = self.declared.ranks
        return ranks.index(value) if isinstance(value, str) and value in ranks else -1

    def ordered(self, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
        return self.order_of(siblings, lambda record: record.value)

    def order_of(
        self, siblings: Sequence[FieldRecord], value_of: Callable[[FieldRecord], object]
    ) -> list[FieldRecord]:
        """The siblings, the most advanced first. value_of: the status that a record holds."""
        return sorted(siblings, key=lambda record: (self.rank(value_of(record)), by_time(record)), reverse=True)

    def plan(self, write: Write, field: str, value: object) -> None:
        """A terminal that may not take a status back writes a lower one beside what is there, where it loses."""
        write.register((field,), value, replaces=lambda record: not self.keeps(record, write.terminal_type, value))

    def keeps(self, record: FieldRecord, terminal_type: str, value: object) -> bool:
        return self.holds(record.value, terminal_type, value)

    def holds(self, there: object, terminal_type: str, value: object) -> bool:
        """Whether a terminal of this type may not put `value`, or ABSENT, in place of the status that is there."""
        return terminal_type not in self.declared.lower and self.rank(there) > self.rank(value)

    def final(self, value: object) -> bool:
        return isinstance(value, str) and value in self.declared.final
