"""The only makers of log rows, one for each kind, and the parts of a row for terminals, links and the audit.

operation    accepted here, or on another node; also what the node writes itself
refused      a write that was refused, and is kept
notice       a conflict raised or closed, for those who have to know
state        an entity as another node sent it whole
act          what an administrator did
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from crdt import hlc
from crdt.classes import define
from crdt.decimals import total_of
from crdt.records import name_of
from node.core.keyring import UNSIGNED
from node.core.log.messages import current_message
from node.wire import outgoing
from node.wire.outgoing import compact_json
from storage.records import CLASSES, LogRow, link_key

if TYPE_CHECKING:
    from decimal import Decimal

    from crdt.edits import Edit
    from node.core.entities.change import Difference
    from node.core.entities.entity import Entity
    from node.wire.messages import Operation
    from storage.records import Key
    from strategies.policy import EntityPolicy

ACT = "act"

OF_A_PART = 48
"""Registers of a large operation in one step (node/core/steps.py), while a part of its row is written."""

NO_CHANGES: Mapping[str, Mapping[str, object]] = {"before": {}, "after": {}}


def operation_row(
    policy: EntityPolicy,
    operation_id: str,
    entity_id: str | None,
    *,
    operation: bytes,
    terminal_id: str,
    user_id: str | None,
    targets: tuple[str, ...],
    stamp: int,
    accepted: int,
    version: int,
    status: str,
    lock_status: str,
    echo: bool,
    message: bytes,
    changes: bytes,
    updates: bytes,
    origin: str,
    via: str,
    key: int,
    proof: bytes = b"",
    signed: str = "",
) -> LogRow:
    """The row of an operation.

    targets: the entities of a BULK_UPDATE.
    echo: whether its author is sent the row.
    via: the linked node that sent it, "" if it was accepted here.
    key: its link key.
    proof, signed: of what came over a link. What is accepted here is signed when it is stored.
    """
    return LogRow(
        0,
        "operation",
        policy.priority_class,
        policy.entity_type,
        entity_id,
        operation_id,
        terminal_id,
        user_id,
        targets,
        False,
        stamp,
        accepted,
        version,
        status,
        lock_status,
        echo,
        operation,
        message,
        changes,
        updates,
        origin,
        via,
        key,
        proof,
        signed,
    )


@define(kw_only=True)
class Told:
    """What the row of an operation that was accepted here says beside the change itself.

    status: as in the confirmation.
    echo: whether its author is sent the row.
    counted: what is said of a timestamp that does not count as it is.
    acknowledged: what its author had confirmed.
    minds: by entity id, what its author takes the counters that it wrote to be, as it is stored.
    assumed: by entity id, what was assumed of what its author knew (node/core/operations/assumed.py).
    kept: by entity id, the counters whose number was not counted.
    """

    terminal_id: str
    user_id: str | None
    stamp: int
    accepted: int
    status: str
    lock_status: str
    echo: bool
    counted: Mapping[str, object]
    acknowledged: int
    minds: Mapping[str, object]
    assumed: Mapping[str, str]
    kept: Mapping[str, Sequence[str]]


def accepted_row(
    policy: EntityPolicy,
    operation: Operation,
    done: Sequence[tuple[Entity, Difference, Edit, Mapping[str, Decimal]]],
    told: Told,
    now_ms: int,
    node_id: str,
    *,
    pauses: bool,
) -> Generator[int, None, LogRow]:
    """The row of an operation that this node accepted. done: each entity with its difference, edit and counts.

    pauses: others have their turns meanwhile (node/core/steps.py).
    """
    bulk, part = operation.kind == "BULK_UPDATE", operation.registers // OF_A_PART if pauses else 0
    entities = [entity for entity, *_ in done]
    changes = [change for _, change, *_ in done]
    entries = []
    for entity, _, edit, counts in done:
        entries.append(update_entry(entity.key, edit, counts))
        if pauses:
            yield 1
    version = max(entity.document.version for entity in entities)
    audit = changes_of(entities, changes, bulk=bulk)
    if pauses:
        yield part
    audit.update(told.counted)
    if told.minds:
        audit["acknowledged"], audit["minds"] = told.acknowledged, told.minds
    if told.assumed:
        audit["assumed"] = told.assumed
    if told.kept:
        audit["kept"] = told.kept
    if any(counts for *_, counts in done):
        audit["counted"] = {e.key[1]: {n: total_of(a) for n, a in counts.items()} for e, _, _, counts in done}
    told_to_audit = compact_json(audit)
    if pauses:
        yield part
    user_id = operation.user_id or told.user_id
    message = rendered(operation, told.terminal_id, user_id, entities, changes, version, now_ms, node_id)
    if pauses:
        yield 2 * part
    updates, key = linked(name_of(told.terminal_id, operation.id), entries)
    if pauses:
        yield part
    return operation_row(
        policy,
        operation.id,
        operation.entity_id,
        operation=compact_json(operation.raw),
        terminal_id=told.terminal_id,
        user_id=told.user_id,
        targets=tuple(entity.key[1] for entity in entities) if bulk else (),
        stamp=told.stamp,
        accepted=told.accepted,
        version=version,
        status=told.status,
        lock_status=told.lock_status,
        echo=told.echo,
        message=message,
        changes=told_to_audit,
        updates=updates,
        origin=node_id,
        via="",
        key=key,
    )


def open_row(policy: EntityPolicy, operation_id: str, terminal_id: str) -> LogRow:
    """What is known of an operation's row while it is decided."""
    return _row("operation", policy, operation_id, None, 0, terminal_id=terminal_id)


def refused_row(
    policy: EntityPolicy,
    operation: Operation,
    user_id: str | None,
    terminal_id: str,
    *,
    accepted: int,
    version: int,
    lock_status: str,
    message: bytes,
    first_attempt: Mapping[str, object],
) -> LogRow:
    """The row of a refused write, whole. Only its author is sent it. first_attempt: `FirstAttempt.stored`."""
    return _row(
        "refused",
        policy,
        operation.id,
        operation.entity_id,
        accepted,
        terminal_id=terminal_id,
        user_id=user_id,
        version=version,
        lock_status=lock_status,
        targets=(terminal_id,),
        operation=compact_json(operation.raw),
        message=message,
        changes=compact_json({**NO_CHANGES, "tried": first_attempt}),
    )


def notice_row(
    policy: EntityPolicy,
    operation_id: str,
    entity_id: str | None,
    accepted: int,
    targets: tuple[str, ...],
    message: bytes,
) -> LogRow:
    """The row of a conflict raised or closed by an operation, for its targets and every monitor."""
    return _row("notice", policy, operation_id, entity_id, accepted, targets=targets, monitors=True, message=message)


def state_row(
    policy: EntityPolicy,
    operation_id: str,
    entity_id: str,
    accepted: int,
    *,
    node_id: str,
    via: str,
    version: int,
    operation: bytes,
    message: bytes,
    changes: bytes,
    updates: bytes,
) -> LogRow:
    """The row of an entity that the node `via` sent whole."""
    row = _row(
        "state",
        policy,
        operation_id,
        entity_id,
        accepted,
        terminal_id=node_id,
        version=version,
        operation=operation,
        message=message,
        changes=changes,
    )
    row.status, row.echo, row.origin, row.via, row.updates = "applied", True, node_id, via, updates
    row.signed = UNSIGNED
    return row


def act_row(terminal_id: str, user_id: str | None, act: str, details: Mapping[str, object], accepted: int) -> LogRow:
    """The row of what an administrator did. It is for the audit only: nobody is sent it, on no link either.

    terminal_id: whose token it was; "" through the control socket, where the system names the user.
    """
    return LogRow(
        seq=0,
        kind=ACT,
        priority=CLASSES - 1,
        entity_type="",
        entity_id=None,
        operation_id="",
        terminal_id=terminal_id,
        user_id=user_id,
        stamp=accepted,
        accepted=accepted,
        status="done",
        operation=compact_json({"operation": act}),
        changes=compact_json({"before": {}, "after": details}),
    )


def _row(
    kind: str,
    policy: EntityPolicy,
    operation_id: str,
    entity_id: str | None,
    accepted: int,
    *,
    terminal_id: str = "",
    user_id: str | None = None,
    version: int = 0,
    lock_status: str = "none",
    targets: tuple[str, ...] = (),
    monitors: bool = False,
    operation: bytes = b"",
    message: bytes = b"",
    changes: bytes = b"",
) -> LogRow:
    return LogRow(
        seq=0,
        kind=kind,
        priority=policy.priority_class,
        entity_type=policy.entity_type,
        entity_id=entity_id,
        operation_id=operation_id,
        terminal_id=terminal_id,
        user_id=user_id,
        targets=targets,
        monitors=monitors,
        stamp=accepted,
        accepted=accepted,
        version=version,
        status=kind,
        lock_status=lock_status,
        echo=False,
        operation=operation,
        message=message,
        changes=changes,
        updates=b"",
    )


def rendered(
    operation: Operation,
    terminal_id: str,
    user_id: str | None,
    entities: Sequence[Entity],
    changes: Sequence[Difference],
    version: int,
    at_ms: int,
    node_id: str,
) -> bytes:
    """The `data_sync` for every other terminal: what the author sent, with the shown outcome as `data`.

    A BULK_UPDATE merges fields. An entity that loses a field, or is dead, comes before it whole in a message of its
    own. The message with the operation's id is the last one, so its confirmation stands for all.
    """
    policy = entities[0].policy
    messages = []
    shown = {**operation.raw, "terminal_id": terminal_id, "user_id": user_id, "version": version}
    if "resolves" in shown:
        shown.pop("conflict", None)  # for linked nodes, which check the decision against it
    if operation.timestamp is None:
        shown["timestamp"] = hlc.iso(at_ms)
    if operation.requires_lock is None:
        shown["requires_lock"] = policy.requires_lock
    if operation.priority is None:
        shown["priority"] = policy.priority
    if operation.kind == "BULK_UPDATE":
        items = list(zip(entities, changes, strict=True))
        shown["data"] = {"updates": [{"entity_id": e.key[1], "data": c.data} for e, c in items if c.merges]}
        at = hlc.iso(at_ms)
        messages = [current_message(e, node_id=node_id, at=at) for e, c in items if not c.merges]
    else:
        shown["operation"] = changes[0].kind
        shown["data"] = changes[0].data
    return b"\n".join((*messages, outgoing.data_sync(shown)))


def update_entry(key: Key, edit: Edit, counts: Mapping[str, Decimal]) -> list[object]:
    """One entity's update as links are sent it: [type, id, base64, before, [writer, first, end]], then any counts.

    before: the clocks that a receiver must hold, by writer.
    """
    before = {str(writer): clock for writer, clock in edit.before.items()}
    counted = {name: total_of(amount) for name, amount in counts.items()}
    entry: list[object] = [*key, b64encode(edit.update).decode(), before, [edit.writer, *edit.span]]
    return [*entry, counted] if counted else entry


def changes_of(entities: Sequence[Entity], changes: Sequence[Difference], *, bulk: bool) -> dict[str, object]:
    """The audit's `changes`, for a BULK_UPDATE by entity id."""
    if bulk:
        audit: dict[str, object] = {
            "before": {e.key[1]: c.before for e, c in zip(entities, changes, strict=True)},
            "after": {e.key[1]: c.after for e, c in zip(entities, changes, strict=True)},
        }
    else:
        audit = {"before": changes[0].before, "after": changes[0].after}
    return audit


def linked(name: str, entries: Sequence[list[object]]) -> tuple[bytes, int]:
    """What links are sent of an operation that this node accepted: its updates as JSON, and its link key."""
    return compact_json(entries), link_key(name, entries)
