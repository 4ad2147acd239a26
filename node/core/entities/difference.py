"""What JSON clients are told of a commit: the documented `data_sync`, and the audit entry.

Applying these rows in order shows a plain client exactly what the node shows: CREATE replaces the entity, UPDATE
merges fields into it, DELETE removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import orjson
from attrs import define

from strategies.paths import WHOLE

if TYPE_CHECKING:
    from node.core.entities.entity import Entity


@define(eq=False)
class Before:
    """What an entity showed before a write: of a field register only the fields about to be touched. touched: their
    names, also of those that it did not show."""

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
        names = dict.fromkeys(name for path in paths for name in entity.policy.kinds.names(path))
        fields = dict(shown) if whole else {name: shown[name] for name in names if name in shown}
        return cls(view.alive, entity.document.version, view.deleted_at, whole, fields, names)


@define(eq=False)
class Difference:
    """How one entity's shown state changed.

    kind: the operation a plain client must carry out (CREATE, UPDATE, DELETE). data: its documented `data`.
    before, after: the audit's `changes`. as_written: whether the shown outcome is what the author wrote.
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
    changed = [n for n in names if not _same(n, before.fields, view.fields)]
    audit_before = {n: before.fields[n] for n in names if n in before.fields}
    audit_after: dict[str, object] = {n: view.fields[n] for n in names if n in view.fields}
    if before.alive != view.alive and before.version:
        audit_before["deleted_at"] = None if before.alive else before.deleted_at
        audit_after["deleted_at"] = view.deleted_at if not view.alive else None
    exact = all(n in view.fields and _equal(view.fields[n], v) for n, v in written.items())
    if not view.alive:
        data = {**audit_after, "deleted_at": view.deleted_at, "version": version}
        return Difference("DELETE", data, audit_before, audit_after, kind == "DELETE")
    vanished = any(n not in view.fields for n in (*changed, *written))
    # Whoever wrote CREATE or DELETE has replaced or dropped the entity on its own screen: it gets it whole.
    if not before.alive or vanished or kind in ("CREATE", "DELETE"):
        whole = {**view.fields, "version": version}
        foreign = len(view.fields) != len(written)
        as_written = exact and not foreign and kind != "DELETE"
        return Difference("CREATE", whole, audit_before, audit_after, as_written, not vanished)
    unasked = any(n not in written for n in changed)
    data = {**audit_after, "version": version}
    data.pop("deleted_at", None)
    return Difference("UPDATE", data, audit_before, audit_after, exact and not unasked and kind != "DELETE", True)


def _same(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    if (name in before) != (name in after):
        return False
    return name not in after or _equal(before[name], after[name])


def _equal(one: object, other: object) -> bool:
    """Equal as JSON: 1 and 1.0, or 1 and true, are different values."""
    return one is other or orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        other, option=orjson.OPT_SORT_KEYS
    )
