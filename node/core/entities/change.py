"""One change of one entity, whoever makes it: document, then view, then conflicts, then what is shown differently.

Nothing else touches the document of a resident entity. An edit made here, an update of another node, a document that
another node sent whole and a repair all pass through `carry_out`. What terminals and the audit are told of it is a
`Difference`: applying differences in order shows a plain client what the node shows. CREATE replaces the entity,
UPDATE merges fields into it, DELETE removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import field

from crdt.classes import define
from crdt.json_values import equal
from node.core.steps import at_once
from strategies.conflict import Conflict
from strategies.paths import COUNTED, WHOLE

if TYPE_CHECKING:
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
    entity: Entity, paths: Collection[Path], change: Callable[[], R], seq: int, by: str, news: ConflictNews
) -> tuple[Before, R]:
    """Change the document of an entity and bring everything that follows from it up to date.

    paths: the registers and counters that the change touches.
    change: changes the document, and returns which records were removed and added.
    seq, by: the row that the change becomes, and the terminal whose it is; a node, where it is the node's own.
    news: takes note of the conflicts that are raised and gone.
    Returns what was shown before, and what `change` returned.
    """
    return at_once(carry_out_in_steps(entity, paths, change, seq, by, news, pauses=False))


def carry_out_in_steps(
    entity: Entity,
    paths: Collection[Path],
    change: Callable[[], R],
    seq: int,
    by: str,
    news: ConflictNews,
    *,
    pauses: bool,
) -> Generator[int, None, tuple[Before, R]]:
    """The same. pauses: after each part, of an entity that nobody else sees until it is done."""
    before, view, steps = Before.of(entity, paths), entity.view, 1 + len(paths)
    conflicts = dict(view.conflicts)
    done = change()
    if pauses:
        yield steps
    entity.records_replaced(done.removed, done.added, seq, by)
    if pauses:
        yield steps
    if entity.view is view:  # else it was made anew with the document
        view.refresh(entity.document, paths)
    if conflicts or entity.view.conflicts:
        news.compare(conflicts, entity.view.conflicts)
    return before, done


@define(eq=False)
class ConflictNews:
    """What an operation did to conflicts.

    raised: those that are new.
    gone: those that are no longer.
    restated: those that now rest on other records of the same operations, as when an operation came under two writers
        and one copy went.
    """

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

    def status_of(self, name: str) -> str | None:
        """What the confirmation says: `conflict`, `lost` or `merged`. None if the operation collided with nothing."""
        mine = [conflict for conflict in self.raised if name in conflict.operations]
        if any(conflict.state == "open" for conflict in mine):
            return "conflict"
        if any(name not in conflict.prevailing for conflict in mine):
            return "lost"
        return "merged" if mine else None


@define(eq=False)
class Before:
    """What an entity showed before a write.

    whole: whether the write touches the whole entity.
    fields: what it showed, of the touched fields only unless `whole`.
    touched: the names of the touched fields, also of those that it did not show.
    """

    alive: bool
    version: int
    deleted_at: str | None
    whole: bool
    fields: Mapping[str, object]
    touched: Iterable[str] = ()

    @classmethod
    def of(cls, entity: Entity, paths: Iterable[tuple[str, ...]]) -> Before:
        view = entity.view
        shown = view.fields
        whole = WHOLE in paths
        names: dict[str, None] = {}
        for path in paths:
            if len(path) == 1 and path != COUNTED:
                names[path[0]] = None
            else:
                names.update(dict.fromkeys(entity.policy.kinds.names(path)))
        fields = dict(shown) if whole else {name: shown[name] for name in names if name in shown}
        return cls(view.alive, entity.document.version, view.deleted_at, whole, fields, names)


@define(eq=False)
class Difference:
    """How one entity's shown state changed.

    kind: the operation that a plain client must carry out (CREATE, UPDATE, DELETE).
    data: the `data` of that operation (node/wire/protocol.md).
    before, after: the audit's `changes`.
    as_written: whether the shown outcome is what the author wrote.
    merges: whether merging `data` into a copy is enough.
    """

    kind: str
    data: dict[str, object]
    before: dict[str, object]
    after: dict[str, object]
    as_written: bool
    merges: bool = False


def difference(
    before: Before, entity: Entity, kind: str, named: Iterable[str], written: Mapping[str, object]
) -> Difference:
    """Compare what `entity` showed with what it shows now.

    kind, named, written: the author's operation, the fields it names and their values.
    """
    view = entity.view
    version = entity.document.version
    names = dict.fromkeys((*before.fields, *before.touched, *named))
    if before.whole:
        names.update(dict.fromkeys(view.fields))
    names.pop("deleted_at", None)
    changed: list[str] = []
    audit_before: dict[str, object] = {}
    audit_after: dict[str, object] = {}
    for name in names:
        was, shown = name in before.fields, name in view.fields
        if was:
            audit_before[name] = before.fields[name]
        if shown:
            audit_after[name] = view.fields[name]
        if was is not shown or (shown and not equal(audit_before[name], audit_after[name])):
            changed.append(name)
    if before.alive != view.alive and before.version:
        audit_before["deleted_at"] = None if before.alive else before.deleted_at
        audit_after["deleted_at"] = view.deleted_at if not view.alive else None
    exact = all(n in view.fields and equal(view.fields[n], v) for n, v in written.items())
    if not view.alive:
        data = {**audit_after, "deleted_at": view.deleted_at, "version": version}
        return Difference("DELETE", data, audit_before, audit_after, kind == "DELETE")
    vanished = any(n not in view.fields for n in (*changed, *written))
    # The author of a CREATE or DELETE has replaced or dropped the entity on its screen, so it gets it whole.
    if not before.alive or vanished or kind in ("CREATE", "DELETE"):
        whole = {**view.fields, "version": version}
        foreign = len(view.fields) != len(written)
        as_written = exact and not foreign and kind != "DELETE"
        return Difference("CREATE", whole, audit_before, audit_after, as_written, not vanished)
    unasked = any(n not in written for n in changed)
    data = {**audit_after, "version": version}
    data.pop("deleted_at", None)
    return Difference("UPDATE", data, audit_before, audit_after, exact and not unasked and kind != "DELETE", True)
