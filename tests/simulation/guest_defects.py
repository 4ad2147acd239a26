"""Defects of who is let in, of what is read, and of lines and counts that came by a way of their own."""

from __future__ import annotations

from tests.simulation.slips import defect

GUESTS = (
    defect(
        "newcomer-takes-the-place",
        "who dials takes the place of the node that it says it is, before it has shown that",
        (
            "node.core.links.links:Links.came",
            "        self.newcomers[link] = self.node.clock().mono_ms\n",
            "        self.newcomers[link] = self.node.clock().mono_ms\n        self.linked(link)\n",
        ),
    ),
    defect(
        "newcomers-not-bounded",
        "as many as like wait under one name to show who they are",
        ("node.core.links.links:Links.came", "max(len(same) + 1 - NEWCOMERS_OF_NODE, 0)", "0"),
    ),
    defect(
        "realm-not-asked",
        "who names another store is let in",
        ("node.core.admission:Admission.objection", "if caller.realm not in (None, self.realm):", "if False:"),
    ),
    defect(
        "realm-not-read",
        "a node goes on with one of another store that it dialled",
        (
            "node.core.links.handshake:Handshake.established",
            "if hello.realm != host.node.replica.settings.realm:",
            "if False:",
        ),
    ),
    defect(
        "realm-of-a-message-not-read",
        "a link takes messages that name another store",
        (
            "node.core.links.link:Link._messages",
            'if "realm" in message and message["realm"] != node.replica.settings.realm:',
            "if False:",
        ),
    ),
    defect(
        "realm-not-signed",
        "what a node signs for one store shows in another one who it is",
        ("node.wire.links.handshake:challenged", "*([realm] if realm else [])", "*[]"),
    ),
    defect(
        "log-renamed",
        "a store's log becomes another store's",
        ("node.core.start:note_realm", "    if stored:\n", "    if False:\n"),
    ),
    defect(
        "rights-not-asked-of-a-row",
        "a terminal is sent rows of types that it may not read, one by one",
        (
            "node.core.delivery.terminal_feed:TerminalFeed.take",
            "if self.reads is not None and row.row.entity_type not in self.reads:",
            "if False:",
        ),
    ),
    defect(
        "rights-not-asked-of-a-batch",
        "a terminal is sent rows of types that it may not read with a commit that suits all others",
        ("node.core.log.fan_out:SharedBatch.batch_of", "(reads is None or self._types <= reads)", "True"),
    ),
    defect(
        "rights-not-asked-of-a-state",
        "a terminal that comes empty is sent entities of types that it may not read",
        (
            "node.core.delivery.terminal_feed:TerminalFeed.types",
            "[name for name in entity_types if name in self.reads]",
            "entity_types",
        ),
    ),
    defect(
        "deletion-over-link-unmarked",
        "that a terminal may not delete what is final is not said where its deletion comes over a link",
        ("node.core.operations.remote:_takes_back", "if deletion is not None and", "if deletion is None and"),
    ),
)

LINES = (
    defect(
        "moved-line-untold",
        "that a line is in two entities, as it was moved while somebody changed it, is told to nobody",
        ("node.core.operations.moved:_added", "key != one.key and", "key == one.key and"),
    ),
    defect(
        "line-read-here-forgotten",
        "with no link, the quantity of a line that its author read here counts until somebody changes the line",
        (
            "strategies.kinds.keyed_list:Change._counted_by_then",
            "or self.base.became(head.path[1], write.seq_of(record))",
            "",
        ),
    ),
    defect(
        "line-moved-on-untold",
        "that a line is in two entities is told to nobody where it was moved on from where it was put first",
        ("node.core.operations.moved:_Look._tell", "if onward and", "if False and"),
    ),
    defect(
        "line-moved-by-two-untold",
        "that a line is in two entities, as two moved it who had not seen each other, is told to nobody",
        (
            "node.core.operations.overruled:removed_twice",
            "past = entity.past.of.get(path, ())",
            "past = ()",
        ),
    ),
    defect(
        "line-moved-by-two-told-to-one",
        "of two who moved one line only one is told that it is in two entities",
        (
            "node.core.operations.notices:tell_in_two",
            "dict.fromkeys(terminal_of(name) for name, _ in sides)",
            "dict.fromkeys(terminal_of(name) for name, _ in sides[:1])",
        ),
    ),
    defect(
        "counted-line-is-another",
        "a line of which something was counted before it was moved is not recognised where it was put",
        ("node.core.operations.transfers:Removal.is_in", "kind.comparable(element)", "element"),
    ),
    defect(
        "late-confirmation-of-another",
        "the late confirmation of a row that a pong acknowledged counts for another terminal's row of the same id",
        ("node.core.delivery.window:Window._was_unheard", "if operation_id in self._unheard:", "if False:"),
    ),
    defect(
        "read-as-soon-as-it-confirms",
        "who confirms again after a whole window went by has read all of that with its first confirmation",
        ("node.core.delivery.window:Window.read", "if self.heard or", "if self.confirms or"),
    ),
    defect(
        "let-go-is-another",
        "a confirmation counts for a row of that id, though it may be of one that was let go",
        ("node.core.delivery.window:Window.confirm", "if self._let_go and", "if False and"),
    ),
    defect(
        "count-is-the-beginning",
        "who had not seen a count of a line is taken to know it, so the quantity it sends back undoes it",
        (
            "node.core.entities.last_known:Movements._line_counted",
            "began = kind.began_at(",
            "began = kind.opening_at(",
        ),
    ),
    defect(
        "count-elsewhere-not-noted",
        "the same of a count that came over a link",
        (
            "node.core.entities.last_known:Movements.record_added",
            "self.fields_written.append(record.path)",
            "pass",
        ),
    ),
    defect(
        "copy-of-a-line-is-a-change",
        "a field of a line that is sent back undoes a change, where another field of it was changed before",
        ("node.core.entities.past:Past.repeats", "_part(found, one, name)", "one.parts.get(name)"),
    ),
    defect(
        "line-movements-let-go",
        "of what was counted of a line only the last is remembered, whoever has not seen it",
        (
            "node.core.entities.last_known:Movements.let_go",
            "last = needless([move.seq for move in moves], everybody)",
            "last = moves[-1].seq",
        ),
    ),
    defect(
        "online-for-ever",
        "who was connected when a node died is taken to have been sent all that there is at each later start",
        (
            "node.core.delivery.cursors:Cursors.begin",
            "cursors.note_cursor(",
            "cursors.terminals.__setitem__(row.terminal_id, ",
        ),
    ),
    defect(
        "answer-after-next-comparison",
        "an entity that was asked for is not taken once another comparison has begun",
        (
            "node.core.links.asked:Asked.takes",
            "if key in self.again or self._compared(entity_type, key)",
            "if key in self.keys",
        ),
    ),
    defect(
        "moved-line-told-to-its-mover",
        "that a line is in two entities is told to who moved it, and not to who changed it",
        ("node.core.operations.notices:tell_stays", "dict.fromkeys((remover, changer))", "dict.fromkeys((remover,))"),
    ),
    defect(
        "later-move-not-noticed",
        "a line that stayed counts as moved only where it was added elsewhere before it was taken off",
        ("node.core.operations.moved:_remember", "put_latest(", "(lambda *_: None)("),
    ),
    defect(
        "removed-long-ago-forgotten",
        "of lines that were taken off the latest few are remembered, whoever has not seen that they are gone",
        ("node.core.entities.past:needless", "min(everybody, taken[LATEST])", "taken[LATEST]"),
    ),
)

UNDERSTOOD = (
    defect(
        "bulk-sent-again-is-another",
        "a BULK_UPDATE with an entity_id beside it is another operation than it was",
        (
            "storage.understood:understood",
            "entity_id, data = None, {",
            "data = {",
        ),
    ),
    defect(
        "one-is-true",
        "1 and true are one value of a field",
        ("crdt.json_values:equal", "    if kind is not its:\n", "    if kind is not its and one != other:\n"),
    ),
    defect(
        "opening-over-movements",
        "a first count comes on top of what was moved before it",
        (
            "strategies.kinds.counter:Counter.plan",
            "        elif base.amount is None:\n            _open(write, field, amount, base.moved or ZERO)\n",
            "        elif base.amount is None:\n            _open(write, field, amount, ZERO)\n",
        ),
    ),
    defect(
        "half-a-pair-is-kept",
        "half a surrogate pair in a text stays in it",
        (
            "node.wire.tolerant:_mend",
            "holder[name] = _HALF.sub(_PLACEHOLDER, child)",
            "pass",
        ),
    ),
    defect(
        "too-large-a-number-is-a-text",
        "a number that no double holds is taken, as what stands for it",
        ("node.wire.tolerant:_mend", "if isinstance(child, Unfit):", "if False:"),
    ),
)
