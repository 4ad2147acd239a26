"""What becomes of an entity that another node sent whole: one `state` row, if it holds anything new.

The operations it is made of follow as history. The document holds them by then, so their rows change nothing that is
shown. Operations that the sender has archived are named with the state. A state that cannot be taken is dropped: a
comparison finds its operations.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from crdt import hlc
from crdt.absorb import absorbed
from crdt.edits import Applied
from crdt.engine import EngineError
from crdt.records import Contradiction, DocumentError, ForkError
from crdt.update_format import UpdateError
from node.core.entities.change import ConflictNews, carry_out, difference
from node.core.entities.entity import Touch
from node.core.log.messages import current_message, state_id
from node.core.log.rows import changes_of, state_row
from node.core.operations.author import absent
from node.core.operations.notices import remember, tell
from node.core.operations.record import write
from node.core.operations.remote import Outcome
from node.errors import WireError
from node.wire.links.states import state_operation
from node.wire.outgoing import compact_json
from storage.packed import pack_operations, unpack_operations
from storage.records import ArchivedRow
from strategies.view import view_of

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Sequence

    from crdt.document import Document
    from node.core.entities.entity import Entity
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.links.states import RemoteState
    from storage.records import ConflictRow, Key, LogRow

logger = logging.getLogger("comanda.link")


def receive(replica: Replica, state: RemoteState, via: str, now: Instant, asked: Container[int]) -> Outcome:
    """Take a linked node's state of one entity, which is resident.

    asked: the link keys of the archived operations that may be taken with it.
    """
    causes = replica.faults.causes
    known = causes.get(_cause(state.key, state.b64)) if causes else None
    if known is not None:
        logger.warning(
            "a state of %(entity_type)s %(entity_id)s from %(peer)s is left to its operations: %(reason)s",
            {"entity_type": state.key[0], "entity_id": state.key[1], "peer": via, "reason": known},
        )
        return Outcome()
    try:
        entity = replica.residents.entity(state.key)
        document = absorbed(entity.document, state.snapshot)
        problem = None if document is None else entity.policy.misfit(document.records())
        if problem is not None:
            raise DocumentError(problem)
        if document is not None:
            _take(replica, entity, document, state, via, now)
        return Outcome(quiet=_hold(replica, state, asked) or document is not None)
    except Exception as error:
        expected = isinstance(error, WireError | UpdateError | DocumentError | EngineError)
        if expected and not replica.faults.changing:
            logger.warning(
                "%(entity_type)s %(entity_id)s as %(peer)s has it: %(reason)s",
                {"entity_type": state.key[0], "entity_id": state.key[1], "peer": via, "reason": error},
            )
            if isinstance(error, Contradiction):
                what = f"{via.partition(':')[0]} holds {' '.join(state.key)} otherwise: {error}"
                replica.contradicted("entity", what)
            return Outcome(claimed=str(error) if isinstance(error, ForkError) else None)
        cause = _cause(state.key, state.b64)
        replica.faults.report(f"a state from {via!r}", state.snapshot, error, cause)
        return Outcome()


def cause_of(row: LogRow) -> Hashable:
    """What names the state of a row among the causes of faults."""
    return _cause((row.entity_type, row.entity_id or ""), row.updates)


def _cause(key: Key, b64: bytes) -> Hashable:
    return ("state", key, hash(b64))


def _take(replica: Replica, entity: Entity, document: Document, state: RemoteState, via: str, now: Instant) -> None:
    node_id, policy = replica.settings.node_id, entity.policy
    paths = [*entity.document.fields, *(path for path in document.fields if path not in entity.document.fields)]
    news = ConflictNews()
    replica.faults.changing = True
    before, _ = carry_out(entity, paths, partial(_replace, entity, document), replica.log.head + 1, via, news)
    accepted = max([record.accepted for record in document.records()], default=0)
    replica.clock.observe(accepted, now)
    operation_id = state_id(*entity.key, document.version)
    shown = before.alive or entity.view.alive
    row = state_row(
        policy,
        operation_id,
        entity.key[1],
        replica.clock.accept(now),
        node_id=node_id,
        via=via,
        version=document.version,
        operation=state_operation(operation_id, entity.key, state.archived, state.closed),
        message=current_message(entity, node_id=node_id, at=hlc.iso(now.wall_ms), operation_id=operation_id)
        if shown
        else b"",
        changes=compact_json(changes_of([entity], [difference(before, entity, "UPDATE", (), {})], bulk=False)),
        updates=state.b64,
    )
    write(replica, row, [Touch(entity)])
    # The node that settled a conflict has told its losers.
    news.restated += [conflict for conflict in news.raised if conflict.state != "open"]
    news.raised = [conflict for conflict in news.raised if conflict.state == "open"]
    tell(replica, news, policy, operation_id, absent(node_id), row.accepted)
    _remember_closed(replica, entity, state.closed)
    replica.faults.changing = False


def _replace(entity: Entity, document: Document) -> Applied:
    """Give the entity another document and the view of it."""
    old, entity.document, entity.whole = entity.document, document, True
    entity.view = view_of(*entity.key, entity.policy, document)
    removed = tuple([record for identity, record in old.by_id.items() if identity not in document.by_id])
    added = tuple([record for identity, record in document.by_id.items() if identity not in old.by_id])
    return Applied(added, removed)


def _hold(replica: Replica, state: RemoteState, asked: Container[int]) -> bool:
    """Hold the archived operations that a state names. Returns whether one of them is new.

    An operation of several entities is held once all of its entities are here.
    """
    if not state.archived:
        return False
    entity_type, entity_id = state.key
    held, commit, new = replica.held, replica.log.group.commit, []
    for one in unpack_operations(state.archived):
        if one.link_key not in asked or not one.link_key or held.digests.holds(entity_type, one.link_key):
            continue
        if one.parts > 1 and not held.part_came(entity_id, one):
            continue
        new.append(one)
        if one.link_key not in held.partial:
            held.hold(entity_type, one)
            for row in replica.quarantine.of_link_key(one.link_key):
                replica.quarantine.remove(row)
                commit.unparked.append(row.id)
    if new:
        bulk = any(one.parts > 1 for one in new)
        commit.archived.append(ArchivedRow(entity_type, entity_id, 0, 0, "", 0, bulk, pack_operations(new)))
    return bool(new)


def _remember_closed(replica: Replica, entity: Entity, closed: Sequence[ConflictRow]) -> None:
    """Remember conflicts that ended before this node heard of them, for a terminal that answers one.

    Nobody is told.
    """
    if not closed:
        return
    current = {conflict.id for conflict in entity.view.conflicts.values()}
    for conflict in closed:
        if conflict.conflict_id not in current and conflict.conflict_id not in replica.conflicts.known:
            remember(replica, evolve(conflict, seq=replica.log.head))
