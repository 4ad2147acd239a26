"""What terminals sent and the node's own code failed on, as rows of the quarantine: to be looked at, and dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.core.operations.quarantine import FAULT, FAULTS_KEPT
from node.wire.json_text import word
from storage.records import ParkedRow

if TYPE_CHECKING:
    from node.core.operations.replica import Replica
    from node.core.ports import Instant


def exhibit(replica: Replica, now: Instant) -> None:
    """Put what failed since the last commit into the group."""
    faults, quarantine, commit = replica.faults, replica.quarantine, replica.log.group.commit
    while faults.exhibits:
        one = faults.exhibits.popleft()
        row = ParkedRow(
            quarantine.next_id(),
            "",
            word(one.terminal_id, 128),
            word(one.operation_id, 128),
            0,
            word(one.entity_type, 128),
            word(one.entity_id, 128),
            FAULT,
            f"from {one.terminal_id}: {one.told}"[:1_000],
            _json(one.said),
            now.wall_ms,
        )
        quarantine.add(row)
        commit.parked.append(row)
        for old in quarantine.faults()[:-FAULTS_KEPT]:
            quarantine.remove(old)
            commit.unparked.append(old.id)


def _json(said: bytes) -> bytes:
    """JSON as it is; other bytes as a text in JSON."""
    try:
        orjson.loads(said)
    except ValueError:
        return orjson.dumps({"text": said.decode(errors="replace")})
    return said
