"""What the core asks of the world: a connection, a disk, a timer. The runtime and the simulator implement them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from node.core.memory import Needs
    from node.wire.frames import Batch, Outgoing
    from storage.archived import Compacted, Whole
    from storage.reader import Fetched
    from storage.records import EntityRow, LogRow


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
    """The answer to a read that failed, a second time too. reason: what the disk or the database said."""

    reason: str


class Disk(Protocol):
    """Reads of committed state, answered later by a callback on the core's thread, and the commit of groups.

    A read that fails costs what asked for it, and nobody else: it is answered with Unreadable.
    """

    @property
    def trouble(self) -> str | None:
        """Why something that could not be read or put in its place still cannot; None where all can."""
        ...

    @property
    def read_failures(self) -> int:
        """Reads that failed since the start."""
        ...

    def wake_writer(self) -> None:
        """The current group has something to write."""
        ...

    def fetch(self, needs: Needs, done: Callable[[Fetched | Unreadable], None]) -> None: ...

    def rows(
        self,
        priority: int,
        after: int,
        upto: int,
        limit: int,
        done: Callable[[Sequence[LogRow] | Unreadable | None], None],
    ) -> None:
        """None where the log does not reach back to `after` any more."""
        ...

    def compacted(
        self,
        priority: int,
        entity_types: Sequence[str],
        after: int,
        limit: int,
        terminal_id: str | None,
        done: Callable[[Compacted | Unreadable], None],
    ) -> None:
        """What lies after `after` in the archived part of the log."""
        ...

    def state(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        begun: int,
        terminal_id: str,
        done: Callable[[Sequence[EntityRow] | Unreadable], None],
    ) -> None:
        """Without the entities that only others than this terminal have written, and only after row `begun`."""
        ...

    def wholes(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        done: Callable[[Sequence[Whole] | Unreadable], None],
    ) -> None:
        """All of them, for a linked node."""
        ...

    def lacking(
        self,
        entity_type: str,
        after: str,
        keys: Set[int],
        done: Callable[[tuple[Sequence[Whole], str | None] | Unreadable], None],
    ) -> None:
        """Entities after this id that have an archived operation among these link keys, and where to look on."""
        ...

    def linked(self, link_keys: Sequence[int], done: Callable[[Sequence[LogRow] | Unreadable], None]) -> None:
        """Operations by link key, in log order."""
        ...

    def places(
        self, link_keys: Sequence[int], done: Callable[[Sequence[tuple[int, int]] | Unreadable], None]
    ) -> None:
        """(seq, link key) of those that are in the log, in any order."""
        ...

    def row_hash(self, seq: int, done: Callable[[bytes | Unreadable | None], None]) -> None:
        """None where there is no such row, ARCHIVED where it is archived and its hash is not known."""
        ...


class Timer(Protocol):
    def call_later(self, delay_ms: int, action: Callable[[], None]) -> None: ...
