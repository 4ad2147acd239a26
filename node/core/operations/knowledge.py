"""What authors know: rows they confirmed or read, and what they knew when an operation was refused at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from node.core.entities.last_known import AuthorView, KnownList, known_from_log
from node.core.ports import History
from storage.records import Key, LogRow, Try

if TYPE_CHECKING:
    from decimal import Decimal

    from node.core.entities.entity import Entity
    from node.core.operations.author import Author
    from node.wire.messages import Operation

READS_KEPT = 100_000
"""Reads over HTTP remembered as seen; forgetting one only makes a later write of that terminal a sibling."""

TRIES_KEPT = 100_000
"""Refused operations remembered; one that is forgotten is taken, when it comes again, as written with what its author
has confirmed by then."""


@define(eq=False)
class Knowledge:
    """tried: (terminal, operation id) -> what the author of an operation that was refused knew when it first came.

    refusals: (terminal, priority class) -> the row of its last refused write, which shows it what is instead.
    reads: (terminal, entity) -> the last row of the entity that the terminal read over HTTP.
    """

    tried: dict[tuple[str, str], Try] = field(factory=dict)
    refusals: dict[tuple[str, int], int] = field(factory=dict)
    reads: dict[tuple[str, Key], int] = field(factory=dict)
    _histories: Mapping[History, Sequence[LogRow]] = field(factory=dict)

    # ------------------------------------------------------------------ what was seen

    def acknowledged(self, author: Author, entity: Entity) -> int:
        """The last row of this entity's class that the author had seen when it wrote this operation first."""
        return self.confirmed(author, entity) if author.tried is None else author.tried.acknowledged

    def confirmed(self, author: Author, entity: Entity) -> int:
        """The last row of this entity's class that the author confirmed, or read over HTTP with its token."""
        confirmed = author.acknowledged[entity.policy.priority_class]
        return max(confirmed, self.reads.get((author.terminal_id, entity.key), -1)) if self.reads else confirmed

    def has_read(self, terminal_id: str, key: Key, seq: int) -> None:
        """A terminal read an entity over HTTP with its token: it has seen its rows up to `seq`."""
        self.reads.pop((terminal_id, key), None)
        self.reads[terminal_id, key] = seq
        while len(self.reads) > READS_KEPT:
            del self.reads[next(iter(self.reads))]

    # ------------------------------------------------------------------ first attempts

    def as_of_first_attempt(self, operation: Operation, author: Author) -> Author:
        """The author of an operation that was refused before, with what it knew by then."""
        tried = self.tried.get((author.terminal_id, operation.id))
        return author if tried is None else evolve(author, tried=tried)

    def attempt(self, author: Author, entities: Sequence[Entity], head: int) -> Try:
        """What this author knows of these entities now, should its operation not be stored."""
        if author.tried is not None:
            return author.tried
        priority = entities[0].policy.priority_class
        known = min(self.acknowledged(author, entity) for entity in entities)
        return Try(head, known, author.received[priority], author.at_connect[priority], author.head_at_connect)

    def refused(self, terminal_id: str, operation_id: str, tried: Try) -> None:
        """An operation was refused, and may be sent again."""
        self.tried.setdefault((terminal_id, operation_id), tried)
        while len(self.tried) > TRIES_KEPT:
            del self.tried[next(iter(self.tried))]

    def not_stored(self, row: LogRow, tried: Try | None, committed: int) -> None:
        """The commit of an operation's row failed. Its author may send it again; rows after the last commit never
        were."""
        if tried is not None:
            key = (row.terminal_id, row.operation_id)
            first = self.tried.get(key, tried)
            self.tried[key] = evolve(first, head=min(first.head, committed))

    # ------------------------------------------------------------------ counters and lists

    def reader(self, author: Author, entity: Entity) -> AuthorView:
        """An author, as far as what it knows of this entity's counters depends on it."""
        tried = author.tried
        if tried is not None:
            return AuthorView(author.terminal_id, tried.acknowledged, tried.began, tried.resumed, tried.head)
        began = author.at_connect[entity.policy.priority_class]
        return AuthorView(author.terminal_id, self.acknowledged(author, entity), began, author.head_at_connect)

    def last_known(self, author: Author, entity: Entity, name: str) -> Decimal | None:
        """What an author last knew a counter to be; None where nothing tells."""
        reader = self.reader(author, entity)
        known = entity.movements.known(name, reader)
        if known is None and name in entity.movements.cut:
            rows = self._histories.get((entity.key, reader.terminal, reader.acknowledged), ())
            known = known_from_log(rows, entity.key[1], name, reader)
        return known

    def last_known_list(self, author: Author, entity: Entity, name: str) -> KnownList:
        """A list as its author last knew it."""
        return entity.movements.known_list(name, self.reader(author, entity))

    def history_wanted(self, author: Author, entity: Entity, names: Sequence[str]) -> History | None:
        """What of the log has to be read, so that it is known what the author last knew these counters to be."""
        reader = self.reader(author, entity)
        history = (entity.key, reader.terminal, reader.acknowledged)
        if history in self._histories or all(entity.movements.tells(name, reader) for name in names):
            return None
        return history

    def provide(self, wanted: Sequence[History], found: Sequence[Sequence[LogRow]]) -> None:
        """Take histories that were read. They are used at once, or read again."""
        self._histories = dict(zip(wanted, found, strict=True))
