"""What has to be in memory before something can be decided, and how it comes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from crdt.records import name_of
from node.core.ports import Needs, TooMuch, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.core.operations.replica import Replica
    from node.core.ports import Disk
    from node.wire.messages import ConflictResolution
    from storage.answers import Fetched
    from storage.records import Key


def resolution_needs(replica: Replica, message: ConflictResolution, terminal_id: str) -> Needs | None:
    """What has to be read before a terminal's resolution can be decided; None when all is in memory."""
    name = name_of(terminal_id, message.operation_id(terminal_id))
    operations = (name,) if replica.held.on_disk(name) else ()
    under_way = name in replica.in_turns.names
    row = replica.conflicts.known.get(message.conflict_id)
    if row is None:
        return Needs((), operations, (message.conflict_id,), known=(name,))
    key = (row.entity_type, row.entity_id)
    residents = replica.residents
    keys = () if key in residents.entities and key not in residents.taken else (key,)
    return Needs(keys, operations, held=(key,), known=(name,)) if keys or operations or under_way else None


def fetch(replica: Replica, disk: Disk, needs: Needs, then: Callable[[Unreadable | None], None]) -> None:
    """Read what is needed, then call `then` with everything in memory.

    then: called with None, or with why something cannot be read.
    """
    residents, held, in_turns = replica.residents, replica.held, replica.in_turns
    residents.use(needs.held)
    alone = needs.alone and in_turns.busy
    if alone or not residents.taken.isdisjoint(needs.held) or not in_turns.names.isdisjoint(needs.known):

        def go_on() -> None:
            residents.used(needs.held)
            fetch(replica, disk, evolve(needs, entities=residents.missing(needs.held)), then)

        in_turns.wait(go_on)
        return

    def fetched(found: Fetched | Unreadable) -> None:
        under_way = False
        lost: tuple[Key, ...] = ()
        unread: tuple[str, ...] = ()
        try:
            unreadable = found if isinstance(found, Unreadable) else _provide(replica, needs, found)
            residents.used(needs.held)
            lost = residents.missing(needs.held)  # a commit failed meanwhile, and everything was dropped
            unread = tuple(name for name in needs.known if name not in needs.operations and held.on_disk(name))
            under_way = not in_turns.names.isdisjoint(needs.known)  # somebody was faster
        except Exception as error:
            unreadable = Unreadable(replica.faults.report("what was read from the disk", b"", error))
        if unreadable is not None:
            then(unreadable)
        elif lost or unread or under_way:
            operations = (*needs.operations, *unread) if unread else ()
            again = evolve(needs, entities=lost, operations=operations, conflicts=(), histories=())
            fetch(replica, disk, again, then)
        else:
            then(None)

    disk.fetch(needs, fetched)


def _provide(replica: Replica, needs: Needs, found: Fetched) -> Unreadable | None:
    """Give what was fetched to its owners. Returns why an entity cannot be loaded, if one cannot.

    What is loaded above the bounds is let go here too: no commit follows what is refused.
    """
    if found.too_many_bytes:
        return TooMuch(
            f"its entities have {found.too_many_bytes} bytes; one operation touches at most {needs.most_bytes}"
        )
    replica.knowledge.provide(needs.histories, found.histories)
    unreadable = replica.residents.provide(needs.entities, found.entities)
    for name in needs.operations:
        replica.held.provide(name, found.operations.get(name, ()), found.archived.get(name, ()))
    replica.conflicts.provide(found.conflicts.values())
    replica.residents.let_go(replica.log.committed, replica.log.group.touched)
    return unreadable
