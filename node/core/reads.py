"""The core's reads as calls of a reader, carried out by whoever has a thread, or simulated time, for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from node.core.memory import Needs
    from node.core.ports import Unreadable
    from storage.archived import Compacted, Whole
    from storage.reader import Fetched, Reader
    from storage.records import EntityRow, LogRow

T = TypeVar("T")


class Reads(ABC):
    """The reading half of the port `Disk`."""

    reader: Reader

    @abstractmethod
    def start(self, read: Callable[..., T], *arguments: object, done: Callable[[T | Unreadable], None]) -> None:
        """Call `read` later, in order, and `done` with what it returned, or with why it could not."""

    def fetch(self, needs: Needs, done: Callable[[Fetched | Unreadable], None]) -> None:
        wanted = (needs.entities, needs.operations, needs.conflicts, needs.held, needs.histories)
        self.start(self.reader.fetch, *wanted, done=done)

    def rows(
        self,
        priority: int,
        after: int,
        upto: int,
        limit: int,
        done: Callable[[Sequence[LogRow] | Unreadable | None], None],
    ) -> None:
        self.start(self.reader.reached, priority, after, upto, limit, done=done)

    def compacted(
        self,
        priority: int,
        entity_types: Sequence[str],
        after: int,
        limit: int,
        terminal_id: str | None,
        done: Callable[[Compacted | Unreadable], None],
    ) -> None:
        self.start(self.reader.compacted, priority, entity_types, after, limit, terminal_id, done=done)

    def state(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        begun: int,
        terminal_id: str,
        done: Callable[[Sequence[EntityRow] | Unreadable], None],
    ) -> None:
        self.start(self.reader.state, entity_types, after, limit, begun, terminal_id, done=done)

    def wholes(
        self,
        entity_types: Sequence[str],
        after: tuple[str, str] | None,
        limit: int,
        done: Callable[[Sequence[Whole] | Unreadable], None],
    ) -> None:
        self.start(self.reader.wholes, entity_types, after, limit, done=done)

    def lacking(
        self,
        entity_type: str,
        after: str,
        keys: Set[int],
        done: Callable[[tuple[Sequence[Whole], str | None] | Unreadable], None],
    ) -> None:
        self.start(self.reader.lacking, entity_type, after, keys, done=done)

    def linked(self, link_keys: Sequence[int], done: Callable[[Sequence[LogRow] | Unreadable], None]) -> None:
        self.start(self.reader.linked, link_keys, done=done)

    def places(
        self, link_keys: Sequence[int], done: Callable[[Sequence[tuple[int, int]] | Unreadable], None]
    ) -> None:
        self.start(self.reader.places, link_keys, done=done)

    def row_hash(self, seq: int, done: Callable[[bytes | Unreadable | None], None]) -> None:
        self.start(self.reader.row_hash, seq, done=done)
