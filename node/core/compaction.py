"""What a terminal is sent of the archived part of the log: not its rows, but what has become of them.

Each entity with a row there comes once, as it is now, in the place of its last archived row; between them the
notices that the terminal has not confirmed, and the conflicts raised there that are still open. Rows after the anchor
follow as ever, so that applying all of it in order shows what the node shows.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from node.core.cursors import NOTICE
from node.core.render import state_id, state_message
from node.wire.frames import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.core.cursors import Entry
    from storage.archived import Compacted
    from storage.records import ConflictRow
    from strategies.policy import Registry


def compacted_frames(
    found: Compacted, conflicts: Iterable[ConflictRow], registry: Registry, priority: int, node_id: str, at: str
) -> tuple[list[Outgoing], list[Entry]]:
    """conflicts: open ones of which the terminal is told."""
    parts: list[tuple[int, list[bytes], str]] = [(o.seq, o.message.split(b"\n"), NOTICE) for o in found.owed]
    for whole in found.wholes:
        policy, row = registry.get(whole.row.entity_type), whole.row
        if policy is not None:
            name = state_id(row.entity_type, row.entity_id, row.version)
            parts.append((whole.seq, [state_message(policy, row, node_id=node_id, at=at)], name))
    parts += [(conflict.seq, [raised(conflict)], NOTICE) for conflict in conflicts]
    parts.sort(key=itemgetter(0))
    frames = [Outgoing(message) for _, messages, _ in parts for message in messages]
    return frames, [(seq, priority, name) for seq, _, name in parts]


def raised(conflict: ConflictRow) -> bytes:
    """`sync_conflict`, from what is stored."""
    return b'{"type":"sync_conflict","conflict":' + conflict.body + b"}"
