"""One change of one entity, whoever makes it: document, then view, then conflicts, then what is shown differently.

Nothing else touches the document of a resident entity. An edit made here, an update of another node, a document that
another node sent whole and a repair all pass through `carry_out`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import define, field

from node.core.entities.difference import Before
from strategies.conflict import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crdt.records import FieldRecord, Path
    from node.core.entities.entity import Entity


class Replaced(Protocol):
    """What a change did to the document's records."""

    @property
    def added(self) -> Iterable[FieldRecord]: ...

    @property
    def removed(self) -> Iterable[FieldRecord]: ...


R = TypeVar("R", bound=Replaced)


def carry_out(
    entity: Entity, paths: Iterable[Path], change: Callable[[], R], seq: int, news: ConflictNews
) -> tuple[Before, R]:
    """Change the document, and bring all that follows from it up to date: the only way to do so.

    paths: the registers and counters that it touches. seq: the row it becomes. What it does to the entity's conflicts
    is noted in `news`. Returns what was shown before, and what `change` did.
    """
    before, conflicts = Before.of(entity, paths), dict(entity.view.conflicts)
    done = change()
    entity.records_replaced(done.removed, done.added, seq)
    entity.view.refresh(entity.document, paths)
    if conflicts or entity.view.conflicts:
        news.compare(conflicts, entity.view.conflicts)
    return before, done


@define(eq=False)
class ConflictNews:
    """Conflicts an operation raised, those that are no longer, and those that now rest on other records of the same
    operations (of an operation under two writers one copy goes)."""

    raised: list[Conflict] = field(factory=list)
    gone: list[Conflict] = field(factory=list)
    restated: list[Conflict] = field(factory=list)

    def compare(self, before: Mapping[Path, Conflict], after: Mapping[Path, Conflict]) -> None:
        """Note the difference between two states of one entity's conflicts."""
        old = {conflict.id: conflict for conflict in before.values()}
        new = {conflict.id for conflict in after.values()}
        for conflict in after.values():
            earlier = old.get(conflict.id)
            if earlier is None:
                self.raised.append(conflict)
            elif earlier.candidates != conflict.candidates:
                self.restated.append(conflict)
        self.gone.extend(conflict for conflict in before.values() if conflict.id not in new)

    def replacement(self, gone: Conflict) -> Conflict | None:
        """The new conflict of the same register that still holds one of `gone`'s operations."""
        for conflict in self.raised:
            same = (conflict.entity_type, conflict.entity_id, conflict.path) == (
                gone.entity_type,
                gone.entity_id,
                gone.path,
            )
            if same and set(conflict.operations) & set(gone.operations):
                return conflict
        return None

    def __bool__(self) -> bool:
        return bool(self.raised or self.gone or self.restated)

    def status_of(self, operation_id: str) -> str | None:
        """What the confirmation says: `conflict`, `lost`, or None when the operation collided with nothing."""
        mine = [conflict for conflict in self.raised if operation_id in conflict.operations]
        if any(conflict.state == "open" for conflict in mine):
            return "conflict"
        if any(operation_id not in conflict.prevailing for conflict in mine):
            return "lost"
        return "merged" if mine else None
