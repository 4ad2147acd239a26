"""What an operation needs that is not in memory, and how it comes there before the operation is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from node.core.entities.entity import keys_of, writes_of
from node.core.operations.resolve import resolution_id
from node.core.ports import History, Needs, Unreadable
from node.wire.messages import ConflictResolution, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.core.operations.author import Author
    from node.core.operations.replica import Replica
    from node.core.ports import Disk
    from storage.answers import Fetched
    from strategies.policy import EntityPolicy


def needs_of(
    replica: Replica, message: Operation | ConflictResolution, policy: EntityPolicy | None, author: Author
) -> Needs | None:
    """What has to be read before `message` can be decided; None when all is in memory. policy: of an operation."""
    if isinstance(message, ConflictResolution):
        return _of_resolution(replica, message)
    touched = keys_of(message)
    keys = replica.residents.missing(touched)
    operations = (message.id,) if replica.held.on_disk(message.id) else ()
    if not keys:
        replica.counts.cache_hits += 1
    histories = _histories(replica, message, policy, author)
    if not keys and not operations and not histories:
        return None
    return Needs(keys, operations, histories=histories, held=tuple(touched))


def _histories(
    replica: Replica, message: Operation, policy: EntityPolicy | None, author: Author
) -> tuple[History, ...]:
    """What of the log tells from which value an author's absolute counters are to be reckoned."""
    counters = policy.kinds.counters() if policy is not None and policy.kinds.kinds else []
    if not counters or message.kind == "DELETE":
        return ()
    author = replica.knowledge.as_of_first_attempt(message, author)
    wanted = []
    for key, data in writes_of(message):
        entity = replica.residents.entities.get(key)
        names = [name for name in counters if name in data]
        history = replica.knowledge.history_wanted(author, entity, names) if entity is not None and names else None
        if history is not None:
            wanted.append(history)
    return tuple(wanted)


def _of_resolution(replica: Replica, message: ConflictResolution) -> Needs | None:
    operation_id = resolution_id(message)
    operations = (operation_id,) if replica.held.on_disk(operation_id) else ()
    row = replica.conflicts.known.get(message.conflict_id)
    if row is None:
        return Needs((), operations, (message.conflict_id,))
    key = (row.entity_type, row.entity_id)
    keys = () if key in replica.residents.entities else (key,)
    return Needs(keys, operations, held=(key,)) if keys or operations else None


def fetch(replica: Replica, disk: Disk, needs: Needs, then: Callable[[Unreadable | None], None]) -> None:
    """Read what is needed and go on: what a message touches is in memory when `then` is called, unless it is told
    that something of it cannot be read."""
    residents = replica.residents
    residents.use(needs.held)

    def fetched(found: Fetched | Unreadable) -> None:
        unreadable = found if isinstance(found, Unreadable) else _provide(replica, needs, found)
        residents.used(needs.held)
        lost = residents.missing(needs.held)  # everything was dropped meanwhile: a commit failed
        if unreadable is not None:
            then(unreadable)
        elif lost:
            fetch(replica, disk, evolve(needs, entities=lost, operations=(), conflicts=(), histories=()), then)
        else:
            then(None)

    disk.fetch(needs, fetched)


def _provide(replica: Replica, needs: Needs, found: Fetched) -> Unreadable | None:
    """Give what was fetched to its owners. Returns why an entity cannot be loaded."""
    replica.knowledge.provide(needs.histories, found.histories)
    unreadable = replica.residents.provide(needs.entities, found.entities)
    for operation_id in needs.operations:
        row, archived = found.operations.get(operation_id), found.archived.get(operation_id)
        replica.held.provide(operation_id, row, archived)
    replica.conflicts.provide(found.conflicts.values())
    return unreadable
