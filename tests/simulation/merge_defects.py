"""Defects of the merge rules: what is superseded, how counters and lists move, what a conflict and a repeat are."""

from __future__ import annotations

from tests.simulation.slips import defect

MERGE = (
    defect(
        "removed-line-of-one-record",
        "a removed line is remembered as one of its records has it, and not as both who changed it made it",
        (
            "strategies.kinds.keyed_list:KeyedList.removed",
            "if listed is not None and record.path[1] in listed:",
            "if False:",
        ),
    ),
    defect(
        "status-only-in-its-line",
        "the status of a line has a register only once somebody changed it, so of two who add the line one is lost",
        ("strategies.kinds.keyed_list:KeyedList._add", "for name in self.ranked:", "for name in ():"),
    ),
    defect(
        "sibling-dropped",
        "of two concurrent writes the one that comes second from another node replaces the first in memory",
        (
            "crdt.document:Document.carry_out",
            "            self._insert(record, prepared.author)",
            "            if isinstance(record, FieldRecord):\n"
            "                self._remove_ids([known.id for known in self.siblings(record.path)])\n"
            "            self._insert(record, prepared.author)",
        ),
    ),
    defect(
        "unseen-superseded",
        "a write replaces all that is in its register, also what its author has not seen",
        (
            "node.core.entities.writes:FieldWriter.supersede",
            "if (r.writer, r.clock) in ids and replaces(r)",
            "if replaces(r)",
        ),
    ),
    defect(
        "contested-superseded",
        "a write to a contested register replaces both sides, whichever its author has seen",
        (
            "node.core.entities.writes:FieldWriter.supersede",
            "if (r.writer, r.clock) in ids and",
            "if ((r.writer, r.clock) in ids or len(siblings) > 1) and",
        ),
    ),
    defect(
        "acknowledgement-ignored",
        "whatever this node holds counts as seen, confirmed by the author's terminal or not",
        ("node.core.entities.entity:Entity.seen_by", "seqs[identity] > row or ", ""),
    ),
    defect(
        "clock-not-clamped",
        "a terminal's clock of 2036 wins every conflict for ten years",
        ("node.core.terminal_clocks:TerminalClock.take", "if live or wrong_ms < 0:", "if live:"),
        ("node.core.terminal_clocks:TerminalClocks.written", "if at_us > now_us:", "if at_us < 0:"),
        (
            "node.core.clock:NodeClock.stamp",
            "min(hlc.stamp_of(at_us + self.offset_ms * 1000), latest)",
            "hlc.stamp_of(at_us)",
        ),
    ),
    defect(
        "gap-guard-skipped",
        "an update is applied although what it builds on has not come",
        ("crdt.document:Document.prepare", "        if missing:", "        if not missing and missing:"),
    ),
    defect(
        "before-not-compared",
        "the versions an update builds on are not compared, only its own writer's clock",
        (
            "crdt.document:Document.prepare",
            "if need > self.vector.get(w, 0)}",
            "if w == author and need > self.vector.get(w, 0)}",
        ),
    ),
    defect(
        "local-repeat-accepted",
        "an operation that a terminal sends again is written again",
        (
            "node.core.operations.accept:look",
            "in_memory, key = held.in_memory(name), op_key(name)",
            "in_memory, key = False, -1",
        ),
    ),
    defect(
        "remote-repeat-logged",
        "an operation that comes again over a link gets a second row",
        (
            "node.core.operations.remote:accept_in_steps",
            "if _is_here(replica, remote):",
            "if False:",
        ),
    ),
    defect(
        "two-writers-not-settled",
        "an operation that a terminal sent to two nodes counts twice",
        ("node.core.operations.remote:_record", "if len(copies) > 1:", "if len(copies) > 99:"),
    ),
    defect(
        "repair-takes-all",
        "of an operation that a terminal sent to two nodes no copy stays",
        ("node.core.operations.two_writers:outlived", " and r.path in replaced", ""),
    ),
    defect(
        "first-loser-told",
        "of several who lost a conflict only the first is told",
        (
            "strategies.conflict:Conflict.losers",
            "r.name not in self.prevailing}))",
            "r.name not in self.prevailing}))[:1]",
        ),
    ),
    defect(
        "version-not-counted",
        "a write makes no version",
        ("node.core.operations.record:_edit", "n=plan.increment", "n=0"),
    ),
    defect(
        "version-counted-twice",
        "a DELETE makes two versions",
        ("node.core.operations.record:_edit", "n=plan.increment", "n=plan.increment + (kind == 'DELETE')"),
    ),
    defect(
        "shares-added-up",
        "a writer's share of the version is added again with each of its operations",
        ("crdt.document:Document._insert", "record.n - (old.n if old else 0)", "record.n"),
    ),
    defect(
        "totals-added-up",
        "a writer's total of a counter is added again with each of its operations",
        (
            "crdt.document:Document._count",
            "counted(old, new)",
            "counted(None, new)",
        ),
    ),
    defect(
        "difference-from-latest",
        "an absolute stock is reckoned from what this node holds, not from what its author last knew",
        (
            "strategies.kinds.counter:Counter.plan",
            "known = write.known_count(field)",
            "known = None",
        ),
    ),
    defect(
        "unseen-element-removed",
        "a list that is written takes out elements that its author never saw",
        (
            "strategies.kinds.keyed_list:KeyedList.plan",
            "records = [record for record in siblings if write.seen(record)]",
            "records = list(siblings)",
        ),
        (
            "strategies.kinds.keyed_list:KeyedList.plan",
            "write.supersede(path, lambda record: base.holds(record.path[1], write.seq_of(record)))",
            "write.remove(document.siblings(path))",
        ),
    ),
    defect(
        "removed-element-back",
        "a stale copy of a list puts back what somebody took out of it",
        (
            "strategies.kinds.keyed_list:KeyedList.plan",
            "elif afresh or not base.carries_over(key, element):",
            "else:",
        ),
    ),
    defect(
        "earlier-list-forgotten",
        "a list that its author wrote again since counts as one that was empty, when an older write is tried again",
        ("node.core.entities.last_known:_only_latest_keys", "written=True", "written=[]"),
    ),
    defect(
        "first-try-forgotten",
        "an operation that was refused and is sent again counts as written from what its author has seen by then",
        (
            "node.core.operations.knowledge:Knowledge.as_of_first_attempt",
            "author if first is None else evolve(author, first_attempt=first)",
            "author",
        ),
    ),
    defect(
        "first-try-archived",
        "what the author of a refused operation knew is gone once the row of that is archived",
        ("storage.sqlite.prune:prune_batch", "leave_first_attempts(connection, rows)", "pass"),
    ),
    defect(
        "first-try-knows-more",
        "an operation that is sent again takes off what its author was shown only after it was refused",
        (
            "node.core.operations.knowledge:Knowledge._evidence",
            "if first is not None:",
            "if first is not None and not first:",
        ),
    ),
    defect(
        "rank-by-client-clock",
        "who was first is decided by the terminal's clock, not by when a node accepted it",
        ("node.core.entities.writes:FieldWriter.add", "else stamp.accepted", "else stamp.stamp"),
    ),
    defect(
        "place-lost-among-equals",
        "what replaces the shown one of two values that replaced one record comes behind the other",
        ("node.core.entities.writes:FieldWriter._place", "return max(rank - 1, 0)", "return rank"),
    ),
    defect(
        "kept-place-refused",
        "a value of another node that keeps a place by its rank is quarantined",
        ("node.core.operations.content:Ground.may_rank", " or (path, rank + 1) in self.ranks", ""),
    ),
    defect(
        "conflict-not-raised-remotely",
        "a conflict is told of where its second side was written, and nowhere else",
        ("node.core.operations.remote:_apply", "by, news, pauses", "by, ConflictNews(), pauses"),
    ),
    defect(
        "conflict-not-stored",
        "a conflict is known until the next restart",
        (
            "node.core.operations.notices:remember",
            "replica.log.group.commit.conflicts.append(row)",
            "replica.log.group.commit.conflicts.extend([row][row.state == 'open':])",
        ),
    ),
    defect(
        "nothing-left-is-never-counted",
        "a counter of which as much was taken as was added is not shown any more once it was stored",
        (
            "crdt.document:Document._count",
            "for name in new.counters:",
            "for name in ():",
        ),
    ),
    defect(
        "conflict-id-by-arrival",
        "the id of a conflict depends on which of its sides came first",
        (
            "crdt.document:Document._insert",
            "insort(siblings, record, key=_identity)",
            "siblings.append(record)",
        ),
        (
            "strategies.view:View._refresh_conflict",
            "self.policy.ordered(path, siblings),",
            "siblings,",
        ),
        (
            "strategies.conflict:sibling_conflict",
            "tuple(sorted({record.name for record in ordered}))",
            "tuple(record.name for record in ordered)",
        ),
    ),
    defect(
        "winner-by-arrival",
        "of two concurrent values the one that came first is shown",
        (
            "crdt.document:Document._insert",
            "insort(siblings, record, key=_identity)",
            "siblings.append(record)",
        ),
        (
            "strategies.last_write_wins:LastWriteWins.ordered",
            "sorted(siblings, key=by_time, reverse=True)",
            "list(siblings)",
        ),
    ),
    defect(
        "deletion-saw-nothing",
        "a deletion names what its author has seen only where it is its own",
        ("strategies.strategy:unseen_by", "and record.name not in known", ""),
    ),
    defect(
        "one-of-two-deletions-is-none",
        "who saw one of two deletions is taken not to know that the entity is gone",
        (
            "node.core.entities.writes:seen_dead",
            "    if not deletions:",
            "    if len(deletions) < len(document.siblings(DELETED_AT)) or not deletions:",
        ),
    ),
    defect(
        "unseen-deletion-over",
        "who creates an entity again also takes away a deletion that it had not seen",
        (
            "node.core.entities.writes:Planner._over",
            "if record.path == DELETED_AT and record not in deletions:",
            "if False:",
        ),
    ),
    defect(
        "version-not-bounded",
        "whatever state a version names, its author had seen all that was sent to it",
        (
            "node.core.entities.reach:reach_of",
            "    if named < current:",
            "    named = current\n    if named < current:",
        ),
    ),
)
