"""Operations that are held without a row: archived here, or come as part of another node's state.

They are never applied again, and count as held when two nodes compare. Of what they said a check is kept, so that
another operation under the id of one is refused, as ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.errors import InvalidMessage
from storage.packed import content_of, pack_operations, unpack_operations
from storage.records import ArchivedRow, key64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.operations.memory import Memory
    from node.core.operations.replica import Replica
    from node.wire.links.states import RemoteState
    from node.wire.messages import Operation
    from storage.packed import ArchivedOperation


def repeated(memory: Memory, operation: Operation, terminal_id: str) -> ArchivedOperation | None:
    """What is kept of an operation whose row is archived; None for one that is not. What it needs was fetched.

    Raises InvalidMessage where its id names another one.
    """
    recalled = memory.recalled.get(operation.id)
    if recalled is None and key64(operation.id) not in memory.archived_operations:
        return None
    kept = recalled.operation if recalled is not None else None
    words = (operation.entity_type, operation.entity_id, operation.kind, operation.data)
    if kept is None or kept.content != content_of(terminal_id, *words):
        raise InvalidMessage(f"operation id {operation.id} already names another operation", "$.operation.id")
    return kept


def moved(memory: Memory, op_keys: Iterable[int]) -> None:
    """The rows of these operations are archived."""
    for key in op_keys:
        memory.archived_operations.add(key)
        memory.known_operations.discard(key)


def hold(replica: Replica, state: RemoteState) -> bool:
    """A linked node's state of an entity was taken, or held nothing new: the operations that it says are in it are
    held. One of several entities once all of them are here. Whether there is a new one."""
    entity_type, entity_id = state.key
    new = []
    for one in unpack_operations(state.archived):
        if not one.link_key or replica.digests.holds(entity_type, one.link_key):
            continue
        if one.parts > 1:
            holders = replica.partial.setdefault(one.link_key, set())
            if entity_id in holders:
                continue
            holders.add(entity_id)
            if len(holders) == one.parts:
                del replica.partial[one.link_key]
        new.append(one)
        if one.link_key not in replica.partial:
            _held(replica, entity_type, one)
    if new:
        bulk = any(one.parts > 1 for one in new)
        replica.group.commit.archived.append(
            ArchivedRow(entity_type, entity_id, 0, 0, "", 0, bulk, pack_operations(new))
        )
    return bool(new)


def _held(replica: Replica, entity_type: str, one: ArchivedOperation) -> None:
    replica.digests.add(entity_type, one.link_key)
    replica.archived_operations.add(one.op_key)
    for row in replica.quarantine.of_link_key(one.link_key):
        replica.quarantine.remove(row)
        replica.group.commit.unparked.append(row.id)


def forget(memory: Memory, rows: Iterable[ArchivedRow]) -> None:
    """The commit of what came with states failed."""
    for row in rows:
        for one in unpack_operations(row.records):
            memory.digests.discard(row.entity_type, one.link_key)
            memory.archived_operations.discard(one.op_key)
