"""What a replica holds in memory, what it knows to be on disk, and what it must fetch before it can decide.

Entities are loaded when an operation needs them and let go when too many are held. Which entities and operation
ids exist at all is known by 64-bit hash, so that a new one costs no look-up; a false alarm costs one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from node.core.entities.entity import NOT_LOADED, Entity, Key, keys_of, writes_of
from node.core.entities.last_known import AuthorView, KnownList, known_from_log
from node.core.log.rows import resolution_id
from node.core.operations.digests import Digests
from node.core.operations.key_set import KeySet
from node.core.operations.quarantine import Quarantine
from node.core.ports import History, Needs, Unreadable
from node.core.statistics import Counts
from node.errors import EntityNotFound
from node.wire.messages import ConflictResolution, Operation
from storage.answers import Recalled
from storage.records import ConflictRow, EntityRow, LogRow, Try, key64
from strategies.policy import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal

    from node.core.operations.author import Author
    from node.core.ports import Disk
    from storage.answers import Fetched

logger = logging.getLogger("comanda.core")

READS_KEPT = 100_000
"""Reads over HTTP remembered as seen; forgetting one only makes a later write of that terminal a sibling."""


DAMAGED_SHOWN = 100
"""Damaged entities that are remembered, for whoever asks whether the node is ready."""


TRIES_KEPT = 100_000
"""Refused operations remembered; one that is forgotten is taken, when it comes again, as written with what its author
has confirmed by then."""


@frozen
class Settings:
    """Bounds and identity the replica works with."""

    node_id: str
    engine: str = "y_py"
    max_skew_ms: int = 60_000
    max_offset_ms: int = 86_400_000
    version_jump: int = 1_000
    recent_rows: int = 16_384
    resident_entities: int = 10_000


@define(eq=False, kw_only=True)
class Memory:
    """Entities, recent operations and conflicts of one node. recent: operation id -> its log row."""

    settings: Settings
    registry: Registry
    writer: int
    known_entities: KeySet
    known_operations: KeySet
    archived_operations: KeySet = field(factory=KeySet)
    """Held without a row: it is archived, or came with another node's state."""
    partial: dict[int, set[str]] = field(factory=dict)
    """Of those of several entities that are not held yet: link key -> entities that are here."""
    recalled: dict[str, Recalled] = field(factory=dict)
    """The archived operations that were asked for last."""
    digests: Digests = field(factory=Digests)
    quarantine: Quarantine = field(factory=Quarantine)
    entities: dict[Key, Entity] = field(factory=dict)
    recent: dict[str, LogRow] = field(factory=dict)
    conflicts: dict[str, ConflictRow] = field(factory=dict)
    open_conflicts: dict[Key, list[str]] = field(factory=dict)
    reads: dict[tuple[str, Key], int] = field(factory=dict)
    histories: dict[History, Sequence[LogRow]] = field(factory=dict)
    refusals: dict[tuple[str, int], int] = field(factory=dict)
    """(terminal, priority class) -> the row of its last refused write, which shows it what is instead."""
    tried: dict[tuple[str, str], Try] = field(factory=dict)
    """(terminal, operation id) -> what the author of an operation that was refused knew when it first came."""
    claimed: str | None = None
    """A linked node holds what this node's own writer wrote and this node does not: its database was set back."""
    counts: Counts = field(factory=Counts)
    damaged: dict[Key, str] = field(factory=dict)
    """Entities whose stored document cannot be loaded, and why."""
    _held: Counter[Key] = field(factory=Counter)

    def needs(self, message: Operation | ConflictResolution, author: Author) -> Needs | None:
        """What has to be fetched before `message` can be decided; None when all is here."""
        if isinstance(message, ConflictResolution):
            return self._needs_of_resolution(message)
        author = self.as_it_was(message, author)
        touched = keys_of(message)
        keys = self.missing(touched)
        operations: tuple[str, ...] = ()
        if self.forgotten(message.id):
            operations = (message.id,)
        if not keys:
            self.counts.cache_hits += 1
        histories = self._histories(message, author)
        if not keys and not operations and not histories:
            return None
        return Needs(keys, operations, histories=histories, held=tuple(touched))

    def _histories(self, message: Operation, author: Author) -> tuple[History, ...]:
        """What of the log tells from which value an author's absolute counters are to be reckoned."""
        policy = self.registry.get(message.entity_type)
        counters = policy.kinds.counters() if policy is not None else []
        if policy is None or not counters or message.kind == "DELETE":
            return ()
        wanted = []
        for key, data in writes_of(message):
            entity = self.entities.get(key)
            if entity is None or not any(name in data for name in counters):
                continue
            reader = self.reader(author, entity)
            history = (key, reader.terminal, reader.acknowledged)
            tells = all(entity.movements.tells(name, reader) for name in counters if name in data)
            if not tells and history not in self.histories:
                wanted.append(history)
        return tuple(wanted)

    def reader(self, author: Author, entity: Entity) -> AuthorView:
        """An author, as far as what it knows of this entity's counters depends on it."""
        tried = author.tried
        if tried is not None:
            return AuthorView(author.terminal_id, tried.acknowledged, tried.began, tried.resumed, tried.head)
        priority = entity.policy.priority_class
        return AuthorView(
            author.terminal_id, self.acknowledged(author, entity), author.began(priority), author.resumed
        )

    def acknowledged(self, author: Author, entity: Entity) -> int:
        """What the author had seen when it wrote, or, where that was refused, when it wrote it first."""
        return self.confirmed(author, entity) if author.tried is None else author.tried.acknowledged

    def confirmed(self, author: Author, entity: Entity) -> int:
        """What the author confirmed, or read over HTTP with its token."""
        confirmed = author.acknowledged(entity.policy.priority_class)
        return max(confirmed, self.reads.get((author.terminal_id, entity.key), -1))

    def as_it_was(self, operation: Operation, author: Author) -> Author:
        """The author of an operation that was refused before, as far as what it knew by then counts."""
        tried = self.tried.get((author.terminal_id, operation.id))
        return author if tried is None else evolve(author, tried=tried)

    def note_try(self, terminal_id: str, operation_id: str, tried: Try) -> None:
        """An operation was refused, and may be sent again."""
        self.tried.setdefault((terminal_id, operation_id), tried)
        while len(self.tried) > TRIES_KEPT:
            del self.tried[next(iter(self.tried))]

    def last_known(self, author: Author, entity: Entity, name: str) -> Decimal | None:
        """What an author last knew a counter to be; None where nothing tells."""
        reader = self.reader(author, entity)
        known = entity.movements.known(name, reader)
        if known is None and name in entity.movements.cut:
            rows = self.histories.get((entity.key, reader.terminal, reader.acknowledged), ())
            known = known_from_log(rows, entity.key[1], name, reader)
        return known

    def last_known_list(self, author: Author, entity: Entity, name: str) -> KnownList:
        """A list as its author last knew it."""
        return entity.movements.known_list(name, self.reader(author, entity))

    def missing(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """Entities that exist and are not in memory."""
        return tuple(k for k in keys if k not in self.entities and key64(*k) in self.known_entities)

    def knows(self, operation_id: str) -> bool:
        """Whether an operation of this id is held, but for a false alarm of its hash."""
        key = key64(operation_id)
        return key in self.known_operations or key in self.archived_operations

    def forgotten(self, operation_id: str) -> bool:
        """Whether an operation of this id is held, and what it says is not in memory."""
        return operation_id not in self.recent and operation_id not in self.recalled and self.knows(operation_id)

    def held(self, operation_id: str) -> LogRow | None:
        """The row of an operation that is held, or what is left of it; what is not in memory was fetched."""
        recalled = self.recalled.get(operation_id)
        return self.recent.get(operation_id) or (recalled.row if recalled is not None else None)

    def remember_operation(self, row: LogRow) -> None:
        """Note an operation's row; of one id under two writers the first counts."""
        self.known_operations.add(key64(row.operation_id))
        self.recent.setdefault(row.operation_id, row)
        if row.link_key is not None:
            self.digests.add(row.entity_type, row.link_key)

    def _needs_of_resolution(self, message: ConflictResolution) -> Needs | None:
        operation_id = resolution_id(message)
        operations: tuple[str, ...] = ()
        if self.forgotten(operation_id):
            operations = (operation_id,)
        row = self.conflicts.get(message.conflict_id)
        if row is None:
            return Needs((), operations, (message.conflict_id,))
        key = (row.entity_type, row.entity_id)
        keys = () if key in self.entities else (key,)
        return Needs(keys, operations, held=(key,)) if keys or operations else None

    def fetch(self, disk: Disk, needs: Needs, then: Callable[[Unreadable | None], None]) -> None:
        """Read what is needed and go on: what a message touches is in memory when `then` is called, unless it is told
        that something of it cannot be read."""
        self._held.update(needs.held)

        def fetched(found: Fetched | Unreadable) -> None:
            unreadable = found if isinstance(found, Unreadable) else self._provide(needs, found)
            self._held.subtract(needs.held)
            self._held = +self._held
            lost = self.missing(needs.held)  # everything was dropped meanwhile: a commit failed
            if unreadable is not None:
                then(unreadable)
            elif lost:
                self.fetch(disk, evolve(needs, entities=lost, operations=(), conflicts=(), histories=()), then)
            else:
                then(None)

        disk.fetch(needs, fetched)

    def _provide(self, needs: Needs, found: Fetched) -> Unreadable | None:
        """Take what was fetched. What was asked for and is not there is remembered as not there; what is there and
        makes no entity is said to be unreadable."""
        unreadable = None
        self.histories = dict(zip(needs.histories, found.histories, strict=True))  # used at once, or read again
        for key in needs.entities:
            self.counts.cache_misses += 1
            if key not in self.entities:
                try:
                    self._load(key, found.entities.get(key))
                    self.damaged.pop(key, None)
                except NOT_LOADED as error:
                    unreadable = self._is_damaged(key, error)
        for operation_id in needs.operations:
            row = found.operations.get(operation_id)
            if row is not None:
                self.recent.setdefault(operation_id, row)
            elif operation_id in found.archived:
                self.recalled[operation_id] = found.archived[operation_id]
            else:
                self.known_operations.discard(key64(operation_id))
        for conflict in found.conflicts.values():
            if conflict.conflict_id not in self.conflicts:
                self.remember_conflict(conflict)
        return unreadable

    def _is_damaged(self, key: Key, error: Exception) -> Unreadable:
        reason = f"{key[0]} {key[1]} is damaged in the database ({error}); see `comanda verify`"
        if key not in self.damaged:
            logger.error("%s", reason)
        if len(self.damaged) < DAMAGED_SHOWN:
            self.damaged[key] = reason
        return Unreadable(reason)

    def _load(self, key: Key, row: EntityRow | None) -> Entity | None:
        policy = self.registry.get(key[0])
        if policy is None:
            return None
        entity = Entity.load(key, policy, row, writer=self.writer, engine=self.settings.engine)
        self.entities[key] = entity
        return entity

    def entity(self, key: Key) -> Entity:
        """The resident entity; an empty one where nobody has written it yet. RuntimeError where it was not fetched:
        written over an empty document, its stored one would be lost."""
        found = self.entities.pop(key, None)
        if found is None:
            if key64(*key) in self.known_entities:
                raise RuntimeError(f"{key[0]} {key[1]} is on disk and was not fetched")
            found = self._load(key, None)
        if found is None:
            raise EntityNotFound(f"unknown entity type {key[0]!r}", "$.operation.entity_type")
        self.entities[key] = found  # the latest used is the last to be let go
        return found

    def remember_conflict(self, row: ConflictRow) -> None:
        """Note a conflict and, while it is open, that its entity has it."""
        self.conflicts[row.conflict_id] = row
        key = (row.entity_type, row.entity_id)
        of_entity = [c for c in self.open_conflicts.get(key, []) if c != row.conflict_id]
        if row.state == "open":
            of_entity.append(row.conflict_id)
        if of_entity:
            self.open_conflicts[key] = of_entity
        else:
            self.open_conflicts.pop(key, None)

    def has_read(self, terminal_id: str, key: Key, seq: int) -> None:
        """A terminal read an entity over HTTP with its token: it has seen its rows up to `seq`."""
        self.reads.pop((terminal_id, key), None)
        self.reads[terminal_id, key] = seq
        while len(self.reads) > READS_KEPT:
            del self.reads[next(iter(self.reads))]

    def let_go(self, committed: int, touched: Mapping[Key, Entity]) -> None:
        """Drop the entities used longest ago, a tenth at a time, once too many are held.

        They are read from disk when next needed. What y-py keeps of a document that was written to stays (hazard 7).
        """
        if len(self.entities) <= self.settings.resident_entities:
            return
        oldest = list(islice(self.entities.items(), max(1, self.settings.resident_entities // 10)))
        for key, entity in oldest:
            if entity.seq <= committed and key not in touched and key not in self._held:
                del self.entities[key]

    def forget_recent(self, committed: int) -> None:
        """Keep the latest operations only; older ones are read from disk when their id comes again."""
        over = len(self.recent) - self.settings.recent_rows
        for operation_id in list(islice(self.recent, max(over, 0))):
            if self.recent[operation_id].seq <= committed:
                del self.recent[operation_id]
        for operation_id in list(islice(self.recalled, max(len(self.recalled) - self.settings.recent_rows, 0))):
            del self.recalled[operation_id]
