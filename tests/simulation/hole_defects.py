"""Defects of rare branches: a restart, an archive, a BULK_UPDATE, two of a thing, a terminal that is far behind.

Each has a scenario of its own too (tests/scenarios/failures/test_holes.py), which finds it for sure.
"""

from __future__ import annotations

from tests.simulation.slips import defect

HOLES = (
    defect(
        "one-lease-after-restart",
        "of several leases of one terminal only the last one is known after a restart",
        (
            "node.core.locks.table:LockTable.restore",
            "            table._put(lease)\n",
            "            for old in [one for one in table.leases.values() if one.terminal == lease.terminal]:\n"
            "                table._drop(old)\n"
            "            table._put(lease)\n",
        ),
    ),
    defect(
        "no-notices-from-disk",
        "who is further behind than the ring is not sent notices",
        (
            "node.core.delivery.delivery:Delivery._take_stored",
            "        self.feed.take(",
            '        if row.kind != "notice":\n            self.feed.take(',
        ),
    ),
    defect(
        "one-loser-told",
        "of several whose write did not prevail only the first is told",
        ("node.core.operations.notices:tell_in_steps", "conflict.losers() if", "conflict.losers()[:1] if"),
    ),
    defect(
        "failed-bulk-remembered",
        "a BULK_UPDATE whose commit failed counts as a repeat when it is sent again",
        (
            "node.core.operations.held:Held.forget",
            'if row.kind == "operation":',
            'if row.kind == "operation" and row.entity_id is not None:',
        ),
    ),
    defect(
        "bulk-not-looked-at",
        "a BULK_UPDATE that waits is not tried when one of its entities gets something",
        (
            "node.core.operations.quarantine:_touched",
            "return tuple(keys)",
            "return tuple(keys)[:1]",
        ),
    ),
    defect(
        "followers-forgotten",
        "after a restart an archive takes rows that an absent linked node has not confirmed",
        ("storage.sqlite.boot:read_boot", "followers=_followers(connection, damaged)", "followers=[]"),
    ),
    defect(
        "last-archived-conflict-untold",
        "an open conflict that the last archived row raised is told to nobody who was further behind",
        (
            "node.core.delivery.terminal_feed:TerminalFeed.compacted",
            "if after < c.seq <= found.upto and",
            "if after < c.seq < found.upto and",
        ),
    ),
    defect(
        "large-not-linked",
        "a message above the size of a frame never goes over a link",
        (
            "node.core.links.feed:_send_frames",
            "        part.append(message)\n",
            "        if len(message) > FRAME_BYTES:\n            continue\n        part.append(message)\n",
        ),
    ),
    defect(
        "earlier-connection-overtaken",
        "who reconnects is served before what its last connection sent and waits for the disk",
        (
            "node.core.sessions.sessions:Sessions._begin",
            "if earlier is not None and earlier.unfinished:",
            "if False:",
        ),
    ),
    defect(
        "read-counts-later-rows",
        "who reads one entity over HTTP counts as having seen rows that are not in the answer",
        (
            "node.runtime.api.routes:Api._one",
            "min(committed, row.seq)",
            "core.replica.log.committed",
        ),
    ),
    defect(
        "created-again-keeps-fields",
        "an entity created again keeps fields that another terminal wrote before its deletion",
        (
            "node.core.entities.writes:Planner._over",
            "if not self._fields.seen(record) and all(unseen_by(deletion, (record,)) for deletion in deletions):",
            "if record.terminal != deletions[0].terminal:",
        ),
    ),
    defect(
        "owed-to-one",
        "of several terminals that an archived notice is for only the first is told",
        (
            "storage.sqlite.prune:_write_owed",
            '        for terminal_id in dict.fromkeys(row["targets"].split("\\n"))\n',
            '        for terminal_id in row["targets"].split("\\n")[:1]\n',
        ),
    ),
    defect(
        "release-ends-other-requests",
        "who gives one lock back hears nothing of another that it asked for",
        (
            "node.core.locks.requests:LockRequests.release",
            "if (asked.key, asked.terminal) == (lease.key, terminal):",
            "if asked.terminal == terminal:",
        ),
    ),
    defect(
        "one-lease-offered",
        "of several leases that were granted while the upstream was away only the first is offered to it",
        ("node.core.locks.requests:LockRequests._take_leases", "for lease in local:", "for lease in local[:1]:"),
    ),
    defect(
        "one-release-told",
        "of several locks that were given back while the upstream was away only the first is free there",
        (
            "node.core.locks.requests:LockRequests._take_leases",
            "for lock_id, terminal in self._to_release:",
            "for lock_id, terminal in self._to_release[:1]:",
        ),
    ),
)
