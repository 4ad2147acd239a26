"""What authors know: the rows they confirmed or read, and what they knew when an operation was first refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve, field

from crdt.classes import define
from crdt.records import terminal_of
from node.core.entities.last_known import AuthorView, Gone, KnownList, known_from_log
from node.core.entities.past import ALL
from node.core.entities.reach import Evidence, Reach, note_claim, reach_of
from node.core.latest import keep_latest, put_latest
from node.core.ports import History
from storage.records import CLASSES, FirstAttempt, Key, LogRow
from strategies.kinds.kind import ABSENT, NOTHING_COUNTED

if TYPE_CHECKING:
    from crdt.records import Path
    from node.core.entities.again import Again
    from node.core.entities.entity import Entity
    from node.core.operations.author import Author
    from node.wire.messages import Operation
    from strategies.kinds.kind import Count

READS_KEPT = 100_000
"""Reads over HTTP remembered as seen; forgetting one only makes a later write of that terminal a sibling."""

FIRST_ATTEMPTS_KEPT = 100_000
"""Refused operations whose first attempt is remembered. When one that is forgotten is sent again, it counts as
written with what its author has confirmed by then."""


MOST_BROUGHT = 10_000
"""Terminals of which it is remembered what they knew at other nodes. Of the others it is not known."""

NOT_ELSEWHERE = (0, (-1,) * CLASSES)


@define(eq=False)
class Knowledge:
    """What this node knows about its authors' knowledge.

    everybody: of a priority class, the row up to which all terminals have confirmed.
    elsewhere: of a priority class, the last row that another node holds too; None where there is no other node.
    first_attempts: (terminal, operation id) -> what the author knew when a refused operation first came.
    refusals: (terminal, priority class) -> the row of its last refused write. That row shows it the current values.
    reads: (terminal, entity) -> the last row of the entity that the terminal read over HTTP.
    """

    everybody: Callable[[int], int] = lambda _: -1
    elsewhere: Callable[[int], int | None] = lambda _: None
    first_attempts: dict[tuple[str, str], FirstAttempt] = field(factory=dict)
    refusals: dict[tuple[str, int], int] = field(factory=dict)
    reads: dict[tuple[str, Key], int] = field(factory=dict)
    _brought: dict[str, tuple[int, tuple[int, ...]]] = field(factory=dict)
    """Terminal -> when it left another node, on the monotonic clock, and how far it had seen this log there."""
    histories: Mapping[History, Sequence[LogRow]] = field(factory=dict)
    """What was read for the next decision."""

    # ------------------------------------------------------------------ what was seen

    def reach(self, author: Author, entity: Entity, version: int | None) -> Reach:
        """How far the author of an operation had seen the entity. version: the operation's, if it has one."""
        return reach_of(entity, author.terminal_id, version, self._evidence(author, entity))

    def claimed(self, author: Author, entity: Entity, version: int | None, reach: Reach) -> None:
        """An operation with this version was decided: the author's next version may count on from it."""
        if version is not None:
            evidence, entity.sealed = self._evidence(author, entity), None
            note_claim(entity, author.terminal_id, version, reach, evidence.acknowledged)

    def _evidence(self, author: Author, entity: Entity) -> Evidence:
        """What tells how far the author had seen this entity's class at the first attempt of this operation."""
        first = author.first_attempt
        if first is not None:
            return Evidence(first.acknowledged, first.sent, first.again)
        return self._now(author, entity.policy.priority_class, self.confirmed(author, entity))

    def _now(self, author: Author, priority: int, confirmed: int) -> Evidence:
        """What tells how far the author had seen a class. It had not seen what it was sent after it wrote."""
        may_have_read = author.may_have_read(priority)
        if author.wrote_ms is not None and author.sendings is not None:
            sent = author.sendings.by(author.wrote_ms, priority)
            confirmed = min(confirmed, sent, author.sendings.confirmed_by(author.wrote_ms, priority, confirmed))
            may_have_read = min(may_have_read, sent)
            confirmed = max(confirmed, author.read_upto)  # it says itself what it had read when it wrote
        if self._brought:
            left_ms, positions = self._brought.get(author.terminal_id, NOT_ELSEWHERE)
            if author.wrote_ms is None or author.wrote_ms >= left_ms:
                confirmed = max(confirmed, positions[priority])
        return Evidence(confirmed, may_have_read, _again(author, priority))

    def confirmed(self, author: Author, entity: Entity) -> int:
        """The last row of this entity's class that the author confirmed, or read over HTTP with its token."""
        confirmed = max(author.acknowledged[entity.policy.priority_class], author.read_upto)
        return max(confirmed, self.reads.get((author.terminal_id, entity.key), -1)) if self.reads else confirmed

    def has_read(self, terminal_id: str, key: Key, seq: int) -> None:
        """A terminal read an entity over HTTP with its token: it has seen its rows up to `seq`."""
        put_latest(self.reads, (terminal_id, key), seq, READS_KEPT)

    # ------------------------------------------------------------------ terminals that come from elsewhere

    def brought(self, terminal_id: str, left_ms: int, positions: Sequence[int]) -> bool:
        """A terminal had seen this log up to here at another node. Returns whether that is news.

        left_ms: when it was last there, on the monotonic clock.
        """
        before, known = self._brought.pop(terminal_id, NOT_ELSEWHERE)
        more = tuple(map(max, known, positions))
        self._brought[terminal_id] = max(before, left_ms), more
        keep_latest(self._brought, MOST_BROUGHT)
        return more != known

    def keeps_nothing(self, terminal_id: str) -> None:
        """A terminal asks for everything: it has forgotten what it was shown."""
        self._brought.pop(terminal_id, None)

    def forget(self, terminal_id: str) -> None:
        """A terminal is not known any more. When it comes again, it is known to have seen nothing."""
        self.keeps_nothing(terminal_id)
        for priority in range(CLASSES):
            self.refusals.pop((terminal_id, priority), None)

    # ------------------------------------------------------------------ first attempts

    def as_of_first_attempt(self, operation: Operation, author: Author) -> Author:
        """The author, with what it knew at the first attempt if the operation was refused before."""
        first = self.first_attempts.get((author.terminal_id, operation.id))
        return author if first is None else evolve(author, first_attempt=first)

    def first_attempt(self, author: Author, entities: Sequence[Entity], head: int) -> FirstAttempt:
        """The author's knowledge at this attempt; kept in case the commit fails and the operation is sent again."""
        if author.first_attempt is not None:
            return author.first_attempt
        confirmed = min(self.confirmed(author, entity) for entity in entities)
        return self._first_attempt(author, entities[0].policy.priority_class, head, confirmed)

    def first_attempt_of(self, author: Author, priority: int, head: int) -> FirstAttempt:
        """The same, of an operation that could not be decided. head: the last row that anybody may have seen."""
        return self._first_attempt(author, priority, head, author.acknowledged[priority])

    def _first_attempt(self, author: Author, priority: int, head: int, confirmed: int) -> FirstAttempt:
        evidence = self._now(author, priority, confirmed)
        return FirstAttempt(
            head=head,
            acknowledged=evidence.acknowledged,
            received=author.received[priority],
            again=evidence.again,
            sent=evidence.sent,
        )

    def refused(self, terminal_id: str, operation_id: str, first: FirstAttempt) -> None:
        """An operation was refused, and may be sent again."""
        self.first_attempts.setdefault((terminal_id, operation_id), first)
        keep_latest(self.first_attempts, FIRST_ATTEMPTS_KEPT)

    def not_stored(self, row: LogRow, attempt: FirstAttempt | None, committed: int) -> None:
        """The commit of an operation's row failed, and its author may send it again.

        committed: the last durable row. Rows after it do not exist any more, so nobody has seen them.
        """
        if attempt is not None:
            key = (row.terminal_id, row.operation_id)
            first = self.first_attempts.get(key, attempt)
            self.first_attempts[key] = evolve(first, head=min(first.head, committed))

    # ------------------------------------------------------------------ counters and lists

    def view_of(self, author: Author, entity: Entity, reach: Reach) -> AuthorView:
        """The author's positions in the class of this entity: they tell what it knows of counters and lists."""
        terminal, first, row, newest = author.terminal_id, author.first_attempt, reach.row, reach.newest
        if first is not None:
            return AuthorView(terminal, row, first.again, first.head, newest)
        return AuthorView(terminal, row, _again(author, entity.policy.priority_class), None, newest)

    def is_stranger(self, author: Author, entity: Entity) -> bool:
        """Whether an author that comes from elsewhere may have been shown what no node that answers knows of."""
        return author.stranger and self.elsewhere(entity.policy.priority_class) is not None

    def last_known(self, author: Author, reach: Reach, entity: Entity, name: str) -> Count | None:
        """What the author last knew of a counter; None where nothing tells."""
        view = self.view_of(author, entity, reach)
        known = entity.movements.known(name, view)
        if known is None and name in entity.movements.cut:
            rows = self.histories.get((entity.key, view.terminal, view.acknowledged), ())
            known = known_from_log(rows, entity.key[1], name, view)
        if known is None and reach.newest == 0:  # it names the state before there was anything
            return NOTHING_COUNTED
        if known is None and reach.newest is not None:
            elsewhere = self.elsewhere(entity.policy.priority_class)
            known = entity.movements.at(name, reach.newest, elsewhere)
            if known is None and name not in entity.movements.of:
                known = entity.begun(name, reach.newest, elsewhere)
        if known is None and reach.newest is None and not self.is_stranger(author, entity):
            known = entity.uncounted(name, reach.row)
        return known

    def last_known_list(self, author: Author, reach: Reach, entity: Entity, name: str) -> KnownList:
        """A list as its author last knew it."""
        movements, terminal = entity.movements, author.terminal_id
        known = movements.known_list(name, self.view_of(author, entity, reach))
        head = None if author.first_attempt is None else author.first_attempt.head

        def repeats(key: str, value: object) -> bool:
            return self.repeats(author, reach, entity, (name, key), ALL, value)

        def had(key: str, field: str, value: object) -> bool:
            part = [] if value is ABSENT else [value]
            changed = self.repeats(author, reach, entity, (name, key, field), ALL, part)
            return changed or self.repeats(author, reach, entity, (name, key), field, value)

        def had_line(key: str) -> bool:
            return entity.past.known((name, key), terminal, reach, head)

        def became(key: str, seq: int) -> bool:
            return entity.past.became((name, key), seq, terminal, reach, head)

        def took_off(gone: Gone) -> bool:
            own = terminal_of(gone.by) == terminal and (head is None or gone.taken <= head)
            return own and movements.acknowledged_by(name, gone.taken) >= (known.row or 0)

        known.repeats, known.had, known.had_line = repeats, had, had_line
        known.became, known.took_off = became, took_off
        return known

    def repeats(self, author: Author, reach: Reach, entity: Entity, path: Path, name: str, value: object) -> bool:
        """Whether a value is what the author last knew of a register that it has not seen as it is."""
        head = None if author.first_attempt is None else author.first_attempt.head
        return entity.past.repeats(path, name, value, author.terminal_id, reach, head)

    def history_wanted(
        self, author: Author, entity: Entity, names: Sequence[str], version: int | None
    ) -> History | None:
        """Which rows must be read from disk to tell what the author last knew of these counters; None for no rows."""
        if entity.movements.cut.isdisjoint(names):
            return None
        view = self.view_of(author, entity, self.reach(author, entity, version))
        history = (entity.key, view.terminal, view.acknowledged)
        if history in self.histories or all(entity.movements.tells(name, view) for name in names):
            return None
        return history

    def provide(self, wanted: Sequence[History], found: Sequence[Sequence[LogRow]]) -> None:
        """Take histories that were read. They serve the next decision only."""
        self.histories = dict(zip(wanted, found, strict=True))


def _again(author: Author, priority: int) -> Again:
    """What an author was sent once more of a class."""
    return tuple([(after[priority], upto) for after, upto in author.again])
