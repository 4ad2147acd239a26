"""Defects of what an operation is and what its author knew: evidence, clocks, copies, counts, lines, decisions."""

from __future__ import annotations

from tests.simulation.slips import defect

KNOWLEDGE = (
    defect(
        "own-rows-not-shown",
        "a terminal that was sent its own rows, and shows the past, counts as one that counts its own writes on",
        (
            "node.core.entities.entity:Entity.rows_shown_to",
            "        yield from self.movements.rows_sent_back(terminal)\n",
            "",
        ),
    ),
    defect(
        "no-stranger-by-late-news",
        "of a terminal that was elsewhere, as a link says once it is here, all that it saw counts as known",
        ("node.core.sessions.sessions:Sessions.was_elsewhere", "session.stranger = True", "pass"),
    ),
    defect(
        "no-stranger-by-news-of-before",
        "of a terminal that was elsewhere, as a link said while it was away, all that it saw counts as known",
        (
            "node.core.sessions.sessions:Sessions.was_elsewhere",
            "self._were_elsewhere.add(terminal_id)",
            "pass",
        ),
    ),
    defect(
        "pong-is-confirmation",
        "the pong of a library counts as what its program confirmed",
        (
            "node.core.delivery.window:Window.pong",
            "            self._arrived = max(self._arrived, arrived)\n            self._settle()\n",
            "            self._take(arrived)\n",
        ),
    ),
    defect(
        "pong-is-reading",
        "the program of a terminal that never confirms counts as having read what its library has",
        ("node.core.delivery.window:Window.read", "if self.heard or self.sendings is None:", "if True:"),
    ),
    defect(
        "unread-before-the-start",
        "what a terminal was sent before a start counts as read by then",
        (
            "node.core.delivery.sendings:Sendings.since",
            "return NO_POSITION",
            "return self.earliest[priority]",
        ),
        ("node.core.delivery.cursors:Cursors.sendings_of", "found.arrived(seen_ms, NOTHING)", "pass"),
    ),
    defect(
        "time-of-writing-ignored",
        "what a terminal read before it sent its queue counts as known to what it had written before",
        (
            "node.core.sessions.session:Session._author_of",
            "return evolve(author, wrote_ms=wrote_ms + DOUBT_MS)",
            "return author",
        ),
    ),
    defect(
        "confirmed-later-known-before",
        "a row that came again, and was confirmed then, counts as known to what had been written before",
        ("node.core.delivery.sendings:Sendings.confirmed_by", "self._after[place:]", "()"),
    ),
    defect(
        "chain-shown-what-it-named",
        "a row that a terminal named with one write and confirms before the next one counts as shown in between",
        ("node.core.entities.reach:note_claim", "max(acknowledged, reach.row)", "acknowledged"),
    ),
    defect(
        "own-write-before-what-comes-again",
        "what a terminal wrote is forgotten where it is told late to have been elsewhere, and is sent rows again",
        (
            "node.core.sessions.sessions:Sessions.was_elsewhere",
            "map(min, window.sent, held)",
            "map(min, window.at_connect, held)",
        ),
    ),
    defect(
        "unseen-product-counted",
        "who counts a product of which it was shown nothing counts what others had moved, too",
        ("node.core.entities.entity:Entity.uncounted", "moves[0].version == 1 or ", ""),
    ),
    defect(
        "state-before-anything-unknown",
        "version 1 of a count does not tell that its author had seen nothing of the product",
        ("node.core.operations.knowledge:Knowledge.last_known", "reach.newest == 0:", "reach.newest == -1:"),
    ),
    defect(
        "copy-let-go-while-its-like-waits",
        "a copy of an operation is forgotten while the other one waits for the disk, and both are counted",
        ("node.core.operations.needs:fetch", "for name in needs.known", "for name in ()"),
    ),
    defect(
        "clock-measured-and-not-used",
        "an operation counts from its timestamp, however wrong its terminal's clock is known to be",
        (
            "node.core.terminal_clocks:TerminalClocks.written",
            "at_us, by = timestamp_us + offset_ms * 1000, MEASURED",
            "by = MEASURED",
        ),
    ),
    defect(
        "late-flush-not-shown",
        "a terminal that confirmed a row over its own write, and then sent that, is not shown it again",
        (
            "node.core.operations.record:_on_its_way",
            "    if author.age_ms is None:",
            "    if known >= 0:\n        pass\n    elif author.age_ms is None:",
        ),
    ),
    defect(
        "brought-back-just-now",
        "a value that is brought back counts as written when it comes, however long it waited",
        (
            "node.core.sessions.session:Session._author_of",
            "author = self._reader(author, operation)",
            "return self._reader(self.author, operation)",
        ),
    ),
    defect(
        "read-before-it-was-sent",
        "what somebody says that it has read counts only as far as it was sent to its screen",
        ("node.core.operations.knowledge:Knowledge._now", "confirmed = max(confirmed, author.read_upto)", "pass"),
    ),
    defect(
        "line-known-by-one-of-two",
        "a line of which two values stand is known only to who knows the one that is shown",
        (
            "strategies.kinds.keyed_list:Change._counted_by_then",
            "for record in write.document.siblings(head.path)",
            "for record in [head]",
        ),
    ),
    defect(
        "late-flush-of-before-not-shown",
        "who read on two connections before it sent what waited is not shown again what the first one brought",
        ("node.core.operations.record:_on_its_way", "if author.sendings is not None:", "if False:"),
    ),
    defect(
        "own-removal-unknown",
        "who takes something away and puts it back as it was counts as sending a copy of before",
        ("node.core.entities.past:Replaced.known_gone", "return own or ", "return "),
    ),
    defect(
        "own-line-off-unknown",
        "who creates an order anew, and puts its lines on it again as they were, counts as sending a copy of before",
        ("node.core.entities.last_known:KnownList.carries_over", "if self.took_off(gone):", "if False:"),
    ),
    defect(
        "copy-is-a-change",
        "a field that comes back as its author knew it, and that somebody has changed since, is written",
        ("node.core.entities.past:Past.repeats", "return bool(last) and", "return not last and"),
    ),
    defect(
        "lost-confirmation-forgotten",
        "a version that names a state whose confirmation was lost adds nothing to what its author knew",
        (
            "node.core.entities.reach:reach_of",
            "row = max(evidence.sent, evidence.acknowledged)",
            "row = evidence.acknowledged",
        ),
    ),
    defect(
        "chain-names-each-state",
        "who counts its own writes on without a connection counts as having seen what others wrote meanwhile",
        ("node.core.entities.reach:_named", "return named if shown_since else claim.base", "return named"),
    ),
    defect(
        "own-movement-forgotten",
        "what a terminal moved itself is not what it last knew of the number",
        (
            "strategies.kinds.counter:Counter.plan",
            'move(write, field, base, now, amount, f"{field}.{STEP}")',
            'move(write, field, base, now, amount, f"{field}.{STEP}")\n            del write.minds[field]',
        ),
    ),
    defect(
        "count-over-the-unseen",
        "a count takes away what was moved before it, and not seen by who counted",
        (
            "strategies.kinds.counter:Counter.plan",
            "elif word == COUNTED_NOW or write.afresh:\n            _open(write, field, amount, base.moved or ZERO)",
            "elif word == COUNTED_NOW or write.afresh:\n            _open(write, field, amount, now.moved or ZERO)",
        ),
    ),
    defect(
        "opening-beside-movements",
        "a number that is written over movements without an opening counts beside them",
        (
            "strategies.kinds.counter:Counter.plan",
            "elif base.amount is None:\n            _open(write, field, amount, base.moved or ZERO)",
            "elif base.amount is None or not write.document.siblings((field,)):\n"
            "            _open(write, field, amount, ZERO)",
        ),
    ),
    defect(
        "closed-count-goes-on",
        "what was moved before a number was not counted any more is in the next count",
        (
            "strategies.kinds.counter:Counter.plan",
            "elif base.amount is None:\n            _open(write, field, amount, base.moved or ZERO)",
            "elif base.amount is None:\n            _open(write, field, amount, ZERO)",
        ),
    ),
    defect(
        "quantity-overwritten",
        "of two who change the quantity of a line one is lost",
        (
            "strategies.kinds.keyed_list:Change._count",
            "if word != COUNTED_NOW and base.amount is not None:",
            "if word != COUNTED_NOW and base.amount is not None and amount == base.amount:",
        ),
    ),
    defect(
        "line-goes-back",
        "of two who go on with a line the later one counts, however far the other is",
        (
            "strategies.kinds.keyed_list:KeyedList.ordered",
            "kind.order_of(siblings, part_of) if isinstance(kind, Progress) else None",
            "None",
        ),
    ),
    defect(
        "decision-takes-what-came-since",
        "who decides a conflict also removes what has come to the field since it was raised",
        (
            "node.core.entities.writes:Planner.resolve",
            "doomed = [r for r in self.entity.document.siblings(conflict.path) if r.name in operations]",
            "doomed = self.entity.document.siblings(conflict.path)",
        ),
    ),
    defect(
        "visit-not-corrected",
        "a tablet that was at a node that is behind goes on showing what it was shown there",
        (
            "node.core.sessions.sessions:Sessions.was_elsewhere",
            "        if row is None:\n",
            "        if row is None or held:\n",
        ),
    ),
    defect(
        "began-anew-untold",
        "a tablet that began anew at a node, and left it before it was shown everything, is never shown the rest",
        ("node.core.links.travellers:Travellers._own", "if anew else held", "if False else held"),
    ),
    defect(
        "began-anew-forgotten",
        "the same where it came there once more before it left",
        ("node.core.sessions.sessions:Sessions.connect", "anew=known.anew,", "anew=full,"),
    ),
    defect(
        "visit-forgotten-with-the-link",
        "how far a terminal had seen a log is not known any more once the link was down",
        ("node.core.links.links:Links.held_at_of", "if epoch != hello.epoch:", "if epoch is not hello:"),
    ),
    defect(
        "told-with-the-state",
        "who comes back with nothing is not told what was sent to it by name when it was gone",
        ("node.core.sessions.sessions:Sessions.was_elsewhere", ", sent=_told(row, held)", ""),
    ),
    defect(
        "reason-stays-here",
        "why a conflict was decided so is told at the node where it was decided alone",
        (
            "node.wire.messages:resolution_of",
            "operation.id, reason_of(raw))",
            "operation.id)",
        ),
    ),
)
