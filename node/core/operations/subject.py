"""An operation with everything it needs in memory: the look before anything is decided.

`look` says what has to be read first, and `fetch` has it read; an operation that needs nothing is a Subject at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from node.core.entities.entity import Entity
from node.core.operations.author import Author
from node.core.ports import History, Needs, Unreadable
from node.wire.messages import ConflictResolution, Operation
from storage.records import LogRow
from strategies.policy import EntityPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.core.operations.replica import Replica
    from node.core.ports import Disk
    from storage.answers import Fetched


@frozen
class Subject:
    """What a decision is about. author: with what it knew at the first attempt, where there was one.

    row: of an operation of this id that is held already. archived: such an operation is held without a row.
    entities: those that it writes to; empty for one that is held.
    """

    operation: Operation
    policy: EntityPolicy
    author: Author
    entities: list[Entity]
    row: LogRow | None
    archived: bool


def look(
    replica: Replica, operation: Operation, policy: EntityPolicy, author: Author, read: Needs | None = None
) -> Subject | Needs:
    """The operation with all that is in memory of it, or what has to be read first. read: what was read already."""
    residents, held = replica.residents, replica.held
    keys = [write.key for write in operation.writes]
    entities = [residents.entities.get(key) for key in keys]
    missing = residents.missing(keys) if None in entities else ()
    row, recalled = held.recent.get(operation.id), operation.id in held.recalled
    on_disk = row is None and not recalled and (operation.key in held.known or operation.key in held.archived)
    if not missing:
        replica.counts.cache_hits += 1
    if replica.knowledge.tried:
        author = replica.knowledge.as_of_first_attempt(operation, author)
    histories = _histories(replica, operation, policy, author) if policy.kinds.declared else ()
    if missing or on_disk or histories:
        needs = Needs(missing, (operation.id,) if on_disk else (), histories=histories, held=tuple(keys))
        if needs != read:
            return needs
    archived = recalled or (on_disk and operation.key in held.archived)
    found = [] if row is not None or archived else [residents.entity(key) for key in keys]
    return Subject(operation, policy, author, found, row, archived)


def _histories(replica: Replica, operation: Operation, policy: EntityPolicy, author: Author) -> tuple[History, ...]:
    """What of the log tells from which value an author's absolute counters are to be reckoned."""
    counters = policy.kinds.counters()
    if not counters or operation.kind == "DELETE":
        return ()
    wanted = []
    for write in operation.writes:
        entity = replica.residents.entities.get(write.key)
        names = [name for name in counters if name in write.data]
        history = replica.knowledge.history_wanted(author, entity, names) if entity is not None and names else None
        if history is not None:
            wanted.append(history)
    return tuple(wanted)


def resolution_needs(replica: Replica, message: ConflictResolution) -> Needs | None:
    """What has to be read before a resolution can be decided; None when all is in memory."""
    operations = (message.operation_id,) if replica.held.on_disk(message.operation_id) else ()
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
