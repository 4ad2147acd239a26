"""What the core asks of the world: a connection, a disk, a timer, the time. The runtime and the simulator answer.

Time is an argument: the wall clock is for people and stamps, the monotonic clock for leases and rates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from attrs import Factory, field

from crdt.classes import define, frozen
from storage.records import Key

if TYPE_CHECKING:
    from collections.abc import Set

    from node.wire.frames import Batch, Outgoing
    from storage.answers import Compacted, Fetched, Page, Whole
    from storage.records import EntityRow, LogRow
    from storage.sqlite.reader import Reader

T = TypeVar("T")


class Instant(NamedTuple):
    """One moment. wall_ms: Unix milliseconds. mono_ms: milliseconds of a clock that never goes back."""

    wall_ms: int
    mono_ms: int


Clock = Callable[[], Instant]


class Connection(Protocol):
    """The outbound side of one terminal's connection. No call blocks or raises."""

    def send(self, what: Outgoing | Batch) -> None:
        """One message, or a batch as one write."""
        ...

    def ping(self, payload: bytes) -> None:
        """A WebSocket protocol ping behind everything sent before it."""
        ...

    def close(self, code: int, reason: str) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    @property
    def outbox_bytes(self) -> int: ...

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...


@frozen
class Unreadable:
    """The answer to a read that failed twice. reason: what the disk or the database said."""

    reason: str


@frozen
class TooMuch(Unreadable):
    """Not read, since it is more than `Needs.most_bytes`."""


History = tuple[Key, str, int]
"""(entity, terminal, row): all rows of the entity up to that row, and the terminal's own later ones.

They tell what the terminal last knew of a counter.
"""


@frozen
class Needs:
    """What must be read from disk before an operation can be decided.

    operations: by name (`crdt.records.name_of`).
    held: the entities that the operation touches. They stay in memory until then. By default those that are read.
    known: the operations that it may be a copy of, or is about. All that is held of them is in memory then, also if
        it was let go of meanwhile. By default those that are read.
    most_bytes: of entities with more than that nothing is read.
    alone: nothing else may be under way that takes several turns (node/core/operations/in_turns.py).
    """

    entities: tuple[Key, ...] = ()
    operations: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    histories: tuple[History, ...] = ()
    held: tuple[Key, ...] = field(default=Factory(lambda self: self.entities, takes_self=True))
    known: tuple[str, ...] = field(default=Factory(lambda self: self.operations, takes_self=True))
    most_bytes: int | None = None
    alone: bool = False


class Disk(ABC):
    """Reads of committed state, answered later by a callback on the core's thread, and the commit of groups.

    A read is a call of `reader`, made later on a thread or in simulated time. A read that fails is answered with
    Unreadable and costs only what asked for it.
    """

    reader: Reader

    @property
    @abstractmethod
    def trouble(self) -> str | None:
        """Why something still cannot be read, or put in its place; None where everything can."""

    @property
    @abstractmethod
    def read_failures(self) -> int:
        """Reads that failed since the start."""

    @property
    def wal_bytes(self) -> int:
        """How long the write-ahead log is: it grows while something reads the database and does not end."""
        return 0

    @abstractmethod
    def wake_writer(self) -> None:
        """The current group has something to write."""

    @abstractmethod
    def start(
        self,
        read: Callable[..., T],
        *arguments: object,
        done: Callable[[T | Unreadable], None],
        urgent: bool = False,
    ) -> None:
        """Call `read` later, in order, and `done` with what it returned, or with why it could not.

        urgent: before those that are not and still wait. An operation waits for it, and the others are pages for who
            catches up. Between two of those everybody has a turn, as each costs as much to send as to read.
        """

    def fetch(self, needs: Needs, done: Callable[[Fetched | Unreadable], None]) -> None:
        """Read what an operation needs: entities, operations, conflicts and histories."""
        wanted = (needs.entities, needs.operations, needs.conflicts, needs.held, needs.histories, needs.most_bytes)
        self.start(self.reader.fetch, *wanted, done=done, urgent=True)

    def rows(
        self,
        priority: int,
        after: int,
        upto: int,
        limit: int,
        done: Callable[[Page[LogRow] | Unreadable | None], None],
    ) -> None:
        """A page of rows of one class. None where the log does not reach back to `after` any more."""
        self.start(self.reader.reached, priority, after, upto, limit, done=done)

    def about(
        self, terminal_id: str, seq: int, limit: int, done: Callable[[Sequence[LogRow] | Unreadable], None]
    ) -> None:
        """Rows that a terminal wrote about row `seq`: at most `limit` up to it, and as many after it."""
        self.start(self.reader.about, terminal_id, seq, limit, done=done)

    def compacted(
        self,
        priority: int,
        entity_types: Sequence[str],
        after: int,
        limit: int,
        terminal_id: str | None,
        again: int,
        done: Callable[[Compacted | Unreadable], None],
    ) -> None:
        """A page of the archived part of the log, after row `after`. The rest is as in `ArchivedReader`."""
        read = self.reader.archived.compacted
        self.start(read, priority, entity_types, after, limit, terminal_id, again, done=done)

    def state(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        committed_at_connect: int,
        terminal_id: str,
        done: Callable[[Page[EntityRow] | Unreadable], None],
    ) -> None:
        """A page of entities.

        Without those whose rows all come from others and after row `committed_at_connect`.
        """
        self.start(self.reader.state, entity_types, after, limit, committed_at_connect, terminal_id, done=done)

    def contents(
        self,
        entity_type: str,
        after: str,
        limit: int,
        most_bytes: int,
        done: Callable[[Page[EntityRow] | Unreadable], None],
    ) -> None:
        """A page of a type's entities after this id, dead ones too."""
        self.start(self.reader.entities, entity_type, after, limit, True, most_bytes, done=done)

    def wholes(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        done: Callable[[Page[Whole] | Unreadable], None],
    ) -> None:
        """A page of all entities, for a linked node."""
        self.start(self.reader.archived.wholes, entity_types, after, limit, done=done)

    def lacking(
        self,
        entity_type: str,
        after: str,
        keys: Set[int],
        done: Callable[[tuple[Sequence[Whole], str | None] | Unreadable], None],
    ) -> None:
        """Entities after this id that have an archived operation among these link keys, and where to look on."""
        self.start(self.reader.archived.lacking, entity_type, after, keys, done=done)

    def linked(self, link_keys: Sequence[int], done: Callable[[Page[LogRow] | Unreadable], None]) -> None:
        """A page of operations by link key, in log order."""
        self.start(self.reader.linked, link_keys, done=done)

    def history(self, after: int, upto: int, limit: int, done: Callable[[Page[LogRow] | Unreadable], None]) -> None:
        """A page of the log's rows after `after` up to `upto`, of all classes and kinds."""
        self.start(self.reader.history, after, upto, limit, done=done)

    def places(
        self, link_keys: Sequence[int], done: Callable[[Sequence[tuple[int, int]] | Unreadable], None]
    ) -> None:
        """(seq, link key) of those that are in the log, in any order."""
        self.start(self.reader.places, link_keys, done=done)

    def row_hash(self, seq: int, done: Callable[[bytes | Unreadable | None], None]) -> None:
        """The chain hash of a row. None where there is no such row, ARCHIVED where its hash is not kept any more."""
        self.start(self.reader.row_hash, seq, done=done)


class Timer(Protocol):
    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None: ...


@define(eq=False)
class Health:
    """Whether the node can store anything, and why not."""

    ok: bool = True
    failure: str | None = None


@frozen
class Draws:
    """Draws what must never come twice.

    id: for epochs, lock ids and instances.
    writer: Yjs client ids, 1 .. 2**32 - 1.
    """

    id: Callable[[], str]
    writer: Callable[[], int]


@frozen
class Signatures:
    """Signing as this node, and checking what others signed. One call takes 50 to 500 us of CPU, a seal 2.

    public: this node's public key; b"" for a node without one, which signs nothing and pins nobody's key.
    sign: (statement) -> signature.
    seal: (hash) -> its hash under a secret of this node's key, by which this node knows it again.
    verify: (public key, statement, signature) -> whether that key's owner signed it.
    """

    public: bytes
    sign: Callable[[bytes], bytes]
    seal: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes, bytes], bool]


NO_KEY = Signatures(b"", lambda statement: b"", lambda leaf: b"", lambda public, statement, signature: False)


@frozen
class Surroundings:
    """What a core is given by the program around it: its ports, its clock, its chance, its key.

    version: of the program, as linked nodes are told it; "" for none.
    lately: the time when what is handled was read. It costs no look at the clock, and is for what happens very often.
    """

    disk: Disk
    timer: Timer
    clock: Clock
    draws: Draws
    signatures: Signatures = NO_KEY
    version: str = ""
    lately: Clock = Factory(lambda self: self.clock, takes_self=True)
