"""What JSON clients are told of a commit: the documented `data_sync`, and the audit entry.

Applying these rows in order shows a plain client exactly what the node shows: CREATE replaces the entity, UPDATE
merges fields into it, DELETE removes it (design section 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import orjson
from attrs import define

from crdt.hlc import iso, millis
from node.wire import outgoing_messages as outgoing
from storage.records import EntityRow, LogRow, key64
from strategies.registers import WHOLE

if TYPE_CHECKING:
    from node.core.entity import Entity
    from strategies.policy import EntityPolicy


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


def state_id(entity_type: str, entity_id: str, version: int) -> str:
    """The operation id under which an entity's state is sent; a client confirms it like any other."""
    return f"state-{key64(entity_type, entity_id):016x}-{version}"


def state_message(
    policy: EntityPolicy, row: EntityRow, *, node_id: str, at: str, operation_id: str | None = None
) -> bytes:
    """The entity as it is now, as one `data_sync` (first synchronisation, and after a refused write)."""
    key = (row.entity_type, row.entity_id)
    view = orjson.loads(row.view)
    return current_message(
        policy, key, view, row.version, dead=row.deleted, node_id=node_id, at=at, operation_id=operation_id
    )


def current_message(
    policy: EntityPolicy,
    key: tuple[str, str],
    view: Mapping[str, object],
    version: int,
    *,
    dead: bool,
    node_id: str,
    at: str,
    operation_id: str | None = None,
) -> bytes:
    """An entity whole: a CREATE that replaces it, or a DELETE. view: as `Entity.shown` has it."""
    return outgoing.data_sync(
        {
            "id": operation_id or state_id(*key, version),
            "entity_type": key[0],
            "entity_id": key[1],
            "operation": "DELETE" if dead else "CREATE",
            "data": {"deleted_at": view.get("deleted_at"), "version": version} if dead else view,
            "version": version,
            "timestamp": at,
            "terminal_id": node_id,
            "user_id": None,
            "requires_lock": policy.requires_lock,
            "priority": policy.priority,
        }
    )


def audit_entry(row: LogRow) -> dict[str, object]:
    """The documented audit entry of one log row ("Audit Log Entry"), with what the log knows besides."""
    operation = orjson.loads(row.operation) if row.operation else {}
    changes = orjson.loads(row.changes) if row.changes else {"before": {}, "after": {}}
    return {
        "id": f"audit-{row.seq}",
        "operation_id": row.operation_id,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "operation": operation.get("operation"),
        "terminal_id": row.terminal_id,
        "user_id": row.user_id,
        "timestamp": operation.get("timestamp") or iso(millis(row.stamp)),
        "changes": changes,
        "sync_status": {"refused": "refused", "conflict": "conflict"}.get(row.status, "completed"),
        "conflict_resolved": row.status == "lost" or bool(operation.get("resolves")),
        "seq": row.seq,
        "status": row.status,
        "version": row.version,
        "lock_status": row.lock_status,
        "accepted_at": iso(millis(row.accepted)),
        "effective_timestamp": iso(millis(row.stamp)),
    }
