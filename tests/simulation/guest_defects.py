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
        ("node.core.log.fan_out:SharedBatch.suits", "(reads is None or self._types <= reads)", "True"),
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
