"""What a terminal is sent of the archived part of the log: not the rows, but what became of them.

Each entity with a row there comes once, as it was after its last archived row, in the place of that row. Between them
come the notices that the terminal has not confirmed, and the conflicts raised there that are still open. Rows after
the anchor follow as usual, so applying all of it in order shows what the node shows.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

import orjson
from attrs import evolve

from crdt.document import Document
from crdt.engine import DEFAULT
from node.core.entities.entity import Entity
from node.core.log.entries import NOTICE
from node.core.log.messages import state_id, state_message
from strategies.view import view_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.log.entries import Entry
    from storage.answers import Compacted, Whole
    from storage.records import ConflictRow, EntityRow
    from strategies.policy import EntityPolicy, Registry


def compacted_messages(
    found: Compacted, conflicts: Iterable[ConflictRow], registry: Registry, priority: int, node_id: str, at: str
) -> tuple[list[bytes], list[Entry]]:
    """The messages of a page, and their entries for the window.

    conflicts: the open ones that the terminal is told of.
    """
    parts: list[tuple[int, list[bytes], str]] = [(o.seq, o.message.split(b"\n"), NOTICE) for o in found.owed]
    for whole in found.wholes:
        policy = registry.get(whole.row.entity_type)
        if policy is not None:
            row = _then(policy, whole)
            name = state_id(row.entity_type, row.entity_id, row.version)
            parts.append((whole.seq, [state_message(policy, row, node_id=node_id, at=at)], name))
    parts += [(conflict.seq, [raised(conflict)], NOTICE) for conflict in conflicts]
    parts.sort(key=itemgetter(0))
    return [message for _, messages, _ in parts for message in messages], [
        (seq, priority, name) for seq, _, name in parts
    ]


def _then(policy: EntityPolicy, whole: Whole) -> EntityRow:
    """The entity as it was after its last archived row."""
    row = whole.row
    if whole.base is None:
        return row
    key, document = (row.entity_type, row.entity_id), Document.load(whole.base, writer=1, engine=DEFAULT)
    entity = Entity(key, policy, document, view_of(*key, policy, document))
    shown = orjson.dumps(entity.shown())
    return evolve(row, version=document.version, deleted=not entity.view.alive, view=shown)


def raised(conflict: ConflictRow) -> bytes:
    """`sync_conflict`, from what is stored."""
    return b'{"type":"sync_conflict","conflict":' + conflict.body + b"}"
