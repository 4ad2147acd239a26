"""What becomes of an entity that another node sent whole: one `state` row, where it holds anything new.

The operations it is made of follow as history; the document holds them by then, so they become rows that show
nothing. Those that its sender has archived are named with it. A state that cannot be taken is left to them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve

from crdt import hlc
from crdt.absorb import absorbed
from crdt.engine import EngineError
from crdt.records import DocumentError, ForkError
from crdt.update_format import UpdateError
from node.core.entities.change import ConflictNews
from node.core.entities.difference import Before, difference
from node.core.log.messages import current_message, state_id
from node.core.log.rows import blank_row, changes_of
from node.core.operations import held
from node.core.operations.author import absent
from node.core.operations.notices import remember, tell
from node.errors import WireError
from node.wire.json_text import kept
from node.wire.links.states import remote_state, state_operation
from storage.records import key64
from strategies.view import view_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crdt.document import Document
    from node.core.entities.entity import Entity
    from node.core.operations.replica import Replica
    from node.core.ports import Instant
    from node.wire.links.states import RemoteState
    from storage.records import ConflictRow

logger = logging.getLogger("comanda.link")


def receive(replica: Replica, message: Mapping[str, object], via: str, now: Instant) -> bool:
    """Take a linked node's state of one entity, which is resident. Raises InvalidMessage for no state at all.

    True where nothing was new but which operations it is made of: no row tells further nodes of them.
    """
    state = remote_state(message)
    try:
        entity = replica.entity(state.key)
        document = absorbed(entity.document, state.snapshot)
    except (WireError, UpdateError, DocumentError, EngineError) as error:
        if isinstance(error, ForkError):
            replica.claimed = str(error)
        logger.warning("%s %s as %s has it: %s", *state.key, via, error)
        return False
    if document is not None:
        _take(replica, entity, document, state, via, now)
    return held.hold(replica, state) and document is None


def _take(replica: Replica, entity: Entity, document: Document, state: RemoteState, via: str, now: Instant) -> None:
    node_id, policy, seq = replica.settings.node_id, entity.policy, replica.head + 1
    paths = [*entity.document.fields, *(path for path in document.fields if path not in entity.document.fields)]
    before, conflicts = Before.of(entity, paths), dict(entity.view.conflicts)
    old, entity.document, entity.view = entity.document, document, view_of(*entity.key, policy, document)
    removed = [record for record in old.records() if document.record(*record.id) is None]
    added = [record for record in document.records() if old.record(*record.id) is None]
    entity.changed(removed, added, seq)
    accepted = max((record.accepted for record in document.records()), default=0)
    replica.clock.observe(accepted, now.wall_ms, replica.settings.max_skew_ms)

    operation_id = state_id(*entity.key, document.version)
    authored = state_operation(operation_id, entity.key, state.archived, state.closed)
    row = blank_row("state", authored, operation_id, *entity.key, policy)
    row.terminal_id, row.origin, row.via = node_id, node_id, via
    row.stamp = row.accepted = replica.clock.tick(now.wall_ms + replica.offset_ms)
    row.version, row.status, row.echo = document.version, "applied", True
    row.updates = state.b64
    if before.alive or entity.view.alive:
        at = hlc.iso(now.wall_ms)
        row.message = current_message(
            policy, entity.key, entity.shown(), document.version, dead=not entity.view.alive, node_id=node_id, at=at
        )
    row.changes = kept(changes_of([entity], [difference(before, entity, "UPDATE", (), {})], bulk=False, skew=0))
    replica.append(row)
    entity.touched(seq, node_id, True)
    entity.movements.row_written(entity.view, seq, None, {}, 0, echo=True)
    replica.group.touched[entity.key] = entity
    replica.known_entities.add(key64(*entity.key))

    news = ConflictNews()
    news.compare(conflicts, entity.view.conflicts)
    # What a rule settled was told to its losers where it was settled.
    news.restated += [conflict for conflict in news.raised if conflict.state != "open"]
    news.raised = [conflict for conflict in news.raised if conflict.state == "open"]
    tell(replica, news, policy, operation_id, absent(node_id), row.accepted)
    _remember_closed(replica, entity, state.closed)


def _remember_closed(replica: Replica, entity: Entity, closed: Sequence[ConflictRow]) -> None:
    """Conflicts that ended before this node heard of them: who answers one is told how. Nobody else is."""
    current = {conflict.id for conflict in entity.view.conflicts.values()}
    for conflict in closed:
        if conflict.conflict_id not in current and conflict.conflict_id not in replica.conflicts:
            remember(replica, evolve(conflict, seq=replica.head))
