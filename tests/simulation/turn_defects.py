"""Defects of what takes several turns: what others do between two of them reaches into it, or it into them."""

from __future__ import annotations

from tests.simulation.slips import defect

TURNS = (
    defect(
        "entities-not-taken",
        "what a large operation writes is written by others too, between two of its turns",
        ("node.core.entities.residents:Residents.take", "        self.taken.update(keys)\n", ""),
    ),
    defect(
        "entities-never-given-back",
        "who needs an entity of a large operation waits for ever",
        ("node.core.entities.residents:Residents.give_back", "        self.taken.difference_update(keys)\n", ""),
    ),
    defect(
        "group-not-held",
        "a group is stored while its large operation is half decided",
        ("node.core.core:Core.take_group", "if log.open_row:", "if log.open_row < 0:"),
    ),
    defect(
        "stamped-before-others",
        "a large operation counts as written at the beginning of time",
        ("node.core.operations.record:_edit", "if planned.early:", "if planned.early is None:"),
    ),
    defect(
        "sealed-for-good",
        "what is written to an entity after it was encoded is not stored",
        ("node.core.entities.entity:Entity.row_written", "        self.sealed = None\n", ""),
    ),
    defect(
        "undone-unnoticed",
        "a large operation goes on though a commit has failed and all of it was dropped",
        ("node.core.operations.in_turns:InTurns._turn", "if work.undone():", "if work.undone() is None:"),
    ),
    defect(
        "number-of-another-row",
        "a large operation writes its entities under the number of the row that somebody else has next",
        (
            "node.core.operations.record:record_in_steps",
            "seq = log.open_row if pauses else log.head + 1",
            "seq = log.head + 1",
        ),
    ),
    defect(
        "number-of-the-open-row",
        "a small operation writes its entity under the number of the large one that is under way",
        (
            "node.core.operations.record:record_in_steps",
            "seq = log.open_row if pauses else log.head + 1",
            "seq = log.open_row or log.head + 1",
        ),
    ),
    defect(
        "two-at-once",
        "a second large operation begins before the disk has the first, and the group waits for both",
        ("node.core.operations.accept:look", "alone = large and replica.in_turns.busy", "alone = False"),
    ),
    defect(
        "seen-what-came-while-planned",
        "what its author is sent while a large operation is planned counts as seen",
        ("node.core.operations.accept:accept_in_turns", "subject.author.as_now()", "subject.author"),
    ),
    defect(
        "fault-forgotten-between-turns",
        "after a fault in the middle of a large operation memory is taken for what the log says",
        (
            "node.core.operations.in_turns:InTurns._turn",
            "            faults.changing = work.changing\n",
            "",
        ),
    ),
    defect(
        "name-not-held",
        "a terminal that the node cut off gives another operation the id of a large one that is under way",
        ("node.core.operations.accept:look", "under_way = name in replica.in_turns.names", "under_way = False"),
    ),
    defect(
        "name-of-a-decision-not-held",
        "a decision of a conflict gets the name of a large operation that is under way",
        (
            "node.core.operations.needs:resolution_needs",
            "under_way = name in replica.in_turns.names",
            "under_way = False",
        ),
    ),
    defect(
        "name-not-held-on-links",
        "what a link brings under the name of a large operation that is under way comes before it",
        ("node.core.links.link:Link._needs", "in_turns.names.isdisjoint(names)", "names"),
    ),
    defect(
        "name-not-held-in-history",
        "what the history of a link brings under the name of a large operation that is under way comes before it",
        ("node.core.operations.settled:take", "or row.name in under_way", ""),
    ),
    defect(
        "name-not-held-by-what-waits",
        "what waits in the quarantine is tried while a large operation of its name is under way",
        (
            "node.core.operations.parked:retry_waiting",
            "not replica.in_turns.names.isdisjoint(names)",
            "not names",
        ),
    ),
    defect(
        "name-not-held-by-the-quarantine",
        "what is in the quarantine is tried while a large operation of its name is under way",
        (
            "node.core.operations.parked:retry_when_here",
            "not replica.in_turns.names.isdisjoint(names)",
            "not names",
        ),
    ),
    defect(
        "name-taken-while-it-was-read",
        "what was waiting for the disk when a large operation of its name began is decided in the middle of it",
        ("node.core.operations.needs:fetch", "elif lost or unread or under_way:", "elif lost or unread:"),
    ),
    defect(
        "refusal-of-another-row",
        "the current values that go with a large refusal are named after a row that somebody else has",
        (
            "node.core.operations.refusals:refuse_in_steps",
            "seq = log.open_row if pauses else log.head + 1",
            "seq = log.head + 1",
        ),
    ),
    defect(
        "read-before-taken",
        "what a large operation of a link writes is let go while the operation is read",
        (
            "node.core.operations.parked:receive_in_steps",
            "entities_of([message]) if pauses else ()",
            "()",
        ),
    ),
    defect(
        "name-never-let-go",
        "what comes under the name of a large operation that has ended waits for ever",
        (
            "node.core.operations.in_turns:InTurns._turn",
            "self._work, self.busy, self.names = None, stays, frozenset()",
            "self._work, self.busy = None, stays",
        ),
    ),
    defect(
        "end-wakes-nobody",
        "what others wrote during a large operation is not stored, as its connection was closed and nobody says so",
        ("node.core.operations.in_turns:InTurns._turn", "            faults.wake()", "            pass"),
    ),
    defect(
        "fault-on-a-closed-connection",
        "a fault in the middle of a large operation whose connection is closed ends all storing",
        (
            "node.core.sessions.session:Session._in_turns",
            "            self._inbox.guarded(self._after_turns",
            "            if not self.closed:\n                self._inbox.guarded(self._after_turns",
        ),
    ),
    defect(
        "closed-hands-nothing-over",
        "a terminal that came back is not served, as the node closed its last connection while something waited",
        ("node.core.sessions.session:Session._close", "if self.successor is not None:", "if False:"),
    ),
    defect(
        "stop-leaves-half",
        "a node that stops leaves a large operation half decided, and all that stands behind it unsaid",
        ("node.core.operations.in_turns:InTurns.finish", "while self._work is not None:", "while False:"),
    ),
)
